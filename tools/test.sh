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

# charts has modules of its own: Helm and Kubernetes as libraries.
charts() { (cd tools/charts && go vet . && go test -count=1 .); }

# programs builds ours once, for all tests that start them: to link them takes
# half a minute, and a gigabyte, each time.
programs() {
  go build -o "$work/bin/" ./cmd/ci ./cmd/cid ./cmd/ci-agent && export CI_BIN=$work/bin
}

# images makes the Debian that images start from, and what is installed into
# ours: minutes, the first time, and no test's time limit is for that.
images() {
  BIN=$work/bin IMAGES="cid agent" tools/images.sh "$tag"
}

# opentofu builds it once for each version; the tests of the provider start it.
opentofu() { CI_TOFU=$(tools/opentofu.sh) && export CI_TOFU; }

# tests runs those of the packages in its first argument, with the flags of go
# test in the others; go vet was a step of its own. A test that fails runs once
# more when all others are over, and is named in the summary either way: what
# fails twice is broken, what passes then depends on what ran beside it and is to
# be mended. Many failures are no accident, and run no second time.
tests() {
  local packages=$1 status=0
  shift
  tools/modules.sh tools/gotestsum || return 1
  go tool -modfile=tools/gotestsum/go.mod gotestsum --format pkgname-and-test-fails --format-icons text --format-hide-empty-pkg \
    --rerun-fails=1 --rerun-fails-max-failures=5 --rerun-fails-run-root-test --rerun-fails-report "$work/again" \
    --packages="$packages" -- -vet=off -timeout "${TEST_TIMEOUT:-45m}" "$@" 2>&1 | tee -a "$work/tests"
  status=${PIPESTATUS[0]} # of the tests, not of tee
  grep -aE '^(FAIL  |=== FAIL|panic:)' "$work/tests" >"$work/failures" || true
  if [ "$status" = 0 ] && [ -s "$work/again" ]; then
    notes+=("failed, and passed when it ran again by itself: $(tr '\n' ' ' <"$work/again")")
  fi
  rm -f "$work/again"
  return "$status"
}

# Those that start containers of their own have the engine to themselves: it
# makes one network at a time, and two packages at once only wait for each other.
engine=(./agentd/docker/... ./e2e/...)
others() { go list ./... | grep -vE '^ci/(agentd/docker|e2e)(/|$)'; }

tag=test-$$
end() {
  docker rmi "cid:$tag" "ci-agent:$tag" >/dev/null 2>&1 || true
  rm -rf "$work"
}
work=$(mktemp -d)
trap end EXIT

step "programs that tests need" tools/need.sh git curl openssh-client openssh-server postgresql redis-server rabbitmq-server busybox-static docker.io fuse-overlayfs iptables iproute2 tmux chromium
step "programs that the tests of images need" tools/need.sh docker-compose mmdebstrap
docker version >/dev/null 2>&1 || notes+=("Docker does not answer: the tests of real containers fail")
step "modules" tools/modules.sh
step "the house rules" go test -count=1 .
step "go vet" go vet ./...
step "gofumpt" gofumpt
step "staticcheck" staticcheck
step "charts" charts
step "programs" programs
step "images" images
step "OpenTofu" opentofu
step "tests" tests "$(others | tr "\n" " ")"
step "tests with containers" tests "${engine[*]}" -p 1

echo
echo "== summary, after $((SECONDS - began)) s"
for n in "${notes[@]+"${notes[@]}"}"; do echo "   note: $n"; done
if [ ${#failed[@]} = 0 ]; then
  echo "   everything passed: $(awk '/^PASS  / { print $2 }' "$work/tests" | sort -u | wc -l) packages with tests"
  exit 0
fi
[ ! -s "$work/failures" ] || sed 's/^/   /' "$work/failures"
printf '   failed: %s\n' "${failed[@]}"
exit 1
