//! RSA keys whose numbers disagree with one another, held against what docker and dockerd said to them.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::collections::HashMap;
use std::io::Read as _;

use dockseal_docker::gate::Gate;
use dockseal_docker::version::Version;
use dockseal_verify::{Check, Material, Scenario, Side, judge};
use time::OffsetDateTime;
use time::macros::datetime;

const NOW: OffsetDateTime = datetime!(2026-11-24 12:00 UTC);

/// cert.pem, and each key under the name that it has in the table.
fn files() -> HashMap<String, String> {
    let archive = std::fs::File::open(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/rsa-keys.tar.gz")).unwrap();
    let mut files = HashMap::new();
    for entry in tar::Archive::new(flate2::read::GzDecoder::new(archive)).entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().file_stem().unwrap().to_str().unwrap().to_owned();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        files.insert(name, text);
    }
    files
}

/// Whether a side loads this key, in this version.
fn loads(files: &HashMap<String, String>, key: &str, side: Side, version: Version) -> bool {
    let certificate = files["cert"].as_str();
    let material = Material::from_bytes("", certificate, certificate, files[key].as_str());
    let verdict = judge(&material, &material, &Scenario::mutual("crt").between(version, version), NOW);
    let gate = match side {
        Side::Daemon => Gate::DaemonStarts,
        Side::Client => Gate::ClientLoads,
    };
    let refusals: Vec<Check> =
        verdict.refusals().filter(|finding| finding.gate == Some(gate)).map(|finding| finding.check).collect();
    assert!(refusals.is_empty() || refusals == [Check::KeyUnparsable], "{key}: {refusals:?}");
    refusals.is_empty()
}

#[test]
fn rsa_keys_load_where_docker_loads_them() {
    let (files, outcomes) = (files(), include_str!("rsa-keys.tsv"));
    let loads = |key, side, version| loads(&files, key, side, version);
    let rows: Vec<Vec<&str>> =
        outcomes.lines().filter(|line| !line.starts_with('#')).skip(1).map(|line| line.split('\t').collect()).collect();
    assert_eq!(rows.len(), 13);
    for row in rows {
        let [key, docker_28, docker_20, dockerd_20, strict] = row[..] else { panic!("{row:?}") };
        assert_eq!(loads(key, Side::Client, Version::V28), docker_28 == "loaded", "docker 28 {key}");
        assert_eq!(loads(key, Side::Client, Version::V20_10), docker_20 == "loaded", "docker 20.10 {key}");
        assert_eq!(loads(key, Side::Daemon, Version::V20_10), dockerd_20 == "loaded", "dockerd 20.10 {key}");
        // Go 1.26 holds d against the others as well (crypto/internal/fips140/rsa `checkPrivateKey`), 1.24 does not.
        assert_eq!(loads(key, Side::Daemon, Version::V29), strict == "loaded" && key != "wrong-d", "dockerd 29 {key}");
    }
}
