//! The TLS modes of the docker client and of dockerd.
//!
//! The same flag means different things on the two sides: `docker --tls` never verifies the daemon, `dockerd --tls`
//! always verifies clients. Sources: docker/cli v29.7.2 cli/flags/options.go (`SetDefaultOptions`), moby v29.7.2
//! daemon/command/options.go (`setDefaultOptions`) and daemon/command/daemon.go (`newAPIServerTLSConfig`).

mod client;
mod daemon;
mod settings;

use std::fmt;

pub use client::ClientSettings;
pub use daemon::DaemonSettings;
pub use settings::{Environment, FilePath, FilePaths, SettingsError};

/// What the docker client was told about TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClientMode {
    /// No TLS: plain HTTP.
    None,
    /// `--tls` (or DOCKER_TLS, or `--tlsverify=false`) without certificate and key: encrypted, nobody is verified.
    Tls,
    /// `--tls` with certificate and key: encrypted, the client offers its certificate and verifies nobody.
    TlsCert,
    /// `--tlsverify` (or DOCKER_TLS_VERIFY) with the CA only: the daemon is verified.
    TlsVerify,
    /// `--tlsverify` with CA, certificate and key: the daemon is verified and the client offers its certificate.
    TlsVerifyCert,
}

impl ClientMode {
    /// Every mode, in the order of the table that users read.
    pub const ALL: [Self; 5] = [
        Self::None,
        Self::Tls,
        Self::TlsCert,
        Self::TlsVerify,
        Self::TlsVerifyCert,
    ];

    /// Whether the client speaks TLS.
    #[must_use]
    pub const fn uses_tls(self) -> bool {
        !matches!(self, Self::None)
    }

    /// Whether the client verifies the daemon's chain and name (`InsecureSkipVerify` is off).
    #[must_use]
    pub const fn verifies_daemon(self) -> bool {
        matches!(self, Self::TlsVerify | Self::TlsVerifyCert)
    }

    /// Whether the client was given a certificate and key to load.
    #[must_use]
    pub const fn has_certificate(self) -> bool {
        matches!(self, Self::TlsCert | Self::TlsVerifyCert)
    }
}

impl fmt::Display for ClientMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Tls => "tls",
            Self::TlsCert => "tls+cert",
            Self::TlsVerify => "tlsverify",
            Self::TlsVerifyCert => "tlsverify+cert",
        })
    }
}

/// What dockerd was told about TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DaemonMode {
    /// No TLS: plain HTTP.
    None,
    /// `--tls`: since 20.10 client certificates are required and verified, exactly as with `--tlsverify`.
    Tls,
    /// `--tlsverify`: client certificates are required and verified.
    TlsVerify,
    /// `--tlsverify=false`: TLS, and no client certificate is asked for.
    TlsVerifyFalse,
}

impl DaemonMode {
    /// Every mode.
    pub const ALL: [Self; 4] = [Self::None, Self::Tls, Self::TlsVerify, Self::TlsVerifyFalse];

    /// Whether the daemon speaks TLS.
    #[must_use]
    pub const fn uses_tls(self) -> bool {
        !matches!(self, Self::None)
    }

    /// Whether the daemon requires and verifies a client certificate.
    #[must_use]
    pub const fn verifies_client(self) -> bool {
        matches!(self, Self::Tls | Self::TlsVerify)
    }
}

impl fmt::Display for DaemonMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Tls => "tls",
            Self::TlsVerify => "tlsverify",
            Self::TlsVerifyFalse => "tlsverify=false",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_alone_verifies_on_one_side_only() {
        assert!(!ClientMode::Tls.verifies_daemon());
        assert!(!ClientMode::TlsCert.verifies_daemon());
        assert!(DaemonMode::Tls.verifies_client());
        assert!(!DaemonMode::TlsVerifyFalse.verifies_client());
        assert!(DaemonMode::TlsVerifyFalse.uses_tls());
    }
}
