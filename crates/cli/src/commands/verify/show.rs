//! Answers as text and as JSON.

use std::path::Path;

use dockseal_docker::{gate::Gate, version::Version};
use dockseal_pki::printable;
use dockseal_verify::{FileKind, Outcome, Severity, Side, Status};
use serde_json::{Value, json};

use super::{
    answer::{Answer, Shown},
    sides::Said,
};

/// A path may hold anything but NUL.
pub(super) fn path(path: &Path) -> String {
    printable(&path.to_string_lossy())
}

pub(super) fn outcome_words(outcome: Outcome) -> String {
    match outcome {
        Outcome::Accepted => "accepted".to_owned(),
        Outcome::Refused(gate) => format!("refused: {}", what_fails(gate)),
        Outcome::Undetermined(gate) => format!("cannot tell whether {}", what_passes(gate)),
    }
}

pub(super) const fn what_fails(gate: Gate) -> &'static str {
    match gate {
        Gate::DaemonStarts => "dockerd does not start",
        Gate::ClientLoads => "docker does not load its files",
        Gate::SameProtocol => "one side speaks TLS and the other plain HTTP",
        Gate::Handshake => "the TLS handshake fails",
        Gate::ClientReadsDaemon => "docker cannot read the daemon's certificates",
        Gate::ClientAcceptsDaemon => "docker rejects the daemon",
        Gate::ClientOffersCertificate => "docker shows no certificate",
        Gate::DaemonAcceptsClient => "dockerd rejects the client",
    }
}

const fn what_passes(gate: Gate) -> &'static str {
    match gate {
        Gate::DaemonStarts => "dockerd starts",
        Gate::ClientLoads => "docker loads its files",
        Gate::SameProtocol => "both sides speak the same protocol",
        Gate::Handshake => "the TLS handshake succeeds",
        Gate::ClientReadsDaemon => "docker can read the daemon's certificates",
        Gate::ClientAcceptsDaemon => "docker accepts the daemon",
        Gate::ClientOffersCertificate => "docker shows its certificate",
        Gate::DaemonAcceptsClient => "dockerd accepts the client",
    }
}

/// A program of Docker's, its release and its mode.
pub(super) fn program(name: &str, version: Version, mode: &str) -> String {
    match mode {
        "none" => format!("{name} {version} without TLS"),
        mode => format!("{name} {version} {mode}"),
    }
}

/// Short enough for a table's cell.
pub(super) fn cell(answer: &Answer) -> String {
    match answer.outcome() {
        Outcome::Accepted if !answer.is_encrypted() => "plain HTTP".to_owned(),
        Outcome::Accepted => match (answer.authenticates_daemon(), answer.authenticates_client()) {
            (true, true) => "mutual".to_owned(),
            (true, false) => "daemon verified".to_owned(),
            (false, true) => "client verified".to_owned(),
            (false, false) => "encrypted only".to_owned(),
        },
        Outcome::Undetermined(_) => "unknown".to_owned(),
        Outcome::Refused(gate) => match gate {
            Gate::DaemonStarts => "no: daemon's files",
            Gate::ClientLoads => "no: client's files",
            Gate::SameProtocol => "no: TLS vs plain",
            Gate::Handshake | Gate::ClientReadsDaemon => "no: handshake",
            Gate::ClientAcceptsDaemon => "no: daemon rejected",
            Gate::ClientOffersCertificate => "no: no client cert",
            Gate::DaemonAcceptsClient => "no: client rejected",
        }
        .to_owned(),
    }
}

/// What is refused and why, then what works and could be better.
pub(super) fn findings(findings: &[Shown]) -> String {
    let mut text = String::new();
    let of = |severity: Severity| findings.iter().filter(move |finding| finding.severity == severity);
    for finding in of(Severity::Refusal) {
        text.push_str(&format!("\n  {}: {}\n", finding.id, printable(&finding.text)));
        text.push_str(&place(finding));
        text.push_str(&format!("    do:   {}\n", finding.remedy));
    }
    let mut rest = of(Severity::Warning).chain(of(Severity::Advice)).peekable();
    if rest.peek().is_some() {
        text.push_str("\nWorth knowing, whatever the verdict; dockseal explain CHECK says what to do:\n");
    }
    for finding in rest {
        let word = finding.severity.name();
        text.push_str(&format!("  {word} {}: {}\n", finding.id, printable(&finding.text)));
        text.push_str(&place(finding));
    }
    text
}

