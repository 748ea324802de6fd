//! The judge: gate after gate.
//!
//! `Gate::stands` says which gates stand in which modes; here each gate selects its checks. No check reads a mode.

use dockseal_docker::gate::Gate;
use dockseal_docker::mode::ClientMode;
use dockseal_docker::version::{Go, Version};
use time::OffsetDateTime;

use crate::advice;
use crate::check::Check;
use crate::handshake;
use crate::load::{self, Chain, Unusable};
use crate::material::{Content, FileKind, Material, MaterialFile, Side};
use crate::path::{self, Options, PathError, Purpose, hostname};
use crate::pool::{Anchors, Pool};
use crate::scenario::{Scenario, SystemRoots};
use crate::verdict::{Finding, Place, Status, Verdict};
use crate::x509::{Certificate, PublicKey};

/// Judges what docker and dockerd will do with these files in this scenario at this moment.
#[must_use]
pub fn judge(daemon: &Material, client: &Material, scenario: &Scenario, now: OffsetDateTime) -> Verdict {
    Judge { daemon, client, scenario, now, report: Report::default() }.run()
}

/// Findings and gates as they come.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) gates: Vec<(Gate, Status)>,
    pub(crate) findings: Vec<Finding>,
}

impl Report {
    pub(crate) fn add(&mut self, gate: Option<Gate>, check: Check, place: Option<Place>, text: impl Into<String>) {
        self.findings.push(Finding { check, severity: check.severity(), gate, place, text: text.into() });
    }

    fn refuse(&mut self, gate: Gate, check: Check, place: Option<Place>, text: impl Into<String>) -> Status {
        self.add(Some(gate), check, place, text);
        match check {
            Check::BeyondTheJudge => Status::Skipped("the judge does not compute with keys this large"),
            Check::SystemRootsUnknown => Status::Skipped("the system's roots are not known"),
            _ => Status::Failed,
        }
    }
}

struct Judge<'j> {
    daemon: &'j Material,
    client: &'j Material,
    scenario: &'j Scenario,
    now: OffsetDateTime,
    report: Report,
}

/// What a side trusts.
enum Trust {
    /// Its CA file.
    File(Anchors),
    /// The system's roots: no CA file is named.
    System(Option<Anchors>),
    /// Nothing that could be read.
    Unusable,
}

impl Trust {
    fn anchors(&self) -> Option<&Anchors> {
        match self {
            Self::File(anchors) | Self::System(Some(anchors)) => Some(anchors),
            Self::System(None) | Self::Unusable => None,
        }
    }
}

fn place(side: Side, file: &MaterialFile, kind: FileKind, offset: Option<usize>) -> Option<Place> {
    Some(Place { side, file: kind, path: file.provenance.path.clone(), offset })
}

/// A pool of what a side trusts, borrowing from it.
fn pool_of(anchors: &Anchors, go: Go) -> Pool<'_> {
    let mut pool = Pool::default();
    for anchor in &anchors.certificates {
        if let Ok(certificate) = Certificate::parse(&anchor.der, go) {
            pool.add(&certificate);
        }
    }
    pool
}

