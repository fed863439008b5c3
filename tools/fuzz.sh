#!/usr/bin/env bash
# Runs every fuzz target for FUZZ_TIME, one after the other.
set -eu
cd "$(dirname "$0")/.."
export CGO_ENABLED=0
grep -rlE '^func Fuzz[A-Z]' --include='*_test.go' . | sort | while read -r file; do
  for target in $(sed -nE 's/^func (Fuzz[A-Za-z0-9_]+)\(.*/\1/p' "$file"); do
    echo "== $(dirname "$file") $target"
    go test -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZ_TIME:-10s}" "$(dirname "$file")" </dev/null
  done
done
