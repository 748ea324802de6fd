//! The names and modes of the files that Docker reads.
//!
//! Names: docker/cli cli/flags/options.go (DefaultCaFile, DefaultCertFile, DefaultKeyFile), the same for dockerd
//! (moby daemon/command/options.go). Docker checks no modes at all; these are docker-bench-security's items 3.9 to 3.14,
//! whose script compares the octal digits as decimals, so that 0600 on a certificate fails and 0444 passes.

use crate::Role;

/// The trust anchors.
pub const CA_FILE: &str = "ca.pem";
/// The endpoint's certificate, then its intermediates.
pub const CERT_FILE: &str = "cert.pem";
/// The endpoint's private key.
pub const KEY_FILE: &str = "key.pem";
/// A request that waits for its certificate. A name of our own; Docker does not look at it.
pub const REQUEST_FILE: &str = "request.csr";
/// The key of that request, until its certificate is installed and it becomes `key.pem`. A name of our own as well.
pub const RENEWAL_KEY_FILE: &str = "renewal-key.pem";
/// The daemon's configuration (moby daemon/config).
pub const DAEMON_JSON_FILE: &str = "daemon.json";
/// The drop-in for docker.service, as a path inside a daemon's directory.
pub const DROP_IN_FILE: &str = "docker.service.d/dockseal.conf";

/// The mode of what everybody may read: certificates.
pub const PUBLIC_MODE: u32 = 0o444;
/// The mode of configuration.
pub const CONFIGURATION_MODE: u32 = 0o644;
/// The mode of a directory that holds a key.
pub const DIRECTORY_MODE: u32 = 0o700;

/// The mode of the private key. A daemon's is 0400 (docker-bench-security 3.14); a person may replace their own.
pub fn key_mode(role: Role) -> u32 {
    match role {
        Role::Authority | Role::Daemon => 0o400,
        Role::Client => 0o600,
    }
}

/// The mode of the directory around a key: whoever may read the key may enter, nobody else.
pub fn directory_mode(key_mode: u32) -> u32 {
    let readers = key_mode & 0o444;
    DIRECTORY_MODE | readers | readers >> 2
}
