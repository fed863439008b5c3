#!/usr/bin/env bash
# Builds the images of cid and ci-agent from the programs in bin/.
#
#   usage: tools/images.sh [TAG]      (default: the version; :latest moves along)
#
#   BASE      the image that they start from (debian:bookworm-slim; where it can't
#             be pulled, a Debian that tools/base.sh makes)
#   BIN       the folder with the programs (bin)
#   IMAGES    which: cid, agent, agent-socket (all)
#   PREFIX    goes before each name, for example registry.example.com/team/
set -eu
cd "$(dirname "$0")/.."
version=${VERSION:-$(git describe --tags --always --dirty 2>/dev/null || echo dev)}
tag=${1:-$version}
bin=${BIN:-bin}
for program in cid ci ci-agent; do
  [ -x "$bin/$program" ] || { echo "$bin/$program is missing: make build" >&2; exit 1; }
done
base=${BASE:-}
[ -n "$base" ] || base=$(tools/base.sh)

# The context: the programs under the names that the Dockerfiles know, wherever they are.
context=$(mktemp -d)
trap 'rm -rf "$context" "$context.log"' EXIT
mkdir -p "$context/bin" "$context/deploy"
cp "$bin"/cid "$bin"/ci "$bin"/ci-agent "$context/bin/"
cp -r deploy/docker "$context/deploy/"
# A layer of the same files is the same layer, whenever they were built.
find "$context" -exec touch -h -d @0 {} +

# An engine without buildx builds all stages of a file up to the target.
if docker buildx version >/dev/null 2>&1; then export DOCKER_BUILDKIT=1; else export DOCKER_BUILDKIT=0; fi

# build FILE TARGET NAME builds one image.
build() {
  local target=()
  [ -z "$2" ] || target=(--target "$2")
  docker build -f "$context/deploy/docker/$1" "${target[@]}" --build-arg "BASE=$base" \
    --build-arg "VERSION=$version" --build-arg "REVISION=$(git rev-parse HEAD 2>/dev/null || echo unknown)" \
    -t "${PREFIX:-}$3:$tag" "$context" >"$context.log" 2>&1 || { tail -40 "$context.log" >&2; exit 1; }
  [ "$tag" != "$version" ] || docker tag "${PREFIX:-}$3:$tag" "${PREFIX:-}$3:latest"
  echo "${PREFIX:-}$3:$tag"
}

for image in ${IMAGES:-cid agent agent-socket}; do
  case $image in
    cid) build cid.Dockerfile "" cid ;;
    agent) build agent.Dockerfile agent ci-agent ;;
    agent-socket) build agent.Dockerfile agent-socket ci-agent-socket ;;
    *) echo "there is no image $image: cid, agent, agent-socket" >&2; exit 1 ;;
  esac
done
