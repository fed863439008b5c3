#!/usr/bin/env bash
# Downloads the modules that a build needs: those of the project, or with an
# argument those of the tool whose go.mod is in that folder.
#
#   usage: tools/modules.sh [tools/TOOL]
#
# A download that hangs would stop a CI job for as long as its timeout, so each
# try has a limit and the next one takes over. What was downloaded stays.
set -eu
cd "$(dirname "$0")/.."
tries=5 limit=${MODULES_TIMEOUT:-300}

list() { go list -deps -test ./... ; }
if [ $# -gt 0 ]; then
  tool=$1
  list() { go list -modfile="$tool/go.mod" -deps tool; }
fi
export -f list
export tool=${tool:-}

log=$(mktemp)
trap 'rm -f "$log"' EXIT
for try in $(seq "$tries"); do
  if timeout "$limit" bash -c list >/dev/null 2>"$log"; then
    exit 0
  fi
  # A package that does not exist will not be there next time either.
  if ! grep -qiE 'timeout|timed out|connection|dial tcp|EOF|TLS|temporary|50[0-9]|429|no such host' "$log" && [ -s "$log" ]; then
    break
  fi
  echo "modules: try $try of $tries failed or took longer than ${limit}s" >&2
  sleep "$try"
done
cat "$log" >&2
echo "modules: not all packages are there. If that is a download, check the network and GOPROXY, then try again" >&2
exit 1
