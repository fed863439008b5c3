#!/usr/bin/env bash
# Makes sure that programs of Debian packages are there.
#
#   usage: tools/need.sh PACKAGE…    (chromium git curl openssh-client openssh-server postgresql redis-server rabbitmq-server busybox-static docker.io fuse-overlayfs iptables iproute2 tmux etcd-server)
#
# It is quiet and quick when they are. What is missing is installed by apt-get
# when this is Debian and we are root; else a sentence says what to install.
# Nothing that it installs is started: tests start their own servers.
set -eu

# have says whether a package's program is there, however it was installed.
have() {
  local path=$PATH:/usr/sbin:/sbin
  case $1 in
    openssh-client) PATH=$path command -v ssh && PATH=$path command -v ssh-keygen ;;
    openssh-server) PATH=$path command -v sshd ;;
    etcd-server) PATH=$path command -v etcd ;;
    iproute2) PATH=$path command -v ip ;;
    busybox-static) [ -x /bin/busybox ] ;;
    docker.io) PATH=$path command -v dockerd && PATH=$path command -v containerd && PATH=$path command -v runc ;;
    postgresql) ls /usr/lib/postgresql/*/bin/postgres || command -v postgres ;;
    rabbitmq-server) ls /usr/lib/rabbitmq/bin/rabbitmq-server ;;
    *) PATH=$path command -v "$1" ;;
  esac >/dev/null 2>&1
}

missing=()
for p in "$@"; do
  have "$p" || missing+=("$p")
done
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "missing: ${missing[*]}. Install them (Debian: apt-get install ${missing[*]}), or run this as root on Debian." >&2
  exit 1
fi

# Debian starts a server when its package is configured, and postgresql makes a
# database cluster. Two files prevent both; they go away with us.
made=()
undo() { [ ${#made[@]} = 0 ] || rm -f "${made[@]}"; }
trap undo EXIT
if [ ! -e /usr/sbin/policy-rc.d ]; then
  printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
  chmod 755 /usr/sbin/policy-rc.d
  made+=(/usr/sbin/policy-rc.d)
fi
mkdir -p /etc/postgresql-common/createcluster.d
if [ ! -e /etc/postgresql-common/createcluster.d/none.conf ]; then
  echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.d/none.conf
  made+=(/etc/postgresql-common/createcluster.d/none.conf)
fi

echo "installing: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
install() { timeout 600 apt-get install -y -qq --no-install-recommends "${missing[@]}" >"$log" 2>&1; }
for try in 1 2 3; do
  # The lists may be missing (a minimal image) or old (a package moved on).
  if [ "$try" = 1 ] && ls /var/lib/apt/lists/*Packages* >/dev/null 2>&1 && install; then break; fi
  timeout 300 apt-get update -qq >"$log" 2>&1 || true
  install && break
  [ "$try" -lt 3 ] || { cat "$log" >&2; echo "apt-get could not install: ${missing[*]}" >&2; exit 1; }
  sleep "$try"
done
rm -f "$log"

for p in "${missing[@]}"; do
  have "$p" || { echo "$p is installed, but its program is not to be found" >&2; exit 1; }
done
