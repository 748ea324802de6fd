//! The judge against what real docker and dockerd did, recorded on 2026-11-23.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::collections::HashMap;

use dockseal_docker::mode::{ClientMode, DaemonMode};
use dockseal_verify::{Designation, FileKind, Material, MaterialFile, Scenario, judge};
mod recorded;

type Files = HashMap<String, Vec<u8>>;

fn side(files: &Files, scenario: &str, side: &str, designation: Designation) -> Material {
    let file = |kind: FileKind| {
        let path = format!("materials/{scenario}/{side}/{}", kind.default_name());
        match files.get(&path) {
            Some(bytes) => MaterialFile::from_bytes(path, designation, bytes.clone()),
            None => MaterialFile::missing(path, designation),
        }
    };
    Material { ca: file(FileKind::Ca), cert: file(FileKind::Cert), key: file(FileKind::Key) }
}

#[test]
fn agrees_with_every_recorded_outcome() {
    let files = recorded::materials();
    let table = include_str!("docker-truth/outcomes.tsv");
    let mut judged = 0;
    let mut disagreements = Vec::new();
    for line in table.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split('\t').collect();
        let [scenario, host, client_mode, daemon_mode, docker, dockerd, outcome] = fields.as_slice() else {
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
        let verdict = judge(&daemon, &client, &question, recorded::AT);
        judged += 1;
        let predicted = recorded::word(&verdict);
        if predicted != *outcome {
            disagreements.push(format!(
                "{line}: predicted {predicted}: {:?}",
                verdict.refusals().map(|finding| &finding.text).collect::<Vec<_>>()
            ));
        }
    }
    assert_eq!(judged, 1550);
    assert!(disagreements.is_empty(), "{} of {judged} disagree:\n{}", disagreements.len(), disagreements.join("\n"));
}

#[test]
fn an_rsa_key_must_be_the_one_of_the_certificate() {
    let files = recorded::materials();
    let mut daemon = side(&files, "key-rsa4096", "daemon", Designation::Named);
    let client = side(&files, "key-rsa4096", "client", Designation::Named);
    daemon.key = client.key.clone();
    let question = Scenario::mutual("127.0.0.1");
    let verdict = judge(&daemon, &client, &question, recorded::AT);
    assert_eq!(recorded::word(&verdict), "daemon-start");
}
