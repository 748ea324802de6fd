//! The judge against what docker and dockerd built with Go 1.27 would do: `tests/oracles/go/record.py` recorded it with
//! Go itself, for there is no such docker yet.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::collections::HashMap;
use std::io::Read as _;

use dockseal_docker::mode::{ClientMode, DaemonMode};
use dockseal_docker::version::Version;
use dockseal_verify::{Designation, FileKind, Judge, Material, MaterialFile, Scenario};
use time::OffsetDateTime;
use time::macros::datetime;

#[path = "recorded/mod.rs"]
#[allow(dead_code, reason = "the words alone are of use here")]
mod recorded;

/// When Go was asked.
const AT: OffsetDateTime = datetime!(2026-11-27 19:30 UTC);

type Files = HashMap<String, MaterialFile>;

/// Every recorded file by its path in the archive, as a program that is told of it finds it.
fn materials() -> Files {
    let mut archive = Vec::new();
    lzma_rs::xz_decompress(&mut include_bytes!("go-truth/materials.tar.xz").as_slice(), &mut archive).unwrap();
    let mut files = HashMap::new();
    for entry in tar::Archive::new(archive.as_slice()).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_str().unwrap().trim_start_matches("./").to_owned();
        let mut bytes = Vec::new();
        let _ = entry.read_to_end(&mut bytes).unwrap();
        let _ = files.insert(path.clone(), MaterialFile::from_bytes(path, Designation::Named, bytes));
    }
    files
}

fn side(files: &Files, scenario: &str, side: &str, designation: Designation) -> Material {
    let file = |kind: FileKind| {
        let path = format!("{scenario}/{side}/{}", kind.default_name());
        let mut file = files.get(&path).cloned().unwrap_or_else(|| MaterialFile::missing(&path, designation));
        file.provenance.designation = designation;
        file
    };
    Material { ca: file(FileKind::Ca), cert: file(FileKind::Cert), key: file(FileKind::Key) }
}

/// Go 1.26 is what docker 29 is built with.
fn version(go: &str) -> Version {
    if go.starts_with("go1.26.") { Version::V29 } else { go.parse().unwrap_or_default() }
}

#[test]
fn agrees_with_every_recorded_outcome() {
    let files = materials();
    let mut judged = 0;
    let mut disagreements = Vec::new();
    for line in include_str!("go-truth/outcomes.tsv").lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split('\t').collect();
        let [scenario, host, client_mode, daemon_mode, docker, dockerd, outcome] = fields.as_slice() else {
            panic!("{line}")
        };
        let (mode, designation) = match *client_mode {
            "none" | "-" => (ClientMode::None, Designation::Named),
            "tls" => (ClientMode::Tls, Designation::Named),
            "tls+cert" => (ClientMode::TlsCert, Designation::Named),
            "verify" => (ClientMode::TlsVerify, Designation::Named),
            "verify+cert" => (ClientMode::TlsVerifyCert, Designation::Named),
            "env-tls" => (ClientMode::TlsCert, Designation::Default),
            "env-verify" => (ClientMode::TlsVerifyCert, Designation::Default),
            _ => panic!("{line}"),
        };
        let daemon_mode = match *daemon_mode {
            "none" => DaemonMode::None,
            "verify" => DaemonMode::TlsVerify,
            "tls" => DaemonMode::Tls,
            "noverify" => DaemonMode::TlsVerifyFalse,
            _ => panic!("{line}"),
        };
        let question = Scenario::mutual(*host).in_modes(mode, daemon_mode).between(version(docker), version(dockerd));
        let daemon = side(&files, scenario, "daemon", Designation::Named);
        let client = side(&files, scenario, "client", designation);
        let verdict = Judge::default().verdict(&daemon, &client, &question, AT);
        judged += 1;
        let predicted = recorded::word(&verdict);
        if predicted != *outcome {
            let texts: Vec<_> = verdict.refusals().map(|finding| &finding.text).collect();
            disagreements.push(format!("{line}: predicted {predicted}: {texts:?}"));
        }
    }
    assert!(judged >= 2300, "only {judged}");
    assert!(disagreements.is_empty(), "{} of {judged} disagree:\n{}", disagreements.len(), disagreements.join("\n"));
}
