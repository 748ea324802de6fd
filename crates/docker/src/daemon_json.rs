//! The part of `daemon.json` that turns mutual TLS on (moby daemon/config/config.go, daemon/command/options.go).

use serde_json::json;

use crate::layout;

/// The port of the Docker API over TLS. `tcp://host` without a port means 2375 even with TLS (docker/cli opts/hosts.go).
pub const TLS_PORT: u16 = 2376;

/// Where the daemon's three files are to be on its machine.
pub const INSTALL_DIRECTORY: &str = "/etc/docker/tls";

/// The keys of a daemon that listens on its usual socket and, for mutual TLS, on every address: Go listens on IPv6 as well
/// for `0.0.0.0`, where the kernel has it (net ipsock_posix.go favoriteAddrFamily).
///
/// `fd://` is the socket that systemd hands over; it stands here because `hosts` in this file and `-H` on the command
/// line together stop dockerd (moby daemon/command/daemon.go getConflictFreeConfiguration), see [`crate::unit`]. All three
/// paths are given: without `tlscacert` the daemon accepts client certificates of every public authority
/// (go-connections tlsconfig/config.go Server), and the default locations are not used for this file.
pub fn fragment(directory: &str) -> String {
    let path = |file: &str| format!("{}/{file}", directory.trim_end_matches('/'));
    let fragment = json!({
        "hosts": ["fd://", format!("tcp://0.0.0.0:{TLS_PORT}")],
        "tlsverify": true,
        "tlscacert": path(layout::CA_FILE),
        "tlscert": path(layout::CERT_FILE),
        "tlskey": path(layout::KEY_FILE),
    });
    format!("{fragment:#}\n")
}
