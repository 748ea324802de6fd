//! Who a certificate is for.

use std::fmt;

/// The one role that a certificate has. Never two: a daemon's certificate that is also a client's is root on every
/// daemon that trusts the authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Signs the others.
    Authority,
    /// Is dialled: dockerd.
    Daemon,
    /// Dials: docker.
    Client,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Authority => "authority",
            Self::Daemon => "daemon",
            Self::Client => "client",
        })
    }
}
