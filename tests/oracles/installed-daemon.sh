#!/bin/bash
# A Docker host in miniature: the daemon directory of a bootstrap installed where its
# configuration says, Debian's unit with our drop-in, the socket that systemd hands over.
#
# Runs in mount, network and process namespaces of its own: /etc is an overlay, /run and
# the network are private, and when this ends everything it started ends too.
#
# Usage: unshare --mount --net --pid --fork --kill-child --mount-proc installed-daemon.sh \
#            BUSYBOX HOST_DIR TMP COMMANDS NAME...
# COMMANDS is a file with what bootstrap printed to copy, a command a line.
set -euo pipefail
busybox=$1 host=$2 tmp=$3 commands=$4
shift 4
"$busybox" ip link set lo up
mount --make-rprivate /
mkdir "$tmp/overlay"
mount -t tmpfs tmpfs "$tmp/overlay"
mkdir "$tmp/overlay/upper" "$tmp/overlay/work"
mount -t overlay overlay -o "lowerdir=/etc,upperdir=$tmp/overlay/upper,workdir=$tmp/overlay/work" /etc
mount -t tmpfs tmpfs /run
# The data root is given below; should it ever not be, not the machine's.
if [ -d /var/lib/docker ]; then mount -t tmpfs tmpfs /var/lib/docker; fi
# For the paths of sockets, which are short.
mkdir -p /run/containerd /run/data

# The names that clients dial lead here.
echo "127.0.0.1 docker.test" >>/etc/hosts

# ---- installed by the printed commands, word for word. This machine is the host: ssh
# and sudo run their commands here, and systemctl only notes what it was asked for.
mkdir "$tmp/bin"
printf '#!/bin/sh\nshift\nexec sh -c "$*"\n' >"$tmp/bin/ssh"
printf '#!/bin/sh\nexec "$@"\n' >"$tmp/bin/sudo"
printf '#!/bin/sh\necho "$*" >>%s/systemctl\n' "$tmp" >"$tmp/bin/systemctl"
chmod 0755 "$tmp/bin/"*
# All but the last, which wants a daemon that runs.
"$busybox" head -n -1 "$commands" | while read -r line; do
    echo "\$ $line"
    PATH="$tmp/bin:$PATH" sh -c "$line" </dev/null || { echo "fails: $line"; exit 1; }
done
[ "$(cat "$tmp/systemctl")" = "$(printf 'daemon-reload\nrestart docker')" ] || { cat "$tmp/systemctl"; exit 1; }

# docker-bench-security 2.2: checks 3.7 to 3.14, 3.17 and 3.18, on the installed files.
check() {
    found="$(stat -c '%a %U %G' "$2")"
    [ "$found" = "$1" ] || { echo "$2 is $found, not $1"; exit 1; }
}
tls="$(python3 -c 'import json, os; print(os.path.dirname(json.load(open("/etc/docker/daemon.json"))["tlscert"]))')"
check '444 root root' "$tls/ca.pem"
check '444 root root' "$tls/cert.pem"
check '400 root root' "$tls/key.pem"
check '644 root root' /etc/docker/daemon.json
check '644 root root' /etc/systemd/system/docker.service.d/dockseal.conf

# ---- the unit and its drop-in, as systemd reads them
export SYSTEMD_UNIT_PATH=/etc/systemd/system:/lib/systemd/system
systemd-analyze verify docker.service 2>"$tmp/verify.log" || { cat "$tmp/verify.log"; exit 1; }
if grep -i 'dockseal\|docker.service' "$tmp/verify.log"; then exit 1; fi
dropin=/etc/systemd/system/docker.service.d/dockseal.conf
grep -qx 'ExecStart=' "$dropin" || { echo "the drop-in does not reset ExecStart"; exit 1; }
command="$(sed -n 's/^ExecStart=\(.\+\)$/\1/p' "$dropin")"
[ "$(wc -l <<<"$command")" = 1 ] || { echo "not one command: $command"; exit 1; }
case "$command" in *"-H "*) echo "the drop-in keeps -H: $command"; exit 1 ;; esac
packaged="$(sed -n 's/^ExecStart=\(.\+\)$/\1/p' /lib/systemd/system/docker.service)"

containerd --root /run/data/cr --state /run/data/cs --address /run/containerd/containerd.sock >"$tmp/containerd.log" 2>&1 &
for _ in $(seq 200); do [ -S /run/containerd/containerd.sock ] && break; sleep 0.05; done
export DOCKER_OPTS="--iptables=false --bridge=none --storage-driver=vfs --data-root $tmp/data --exec-root /run/data/exec -p /run/data/pid"
export HOME="$tmp"

# ---- the counter-proof: without the drop-in the same daemon.json stops dockerd
if timeout 60 sh -c "$packaged" >"$tmp/packaged.log" 2>&1; then echo "the packaged ExecStart starts"; exit 1; fi
grep -q 'specified both as a flag and in the configuration file' "$tmp/packaged.log" || { cat "$tmp/packaged.log"; exit 1; }

# ---- and with it: systemd's socket first, whose first caller wakes the daemon
# (systemd-socket-activate hands on no more of the environment than it is told to.)
systemd-socket-activate --setenv=DOCKER_OPTS --setenv=HOME --listen=/run/docker.sock sh -c "exec $command" >"$tmp/dockerd.log" 2>&1 &
for _ in $(seq 200); do [ -S /run/docker.sock ] && break; sleep 0.05; done
fail() { echo "$1"; grep -v 'level=info' "$tmp/dockerd.log" | tail -n 20; exit 1; }
DOCKER_HOST=unix:///run/docker.sock timeout 60 docker version >"$tmp/docker.log" 2>&1 || { cat "$tmp/docker.log"; fail "the socket does not answer"; }
# The last of the printed commands is the user's.
"$busybox" tail -n 1 "$commands" >"$tmp/last"
timeout 60 sh "$tmp/last" >"$tmp/docker.log" 2>&1 || { cat "$tmp/last" "$tmp/docker.log"; fail "the last command printed does not work"; }
grep -q '^Server' "$tmp/docker.log" || { cat "$tmp/docker.log"; exit 1; }
[ -z "$(ls -A /var/lib/docker 2>/dev/null)" ] || fail "the daemon did not use its own data root"
for client in "$host"/clients/*; do
    for name in "$@"; do
        DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH="$client" DOCKER_HOST="tcp://$name:2376" timeout 60 docker info >"$tmp/docker.log" 2>&1 ||
            { cat "$tmp/docker.log"; fail "$name does not answer"; }
        echo "$(basename "$client") by tcp://$name:2376"
    done
done
mkdir "$tmp/none"
cp "$client/ca.pem" "$tmp/none"
if DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH="$tmp/none" DOCKER_HOST="tcp://$1:2376" timeout 60 docker info >"$tmp/docker.log" 2>&1; then
    fail "a client without certificate is served"
fi
if DOCKER_HOST="tcp://$1:2376" timeout 60 docker info >"$tmp/docker.log" 2>&1; then fail "a client without TLS is served"; fi
echo done
