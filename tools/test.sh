#!/usr/bin/env bash
# Every check and test, and a summary. `make test` runs it, and so does CI.
set -u
cd "$(dirname "$0")/.."
export CGO_ENABLED=0
began=$SECONDS
failed=() notes=()

# step runs one check and remembers how it ended. The next ones run all the same.
step() {
  local name=$1 start=$SECONDS
  shift
  echo "== $name"
  if "$@"; then
    echo "   ok, $((SECONDS - start)) s"
  else
    echo "   FAILED: $name"
    failed+=("$name")
  fi
}

gofumpt() {
  tools/modules.sh tools/gofumpt || return 1
  local files
  # Generated files are as their generator writes them.
  files=$(git ls-files -co --exclude-standard -- '*.go' | while read -r f; do
    if [ -f "$f" ] && ! head -3 "$f" | grep -q '^// Code generated .* DO NOT EDIT\.$'; then echo "$f"; fi
  done | xargs go tool -modfile=tools/gofumpt/go.mod gofumpt -l) || return 1
  [ -z "$files" ] || { printf '%s\n' "not formatted; run: go tool -modfile=tools/gofumpt/go.mod gofumpt -w" $files; return 1; }
}

staticcheck() {
  tools/modules.sh tools/staticcheck && go tool -modfile=tools/staticcheck/go.mod staticcheck ./...
}

# tests prints a line a package as go test does, and keeps what was skipped and why.
tests() {
  local out=$work/tests status=0
  go test -timeout "${TEST_TIMEOUT:-30m}" ./... 2>&1 | tee "$out" | grep --line-buffered -v '\[no test files\]$'
  status=${PIPESTATUS[0]} # of go test, not of tee or grep
  grep -E '^(FAIL|--- FAIL|panic:)' "$out" >"$work/failures" || true
  return "$status"
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

step "programs that tests need" tools/need.sh git curl openssh-client openssh-server postgresql redis-server busybox-static docker.io fuse-overlayfs iptables
docker version >/dev/null 2>&1 || notes+=("Docker does not answer: the tests of real containers fail")
step "modules" tools/modules.sh
step "the house rules" go test -count=1 .
step "go vet" go vet ./...
step "gofumpt" gofumpt
step "staticcheck" staticcheck
step "tests" tests

echo
echo "== summary, after $((SECONDS - began)) s"
for n in "${notes[@]+"${notes[@]}"}"; do echo "   note: $n"; done
if [ ${#failed[@]} = 0 ]; then
  echo "   everything passed: $(grep -c '^ok' "$work/tests") packages with tests"
  exit 0
fi
[ ! -s "$work/failures" ] || sed 's/^/   /' "$work/failures"
printf '   failed: %s\n' "${failed[@]}"
exit 1
