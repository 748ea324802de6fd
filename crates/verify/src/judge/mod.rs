//! The judge: gate after gate.
//!
//! `Gate::stands` says which gates stand in which modes; here each gate selects its checks. No check reads a mode.

mod connection;
mod files;
mod memory;

pub(crate) use connection::{check_of, read_certificates, verify_path};
pub use memory::Judge;

use dockseal_docker::gate::Gate;
use dockseal_docker::mode::{ClientMode, DaemonMode};
use time::OffsetDateTime;

use crate::advice::{self, Presented};
use crate::check::Check;
use crate::material::{FileKind, Material, MaterialFile, Side};
use crate::path::{Options, PathError, Purpose, hostname};
use crate::scenario::Scenario;
use crate::verdict::{Finding, Place, Status, Verdict};
use files::Trust;

/// Judges what docker and dockerd will do with these files in this scenario at this moment.
#[must_use]
pub fn judge(daemon: &Material, client: &Material, scenario: &Scenario, now: OffsetDateTime) -> Verdict {
    Judge::default().verdict(daemon, client, scenario, now)
}

/// Findings and gates as they come.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) gates: Vec<(Gate, Status)>,
    pub(crate) findings: Vec<Finding>,
}

impl Report {
    pub(crate) fn add(&mut self, gate: Option<Gate>, check: Check, place: Option<Place>, text: impl Into<String>) {
        self.findings.push(Finding {
            check,
            severity: check.severity(),
            gate,
            place,
            text: text.into(),
            remedy: check.remedy(),
        });
    }

    /// Refuses because no chain stands.
    fn refuse_path(&mut self, gate: Gate, error: &PathError, place: Option<Place>) -> Status {
        let status = self.refuse(gate, check_of(error), place, error.to_string());
        self.mend_last(error.remedy());
        status
    }

    /// Gives the last finding a closer remedy than its check's, where there is one.
    fn mend_last(&mut self, remedy: Option<&'static str>) {
        if let (Some(finding), Some(remedy)) = (self.findings.last_mut(), remedy) {
            finding.remedy = remedy;
        }
    }

    fn refuse(&mut self, gate: Gate, check: Check, place: Option<Place>, text: impl Into<String>) -> Status {
        self.add(Some(gate), check, place, text);
        match check {
            Check::BeyondTheJudge => Status::Skipped("it is larger than what the judge takes on"),
            Check::SystemRootsUnknown => Status::Skipped("the system's roots are not known"),
            _ => Status::Failed,
        }
    }
}

struct Hearing<'j> {
    judge: &'j Judge,
    daemon: &'j Material,
    client: &'j Material,
    scenario: &'j Scenario,
    now: OffsetDateTime,
    report: Report,
}

