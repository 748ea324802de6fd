#!/bin/sh
# One test host, from its first file to its last. Its master (harness/host.rs) speaks to it
# over standard input: `boot` starts the machine, and the end of the input, which also comes
# when the master is killed, powers it off and takes everything away again.
#
# Usage: host.sh BASE DIR NAME
set -eu
base=$1 dir=$2 name=$3
run=/run/lock/dockseal-test-hosts
# Many machines idle cheaply; the master boots few at a time.
slots=9

say() { printf 'host %s: %s\n' "$name" "$*" >&2; }

# What this slot may hold: a namespace, its link and a mount, all named by the slot, so that
# who has the slot's lock may remove them.
clear_slot() {
    if [ -s "$run/$slot.mount" ]; then
        left=$(cat "$run/$slot.mount")
        # Also what a container of the machine left mounted below it.
        awk -v top="$left" '$5 == top || index($5, top "/") == 1 { print $5 }' /proc/self/mountinfo | sort -r |
            while read -r mount; do umount "$mount" 2>/dev/null || umount --lazy "$mount" || true; done
        rm -f "$run/$slot.mount"
    fi
    if [ -e "/run/netns/dst$slot" ]; then ip netns delete "dst$slot" || true; fi
    if [ -e "/sys/class/net/dst$slot" ]; then ip link delete "dst$slot" || true; fi
}

# nspawn alone does not take the machine along when it is killed; its first process does.
pull_plug() {
    gone=
    for nspawn in $(ps -o pid= --ppid "$machine"); do
        gone="$gone $nspawn"
        for first in $(ps -o pid= --ppid "$nspawn"); do
            gone="$gone $first"
            kill -KILL "$first" 2>/dev/null || true
        done
    done
    # timeout leads a group with nspawn in it.
    kill -KILL "-$machine" 2>/dev/null || true
    wait "$machine" 2>/dev/null || true
    # What is dying still holds the tree, and nspawn boots none that is held.
    waited=0
    for pid in $gone; do
        while [ -e "/proc/$pid" ] && [ "$waited" -lt 200 ]; do
            waited=$((waited + 1))
            sleep 0.1
        done
    done
}

end() {
    trap '' TERM INT HUP
    if [ -n "${machine:-}" ]; then
        # nspawn powers the machine off when told to end, as systemd alone understands.
        if [ -e "$root/lib/systemd/systemd" ]; then kill -TERM "$machine" 2>/dev/null || true; else pull_plug; fi
        waited=0
        while kill -0 "$machine" 2>/dev/null; do
            waited=$((waited + 1))
            if [ "$waited" -gt 200 ]; then
                say "does not power off"
                pull_plug
                break
            fi
            sleep 0.1
        done
        wait "$machine" 2>/dev/null || true
    fi
    clear_slot
    rm -rf --one-file-system "$dir"
}

mkdir -p "$run"
slot=
until [ -n "$slot" ]; do
    for try in $(seq 1 "$slots"); do
        exec 8>"$run/$try"
        if flock --nonblock 8; then slot=$try && break; fi
    done
    [ -n "$slot" ] || sleep 0.2
done
trap end EXIT
trap 'exit 1' TERM INT HUP
clear_slot

mkdir -p "$dir/upper" "$dir/work" "$dir/root"
printf '%s\n' "$dir/root" >"$run/$slot.mount"
if ! mount -t overlay dockseal -o "lowerdir=$base,upperdir=$dir/upper,workdir=$dir/work" "$dir/root" 2>"$dir/overlay.log"; then
    cp -a "$base/." "$dir/root/"
fi
# A /30 of its own: this side has .1, the machine .2.
ip netns add "dst$slot"
ip link add "dst$slot" type veth peer name host0 netns "dst$slot"
ip address add "10.99.$slot.1/30" dev "dst$slot"
ip link set "dst$slot" up
ip -n "dst$slot" address add "10.99.$slot.2/30" dev host0
ip -n "dst$slot" link set host0 up
ip -n "dst$slot" link set lo up
# dockerd wants it, and may not write there; what a new namespace begins with depends on the machine.
ip netns exec "dst$slot" sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'

root=$dir/root
printf '%s\n' "$name" >"$root/etc/hostname"
printf '127.0.0.1 localhost\n127.0.1.1 %s\n::1 localhost\n' "$name" >"$root/etc/hosts"
rm -f "$root"/etc/ssh/ssh_host_*
ssh-keygen -q -t ed25519 -N '' -C "$name" -f "$root/etc/ssh/ssh_host_ed25519_key"
# deploy may do anything without a password; wheel is asked for one.
for user in deploy wheel; do
    chroot "$root" useradd --create-home --shell /bin/bash "$user"
    printf '%s:correct horse\n' "$user" | chroot "$root" chpasswd
done
printf 'deploy ALL=(ALL) NOPASSWD: ALL\nwheel ALL=(ALL) ALL\n' >"$root/etc/sudoers.d/users"
chmod 0440 "$root/etc/sudoers.d/users"
printf 'slot %s\n' "$slot"

while read -r word; do
    [ "$word" = boot ] || continue
    # Again: the plug is pulled and put back in.
    if [ -n "${machine:-}" ]; then pull_plug; fi
    # The machine must not set this machine's clock. `timeout` is for a master that hangs.
    timeout --kill-after=30 3600 systemd-nspawn --quiet --register=no --keep-unit --directory="$root" \
        --machine="dst$slot" --hostname="$name" --boot --network-namespace-path="/run/netns/dst$slot" \
        --capability=all --drop-capability=CAP_SYS_TIME --private-users=no --system-call-filter='@keyring bpf' --console=pipe \
        </dev/null >"$dir/console" 2>&1 8>&- &
    machine=$!
    printf 'machine %s\n' "$machine"
done
