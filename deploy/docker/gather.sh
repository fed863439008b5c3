#!/bin/sh
# Copies programs into a folder that becomes an image's root: each with the
# libraries that it needs, and the few files that any program expects.
#
#   usage: gather.sh FOLDER PROGRAM…
set -eu
out=$1
shift

# put copies a file, or what a link leads to, to the same path below $out.
put() {
	mkdir -p "$out$(dirname "$1")"
	[ -e "$out$1" ] || cp -L "$1" "$out$1"
}

# program is put, and all libraries of a dynamic program besides.
program() {
	put "$1"
	ldd "$1" 2>/dev/null | grep -o '/[^ ]*' | while read -r library; do put "$library"; done || true
}

# Debian's /bin and /lib are links; an image without them has no /bin/sh.
mkdir -p "$out/usr/bin" "$out/usr/lib" "$out/usr/lib64"
for dir in bin lib lib64; do ln -s "usr/$dir" "$out/$dir"; done

for name in "$@"; do program "$(command -v "$name")"; done
ln -sf dash "$out/usr/bin/sh"
# What git calls by itself, as far as a fetch needs it; what else it has are links to it.
for helper in git git-remote-http git-remote-https; do
	at=$(git --exec-path)/$helper
	[ ! -L "$at" ] || { mkdir -p "$out$(dirname "$at")" && cp -P "$at" "$out$at"; }
	[ -L "$at" ] || program "$at"
done
[ ! -d /usr/share/git-core/templates ] || mkdir -p "$out/usr/share/git-core/templates" # git warns without it

# The C library loads these when it resolves a name or ends a thread.
for library in libnss_files.so.2 libnss_dns.so.2 libresolv.so.2 libgcc_s.so.1; do
	for found in /lib/*/"$library" /usr/lib/*/"$library"; do [ ! -e "$found" ] || put "$found"; done
done

put /etc/ssl/certs/ca-certificates.crt
mkdir -p "$out/etc" "$out/tmp" "$out/run" "$out/var/lib/ci" "$out/var/lib/ci-shared" "$out/usr/local/bin"
chmod 1777 "$out/tmp"
chmod 0700 "$out/var/lib/ci" "$out/var/lib/ci-shared"
chown 10001:10001 "$out/var/lib/ci" "$out/var/lib/ci-shared"
echo 'root:x:0:0:root:/:/usr/sbin/nologin
ci:x:10001:10001:ci:/var/lib/ci:/usr/sbin/nologin' >"$out/etc/passwd"
printf 'root:x:0:\nci:x:10001:\n' >"$out/etc/group"
echo 'hosts: files dns' >"$out/etc/nsswitch.conf"
# Times of files would make each build another image.
find "$out" -exec touch -h -d @0 {} +
