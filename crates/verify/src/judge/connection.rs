//! The gates at which the two sides meet.
//!
//! Source: Go src/crypto/tls handshake_client_tls13.go, handshake_client.go (`verifyServerCertificate`,
//! `getClientCertificate`), handshake_server_tls13.go and handshake_server.go (`processCertsFromClient`).

use std::borrow::Cow;

use dockseal_docker::gate::Gate;
use dockseal_docker::mode::ClientMode;
use dockseal_docker::version::Go;

use super::{Hearing, place};
use crate::advice;
use crate::check::Check;
use crate::handshake;
use crate::load::{self, Chain, Unusable};
use crate::material::{FileKind, Side};
use crate::path::{self, Options, PathError, Purpose};
use crate::pool::{Anchors, Intermediates};
use crate::verdict::Status;
use crate::x509::{Certificate, PublicKey};

impl Hearing<'_> {
    pub(super) fn same_protocol(&mut self, client: ClientMode) -> Status {
        match (client.uses_tls(), self.scenario.daemon_mode.uses_tls()) {
            (true, false) => self.report.refuse(
                Gate::SameProtocol,
                Check::ProtocolsDiffer,
                None,
                "the client speaks TLS and the daemon plain HTTP",
            ),
            (false, true) => self.report.refuse(
                Gate::SameProtocol,
                Check::ProtocolsDiffer,
                None,
                "the client speaks plain HTTP and the daemon TLS",
            ),
            _ => Status::Passed,
        }
    }

    pub(super) fn handshake(&mut self, chain: Option<&Chain>, lists_names: Option<&Anchors>, docker_go: Go) -> Status {
        const GATE: Gate = Gate::Handshake;
        let Some(chain) = chain else {
            return Status::Skipped("the daemon has no certificate and key");
        };
        let daemon = self.daemon;
        let dockerd_go = self.scenario.dockerd.dockerd_go();
        let unusable = chain.leaf.as_ref().and_then(|leaf| {
            if !leaf.key_can_sign {
                Some(format!("dockerd cannot prove a key of {} in TLS 1.3", leaf.key))
            } else if leaf.key_is_ml_dsa && !handshake::knows_ml_dsa(docker_go) {
                Some(format!("dockerd proves a key of {}, which {docker_go} of docker does not know", leaf.key))
            } else {
                None
            }
        });
        if let Some(text) = unusable {
            return self.report.refuse(
                GATE,
                Check::DaemonKeyUnusable,
                place(Side::Daemon, &daemon.key, FileKind::Key, None),
                text,
            );
        }
        if lists_names.is_some_and(|anchors| !handshake::certificate_request_fits(anchors, dockerd_go)) {
            return self.report.refuse(
                GATE,
                Check::MessageTooLarge,
                place(Side::Daemon, &daemon.ca, FileKind::Ca, None),
                "the names of the CAs do not fit into one handshake message",
            );
        }
        if !handshake::certificate_message_fits(chain.sent(), docker_go) {
            return self.report.refuse(
                GATE,
                Check::MessageTooLarge,
                place(Side::Daemon, &daemon.cert, FileKind::Cert, None),
                "the certificates are more than the client reads",
            );
        }
        Status::Passed
    }

    /// Parses every certificate that a side sends, as the other side does.
    pub(super) fn read_chain<'c>(
        &mut self,
        gate: Gate,
        side: Side,
        chain: &'c Chain,
        go: Go,
    ) -> (Status, Option<Vec<Certificate<'c>>>) {
        let file = match side {
            Side::Daemon => &self.daemon.cert,
            Side::Client => &self.client.cert,
        };
        match read_certificates(chain, go) {
            Ok(certificates) => (Status::Passed, Some(certificates)),
            Err(unusable) => (
                self.report.refuse(
                    gate,
                    unusable.check,
                    place(side, file, FileKind::Cert, unusable.offset),
                    unusable.text,
                ),
                None,
            ),
        }
    }

    /// Builds the path for a side's chain to what the other side trusts.
    pub(super) fn accept_chain(
        &mut self,
        gate: Gate,
        side: Side,
        certificates: &[Certificate<'_>],
        anchors: Option<&Anchors>,
        options: Options<'_>,
    ) -> Status {
        let file = match side {
            Side::Daemon => &self.daemon.cert,
            Side::Client => &self.client.cert,
        };
        let Some(anchors) = anchors else {
            return self.report.refuse(
                gate,
                Check::SystemRootsUnknown,
                place(side, file, FileKind::Cert, None),
                "it depends on the system's roots, which are not known",
            );
        };
        match verify_path(certificates, anchors, options) {
            Ok(()) => Status::Passed,
            Err(error) => self.report.refuse_path(gate, &error, place(side, file, FileKind::Cert, None)),
        }
    }

    pub(super) fn client_offers(&mut self, chain: Option<&Chain>, lists_names: Option<&Anchors>, go: Go) -> Status {
        const GATE: Gate = Gate::ClientOffersCertificate;
        let client = self.client;
        let Some(chain) = chain else {
            return self.report.refuse(
                GATE,
                Check::ClientCertificateMissing,
                place(Side::Client, &client.cert, FileKind::Cert, None),
                "the client has no certificate to offer",
            );
        };
        let dockerd_go = self.scenario.dockerd.dockerd_go();
        let unusable = chain.leaf.as_ref().and_then(|leaf| {
            if !leaf.key_can_sign {
                Some(format!("docker cannot prove a key of {} in TLS 1.3, so it sends no certificate", leaf.key))
            } else if leaf.key_is_ml_dsa && !handshake::knows_ml_dsa(dockerd_go) {
                let text = "so docker sends no certificate";
                Some(format!("{dockerd_go} of dockerd does not know a key of {}, {text}", leaf.key))
            } else {
                None
            }
        });
        if let Some(text) = unusable {
            return self.report.refuse(
                GATE,
                Check::ClientKeyUnusable,
                place(Side::Client, &client.key, FileKind::Key, None),
                text,
            );
        }
        // Without a CA file the daemon lists no names, and then every certificate is sent.
        let Some(anchors) = lists_names else {
            return Status::Passed;
        };
        if chain.leaf.as_ref().is_some_and(|leaf| anchors.has_subject(&leaf.issuer)) {
            return Status::Passed;
        }
        let rest = chain.rest(go).map(|block| (Cow::Owned(block.contents), block.offset));
        for (der, offset) in chain.certificates.iter().map(|(der, offset)| (Cow::Borrowed(der), *offset)).chain(rest) {
            match Certificate::parse(&der, go) {
                Ok(certificate) if anchors.has_subject(certificate.issuer) => {
                    return Status::Passed;
                }
                Ok(_) => {}
                Err(_) if load::is_too_large(&der) => {
                    return self.report.refuse(
                        GATE,
                        Check::BeyondTheJudge,
                        place(Side::Client, &client.cert, FileKind::Cert, Some(offset)),
                        "a certificate is too large to be looked at here",
                    );
                }
                Err(malformed) => {
                    let text =
                        format!("docker sends no certificate, because one in its file does not parse: {malformed}");
                    return self.report.refuse(
                        GATE,
                        Check::ClientCertificateWithheld,
                        place(Side::Client, &client.cert, FileKind::Cert, Some(offset)),
                        text,
                    );
                }
            }
        }
        self.report.refuse(
            GATE,
            Check::ClientCertificateWithheld,
            place(Side::Client, &client.cert, FileKind::Cert, None),
            advice::withheld(chain, anchors, go),
        )
    }

    pub(super) fn daemon_accepts(&mut self, chain: &Chain, anchors: Option<&Anchors>, go: Go) -> Status {
        const GATE: Gate = Gate::DaemonAcceptsClient;
        let client = self.client;
        if !handshake::certificate_message_fits(chain.sent(), go) {
            return self.report.refuse(
                GATE,
                Check::MessageTooLarge,
                place(Side::Client, &client.cert, FileKind::Cert, None),
                "the certificates are more than the daemon reads",
            );
        }
        let (status, certificates) = self.read_chain(GATE, Side::Client, chain, go);
        let Some(certificates) = certificates else {
            return status;
        };
        let options =
            Options { purpose: Purpose::Client, host: None, now: self.now, go, signatures: &self.judge.signatures };
        let status = self.accept_chain(GATE, Side::Client, &certificates, anchors, options);
        if status != Status::Passed {
            return status;
        }
        match certificates.first() {
            Some(leaf) if !handshake::can_verify(&leaf.public_key, go) => {
                let text = format!("dockerd does not verify with a key of {}", leaf.public_key.describe());
                self.report.refuse(
                    GATE,
                    Check::ClientKeyUnusable,
                    place(Side::Client, &client.key, FileKind::Key, None),
                    text,
                )
            }
            _ => Status::Passed,
        }
    }
}

