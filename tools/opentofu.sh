#!/usr/bin/env bash
# Builds OpenTofu from the Go module proxy, once, and prints where it is. What
# nothing here uses is left out: the backends and key stores of the clouds, which
# are most of what there is to compile. So it takes minutes, not a quarter of an hour.
set -eu
version=v1.12.6
program=${XDG_CACHE_HOME:-$HOME/.cache}/ci-test-tools/opentofu-$version
if [ -x "$program" ]; then
  echo "$program"
  exit 0
fi
export CGO_ENABLED=0 GOFLAGS=

# fetch tries a download again that fails or hangs; what was downloaded stays.
fetch() {
  local try
  for try in 1 2 3 4 5; do
    if timeout "${MODULES_TIMEOUT:-300}" "$@"; then return 0; fi
    echo "opentofu: try $try of 5 failed: $*" >&2
    sleep "$try"
  done
  echo "opentofu: the sources of OpenTofu $version can't be downloaded; check the network and GOPROXY, then try again" >&2
  return 1
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fetch go mod download -json "github.com/opentofu/opentofu@$version" >"$work/module"
source=$(sed -n 's/^\t"Dir": "\(.*\)",\{0,1\}$/\1/p' "$work/module")
cp -r "$source" "$work/tree"
chmod -R u+w "$work/tree"
cd "$work/tree"
sed -i -E '/backend(Azure|Consul|Cos|GCS|Kubernetes|OSS|Pg|S3)/d' internal/backend/init/init.go
for store in aws_kms azure_vault gcp_kms openbao; do
  sed -i "/keyprovider\/$store\"/d; /RegisterKeyProvider($store\.New/,+2d" internal/encryption/default_registry.go
done
fetch go list -deps ./cmd/tofu >/dev/null
echo "building OpenTofu $version; that takes minutes" >&2
mkdir -p "$(dirname "$program")"
go build -trimpath -ldflags '-s -w -X github.com/opentofu/opentofu/version.dev=no' -o "$program.$$" ./cmd/tofu
mv "$program.$$" "$program"
echo "$program"
