// Package jobfile owns the job file: the one YAML document that says how a job
// runs. It parses it into a ci.Spec with every default filled in, and it
// publishes the same rules as a JSON Schema. Nothing else reads YAML.
//
// A freestyle job carries the same document as JSON. Both are read into one
// small tree (node), so both are held to the same rules by the same code.
//
// The input is a stranger's: its size, nesting and aliases are bounded before
// anything walks it.
package jobfile
