#!/usr/bin/env bash
# Says whether everything generated is what its generator would write now, and
# go.mod what `go mod tidy` would. It works on a copy and changes nothing.
set -eu
cd "$(dirname "$0")/.."
export CGO_ENABLED=0
bad=0

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
git ls-files -co --exclude-standard | while read -r f; do
  if [ -f "$f" ]; then echo "$f"; fi
done >"$work/files"
mkdir "$work/tree"
xargs -d '\n' cp --parents -t "$work/tree" <"$work/files"
git -C "$work/tree" init -q
git -C "$work/tree" add -A

if ! (cd "$work/tree" && tools/gen.sh && go run ./tools/settings && go run ./tools/terraform && CI_UPDATE=1 go test -count=1 -run '^TestStatesDocument$' ./pkg/ci) >"$work/log" 2>&1; then
  cat "$work/log"
  echo "the generators failed"
  bad=1
fi
# What a generator writes anew counts too: it should have been committed.
git -C "$work/tree" status --porcelain | grep -v '^A  ' >"$work/stale" || true
if [ -s "$work/stale" ]; then
  echo "not up to date; run: make gen"
  sed 's/^/  /' "$work/stale"
  bad=1
fi
go mod tidy -diff || { echo "go.mod or go.sum is not tidy; run: go mod tidy"; bad=1; }
[ "$bad" != 0 ] || echo "everything generated is up to date"
exit "$bad"
