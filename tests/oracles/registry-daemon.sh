#!/bin/bash
# A registry that lets in none but clients with a certificate, and a dockerd that finds its
# certificate in certs.d: issued, used, renewed, used again, the daemon never restarted.
#
# Runs in mount, network and process namespaces of its own, as installed-daemon.sh does: /etc is
# an overlay, and the registry has an address that dockerd does not take for a loopback one, for
# which it would verify nothing and read no certs.d (moby registry/config.go, isSecureIndex).
#
# Usage: unshare --mount --net --pid --fork --kill-child --mount-proc registry-daemon.sh \
#            BUSYBOX TMP DOCKSEAL
set -euo pipefail
busybox=$1 tmp=$2 dockseal=$3
host=10.99.0.1 registry=10.99.0.1:5443
"$busybox" ip link set lo up
"$busybox" ip addr add $host/32 dev lo
mount --make-rprivate /
mkdir "$tmp/overlay"
mount -t tmpfs tmpfs "$tmp/overlay"
mkdir "$tmp/overlay/upper" "$tmp/overlay/work"
mount -t overlay overlay -o "lowerdir=/etc,upperdir=$tmp/overlay/upper,workdir=$tmp/overlay/work" /etc
mount -t tmpfs tmpfs /run
if [ -d /var/lib/docker ]; then mount -t tmpfs tmpfs /var/lib/docker; fi
mkdir -p /run/containerd /run/d
rm -rf /etc/docker

# ---- the material, where each side reads it
"$dockseal" init --no-passphrase
"$dockseal" issue daemon $host --layout registry --out "$tmp/registry host"
"$dockseal" issue client ci --layout registry --registry $registry --out /etc/docker
certs=/etc/docker/certs.d/$registry
[ "$(ls -A $certs | tr '\n' ' ')" = 'ca.crt client.cert client.key ' ] || { ls -A $certs; exit 1; }

cat >"$tmp/registry.yml" <<EOF
version: 0.1
storage: { filesystem: { rootdirectory: $tmp/storage } }
http:
  addr: $registry
  secret: not one
  tls:
    certificate: "$tmp/registry host/registry/domain.crt"
    key: "$tmp/registry host/registry/domain.key"
    clientcas: ["$tmp/registry host/registry/ca.crt"]
EOF
# shellcheck disable=SC2034
start_registry() {
    docker-registry serve "$tmp/registry.yml" >>"$tmp/registry.log" 2>&1 &
    registry_pid=$!
    for _ in $(seq 200); do
        if "$busybox" nc -z $host 5443 2>/dev/null; then return; fi
        if (exec 3<>/dev/tcp/$host/5443) 2>/dev/null; then return; fi
        sleep 0.05
    done
    cat "$tmp/registry.log"
    exit 1
}
start_registry

echo "{\"deprecated-key-path\": \"$tmp/trust.json\"}" >"$tmp/daemon.json"
dockerd --config-file "$tmp/daemon.json" -H unix:///run/docker.sock --iptables=false --bridge=none \
    --storage-driver=vfs --data-root /run/d --exec-root "$tmp/e" --pidfile "$tmp/pid" >"$tmp/dockerd.log" 2>&1 &
dockerd_pid=$!
export DOCKER_HOST=unix:///run/docker.sock
for _ in $(seq 600); do
    if grep -q 'API listen on' "$tmp/dockerd.log"; then break; fi
    kill -0 $dockerd_pid || { cat "$tmp/dockerd.log"; exit 1; }
    sleep 0.05
done
mkdir "$tmp/image"
echo content >"$tmp/image/file"
tar -C "$tmp/image" -cf "$tmp/image.tar" .
docker import "$tmp/image.tar" "$registry/box:1" >/dev/null

push() { docker push "$registry/box:1" >"$tmp/push.log" 2>&1; }
push || { cat "$tmp/push.log" "$tmp/registry.log"; exit 1; }
echo 'pushed with the certificate'

