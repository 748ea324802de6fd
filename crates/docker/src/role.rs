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

impl Role {
    /// Its name, in lower case.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Authority => "authority",
            Self::Daemon => "daemon",
            Self::Client => "client",
        }
    }

    /// The role of this name.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Authority, Self::Daemon, Self::Client].into_iter().find(|role| role.word() == word)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