impl Judge<'_> {
    fn run(mut self) -> Verdict {
        let dockerd_go = self.scenario.dockerd.dockerd_go();
        let docker_go = self.scenario.docker.docker_go();
        let daemon_mode = self.scenario.daemon_mode;
        let client_mode = self.scenario.client_mode;

        let mut daemon_chain = None;
        let mut daemon_trust = Trust::Unusable;
        self.gate(Gate::DaemonStarts, client_mode, |judge| {
            let (status, chain, trust) = judge.daemon_starts(dockerd_go);
            (daemon_chain, daemon_trust) = (chain, trust);
            status
        });
        let mut client_chain = None;
        let mut client_trust = Trust::Unusable;
        self.gate(Gate::ClientLoads, client_mode, |judge| {
            let (status, chain, trust) = judge.client_loads(docker_go);
            (client_chain, client_trust) = (chain, trust);
            status
        });
        // docker forgets about TLS where it was given nothing to use it with.
        let effective_mode = if self.client_drops_tls() { ClientMode::None } else { client_mode };
        self.gate(Gate::SameProtocol, effective_mode, |judge| judge.same_protocol(effective_mode));

        let daemon_anchors = daemon_trust.anchors().map(|anchors| pool_of(anchors, dockerd_go));
        let client_anchors = client_trust.anchors().map(|anchors| pool_of(anchors, docker_go));
        let lists_names = daemon_anchors.as_ref().filter(|_| matches!(daemon_trust, Trust::File(_)));
        self.gate(Gate::Handshake, effective_mode, |judge| {
            judge.handshake(daemon_chain.as_ref(), lists_names, dockerd_go, docker_go)
        });
        let fits =
            !self.report.gates.iter().any(|(gate, status)| *gate == Gate::Handshake && *status == Status::Failed);
        let sent = daemon_chain.as_ref().filter(|_| fits);
        let mut read = None;
        self.gate(Gate::ClientReadsDaemon, effective_mode, |judge| match sent {
            Some(chain) => {
                let (status, certificates) = judge.read_chain(Gate::ClientReadsDaemon, Side::Daemon, chain, docker_go);
                read = certificates;
                status
            }
            None => Status::Skipped("the daemon sends no certificate"),
        });
        self.gate(Gate::ClientAcceptsDaemon, effective_mode, |judge| match &read {
            Some(certificates) => {
                let host = hostname::as_dialled(&judge.scenario.host);
                let options = Options { purpose: Purpose::Server, host: Some(&host), now: judge.now, go: docker_go };
                judge.accept_chain(
                    Gate::ClientAcceptsDaemon,
                    Side::Daemon,
                    certificates,
                    client_anchors.as_ref(),
                    options,
                )
            }
            None => Status::Skipped("the daemon's certificates cannot be read"),
        });
        let mut offered = false;
        self.gate(Gate::ClientOffersCertificate, effective_mode, |judge| {
            let status = judge.client_offers(client_chain.as_ref(), lists_names, docker_go);
            offered = status == Status::Passed;
            status
        });
        self.gate(Gate::DaemonAcceptsClient, effective_mode, |judge| match client_chain.as_ref().filter(|_| offered) {
            Some(chain) => judge.daemon_accepts(chain, daemon_anchors.as_ref(), dockerd_go),
            None => Status::Skipped("the client sends no certificate"),
        });

        self.warn_about_modes(effective_mode);
        advice::add(&mut self.report, Side::Daemon, self.daemon, daemon_chain.as_ref(), self.now, dockerd_go);
        advice::add(&mut self.report, Side::Client, self.client, client_chain.as_ref(), self.now, docker_go);
        let encrypted = effective_mode.uses_tls() && daemon_mode.uses_tls();
        Verdict {
            gates: self.report.gates,
            findings: self.report.findings,
            encrypted,
            daemon_authenticated: encrypted && effective_mode.verifies_daemon(),
            client_authenticated: encrypted && daemon_mode.verifies_client(),
        }
    }

    fn gate(&mut self, gate: Gate, mode: ClientMode, judge: impl FnOnce(&mut Self) -> Status) {
        let status = match gate.stands(mode, self.scenario.daemon_mode) {
            Ok(()) => judge(self),
            Err(reason) => Status::NotApplicable(reason),
        };
        self.report.gates.push((gate, status));
    }

    /// `--tlscacert=` without certificate and key leaves no TLS data at all (docker/cli load.go `tlsConfig`).
    fn client_drops_tls(&self) -> bool {
        let mode = self.scenario.client_mode;
        let has_file = |file: &MaterialFile| mode.has_certificate() && !file.is_passed_over();
        mode.verifies_daemon()
            && self.client.ca.content == Content::NotNamed
            && self.scenario.docker != Version::V20_10
            && !has_file(&self.client.cert)
            && !has_file(&self.client.key)
    }

    fn daemon_starts(&mut self, go: Go) -> (Status, Option<Chain>, Trust) {
        const GATE: Gate = Gate::DaemonStarts;
        let daemon = self.daemon;
        let mut status = Status::Passed;
        let (cert, key) = match (daemon.cert.bytes(), daemon.key.bytes()) {
            (Some(cert), Some(key)) => (cert, key),
            _ => {
                for kind in [FileKind::Cert, FileKind::Key] {
                    if daemon.file(kind).bytes().is_none() {
                        status = self.unavailable(GATE, Side::Daemon, daemon.file(kind), kind);
                    }
                }
                return (status, None, self.daemon_trust(&mut Status::Passed, go));
            }
        };
        let chain = match load::load_pair(cert, key, go) {
            Ok(chain) => Some(chain),
            Err(unusable) => {
                status = self.unusable(GATE, Side::Daemon, unusable);
                None
            }
        };
        let trust = self.daemon_trust(&mut status, go);
        (status, chain, trust)
    }

    fn daemon_trust(&mut self, status: &mut Status, go: Go) -> Trust {
        if !self.scenario.daemon_mode.verifies_client() {
            return Trust::Unusable;
        }
        self.trust(Gate::DaemonStarts, Side::Daemon, status, go)
    }

    /// Reads a side's CA file and lowers the gate's status where it is of no use.
    fn trust(&mut self, gate: Gate, side: Side, status: &mut Status, go: Go) -> Trust {
        let file = match side {
            Side::Daemon => &self.daemon.ca,
            Side::Client => &self.client.ca,
        };
        let bytes = match &file.content {
            Content::Bytes(bytes) => bytes,
            Content::NotNamed => {
                self.report.add(
                    Some(gate),
                    Check::SystemRootsTrusted,
                    place(side, file, FileKind::Ca, None),
                    "no CA file is named, so the system's roots are trusted",
                );
                return Trust::System(match &self.scenario.system_roots {
                    SystemRoots::Unknown => None,
                    SystemRoots::Pem(pem) => Some(Anchors::read(pem, go)),
                });
            }
            Content::Missing | Content::Unreadable(_) => {
                *status = self.unavailable(gate, side, file, FileKind::Ca);
                return Trust::Unusable;
            }
        };
        let anchors = Anchors::read(bytes, go);
        for (offset, reason) in &anchors.skipped {
            self.report.add(Some(gate), Check::CaBlockSkipped, place(side, file, FileKind::Ca, Some(*offset)), *reason);
        }
        if anchors.certificates.is_empty() {
            *status = self.report.refuse(
                gate,
                Check::CaUnusable,
                place(side, file, FileKind::Ca, None),
                "the CA file holds no certificate that Docker can use",
            );
            return Trust::Unusable;
        }
        Trust::File(anchors)
    }

    fn unavailable(&mut self, gate: Gate, side: Side, file: &MaterialFile, kind: FileKind) -> Status {
        let text = match &file.content {
            Content::Missing => "the file does not exist".to_owned(),
            Content::Unreadable(reason) => format!("the file cannot be read: {reason}"),
            Content::NotNamed | Content::Bytes(_) => "no file is named".to_owned(),
        };
        self.report.refuse(gate, Check::FileUnavailable, place(side, file, kind, None), text)
    }

    fn unusable(&mut self, gate: Gate, side: Side, unusable: Unusable) -> Status {
        let material = match side {
            Side::Daemon => self.daemon,
            Side::Client => self.client,
        };
        let place = place(side, material.file(unusable.file), unusable.file, unusable.offset);
        self.report.refuse(gate, unusable.check, place, unusable.text)
    }

    fn client_loads(&mut self, go: Go) -> (Status, Option<Chain>, Trust) {
        const GATE: Gate = Gate::ClientLoads;
        let client = self.client;
        let mut status = Status::Passed;
        if client.ca.content == Content::NotNamed && self.scenario.docker == Version::V20_10 {
            status = self.report.refuse(
                GATE,
                Check::ClientPanics,
                place(Side::Client, &client.ca, FileKind::Ca, None),
                "docker 20.10 crashes on an empty --tlscacert",
            );
            return (status, None, Trust::Unusable);
        }
        let trust = if client.ca.content == Content::NotNamed && self.client_drops_tls() {
            self.report.add(
                Some(GATE),
                Check::ClientWithoutTls,
                place(Side::Client, &client.ca, FileKind::Ca, None),
                "docker silently speaks plain HTTP",
            );
            Trust::Unusable
        } else {
            self.trust(GATE, Side::Client, &mut status, go)
        };
        if !self.scenario.client_mode.has_certificate() {
            return (status, None, trust);
        }
        for kind in [FileKind::Cert, FileKind::Key] {
            let file = client.file(kind);
            if file.bytes().is_none() && !file.is_passed_over() {
                status = self.unavailable(GATE, Side::Client, file, kind);
            }
        }
        let (Some(cert), Some(key)) = (client.cert.bytes(), client.key.bytes()) else {
            for (kind, other) in [(FileKind::Cert, &client.key), (FileKind::Key, &client.cert)] {
                if client.file(kind).is_passed_over() && other.bytes().is_some() {
                    self.report.add(
                        Some(GATE),
                        Check::CertificateIncomplete,
                        place(Side::Client, client.file(kind), kind, None),
                        "the file is missing, so docker silently offers no certificate",
                    );
                }
            }
            return (status, None, trust);
        };
        let loaded = load::check_first_key_block(key, go).and_then(|()| load::load_pair(cert, key, go));
        match loaded {
            Ok(chain) => (status, Some(chain), trust),
            Err(unusable) => (self.unusable(GATE, Side::Client, unusable), None, trust),
        }
    }

    fn same_protocol(&mut self, client: ClientMode) -> Status {
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

    fn handshake(
        &mut self,
        chain: Option<&Chain>,
        lists_names: Option<&Pool<'_>>,
        dockerd_go: Go,
        docker_go: Go,
    ) -> Status {
        const GATE: Gate = Gate::Handshake;
        let Some(chain) = chain else { return Status::Skipped("the daemon has no certificate and key") };
        let daemon = self.daemon;
        if let Some(leaf) = chain.leaf(dockerd_go)
            && !handshake::can_sign(&leaf.public_key, dockerd_go)
        {
            let text = format!("dockerd cannot prove a key of {} in TLS 1.3", leaf.public_key.describe());
            return self.report.refuse(
                GATE,
                Check::DaemonKeyUnusable,
                place(Side::Daemon, &daemon.key, FileKind::Key, None),
                text,
            );
        }
        if lists_names.is_some_and(|anchors| !handshake::certificate_request_fits(anchors)) {
            return self.report.refuse(
                GATE,
                Check::MessageTooLarge,
                place(Side::Daemon, &daemon.ca, FileKind::Ca, None),
                "the names of the CAs do not fit into one handshake message",
            );
        }
        if !handshake::certificate_message_fits(chain.certificates.iter().map(|(der, _)| der.as_slice()), docker_go) {
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
    fn read_chain<'c>(
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
    fn accept_chain(
        &mut self,
        gate: Gate,
        side: Side,
        certificates: &[Certificate<'_>],
        anchors: Option<&Pool<'_>>,
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
            Err(error) => {
                self.report.refuse(gate, check_of(&error), place(side, file, FileKind::Cert, None), error.to_string())
            }
        }
    }

    fn client_offers(&mut self, chain: Option<&Chain>, lists_names: Option<&Pool<'_>>, go: Go) -> Status {
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
        if let Some(leaf) = chain.leaf(go)
            && !handshake::can_sign(&leaf.public_key, go)
        {
            let text = format!(
                "docker cannot prove a key of {} in TLS 1.3, so it sends no certificate",
                leaf.public_key.describe()
            );
            return self.report.refuse(
                GATE,
                Check::ClientKeyUnusable,
                place(Side::Client, &client.key, FileKind::Key, None),
                text,
            );
        }
        // Without a CA file the daemon lists no names, and then every certificate is sent.
        let Some(anchors) = lists_names else { return Status::Passed };
        for (der, offset) in &chain.certificates {
            match Certificate::parse(der, go) {
                Ok(certificate) if anchors.has_subject(certificate.issuer) => return Status::Passed,
                Ok(_) => {}
                Err(malformed) => {
                    let text =
                        format!("docker sends no certificate, because one in its file does not parse: {malformed}");
                    return self.report.refuse(
                        GATE,
                        Check::ClientCertificateWithheld,
                        place(Side::Client, &client.cert, FileKind::Cert, Some(*offset)),
                        text,
                    );
                }
            }
        }
        self.report.refuse(
            GATE,
            Check::ClientCertificateWithheld,
            place(Side::Client, &client.cert, FileKind::Cert, None),
            "docker sends no certificate, because none in its file was issued by a CA that the daemon names",
        )
    }

    fn daemon_accepts(&mut self, chain: &Chain, anchors: Option<&Pool<'_>>, go: Go) -> Status {
        const GATE: Gate = Gate::DaemonAcceptsClient;
        let client = self.client;
        if !handshake::certificate_message_fits(chain.certificates.iter().map(|(der, _)| der.as_slice()), go) {
            return self.report.refuse(
                GATE,
                Check::MessageTooLarge,
                place(Side::Client, &client.cert, FileKind::Cert, None),
                "the certificates are more than the daemon reads",
            );
        }
        let (status, certificates) = self.read_chain(GATE, Side::Client, chain, go);
        let Some(certificates) = certificates else { return status };
        let options = Options { purpose: Purpose::Client, host: None, now: self.now, go };
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

    fn warn_about_modes(&mut self, client: ClientMode) {
        let daemon = self.scenario.daemon_mode;
        if !client.uses_tls() && !daemon.uses_tls() {
            self.report.add(None, Check::PlainHttp, None, "nothing is encrypted and nobody is authenticated");
        }
        if client.uses_tls() && !client.verifies_daemon() {
            self.report.add(None, Check::DaemonNotVerified, None, "docker --tls does not verify the daemon");
        }
        if daemon == dockseal_docker::mode::DaemonMode::Tls {
            self.report.add(
                None,
                Check::DaemonTlsVerifies,
                None,
                "dockerd --tls requires client certificates as --tlsverify does",
            );
        }
        if daemon.uses_tls() && !daemon.verifies_client() {
            self.report.add(None, Check::ClientsNotVerified, None, "the daemon accepts every client");
        }
    }
}

/// Parses a chain and checks what does not depend on trust.
pub(crate) fn read_certificates(chain: &Chain, go: Go) -> Result<Vec<Certificate<'_>>, Unusable> {
    let mut certificates = Vec::new();
    for (der, offset) in &chain.certificates {
        let unusable = |check, text: String| Unusable { check, file: FileKind::Cert, offset: Some(*offset), text };
        let certificate =
            Certificate::parse(der, go).map_err(|malformed| unusable(Check::ChainUnreadable, malformed.to_string()))?;
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
pub(crate) fn verify_path<'a>(
    certificates: &[Certificate<'a>],
    anchors: &Pool<'a>,
    options: Options<'_>,
) -> Result<(), PathError> {
    let Some((leaf, others)) = certificates.split_first() else {
        return Err(PathError::UnknownAuthority { hint: None });
    };
    let mut intermediates = Pool::default();
    for certificate in others {
        intermediates.add(certificate);
    }
    path::verify(leaf, &intermediates, anchors, options)?;
    match &leaf.public_key {
        PublicKey::Rsa { .. } | PublicKey::Ecdsa { .. } | PublicKey::Ed25519(_) => Ok(()),
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
        PathError::UnknownAuthority { .. } => Check::UnknownAuthority,
        PathError::IncompatibleUsage => Check::UsageIncompatible,
        PathError::PoliciesInvalid => Check::PolicyMissing,
        PathError::NameExcluded(_)
        | PathError::NameNotPermitted(_)
        | PathError::UnconstrainableName(_)
        | PathError::TooManyConstraints => Check::NameConstrained,
        PathError::SignatureBudget => Check::SearchTooLong,
        PathError::KeyKind(_) => Check::KeyKindUnsupported,
    }
}
