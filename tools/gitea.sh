#!/usr/bin/env bash
# Builds a Gitea from the Go module proxy, once, and tests against it: webhooks,
# clones and commit statuses of the real thing. The first build takes minutes.
set -eu
cd "$(dirname "$0")/.."
version=v1.26.0
dir=$(GOFLAGS= go mod download -json "code.gitea.io/gitea@$version" | sed -n 's/^\t"Dir": "\(.*\)",\{0,1\}$/\1/p')
[ -n "$dir" ] || { echo "the sources of Gitea $version can't be downloaded: go mod download code.gitea.io/gitea@$version" >&2; exit 1; }
program=${XDG_CACHE_HOME:-$HOME/.cache}/ci-test-tools/gitea-$version
if [ ! -x "$program" ]; then
  echo "building Gitea $version; that takes minutes" >&2
  mkdir -p "$(dirname "$program")"
  (cd "$dir" && CGO_ENABLED=0 GOFLAGS= go build -o "$program.new" .)
  mv "$program.new" "$program"
fi
# Templates and texts are read from the sources.
CI_GITEA=$program CI_GITEA_ROOT=$dir go test ./e2e/forge -run 'TestGitea$' -count=1 -v "$@"