fn place(finding: &Shown) -> String {
    let Some(file) = &finding.path else {
        // The empty path: say at least which file it would have been.
        return match (finding.side, finding.file) {
            (Some(side), Some(file)) => format!("    file: the {}'s {}\n", side_word(side), file.default_name()),
            _ => String::new(),
        };
    };
    let offset = finding.offset.filter(|offset| *offset > 0).map(|offset| format!(", byte {offset}"));
    format!("    file: {}{}\n", path(file), offset.unwrap_or_default())
}

const fn side_word(side: Side) -> &'static str {
    match side {
        Side::Daemon => "daemon",
        Side::Client => "client",
    }
}

/// Which settings decide.
pub(super) fn said(said: &Said) -> String {
    let mut text = format!("{}\n", printable(&said.headline));
    let width = said.decided.iter().chain(&said.ignored).map(|setting| setting.name.chars().count()).max().unwrap_or(0);
    for setting in &said.decided {
        text.push_str(&format!("  {:width$}  {}\n", printable(&setting.name), setting.effect));
    }
    for setting in &said.ignored {
        text.push_str(&format!("  {:width$}  passed over: {}\n", printable(&setting.name), setting.effect));
    }
    for trouble in &said.trouble {
        text.push_str(&format!("  passed over: {}\n", printable(trouble)));
    }
    text
}

pub(super) fn said_wire(said: &Said) -> Value {
    let settings = |settings: &[dockseal_docker::settings::Setting]| -> Value {
        settings.iter().map(|setting| json!({ "setting": setting.name, "effect": setting.effect })).collect()
    };
    json!({
        "endpoints": said.endpoints.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "decided": settings(&said.decided),
        "passed_over": settings(&said.ignored),
        "trouble": said.trouble,
    })
}

/// An answer's own fields; the caller adds what the question was.
pub(super) fn answer_wire(answer: &Answer) -> Value {
    let gates: Vec<Value> = answer
        .gates
        .iter()
        .map(|(gate, status)| {
            let (word, reason) = match status {
                Status::Passed => ("passed", None),
                Status::Failed => ("failed", None),
                Status::NotApplicable(reason) => ("not-applicable", Some(reason)),
                Status::Skipped(reason) => ("skipped", Some(reason)),
            };
            json!({ "gate": gate.name(), "status": word, "reason": reason })
        })
        .collect();
    let mut wire = summary_wire(answer);
    wire["gates"] = gates.into();
    wire["findings"] = answer.findings.iter().map(finding_wire).collect();
    wire
}

/// Names the releases, and those whose answers are known from Go alone.
pub(super) fn releases_wire(wire: &mut Value, docker: Version, dockerd: Version) {
    wire["docker"] = json!(docker.word());
    wire["dockerd"] = json!(dockerd.word());
    wire["docker_is_from_go_alone"] = json!(docker.is_from_go_alone());
    wire["dockerd_is_from_go_alone"] = json!(dockerd.is_from_go_alone());
}

pub(super) fn summary_wire(answer: &Answer) -> Value {
    let (outcome, gate) = match answer.outcome() {
        Outcome::Accepted => ("accepted", None),
        Outcome::Refused(gate) => ("refused", Some(gate.name())),
        Outcome::Undetermined(gate) => ("undetermined", Some(gate.name())),
    };
    json!({
        "outcome": outcome,
        "gate": gate,
        "checks": answer.deciding_checks(),
        "client_uses_tls": answer.client_uses_tls,
        "encrypted": answer.is_encrypted(),
        "daemon_authenticated": answer.authenticates_daemon(),
        "client_authenticated": answer.authenticates_client(),
    })
}

fn finding_wire(finding: &Shown) -> Value {
    json!({
        "check": finding.id,
        "status": if finding.severity == Severity::Refusal { "failed" } else { "passed" },
        "severity": finding.severity.name(),
        "gate": finding.gate.map(Gate::name),
        "side": finding.side.map(side_word),
        "file": finding.file.map(|file| match file {
            FileKind::Ca => "ca", FileKind::Cert => "cert", FileKind::Key => "key",
        }),
        "path": finding.path.as_ref().map(|path| path.to_string_lossy()),
        "offset": finding.offset,
        "text": finding.text,
        "remedy": finding.remedy,
        "explain": finding.id,
    })
}
