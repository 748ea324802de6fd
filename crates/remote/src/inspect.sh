# Looks at this machine; sh, dash and busybox alike. Set before: daemon_json drop_in late_drop_in tls record change, and waits() and
# changeable().
put() { printf '%s ' "$1"; od -An -v -tx1 | tr -d ' \n'; echo; }
say() { fact=$1; shift; printf '%s' "$*" | put "$fact"; }
has() { command -v "$1" >/dev/null 2>&1; }
# Name, path, and whether the contents are asked for, which stop at a megabyte.
file() {
    if [ -e "$2" ] || [ -L "$2" ]; then
        say "$1.state" "$(stat -c '%a %u %g %F' "$2" 2>/dev/null)"
        if [ -n "$3" ] && [ -f "$2" ] && [ -r "$2" ]; then head -c 1048576 "$2" | put "$1.contents"; fi
    fi
}

say clock "$(date +%s)"
say node "$(uname -n)"
say kernel "$(uname -srm)"
[ -r /etc/machine-id ] && put machine-id </etc/machine-id
cat /etc/ssh/ssh_host_*_key.pub 2>/dev/null | sort | put host-keys
[ -r /etc/os-release ] && say os "$(. /etc/os-release; printf '%s' "${PRETTY_NAME:-$NAME}")"
{ hostname -f; hostname; } 2>/dev/null | sort -u | put names
if has ip; then
    ip -o addr show 2>/dev/null | awk '$3 == "inet" || $3 == "inet6" { print $2, $4 }' | put addresses
else
    hostname -I 2>/dev/null | tr ' ' '\n' | sed -n 's/^./? &/p' | put addresses
fi

systemd=
if [ -d /run/systemd/system ]; then systemd=yes; say init systemd
elif has rc-service && [ -e /etc/init.d/docker ]; then say init openrc
elif has service && [ -e /etc/init.d/docker ]; then say init sysv
fi
if [ "$systemd" ]; then
    systemctl cat docker.service 2>/dev/null | put unit
    # --value came with systemd 230.
    state=$(systemctl show -p ActiveState docker.service 2>/dev/null)
    say service "${state#ActiveState=}"
    if systemctl is-active --quiet docker.socket 2>/dev/null; then say socket-unit yes; fi
    if has systemd-run; then say systemd-run yes; fi
fi

rootless=
for proc in /proc/[0-9]*; do
    read -r name <"$proc/comm" 2>/dev/null || continue
    [ "$name" = dockerd ] || continue
    # Not the directory's owner: that is root as well where a process hides itself (PR_SET_DUMPABLE).
    user=$(sed -n 's/^Uid:[^0-9]*\([0-9]*\).*/\1/p' "$proc/status" 2>/dev/null)
    # Those of containers (docker in docker) are not this machine's.
    [ "$(readlink "$proc/ns/mnt" 2>/dev/null)" = "$(readlink /proc/1/ns/mnt 2>/dev/null)" ] || {
        [ "$user" != 0 ] && rootless=yes
        continue
    }
    # What has ended has no arguments, another look asks for the version, and between fork and exec children look like it.
    case $(tr '\000' ' ' <"$proc/cmdline" 2>/dev/null) in '' | *' --version '* | *' --help '* | *' --validate '*) continue ;; esac
    parent=$(sed -n 's/^PPid:[^0-9]*//p' "$proc/status" 2>/dev/null)
    if [ -z "$parent" ] || [ "$(cat "/proc/$parent/comm" 2>/dev/null)" = dockerd ]; then continue; fi
    pid=${proc#/proc/}
    put "dockerd.argv.$pid" <"$proc/cmdline"
    say "dockerd.user.$pid" "$user"
    # Never the rest of it: an environment may hold secrets.
    tr '\000' '\n' <"$proc/environ" 2>/dev/null | grep -E '^(DOCKER_TLS_VERIFY|DOCKER_CERT_PATH|DOCKER_CONFIG|HOME)=' |
        tr '\n' '\000' | put "dockerd.environ.$pid"
done
if [ -d /var/snap/docker ] || [ -x /snap/bin/docker ] && ! has dockerd; then say flavour snap
elif has dockerd; then
    if [ "$rootless" ] && ! [ -S /run/docker.sock ]; then say flavour rootless; else say flavour package; fi
elif [ -d /opt/docker-desktop ] || [ -e /run/desktop ]; then say flavour desktop
elif [ "$rootless" ]; then say flavour rootless
fi
if has dockerd; then
    say version "$(dockerd --version 2>/dev/null)"
    if dockerd --help 2>/dev/null | grep -q -- '--validate'; then say validates yes; fi
fi

say daemon-json.path "$daemon_json"
file daemon-json "$daemon_json" contents
if [ "$daemon_json" -nt /var/run/docker.pid ] && [ -e /var/run/docker.pid ]; then say untried yes; fi
file drop-in "$drop_in" contents
file late-drop-in "$late_drop_in" contents
file ca "$tls/ca.pem" contents
file cert "$tls/cert.pem" contents
file key "$tls/key.pem"
# Names end with what none can have in it.
if [ -d "$tls" ]; then
    for entry in "$tls"/* "$tls"/.[!.]* "$tls"/..?*; do
        if [ -e "$entry" ] || [ -L "$entry" ]; then printf '%s/' "${entry##*/}"; fi
    done | put entries