# Without it, and with one of somebody else's, the registry lets nobody in.
mv $certs "$tmp/aside"
if push; then echo 'pushed without anything in certs.d'; exit 1; fi
grep -q 'x509\|certificate' "$tmp/push.log" || { cat "$tmp/push.log"; exit 1; }
mkdir $certs
cp "$tmp/aside/ca.crt" $certs/
if push; then echo 'pushed without a client certificate'; exit 1; fi
grep -q 'certificate' "$tmp/push.log" || { cat "$tmp/push.log"; exit 1; }
# What dockerd says when a key is missing (ReadCertsDirectory): the layout always brings both.
cp "$tmp/aside/client.cert" $certs/
if push; then echo 'pushed without a key'; exit 1; fi
grep -q 'missing key client.key for client certificate client.cert' "$tmp/push.log" || { cat "$tmp/push.log"; exit 1; }
rm -r $certs
mv "$tmp/aside" $certs
echo 'refused without'

# ---- renewed where it is, the daemon not restarted
before="$(openssl x509 -noout -serial -in $certs/client.cert) $(openssl x509 -noout -serial -in "$tmp/registry host/registry/domain.crt")"
"$dockseal" renew --all
after="$(openssl x509 -noout -serial -in $certs/client.cert) $(openssl x509 -noout -serial -in "$tmp/registry host/registry/domain.crt")"
[ "$before" != "$after" ] || { echo "not renewed: $after"; exit 1; }
[ "$(ls -A $certs | tr '\n' ' ')" = 'ca.crt client.cert client.key ' ] || { ls -A $certs; exit 1; }
kill $registry_pid
wait $registry_pid || true
start_registry
docker rmi "$registry/box:1" >/dev/null
docker pull "$registry/box:1" >"$tmp/pull.log" 2>&1 || { cat "$tmp/pull.log" "$tmp/registry.log"; exit 1; }
served="$(openssl s_client -connect $registry -CAfile $certs/ca.crt -cert $certs/client.cert -key $certs/client.key </dev/null 2>/dev/null | openssl x509 -noout -serial)"
[ "$served" = "$(openssl x509 -noout -serial -in "$tmp/registry host/registry/domain.crt")" ] || { echo "served: $served"; exit 1; }
echo 'pulled with the renewed certificate'

# ---- a roll-over reaches both
"$dockseal" rollover begin
[ "$(grep -c BEGIN $certs/ca.crt) $(grep -c BEGIN "$tmp/registry host/registry/ca.crt")" = '2 2' ] || exit 1
kill $registry_pid
wait $registry_pid || true
start_registry
"$dockseal" rollover advance
kill $registry_pid
wait $registry_pid || true
start_registry
docker rmi "$registry/box:1" >/dev/null
docker pull "$registry/box:1" >"$tmp/pull.log" 2>&1 || { cat "$tmp/pull.log" "$tmp/registry.log"; exit 1; }
"$dockseal" rollover finish
[ "$(grep -c BEGIN $certs/ca.crt) $(grep -c BEGIN "$tmp/registry host/registry/ca.crt")" = '1 1' ] || exit 1
echo 'pulled with the certificate of the new authority'

# ---- which directories dockerd reads at all: of a certificate without its key it complains where it does (isSecureIndex)
for at in 10.99.0.1:5444 127.0.0.1:5444 127.9.9.9:5444 localhost:5444; do
    "$dockseal" issue client "user${at%%:*}" --layout registry --registry "$at" --out /etc/docker >"$tmp/issued.log"
    rm "/etc/docker/certs.d/$at/client.key"
    docker pull "$at/box:1" >"$tmp/pull.log" 2>&1 || true
    if grep -q 'missing key client.key' "$tmp/pull.log"; then said='reads it at the next pull'; else said='never reads it'; fi
    grep -q "$said" "$tmp/issued.log" || { echo "$at: $said"; cat "$tmp/issued.log" "$tmp/pull.log"; exit 1; }
    echo "$at: $said"
done
kill $registry_pid $dockerd_pid
wait || true