/// Parses a chain and checks what does not depend on trust.
pub(crate) fn read_certificates(chain: &Chain, go: Go) -> Result<Vec<Certificate<'_>>, Unusable> {
    let mut certificates = Vec::new();
    for (position, (der, offset)) in chain.certificates.iter().enumerate() {
        let unusable =
            |check, text: String| Unusable { check, file: FileKind::Cert, offset: Some(*offset), text, remedy: None };
        let known = position == 0 && chain.leaf.is_some();
        let parsed = if known { Certificate::parse_again(der, go) } else { Certificate::parse(der, go) };
        let certificate = parsed.map_err(|malformed| unusable(Check::ChainUnreadable, malformed.to_string()))?;
        if let Some(bits) = certificate.public_key.rsa_bits()
            && !handshake::takes_rsa_size(bits, go)
        {
            return Err(unusable(Check::RsaTooLarge, format!("the RSA key has {bits} bits")));
        }
        certificates.push(certificate);
    }
    Ok(certificates)
}

/// Builds the path; the first certificate is the leaf.
pub(crate) fn verify_path(
    certificates: &[Certificate<'_>],
    anchors: &Anchors,
    options: Options<'_>,
) -> Result<(), PathError> {
    let Some((leaf, others)) = certificates.split_first() else {
        return Err(PathError::UnknownAuthority { hint: None });
    };
    path::verify(leaf, &Intermediates::new(others), anchors, options)?;
    match &leaf.public_key {
        PublicKey::Rsa { .. } | PublicKey::Ecdsa { .. } | PublicKey::Ed25519(_) | PublicKey::MlDsa { .. } => Ok(()),
        key @ (PublicKey::Dsa | PublicKey::Unknown) => Err(PathError::KeyKind(key.describe())),
    }
}

/// The catalogue's name for a path error.
pub(crate) fn check_of(error: &PathError) -> Check {
    if error.is_beyond_the_judge() {
        return Check::BeyondTheJudge;
    }
    match error {
        PathError::UnhandledCriticalExtension { .. } => Check::CriticalExtension,
        PathError::NotYetValid { .. } => Check::NotYetValid,
        PathError::Expired { .. } => Check::Expired,
        PathError::NotACa { .. } => Check::NotACa,
        PathError::PathTooLong { .. } => Check::PathTooLong,
        PathError::HostMismatch { .. } => Check::HostMismatch,
        PathError::UnknownAuthority { .. } | PathError::Distrusted { .. } => Check::UnknownAuthority,
        PathError::IncompatibleUsage => Check::UsageIncompatible,
        PathError::PoliciesInvalid => Check::PolicyMissing,
        PathError::NameExcluded(_)
        | PathError::NameNotPermitted(_)
        | PathError::UnconstrainableName(_)
        | PathError::TooManyConstraints => Check::NameConstrained,
        PathError::SignatureBudget | PathError::CandidateBudget => Check::SearchTooLong,
        PathError::KeyKind(_) => Check::KeyKindUnsupported,
    }
}
