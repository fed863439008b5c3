#!/usr/bin/env bash
# Prints the name of a Debian 12 image for others to start from: the official
# one, or, where no registry can be reached, one that is made here once and kept
# as ci-base:bookworm.
set -eu
official=debian:bookworm-slim own=ci-base:bookworm
for image in "$official" "$own"; do
  if docker image inspect "$image" >/dev/null 2>&1; then
    echo "$image"
    exit 0
  fi
done
if timeout 120 docker pull -q "$official" >/dev/null 2>&1; then
  echo "$official"
  exit 0
fi
echo "$official can't be pulled; making $own from Debian's packages" >&2
"$(dirname "$0")/need.sh" mmdebstrap >&2
# Two of us at a time would only make it twice.
exec 9>"${TMPDIR:-/tmp}/ci-base.lock"
flock 9
if ! docker image inspect "$own" >/dev/null 2>&1; then
  dir=$(mktemp -d)
  trap 'rm -rf "$dir"' EXIT
  # We may be in a container ourselves, where nothing can be mounted.
  mmdebstrap --variant=minbase --mode=root --skip=check/canmount bookworm "$dir/root.tar" >"$dir/log" 2>&1 || { tail -20 "$dir/log" >&2; exit 1; }
  docker import "$dir/root.tar" "$own" >/dev/null
fi
echo "$own"
