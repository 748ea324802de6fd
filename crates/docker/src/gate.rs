//! The moments at which Docker can refuse, in the order they come, and which of them stand in which mode.
//!
//! Sources: moby v29.7.2 daemon/command/daemon.go (`newAPIServerTLSConfig`), docker/cli v29.7.2
//! cli/context/docker/load.go (`tlsConfig`), Go crypto/tls handshake_client_tls13.go and handshake_server_tls13.go.

use std::fmt;

use crate::mode::{ClientMode, DaemonMode};

/// A moment at which Docker can refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Gate {
    /// dockerd reads its files and starts.
    DaemonStarts,
    /// docker reads its files.
    ClientLoads,
    /// Both sides speak TLS, or both speak plain HTTP.
    SameProtocol,
    /// The daemon can take part in a TLS handshake with its key, and its messages fit.
    Handshake,
    /// docker can read every certificate that the daemon sends.
    ClientReadsDaemon,
    /// docker verifies the daemon's chain and name.
    ClientAcceptsDaemon,
    /// docker has a certificate and sends it.
    ClientOffersCertificate,
    /// dockerd verifies the client's chain and the proof of its key.
    DaemonAcceptsClient,
}

impl Gate {
    /// Every gate, in the order in which Docker passes them.
    pub const ALL: [Self; 8] = [
        Self::DaemonStarts,
        Self::ClientLoads,
        Self::SameProtocol,
        Self::Handshake,
        Self::ClientReadsDaemon,
        Self::ClientAcceptsDaemon,
        Self::ClientOffersCertificate,
        Self::DaemonAcceptsClient,
    ];

    /// Whether the gate stands, or why it does not: the whole policy of modes.
    ///
    /// # Errors
    /// The reason why the gate does not stand in these modes.
    pub const fn stands(self, client: ClientMode, daemon: DaemonMode) -> Result<(), &'static str> {
        match self {
            Self::SameProtocol => Ok(()),
            Self::DaemonStarts if !daemon.uses_tls() => {
                Err("the daemon reads no certificates without TLS")
            }
            Self::ClientLoads if !client.uses_tls() => {
                Err("the client reads no certificates without TLS")
            }
            Self::DaemonStarts | Self::ClientLoads => Ok(()),
            _ if !client.uses_tls() || !daemon.uses_tls() => Err("there is no TLS handshake"),
            Self::Handshake | Self::ClientReadsDaemon => Ok(()),
            Self::ClientAcceptsDaemon if !client.verifies_daemon() => {
                Err("the client does not verify the daemon")
            }
            Self::ClientAcceptsDaemon => Ok(()),
            Self::ClientOffersCertificate | Self::DaemonAcceptsClient
                if !daemon.verifies_client() =>
            {
                Err("the daemon asks for no client certificate")
            }
            Self::ClientOffersCertificate | Self::DaemonAcceptsClient => Ok(()),
        }
    }

    /// The gate's stable name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DaemonStarts => "daemon-starts",
            Self::ClientLoads => "client-loads",
            Self::SameProtocol => "same-protocol",
            Self::Handshake => "handshake",
            Self::ClientReadsDaemon => "client-reads-daemon",
            Self::ClientAcceptsDaemon => "client-accepts-daemon",
            Self::ClientOffersCertificate => "client-offers-certificate",
            Self::DaemonAcceptsClient => "daemon-accepts-client",
        }
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(client: ClientMode, daemon: DaemonMode) -> Vec<Gate> {
        Gate::ALL
            .into_iter()
            .filter(|gate| gate.stands(client, daemon).is_ok())
            .collect()
    }

    #[test]
    fn mutual_tls_passes_every_gate() {
        assert_eq!(
            standing(ClientMode::TlsVerifyCert, DaemonMode::TlsVerify),
            Gate::ALL
        );
        assert_eq!(
            standing(ClientMode::TlsVerifyCert, DaemonMode::Tls),
            Gate::ALL
        );
    }

    #[test]
    fn client_tls_skips_only_the_verification_of_the_daemon() {
        let mut gates = Gate::ALL.to_vec();
        gates.retain(|gate| *gate != Gate::ClientAcceptsDaemon);
        assert_eq!(standing(ClientMode::TlsCert, DaemonMode::TlsVerify), gates);
        assert_eq!(standing(ClientMode::Tls, DaemonMode::Tls), gates);
    }

    #[test]
    fn plain_http_has_only_the_protocol_in_common() {
        assert_eq!(
            standing(ClientMode::None, DaemonMode::None),
            [Gate::SameProtocol]
        );
        assert_eq!(
            standing(ClientMode::None, DaemonMode::Tls),
            [Gate::DaemonStarts, Gate::SameProtocol]
        );
        assert_eq!(
            standing(ClientMode::Tls, DaemonMode::None),
            [Gate::ClientLoads, Gate::SameProtocol]
        );
    }

    #[test]
    fn a_daemon_that_does_not_verify_asks_nothing_of_the_client() {
        let gates = standing(ClientMode::TlsVerifyCert, DaemonMode::TlsVerifyFalse);
        assert!(!gates.contains(&Gate::ClientOffersCertificate));
        assert!(!gates.contains(&Gate::DaemonAcceptsClient));
        assert!(gates.contains(&Gate::ClientAcceptsDaemon));
    }
}
