package jobfile

import (
	_ "embed" // the schema is a file
	"slices"
)

//go:embed job.schema.json
var schema []byte

// Schema is the JSON Schema (draft 7, which editors know best) of the job
// file. It accepts what Parse accepts, but for the few rules that a schema
// can't state; TestSchemaAgrees lists them. The copy is the caller's.
func Schema() []byte { return slices.Clone(schema) }
