//! One question to the judge, and the answer as it is shown: the verdict, plus what only the command line knows.

use std::{borrow::Cow, path::PathBuf};

use dockseal_docker::{
    gate::Gate,
    mode::{ClientMode, DaemonMode},
    version::{Go, Version},
};
use dockseal_pki::GeneralName;
use dockseal_verify::{
    Check, FileKind, Finding, Judge, Outcome, Scenario, Severity, Side, Status, SystemRoots, Verdict,
};
use time::OffsetDateTime;

use super::{files::Held, notes::Note, permissions, show};
use crate::{invocation::Invocation, unread};

/// More of a certificate's names than this help nobody.
const MOST_NAMES: usize = 8;

/// What is asked: two sides, or one with the other taken as good.
#[derive(Clone, Copy)]
pub(super) struct Question<'q> {
    /// The same for all that is asked about the same files.
    pub(super) judge: &'q Judge,
    pub(super) daemon: Option<&'q Held>,
    pub(super) client: Option<&'q Held>,
    pub(super) client_mode: ClientMode,
    pub(super) daemon_mode: DaemonMode,
    pub(super) host: &'q str,
    pub(super) docker: Version,
    pub(super) dockerd: Version,
    pub(super) docker_roots: &'q SystemRoots,
    pub(super) dockerd_roots: &'q SystemRoots,
    pub(super) now: OffsetDateTime,
}

/// A finding as it is shown.
#[derive(Clone)]
pub(super) struct Shown {
    pub(super) id: &'static str,
    pub(super) severity: Severity,
    pub(super) gate: Option<Gate>,
    pub(super) side: Option<Side>,
    pub(super) file: Option<FileKind>,
    pub(super) path: Option<PathBuf>,
    pub(super) offset: Option<usize>,
    pub(super) text: String,
    pub(super) remedy: Cow<'static, str>,
}

impl From<&Finding> for Shown {
    fn from(finding: &Finding) -> Self {
        let place = finding.place.as_ref();
        Self {
            id: finding.check.id(),
            severity: finding.severity,
            gate: finding.gate,
            side: place.map(|place| place.side),
            file: place.map(|place| place.file),
            path: place.map(|place| place.path.clone()).filter(|path| !path.as_os_str().is_empty()),
            offset: place.and_then(|place| place.offset),
            text: finding.text.clone(),
            remedy: finding.remedy.into(),
        }
    }
}

impl Shown {
    pub(super) fn note(note: Note, gate: Option<Gate>, text: impl Into<String>) -> Self {
        Self {
            id: note.id(),
            severity: note.severity(),
            gate,
            side: None,
            file: None,
            path: None,
            offset: None,
            text: text.into(),
            remedy: note.remedy().into(),
        }
    }

    /// Of a check of the judge's, where the command line knew before the judge.
    pub(super) fn check(check: Check, gate: Gate, text: impl Into<String>) -> Self {
        Self {
            id: check.id(),
            severity: check.severity(),
            gate: Some(gate),
            side: None,
            file: None,
            path: None,
            offset: None,
            text: text.into(),
            remedy: check.remedy().into(),
        }
    }
}

/// What Docker will do.
#[derive(Clone)]
pub(super) struct Answer {
    pub(super) gates: Vec<(Gate, Status)>,
    pub(super) findings: Vec<Shown>,
    /// Whether docker speaks TLS at all; nothing where it stops before.
    pub(super) client_uses_tls: Option<bool>,
    encrypted: bool,
    daemon_authenticated: bool,
    client_authenticated: bool,
}

impl Answer {
    /// A side stops before it reads a file.
    pub(super) fn stopped(gate: Gate, finding: Shown) -> Self {
        Self {
            gates: vec![(gate, Status::Failed)],
            findings: vec![finding],
            client_uses_tls: None,
            encrypted: false,
            daemon_authenticated: false,
            client_authenticated: false,
        }
    }

    fn of(verdict: &Verdict) -> Self {
        Self {
            gates: verdict.gates().to_vec(),
            findings: verdict.findings().iter().map(Shown::from).collect(),
            client_uses_tls: Some(verdict.client_uses_tls()),
            encrypted: verdict.is_encrypted(),
            daemon_authenticated: verdict.authenticates_daemon(),
            client_authenticated: verdict.authenticates_client(),
        }
    }