impl Hearing<'_> {
    fn run(mut self) -> Verdict {
        let dockerd_go = self.scenario.dockerd.dockerd_go();
        let docker_go = self.scenario.docker.docker_go();
        let daemon_mode = self.scenario.daemon_mode;
        let client_mode = self.scenario.client_mode;

        let mut daemon_chain = None;
        let mut daemon_trust = Trust::Unusable;
        self.gate(Gate::DaemonStarts, client_mode, |hearing| {
            let (status, chain, trust) = hearing.daemon_starts(dockerd_go);
            (daemon_chain, daemon_trust) = (chain, trust);
            status
        });
        let mut client_chain = None;
        let mut client_trust = Trust::Unusable;
        self.gate(Gate::ClientLoads, client_mode, |hearing| {
            let (status, chain, trust) = hearing.client_loads(docker_go);
            (client_chain, client_trust) = (chain, trust);
            status
        });
        // docker forgets about TLS where it was given nothing to use it with.
        let effective_mode = if self.client_drops_tls() { ClientMode::None } else { client_mode };
        self.gate(Gate::SameProtocol, effective_mode, |hearing| hearing.same_protocol(effective_mode));

        let (daemon_anchors, client_anchors) = (daemon_trust.anchors(), client_trust.anchors());
        let lists_names = daemon_anchors.filter(|_| matches!(daemon_trust, Trust::File(_)));
        self.gate(Gate::Handshake, effective_mode, |hearing| {
            hearing.handshake(daemon_chain.as_deref(), lists_names, docker_go)
        });
        let fits =
            !self.report.gates.iter().any(|(gate, status)| *gate == Gate::Handshake && *status == Status::Failed);
        let sent = daemon_chain.as_deref().filter(|_| fits);
        let mut read = None;
        self.gate(Gate::ClientReadsDaemon, effective_mode, |hearing| match sent {
            Some(chain) => {
                let (status, certificates) =
                    hearing.read_chain(Gate::ClientReadsDaemon, Side::Daemon, chain, docker_go);
                read = certificates;
                status
            }
            None => Status::Skipped("the daemon sends no certificate"),
        });
        self.gate(Gate::ClientAcceptsDaemon, effective_mode, |hearing| match &read {
            _ if matches!(client_trust, Trust::Unusable) => Status::Skipped("the client's CA file is of no use"),
            Some(certificates) => {
                let host = hostname::as_dialled(&hearing.scenario.host);
                let options = Options {
                    purpose: Purpose::Server,
                    host: Some(host.as_str()).filter(|host| !host.is_empty()),
                    now: hearing.now,
                    go: docker_go,
                    signatures: &hearing.judge.signatures,
                };
                hearing.accept_chain(Gate::ClientAcceptsDaemon, Side::Daemon, certificates, client_anchors, options)
            }
            None => Status::Skipped("the daemon's certificates cannot be read"),
        });
        let mut offered = false;
        self.gate(Gate::ClientOffersCertificate, effective_mode, |hearing| {
            let status = hearing.client_offers(client_chain.as_deref(), lists_names, docker_go);
            offered = status == Status::Passed;
            status
        });
        self.gate(Gate::DaemonAcceptsClient, effective_mode, |hearing| {
            match client_chain.as_deref().filter(|_| offered) {
                _ if matches!(daemon_trust, Trust::Unusable) => Status::Skipped("the daemon's CA file is of no use"),
                Some(chain) => hearing.daemon_accepts(chain, daemon_anchors, dockerd_go),
                None => Status::Skipped("the client sends no certificate"),
            }
        });

        self.warn_about_modes(effective_mode);
        for presented in [
            Presented {
                side: Side::Daemon,
                material: self.daemon,
                chain: daemon_chain.as_deref(),
                trusted: &self.client.ca,
                anchors: client_anchors,
                signatures: &self.judge.signatures,
                go: docker_go,
            },
            Presented {
                side: Side::Client,
                material: self.client,
                chain: client_chain.as_deref(),
                trusted: &self.daemon.ca,
                anchors: daemon_anchors,
                signatures: &self.judge.signatures,
                go: dockerd_go,
            },
        ] {
            advice::add(&mut self.report, &presented, self.now);
        }
        let encrypted = effective_mode.uses_tls() && daemon_mode.uses_tls();
        Verdict {
            gates: self.report.gates,
            findings: self.report.findings,
            client_uses_tls: effective_mode.uses_tls(),
            encrypted,
            daemon_authenticated: encrypted && effective_mode.verifies_daemon(),
            client_authenticated: encrypted && daemon_mode.verifies_client(),
        }
    }

    fn gate(&mut self, gate: Gate, mode: ClientMode, ask: impl FnOnce(&mut Self) -> Status) {
        let status = match gate.stands(mode, self.scenario.daemon_mode) {
            Ok(()) => ask(self),
            Err(reason) => Status::NotApplicable(reason),
        };
        self.report.gates.push((gate, status));
    }

    fn warn_about_modes(&mut self, client: ClientMode) {
        let daemon = self.scenario.daemon_mode;
        if !client.uses_tls() && !daemon.uses_tls() {
            self.report.add(None, Check::PlainHttp, None, "nothing is encrypted and nobody is authenticated");
        }
        if client.uses_tls() && !client.verifies_daemon() {
            self.report.add(None, Check::DaemonNotVerified, None, "docker --tls does not verify the daemon");
        }
        if daemon == DaemonMode::Tls {
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

fn place(side: Side, file: &MaterialFile, kind: FileKind, offset: Option<usize>) -> Option<Place> {
    Some(Place { side, file: kind, path: file.provenance.path.clone(), offset })
}
