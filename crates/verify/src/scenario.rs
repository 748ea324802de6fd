//! What is to be judged beside the files: modes, versions, the host dialled.

use dockseal_docker::mode::{ClientMode, DaemonMode};
use dockseal_docker::version::Version;

use crate::material::Bytes;

/// What Go finds where no CA file is given at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SystemRoots {
    /// Nobody looked: what depends on them cannot be told.
    #[default]
    Unknown,
    /// The PEM text of the system's trusted certificates.
    Pem(Bytes),
}

/// Both sides' modes and versions, and what the client dials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// What the client was told.
    pub client_mode: ClientMode,
    /// What the daemon was told.
    pub daemon_mode: DaemonMode,
    /// The host part of what the client dials: a name, an IPv4 address, or an IPv6 address with brackets or without.
    /// The empty text is held against no name.
    pub host: String,
    /// The client's generation.
    pub docker: Version,
    /// The daemon's generation.
    pub dockerd: Version,
    /// The roots that count for the client where its CA's path is empty.
    pub docker_roots: SystemRoots,
    /// The same for the daemon, which has its own environment and often its own machine.
    pub dockerd_roots: SystemRoots,
}

impl Scenario {
    /// Mutual TLS between the newest versions: what Docker's own documentation recommends.
    #[must_use]
    pub fn mutual(host: impl Into<String>) -> Self {
        Self {
            client_mode: ClientMode::TlsVerifyCert,
            daemon_mode: DaemonMode::TlsVerify,
            host: host.into(),
            docker: Version::V29,
            dockerd: Version::V29,
            docker_roots: SystemRoots::Unknown,
            dockerd_roots: SystemRoots::Unknown,
        }
    }

    /// The same in other modes.
    #[must_use]
    pub fn in_modes(mut self, client: ClientMode, daemon: DaemonMode) -> Self {
        (self.client_mode, self.daemon_mode) = (client, daemon);
        self
    }

    /// The same with other versions.
    #[must_use]
    pub fn between(mut self, docker: Version, dockerd: Version) -> Self {
        (self.docker, self.dockerd) = (docker, dockerd);
        self
    }
}
