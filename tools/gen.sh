#!/bin/sh
# Generates pkg/api/gen from pkg/api/proto, and the OpenAPI document from both and from the routes of pipelines.
# Everything runs from Go modules; the first run builds buf, which takes minutes.
set -eu
cd "$(dirname "$0")/.."
root=$PWD

(cd tools/protodump && go run . "$root/pkg/api/third_party")
(cd pkg/api && go tool -modfile="$root/tools/buf/go.mod" buf lint)
(cd pkg/api && go tool -modfile="$root/tools/buf/go.mod" buf generate)
go test ./backend/pipeline -run '^TestOpenAPI$' -count=1 -update
go test ./backend/rest -run '^TestOpenAPI$' -count=1 -update
