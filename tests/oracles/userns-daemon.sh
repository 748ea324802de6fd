#!/bin/sh
# What DOCKERD makes of --userns-remap=SPEC on a machine with the account files in FILES.
# Runs in namespaces of its own (unshare --mount --pid --net), where /etc is an overlay:
# the machine's own files are neither read nor written. Prints the sub-directory of the
# data root, `off`, or `refused`; then what dockerd warns of or fails
# of, and the two files of subordinate ids as they are afterwards.
#
# Usage: userns-daemon.sh FILES SPEC DOCKERD
set -eu
files=$1 spec=$2 dockerd=$3
mount -t tmpfs tmpfs /srv
mkdir -m 0711 /srv/upper /srv/work /srv/run
mount -t overlay overlay -o lowerdir=/etc,upperdir=/srv/upper,workdir=/srv/work /etc
for name in passwd group subuid subgid; do
    rm -f "/etc/$name"
    if [ -e "$files/$name" ]; then cp "$files/$name" "/etc/$name"; fi
done
rm -f /etc/shadow /etc/gshadow /etc/docker/daemon.json
# useradd needs them, and they have no part in the verdict.
(umask 077 && : >/etc/shadow && : >/etc/gshadow)
cd /srv/run
"$dockerd" --userns-remap="$spec" -H unix:///srv/run/sock --iptables=false --bridge=none --storage-driver=vfs \
    --data-root /srv/run/d --exec-root /srv/run/e -p /srv/run/pid >log 2>&1 &
daemon=$!
verdict=
while [ -z "$verdict" ]; do
    for dir in d/*.*; do
        if [ -d "$dir/image" ]; then verdict=${dir#d/}; fi
    done
    if [ -e d/image ]; then verdict=off; fi
    if ! kill -0 "$daemon" 2>/dev/null; then verdict=${verdict:-refused}; fi
    sleep 0.02
done
printf '%s\n' "$verdict"
grep -v level=info log || true
for name in subuid subgid; do sed "s/^/$name /" "/etc/$name" 2>/dev/null || true; done
