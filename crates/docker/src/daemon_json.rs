//! The part of `daemon.json` that turns mutual TLS on (moby daemon/config/config.go, daemon/command/options.go).

use serde_json::json;

use crate::layout;

/// The port of the Docker API over TLS. `tcp://host` without a port means 2375 even with TLS (docker/cli opts/hosts.go).
pub const TLS_PORT: u16 = 2376;

/// Where the daemon's three files are to be on its machine.
pub const INSTALL_DIRECTORY: &str = "/etc/docker/tls";

/// The addresses that the daemon listens on for mutual TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    /// Every IPv4 address: also on kernels without IPv6.
    AllIpv4,
    /// Every IPv4 and IPv6 address (Go listens on both for `[::]`: net ipsock_posix.go favoriteAddrFamily).
    All,
}

/// The keys of a daemon that listens on its usual socket and, for mutual TLS, on every address.
///
/// `fd://` is the socket that systemd hands over; it stands here because `hosts` in this file and `-H` on the command
/// line together stop dockerd (moby daemon/command/daemon.go getConflictFreeConfiguration), see [`crate::unit`]. All three
/// paths are given: without `tlscacert` the daemon accepts client certificates of every public authority
/// (go-connections tlsconfig/config.go Server), and the default locations are not used for this file.
pub fn fragment(directory: &str, listen: Listen) -> String {
    let path = |file: &str| format!("{}/{file}", directory.trim_end_matches('/'));
    let address = match listen {
        Listen::AllIpv4 => "0.0.0.0",
        Listen::All => "[::]",
    };
    let fragment = json!({
        "hosts": ["fd://", format!("tcp://{address}:{TLS_PORT}")],
        "tlsverify": true,
        "tlscacert": path(layout::CA_FILE),
        "tlscert": path(layout::CERT_FILE),
        "tlskey": path(layout::KEY_FILE),
    });
    format!("{fragment:#}\n")
}
