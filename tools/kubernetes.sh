#!/usr/bin/env bash
# Builds the API server and the controllers of Kubernetes from the Go module
# proxy, once, and prints the folder that they are in.
set -eu
cd "$(dirname "$0")/.."
module=tools/kubernetes/go.mod
version=$(sed -n 's/^\tk8s\.io\/kubernetes \(v[^ ]*\).*/\1/p' $module)
programs=${XDG_CACHE_HOME:-$HOME/.cache}/ci-test-tools/kubernetes-$version
if [ -d "$programs" ]; then
  echo "$programs"
  exit 0
fi
export CGO_ENABLED=0 GOFLAGS=
tools/modules.sh tools/kubernetes >&2
echo "building Kubernetes $version; that takes seven minutes on two cores" >&2
mkdir -p "$(dirname "$programs")"
new=$(mktemp -d "$programs.XXXXXX")
trap 'rm -rf "$new"' EXIT
go build -modfile=$module -trimpath -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=$version" \
  -o "$new/" k8s.io/kubernetes/cmd/kube-apiserver k8s.io/kubernetes/cmd/kube-controller-manager
chmod 755 "$new"
mv -T "$new" "$programs" || [ -d "$programs" ] # somebody else was faster
echo "$programs"