fi
file record "$record" contents
if [ -d "$change" ]; then
    { cat "$change/who" 2>/dev/null || echo somebody; } | put change
    if [ -e "$change/armed" ] || [ -e "$change/restoring" ]; then say change-armed yes; fi
    if [ "$systemd" ] && systemctl is-active --quiet dockseal-restore.timer dockseal-restore.service 2>/dev/null; then
        say change-awaited yes
    elif waits; then say change-awaited yes
    fi
fi

# The listening ones, and whose they are where that can be seen.
for table in tcp tcp6; do
    awk 'NR > 1 && $4 == "0A" { print $2, $10 }' "/proc/net/$table" 2>/dev/null | put "$table"
done
for proc in /proc/[0-9]*; do
    sockets=$(ls -l "$proc/fd" 2>/dev/null | sed -n 's/.*socket:\[\([0-9]*\)\]$/\1/p')
    [ "$sockets" ] || continue
    read -r name <"$proc/comm" 2>/dev/null || continue
    for socket in $sockets; do printf '%s %s\n' "$socket" "$name"; done
done | put sockets

has openssl && say openssl "$(openssl version 2>/dev/null)"
has dockseal && say dockseal "$(dockseal --version 2>/dev/null)"
{
    if has ufw && ufw status 2>/dev/null | grep -q '^Status: active'; then
        ufw status | grep -q '^2376' || echo 'ufw is active and does not let port 2376 in: ufw allow 2376/tcp'
    fi
    if has firewall-cmd && firewall-cmd --state >/dev/null 2>&1; then
        firewall-cmd --query-port=2376/tcp >/dev/null 2>&1 ||
            echo 'firewalld runs and does not let port 2376 in: firewall-cmd --permanent --add-port=2376/tcp && firewall-cmd --reload'
    fi
    if has iptables && iptables -S INPUT 2>/dev/null | grep -q -- '^-P INPUT \(DROP\|REJECT\)'; then
        iptables -S INPUT 2>/dev/null | grep -q -- '--dport 2376' || echo 'iptables drops what it is not told to accept, and nothing names port 2376'
    fi
} | put firewall
if has docker && [ -S /run/docker.sock -o -S /var/run/docker.sock ]; then
    info=$(timeout 10 docker -H unix:///var/run/docker.sock info --format '{{.ContainersRunning}} {{.Swarm.LocalNodeState}}' 2>/dev/null)
    say containers "${info%% *}"
    case $info in *' active'|*' locked') say swarm yes;; esac
fi
writable=yes
for directory in "${daemon_json%/*}" /etc/systemd/system; do
    [ "$directory" = /etc/systemd/system ] && [ -z "$systemd" ] && continue
    # What has no / in it is never cut short.
    case $directory in /*) ;; *) directory=/$directory ;; esac
    while [ ! -e "$directory" ]; do directory=${directory%/*}; directory=${directory:-/}; done
    [ -w "$directory" ] || writable=no
done
say writable $writable
for place in "$daemon_json" "$drop_in" "$late_drop_in" "$tls" "$record"; do
    who=$(changeable "$place")
    if [ "$who" ]; then say changeable "$who"; break; fi
done
say end yes
