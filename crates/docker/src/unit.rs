//! The systemd drop-in that goes with `hosts` in `daemon.json`.

/// The text of `docker.service.d/dockseal.conf`.
///
/// docker.service (docker-ce and Debian's docker.io alike) starts `dockerd -H fd://`, and `hosts` in both places is fatal.
/// The empty `ExecStart=` drops the packaged line, as systemd.service(5) asks for. dockerd is found through env(1) because
/// it lives in /usr/bin or /usr/sbin depending on the package; `$DOCKER_OPTS` is Debian's and empty elsewhere.
pub fn drop_in() -> &'static str {
    "# The sockets stand in /etc/docker/daemon.json; with -H fd:// here as well dockerd would not start.\n\
     [Service]\n\
     ExecStart=\n\
     ExecStart=/usr/bin/env dockerd --containerd=/run/containerd/containerd.sock $DOCKER_OPTS\n"
}