    /// The bare chain's.
    pub(super) fn of_chain(verdict: &Verdict) -> Self {
        Self::of(verdict)
    }

    pub(super) fn outcome(&self) -> Outcome {
        let decisive = self.gates.iter().find_map(|(gate, status)| match status {
            Status::Failed => Some(Outcome::Refused(*gate)),
            Status::Skipped(_) => Some(Outcome::Undetermined(*gate)),
            Status::Passed | Status::NotApplicable(_) => None,
        });
        decisive.unwrap_or(Outcome::Accepted)
    }

    pub(super) fn is_accepted(&self) -> bool {
        self.outcome() == Outcome::Accepted
    }

    pub(super) fn is_encrypted(&self) -> bool {
        self.encrypted && self.is_accepted()
    }

    pub(super) fn authenticates_daemon(&self) -> bool {
        self.daemon_authenticated && self.is_accepted()
    }

    pub(super) fn authenticates_client(&self) -> bool {
        self.client_authenticated && self.is_accepted()
    }

    /// The findings of the gate that decides, or every refusal where none does.
    pub(super) fn refusals(&self) -> impl Iterator<Item = &Shown> {
        self.findings.iter().filter(|finding| finding.severity == Severity::Refusal)
    }

    /// The ids of the findings at the gate that refuses.
    pub(super) fn deciding_checks(&self) -> Vec<&'static str> {
        self.refusals().filter(|finding| self.is_decided_by(finding)).map(|finding| finding.id).collect()
    }

    /// Whether it is a refusal at the gate that decides.
    pub(super) fn is_decided_by(&self, finding: &Shown) -> bool {
        let (Outcome::Refused(gate) | Outcome::Undetermined(gate)) = self.outcome() else { return false };
        finding.severity == Severity::Refusal && finding.gate == Some(gate)
    }

    /// 0 accepted, 1 refused, 2 could not tell.
    pub(super) fn code(&self) -> u8 {
        match self.outcome() {
            Outcome::Accepted => 0,
            Outcome::Refused(_) => 1,
            Outcome::Undetermined(_) => 2,
        }
    }

    /// Sets the gates of a side that nobody asked about aside.
    pub(super) fn without(&mut self, gates: &[Gate], reason: &'static str) {
        for (gate, status) in &mut self.gates {
            if gates.contains(gate) {
                *status = Status::NotApplicable(reason);
            }
        }
        self.findings.retain(|finding| finding.gate.is_none_or(|gate| !gates.contains(&gate)));
    }

    /// docker reads its files and makes no use of them: only that they can be read counts.
    pub(super) fn without_use_of_files(&mut self) {
        let is_moot = |finding: &Shown| {
            finding.gate == Some(Gate::ClientLoads)
                && finding.severity == Severity::Refusal
                && finding.id != Check::FileUnavailable.id()
        };
        self.findings.retain(|finding| !is_moot(finding));
        if self.refusals().any(|finding| finding.gate == Some(Gate::ClientLoads)) {
            return;
        }
        for (_, status) in self.gates.iter_mut().filter(|(gate, _)| *gate == Gate::ClientLoads) {
            *status = Status::Passed;
        }
    }

    /// The files of the side that stands in are those of the side that is there.
    fn all_of(&mut self, side: Side) {
        for finding in &mut self.findings {
            finding.side = finding.side.map(|_| side);
        }
    }

    /// A file that this program could not read is no file that Docker cannot.
    fn admit(&mut self, unknown: &[PathBuf]) {
        for finding in &self.findings {
            let ours = finding.id == Check::FileUnavailable.id()
                && finding.path.as_ref().is_some_and(|path| unknown.contains(path));
            if !ours {
                continue;
            }
            for (gate, status) in &mut self.gates {
                if Some(*gate) == finding.gate && *status == Status::Failed {
                    *status = Status::Skipped("the file could not be read here, and Docker may be able to");
                }
            }
        }
    }
}

/// The gates that depend on the client's own files, and on the daemon's.
pub(super) const CLIENTS_GATES: [Gate; 3] =
    [Gate::ClientLoads, Gate::ClientOffersCertificate, Gate::DaemonAcceptsClient];
pub(super) const DAEMONS_GATES: [Gate; 5] =
    [Gate::DaemonStarts, Gate::SameProtocol, Gate::Handshake, Gate::ClientReadsDaemon, Gate::ClientAcceptsDaemon];

