# What `dockseal audit` reads of a host: POSIX sh, for dash, bash and busybox alike. It changes
# nothing, as root or without. Every line of output is a word and fields in hexadecimal, `-` for
# what could not be seen, so that no file name and no content can pass for another line.
# Arguments: f:PATH, a file to read; k:PATH, a key, of which only mode and owner are told;
# d:HOST:PORT, a listener of this host to dial; g:GROUP and u:USER, accounts to look up.
main() {
    PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
    LC_ALL=C
    export PATH LC_ALL
    umask 077
    # The directories that were described already.
    told='|'
    echo 'dockseal-audit 1'
    line uid "$(id -u)"
    if [ "$#" = 0 ]; then
        whole_host
    fi
    for question in "$@"; do
        case $question in
            f:*) file "${question#f:}" content ;;
            k:*) file "${question#k:}" ;;
            g:*) account group "${question#g:}" ;;
            u:*) account passwd "${question#u:}" ;;
            d:*) dial "${question#d:}" ;;
        esac
    done
    echo end
}

have() { command -v "$1" >/dev/null 2>&1; }
hex() { od -An -v -tx1 | tr -d ' \n'; }
field() {
    printf ' '
    printf '%s' "$1" | hex
}
line() {
    printf '%s' "$1"
    shift
    for each in "$@"; do field "$each"; done
    echo
}
# The content of a file as a field.
content() {
    if [ -r "$1" ] && bytes=$(head -c 4194304 "$1" 2>/dev/null | hex); then printf ' %s' "${bytes:-""}"; else printf ' -'; fi
}
limited() {
    if have timeout; then timeout 10 "$@"; else "$@"; fi
}

# Mode, owner and group in octal and decimal, and what it is; through symbolic links.
described() { stat -L -c '%a %u %g %F' "$1" 2>/dev/null; }

# file PATH [content]: its directories, then what it is. Never the content of a key, whoever asks.
file() {
    path=$1 wanted=${2:-}
    case $path in
        /*) ;;
        *)
            # From where it counts is not known here.
            line hidden "$path"
            return
            ;;
    esac
    above=${path%/*}
    while [ -n "$above" ]; do
        case "$told" in
            *"|$above|"*) ;;
            *)
                line dir "$above" "$(described "$above")"
                told="$told$above|"
                ;;
        esac
        above=${above%/*}
    done
    if [ ! -e "$path" ]; then
        # In a directory that is closed to us it may still be there.
        above=${path%/*}
        until [ -e "$above/" ]; do above=${above%/*}; done
        if [ -x "$above/" ]; then line absent "$path"; else line hidden "$path"; fi
        return
    fi
    printf 'file'
    field "$path"
    field "$(described "$path")"
    if [ "$wanted" = content ] && [ -f "$path" ] && ! grep -q -e 'PRIVATE KEY' "$path"; then
        content "$path"
    else
        printf ' -'
    fi
    echo
}

daemon() {
    pid=$1
    mine=$(readlink /proc/self/ns/pid 2>/dev/null) || mine=
    its=$(readlink "/proc/$pid/ns/pid" 2>/dev/null) || its=
    if [ -n "$its" ] && [ "$its" != "$mine" ]; then
        line elsewhere "$pid"
        return
    fi
    printf 'daemon'
    field "$pid"
    field "$(stat -c %u "/proc/$pid" 2>/dev/null)"
    content "/proc/$pid/cmdline"
    if [ -r "/proc/$pid/environ" ]; then
        field "$(tr '\0' '\n' <"/proc/$pid/environ" 2>/dev/null | grep -E '^(HOME|XDG_CONFIG_HOME|DOCKER_[A-Z_]*)=')"
    else
        printf ' -'
    fi
    if cwd=$(readlink "/proc/$pid/cwd" 2>/dev/null); then field "$cwd"; else printf ' -'; fi
    if ls "/proc/$pid/fd" >/dev/null 2>&1; then
        # `ls -l` of what /proc makes: no name there is anybody's choice but a file's, which is no socket.
        field "$(ls -l "/proc/$pid/fd" 2>/dev/null | sed -n 's/^.* -> socket:\[\([0-9]*\)\]$/\1/p')"
    else
        printf ' -'
    fi
    for table in tcp tcp6 unix; do content "/proc/$pid/net/$table"; done
    echo
}

# account DATABASE KEY: getent's line, which is empty where nobody knows of it.
account() {
    if have getent; then line "$1" "$2" "$(limited getent "$1" "$2" </dev/null)"; fi
}

# What may be bound to: the routes that are local, the addresses of IPv6, and whether others may be as well.
local_addresses() {
    printf 'local'
    field "$(sed -n -e '/|--/h' -e '/ LOCAL/{H;g;p;}' /proc/net/fib_trie)"
    content /proc/net/if_inet6
    field "$(cat /proc/sys/net/ipv4/ip_nonlocal_bind /proc/sys/net/ipv6/ip_nonlocal_bind)"
    echo
}

whole_host() {
    local_addresses
    line release "$(limited dockerd --version </dev/null)"
    # Where /proc shows nobody's processes but one's own (proc(5), hidepid), dockerd may run unseen.
    if ! cat /proc/1/comm >/dev/null; then line processes hidden; fi
    for process in /proc/[0-9]*; do
        if [ "$(cat "$process/comm" 2>/dev/null)" = dockerd ]; then daemon "${process#/proc/}"; fi
    done
    for path in /etc/passwd /etc/group /etc/subuid /etc/subgid /etc/docker/daemon.json; do
        file "$path" content
    done
    for path in /etc/default/docker /etc/sysconfig/docker /run/docker.sock /var/run/docker.sock \
        /run/containerd/containerd.sock; do
        file "$path"
    done
    for path in /etc/docker/certs.d/*/*; do
        if [ -e "$path" ]; then file "$path"; fi
    done
    account group docker
    if have systemctl; then
        for unit in docker.service docker.socket; do
            limited systemctl show -p FragmentPath -p DropInPaths "$unit" </dev/null |
                sed -n -e 's/^FragmentPath=//p' -e 's/^DropInPaths=//p' | tr ' ' '\n' |
                while IFS= read -r path; do
                    if [ -n "$path" ]; then
                        line unit "$unit" "$path"
                        file "$path" content
                    fi
                done
        done
    fi
}

# What a listener answers to whoever comes, in plain HTTP and in TLS without a certificate.
dial() {
    request='GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n'
    host=${1%:*} port=${1##*:}
    bare=${host#\[} bare=${bare%\]}
    printf 'plain'
    field "$1"
    if have curl; then
        field "$(limited curl -s -i -m 8 --noproxy '*' "http://$1/_ping" </dev/null)"
    elif have bash; then
        # shellcheck disable=SC2016 # bash expands it
        field "$(limited bash -c 'exec 3<>"/dev/tcp/$1/$2" && printf "$3" >&3 && cat <&3' dial "$bare" "$port" "$request" </dev/null)"
    elif have nc; then
        # shellcheck disable=SC2059 # the request is a format
        field "$(printf "$request" | limited nc "$bare" "$port" 2>/dev/null)"
    else
        printf ' -'
    fi
    echo
    printf 'tls'
    field "$1"
    if have openssl; then
        # shellcheck disable=SC2059
        field "$(printf "$request" | limited openssl s_client -ign_eof -showcerts -connect "$1" 2>&1)"
    else
        printf ' -'
    fi
    echo
}

main "$@" 2>/dev/null
