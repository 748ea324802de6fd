//! The judge against what real docker and dockerd did, recorded on 2026-11-23.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::collections::HashMap;
use std::io::Read as _;
use std::path::Path;

use dockseal_docker::gate::Gate;
use dockseal_docker::mode::{ClientMode, DaemonMode};
use dockseal_verify::{Designation, FileKind, Material, MaterialFile, Outcome, Scenario, judge};
use time::macros::datetime;

const RECORDED_AT: time::OffsetDateTime = datetime!(2026-11-23 18:00 UTC);

type Files = HashMap<String, Vec<u8>>;

fn materials() -> Files {
    let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/docker-truth/materials.tar.gz");
    let mut files = Files::new();
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(
        std::fs::File::open(archive).unwrap(),
    ));
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_str().unwrap().to_owned();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        files.insert(path, bytes);
    }
    files
}

fn side(files: &Files, scenario: &str, side: &str, designation: Designation) -> Material {
    let file = |kind: FileKind| {
        let path = format!("materials/{scenario}/{side}/{}", kind.default_name());
        match files.get(&path) {
            Some(bytes) => MaterialFile::from_bytes(path, designation, bytes.clone()),
            None => MaterialFile::missing(path, designation),
        }
    };
    Material {
        ca: file(FileKind::Ca),
        cert: file(FileKind::Cert),
        key: file(FileKind::Key),
    }
}

/// The recorder's word for an outcome.
fn word(outcome: Outcome, client: ClientMode) -> String {
    match outcome {
        Outcome::Accepted => "ok".into(),
        Outcome::Refused(gate) => match gate {
            Gate::DaemonStarts => "daemon-start",
            Gate::ClientLoads => "client-config",
            Gate::SameProtocol if client.uses_tls() => "tls-to-plain-http",
            Gate::SameProtocol => "plain-http-to-tls",
            Gate::Handshake => "handshake",
            Gate::ClientReadsDaemon | Gate::ClientAcceptsDaemon => "client-verify",
            Gate::ClientOffersCertificate | Gate::DaemonAcceptsClient => "daemon-verify",
        }
        .into(),
        Outcome::Undetermined(gate) => format!("undetermined at {gate}"),
    }
}

#[test]
fn agrees_with_every_recorded_outcome() {
    let files = materials();
    let table = include_str!("docker-truth/outcomes.tsv");
    let mut judged = 0;
    let mut disagreements = Vec::new();
    for line in table.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split('\t').collect();
        let [
            scenario,
            host,
            client_mode,
            daemon_mode,
            docker,
            dockerd,
            outcome,
        ] = fields.as_slice()
        else {
            panic!("{line}")
        };
        let (mode, designation) = match *client_mode {
            "none" => (ClientMode::None, Designation::Named),
            "tls" => (ClientMode::Tls, Designation::Named),
            "tls+cert" | "context-skip" => (ClientMode::TlsCert, Designation::Named),
            "verify" => (ClientMode::TlsVerify, Designation::Named),
            "verify+cert" | "context-verify" => (ClientMode::TlsVerifyCert, Designation::Named),
            "env-tls" => (ClientMode::TlsCert, Designation::Default),
            "env-verify" => (ClientMode::TlsVerifyCert, Designation::Default),
            // The daemon's start alone.
            "-" => (ClientMode::None, Designation::Named),
            _ => panic!("{line}"),
        };
        let daemon_mode = match *daemon_mode {
            "verify" => DaemonMode::TlsVerify,
            "tls" => DaemonMode::Tls,
            "noverify" => DaemonMode::TlsVerifyFalse,
            _ => panic!("{line}"),
        };
        let question = Scenario::mutual(*host)
            .in_modes(mode, daemon_mode)
            .between(docker.parse().unwrap_or_default(), dockerd.parse().unwrap());
        let daemon = side(&files, scenario, "daemon", Designation::Named);
        let client = side(&files, scenario, "client", designation);
        let verdict = judge(&daemon, &client, &question, RECORDED_AT);
        judged += 1;
        let predicted = word(verdict.outcome(), mode);
        if predicted != *outcome {
            disagreements.push(format!(
                "{line}: predicted {predicted}: {:?}",
                verdict
                    .refusals()
                    .map(|finding| &finding.text)
                    .collect::<Vec<_>>()
            ));
        }
    }
    assert_eq!(judged, 1550);
    assert!(
        disagreements.is_empty(),
        "{} of {judged} disagree:\n{}",
        disagreements.len(),
        disagreements.join("\n")
    );
}