impl Question<'_> {
    pub(super) fn ask(&self) -> Answer {
        let put = |daemon: &Held, client: &Held, client_mode: ClientMode| {
            let scenario = Scenario {
                client_mode,
                daemon_mode: self.daemon_mode,
                host: self.host.to_owned(),
                docker: self.docker,
                dockerd: self.dockerd,
                docker_roots: self.docker_roots.clone(),
                dockerd_roots: self.dockerd_roots.clone(),
            };
            let mut answer = Answer::of(&self.judge.verdict(&daemon.material, &client.material, &scenario, self.now));
            if !daemon.unknown.is_empty() || !client.unknown.is_empty() {
                answer.admit(&daemon.unknown);
                answer.admit(&client.unknown);
            }
            answer
        };
        let mut answer = match (self.daemon, self.client) {
            (Some(daemon), Some(client)) => put(daemon, client, self.client_mode),
            (Some(daemon), None) => {
                // The client is taken to trust what the daemon trusts. Where that is no file, it verifies nobody.
                let knows_ca = daemon.material.ca.bytes().is_some();
                let mode = if knows_ca { ClientMode::TlsVerify } else { ClientMode::Tls };
                let mut answer = put(daemon, &Held::stand_in(&daemon.material.ca), mode);
                answer.findings.retain(|finding| finding.id != Check::DaemonNotVerified.id());
                answer.all_of(Side::Daemon);
                answer.without(&CLIENTS_GATES, "the daemon is judged alone");
                if !self.daemon_mode.uses_tls() {
                    answer.without(&[Gate::SameProtocol], "the daemon is judged alone");
                }
                answer
            }
            (None, Some(client)) => {
                let mut answer = put(&Held::stand_in(&client.material.ca), client, self.client_mode);
                answer.without(&DAEMONS_GATES, "the client is judged alone");
                answer.all_of(Side::Client);
                if self.client_mode == ClientMode::None {
                    answer.without(&CLIENTS_GATES, "there is no TLS handshake");
                } else if client.trusts_the_system() {
                    let unknown = "the client is judged alone, and names no CA that its daemon may trust as well";
                    answer.without(&[Gate::ClientOffersCertificate, Gate::DaemonAcceptsClient], unknown);
                }
                answer
            }
            (None, None) => {
                let absent = Held::stand_in(&dockseal_verify::MaterialFile::not_named());
                put(&absent, &absent, self.client_mode)
            }
        };
        self.name_the_hosts(&mut answer);
        for (side, held) in self.sides() {
            if let Some((path, mode)) = &held.loose_key {
                let text = format!("{} has mode {mode:04o}: others than its owner may read it", path.display());
                let mut shown = Shown::note(Note::KeyReadable, None, text);
                shown.side = Some(side);
                shown.path = Some(path.clone());
                shown.file = Some(FileKind::Key);
                answer.findings.push(shown);
            }
        }
        answer
    }

    /// What is dialled and what the certificate has instead.
    fn name_the_hosts(&self, answer: &mut Answer) {
        let Some(mismatch) = answer.findings.iter_mut().find(|finding| finding.id == Check::HostMismatch.id()) else {
            return;
        };
        let leaf = self.daemon.and_then(Held::leaf);
        let names = leaf.iter().flat_map(|leaf| &leaf.names).filter_map(|name| match name {
            GeneralName::Dns(name) => Some(name.clone()),
            GeneralName::Ip(address) => Some(address.to_string()),
            _ => None,
        });
        let names: Vec<String> = names.collect();
        let shown = names.iter().take(MOST_NAMES).cloned().collect::<Vec<_>>().join(", ");
        mismatch.text.push_str(&match names.len().saturating_sub(MOST_NAMES) {
            0 if names.is_empty() => format!(": {} is dialled, and the certificate names no host", self.host),
            0 => format!(": {} is dialled, and the certificate is for {shown}", self.host),
            more => format!(": {} is dialled, and the certificate is for {shown} and {more} more", self.host),
        });
    }

    /// Says in which form a file is that Docker does not read, and what mends it.
    pub(super) fn name_the_forms(&self, answer: &mut Answer, invocation: &Invocation) {
        for (side, held) in self.sides() {
            let go = self.go_of(side);
            let mut named = Vec::new();
            for finding in answer.findings.iter_mut().filter(|finding| finding.severity == Severity::Refusal) {
                let file = finding.file.filter(|_| finding.side == Some(side));
                let within = self.files_at(finding.gate, side);
                let Some((kind, form)) = unread::reason(finding.id, file, within, &held.material, go) else { continue };
                let path = &held.material.file(kind).provenance.path;
                let what = if finding.path.as_ref() == Some(path) { "it".to_owned() } else { show::path(path) };
                finding.text.push_str(&format!(": {what} {form}"));
                finding.remedy = unread::remedy(&held.material, invocation).into();
                named.push(kind);
            }
            for kind in [FileKind::Ca, FileKind::Cert].into_iter().filter(|kind| !named.contains(kind)) {
                let file = held.material.file(kind);
                let form = file.bytes().and_then(|bytes| unread::form_that_hides_certificates(bytes, go));
                answer.findings.extend(form.map(|form| {
                    let remedy = unread::remedy(&held.material, invocation);
                    let text = format!("it {form}, so Docker overlooks a certificate in it");
                    let mut shown = Shown::note(Note::CertificateOverlooked, None, text);
                    (shown.side, shown.file, shown.path) = (Some(side), Some(kind), Some(file.provenance.path.clone()));
                    shown.remedy = remedy.into();
                    shown
                }));
            }
        }
    }

    /// The files of a side that a chain is looked for in: each trusts its own CA file, and that of one alone stands for
    /// both.
    fn files_at(&self, gate: Option<Gate>, side: Side) -> &'static [FileKind] {
        const BOTH: &[FileKind] = &[FileKind::Ca, FileKind::Cert];
        let is_judged = match gate {
            Some(Gate::ClientAcceptsDaemon | Gate::DaemonStarts) => side == Side::Daemon,
            Some(Gate::ClientOffersCertificate | Gate::DaemonAcceptsClient | Gate::ClientLoads) => side == Side::Client,
            _ => return BOTH,
        };
        match (self.daemon.is_some() && self.client.is_some(), is_judged) {
            (false, _) => BOTH,
            (true, true) => &[FileKind::Cert],
            (true, false) => &[FileKind::Ca],
        }
    }

    /// The Go of a side's program.
    fn go_of(&self, side: Side) -> Go {
        match side {
            Side::Daemon => self.dockerd.dockerd_go(),
            Side::Client => self.docker.docker_go(),
        }
    }

    fn sides(&self) -> impl Iterator<Item = (Side, &Held)> {
        let sides = [(Side::Daemon, self.daemon), (Side::Client, self.client)];
        sides.into_iter().filter_map(|(side, held)| Some((side, held?)))
    }

    /// Adds what is said of the material once, whatever the modes and versions.
    pub(super) fn note_permissions(&self, answer: &mut Answer) {
        for (side, held) in self.sides() {
            answer.findings.extend(permissions::world_writable(side, &held.material));
        }
    }

    /// Other versions whose answer differs, and that answer: each side's varies by itself.
    fn other_versions(&self, answer: &Answer, ask: impl Fn(&Self) -> Answer) -> Vec<(Version, Version, Answer)> {
        let mut others = Vec::new();
        for version in Version::ALL {
            for (docker, dockerd) in [(version, self.dockerd), (self.docker, version)] {
                if (docker, dockerd) == (self.docker, self.dockerd) {
                    continue;
                }
                let other = ask(&Self { docker, dockerd, ..*self });
                if other.outcome() != answer.outcome() {
                    others.push((docker, dockerd, other));
                }
            }
        }
        others
    }

    /// Adds a finding for every release whose answer is another; those answers come back.
    pub(super) fn note_other_versions(
        &self,
        answer: &mut Answer,
        ask: impl Fn(&Self) -> Answer,
    ) -> Vec<(Version, Version, Answer)> {
        let others = self.other_versions(answer, ask);
        for (docker, dockerd, other) in &others {
            let program =
                if *docker == self.docker { format!("dockerd {dockerd}") } else { format!("docker {docker}") };
            let checks = other.deciding_checks();
            let because = if checks.is_empty() { String::new() } else { format!(" ({})", checks.join(", ")) };
            let text =
                format!("with {program} the answer is another: {}{because}", show::outcome_words(other.outcome()));
            answer.findings.push(Shown::note(Note::VersionDependent, None, text));
        }
        others
    }
}
