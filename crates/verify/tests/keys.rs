//! RSA keys whose numbers disagree with one another, held against what docker and dockerd said to them.

use std::path::PathBuf;

use dockseal_docker::gate::Gate;
use dockseal_docker::version::Version;
use dockseal_verify::{Check, Material, Scenario, Side, judge};
use time::OffsetDateTime;
use time::macros::datetime;

const NOW: OffsetDateTime = datetime!(2026-11-24 12:00 UTC);

fn file(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/rsa-keys").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(!text.is_empty(), "{} cannot be read", path.display());
    text
}

/// Whether a side loads this key, in this version.
fn loads(key: &str, side: Side, version: Version) -> bool {
    let certificate = file("cert.pem");
    let material = Material::from_bytes("", certificate.as_str(), certificate.as_str(), file(&format!("{key}.pem")));
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
    let outcomes = file("outcomes.tsv");
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
