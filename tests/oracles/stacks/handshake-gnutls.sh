#!/bin/sh
# Mutual handshakes between gnutls-serv and gnutls-cli.
#
# Runs in a network namespace of its own: gnutls-serv listens on every address there
# is, and here there is only loopback. Whatever it starts ends with it.
# Usage: unshare --net handshake-gnutls.sh BUSYBOX LABEL DAEMON_DIR CLIENT_DIR STRANGER_DIR TMP NAME...
set -u
busybox=$1 label=$2 daemon=$3 alice=$4 stranger=$5 tmp=$6
shift 6
rm -f "$tmp/keys"
"$busybox" ip link set lo up || exit 1

serve() {
    rm -f "$tmp/serv.log"
    gnutls-serv --port 4433 --echo --x509cafile "$1/ca.pem" \
        --x509certfile "$1/cert.pem" --x509keyfile "$1/key.pem" \
        --require-client-cert --verify-client-cert >"$tmp/serv.log" 2>&1 &
    server=$!
    for _ in $("$busybox" seq 100); do
        "$busybox" grep -q 'IPv6 .*done' "$tmp/serv.log" 2>/dev/null && return
        "$busybox" sleep 0.05
    done
    cat "$tmp/serv.log"
    exit 1
}
stop() { kill "$server"; wait "$server" 2>/dev/null; }
trap stop EXIT

mkfifo "$tmp/keys"

# call NAME VERSION ANCHORS [PAIR]: one line through the echo server.
call() {
    name=$1 version=$2 anchors=$3 pair=${4:-}
    set -- --x509cafile "$anchors/ca.pem" --priority "NORMAL:-VERS-ALL:+$version"
    [ -z "$pair" ] || set -- "$@" --x509certfile "$pair/cert.pem" --x509keyfile "$pair/key.pem"
    seen=$(($("$busybox" wc -l <"$tmp/serv.log") + 1))
    rm -f "$tmp/status" "$tmp/cli.log"
    : >"$tmp/cli.log"
    # Held open for writing until the echo is back or the client has given up.
    exec 7<>"$tmp/keys"
    (
        exec 7>&-
        timeout 20 gnutls-cli --port 4433 "$@" "$name" <"$tmp/keys" >"$tmp/cli.log" 2>&1
        echo $? >"$tmp/status"
    ) &
    talking=$!
    echo "to and fro" >&7
    until [ -e "$tmp/status" ] || "$busybox" grep -qx 'to and fro' "$tmp/cli.log"; do "$busybox" sleep 0.01; done
    exec 7>&-
    wait $talking
    # A refused client may still end with 0 under TLS 1.3: only the echo proves it.
    "$busybox" grep -qx 'to and fro' "$tmp/cli.log" && [ "$(cat "$tmp/status")" = 0 ]
}
refused() {
    why=$1
    shift
    if call "$@"; then echo "$label: accepted, but should be refused: $why"; cat "$tmp/cli.log" "$tmp/serv.log"; exit 1; fi
    # The server may write its reason down a moment later.
    for _ in $("$busybox" seq 100); do
        { cat "$tmp/cli.log"; "$busybox" tail -n "+$seen" "$tmp/serv.log"; } | "$busybox" grep -qiE "$why" && return
        "$busybox" sleep 0.02
    done
    echo "$label: refused, but not for: $why"
    cat "$tmp/cli.log" "$tmp/serv.log"
    exit 1
}

serve "$daemon"
for version in VERS-TLS1.2 VERS-TLS1.3; do
    for name in "$@"; do
        call "$name" $version "$alice" "$alice" || { echo "$label: $version $name refused"; cat "$tmp/cli.log" "$tmp/serv.log"; exit 1; }
        echo "$label: $version $name: mutual handshake"
    done
    refused 'certificate is required|no certificate|error in handshake' localhost $version "$alice"
    refused 'certificate is not trusted|unknown CA|verification error|error in the certificate' localhost $version "$alice" "$stranger"
    # gnutls-serv does not look at the purpose of a client's certificate, so there is
    # no counter-proof with the daemon's; gnutls-cli does look at the server's (below).
    refused 'does not match' 127.0.0.2 $version "$alice" "$alice"
    refused 'issuer is unknown|not trusted' localhost $version "$stranger" "$alice"
done
stop
serve "$alice"
refused 'purpose|key usage|not trusted' localhost VERS-TLS1.3 "$alice" "$alice"
echo done
