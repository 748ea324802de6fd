//! Which crate may depend on which: know, do, speak.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// Every crate and the crates of ours that it may name, tests aside.
///
/// Those who know: pki, then docker on it. Those who do (ca, verify, store, inventory, probe, remote, audit) see the
/// knowers and never each other, so that the judge cannot hide a bug of the issuer. The one who conducts (lifecycle) sees
/// doers; only the one who speaks sees all.
const ALLOWED: [(&str, &[&str]); 11] = [
    ("dockseal-pki", &[]),
    ("dockseal-docker", &["dockseal-pki"]),
    ("dockseal-ca", &["dockseal-docker", "dockseal-pki"]),
    ("dockseal-verify", &["dockseal-docker", "dockseal-pki"]),
    ("dockseal-probe", &["dockseal-docker", "dockseal-pki"]),
    ("dockseal-remote", &["dockseal-docker", "dockseal-pki"]),
    ("dockseal-store", &["dockseal-docker", "dockseal-pki"]),
    ("dockseal-audit", &["dockseal-docker", "dockseal-pki"]),
    ("dockseal-inventory", &["dockseal-docker", "dockseal-pki"]),
    (
        "dockseal-lifecycle",
        &["dockseal-ca", "dockseal-docker", "dockseal-inventory", "dockseal-pki", "dockseal-store", "dockseal-verify"],
    ),
    (
        "dockseal-cli",
        &[
            "dockseal-audit",
            "dockseal-ca",
            "dockseal-docker",
            "dockseal-inventory",
            "dockseal-lifecycle",
            "dockseal-pki",
            "dockseal-probe",
            "dockseal-remote",
            "dockseal-store",
            "dockseal-verify",
        ],
    ),
];

/// Packages that stand outside the house and may look at any of its library crates.
const OUTSIDE: [&str; 2] = ["dockseal-examples", "dockseal-tests"];

fn packages() -> Vec<Value> {
    let out = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(dockseal_tests::repository())
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let metadata: Value = serde_json::from_slice(&out.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

/// What each package depends on: normal and build dependencies, then development ones.
fn dependencies() -> BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)> {
    packages()
        .iter()
        .map(|package| {
            let mut named = (BTreeSet::new(), BTreeSet::new());
            for dependency in package["dependencies"].as_array().unwrap() {
                let name = dependency["name"].as_str().unwrap().to_owned();
                if dependency["kind"] == "dev" {
                    named.1.insert(name)
                } else {
                    named.0.insert(name)
                };
            }
            (package["name"].as_str().unwrap().to_owned(), named)
        })
        .collect()
}

#[test]
fn crates_see_only_whom_they_may() {
    let dependencies = dependencies();
    let known: BTreeSet<&str> = ALLOWED.iter().map(|(name, _)| *name).chain(OUTSIDE).collect();
    let there: BTreeSet<&str> = dependencies.keys().map(String::as_str).collect();
    assert_eq!(there, known, "a new crate needs its place in this table");
    for (name, allowed) in ALLOWED {
        let ours: BTreeSet<&str> =
            dependencies[name].0.iter().map(String::as_str).filter(|name| name.starts_with("dockseal-")).collect();
        let allowed: BTreeSet<&str> = allowed.iter().copied().collect();
        let strangers: Vec<_> = ours.difference(&allowed).collect();
        assert!(strangers.is_empty(), "{name} may not depend on {strangers:?}");
    }
}

/// The judge is not tested with the issuer's help only: knowers have no doer even in tests.
#[test]
fn knowers_are_tested_alone() {
    let dependencies = dependencies();
    for name in ["dockseal-pki", "dockseal-docker"] {
        let doers: Vec<_> = dependencies[name].1.iter().filter(|name| name.starts_with("dockseal-")).collect();
        assert!(doers.iter().all(|name| *name == "dockseal-pki"), "{name} is tested with {doers:?}");
    }
}

/// rcgen is a detail of the issuer, SQLite one of who remembers; a terminal library is one of the speaker.
#[test]
fn details_stay_private() {
    for (detail, owners) in
        [("rcgen", &["dockseal-ca"][..]), ("rusqlite", &["dockseal-inventory"]), ("clap", &["dockseal-cli"])]
    {
        for (name, (normal, _)) in dependencies() {
            let outside = OUTSIDE.contains(&name.as_str());
            assert!(
                outside || !normal.contains(detail) || owners.contains(&name.as_str()),
                "{name} depends on {detail}"
            );
        }
    }
}

/// The use-cases run without a terminal: they ask nobody, and give nothing in words or JSON.
#[test]
fn use_cases_are_silent() {
    let dependencies = dependencies();
    for speech in ["clap", "rpassword", "serde_json", "nix"] {
        assert!(!dependencies["dockseal-lifecycle"].0.contains(speech), "dockseal-lifecycle depends on {speech}");
    }
}

/// Every crate states the licence, edition and rust-version, and inherits the lints.
#[test]
fn manifests_inherit() {
    let top = dockseal_tests::repository();
    for package in packages() {
        let name = package["name"].as_str().unwrap();
        assert_eq!(package["license"], "Apache-2.0", "{name}");
        assert_eq!(package["edition"], "2024", "{name}");
        assert!(package["rust_version"].is_string(), "{name}");
        let manifest = std::fs::read_to_string(package["manifest_path"].as_str().unwrap()).unwrap();
        assert!(manifest.contains("[lints]\nworkspace = true"), "{name} does not inherit the lints");
    }
    let workspace = std::fs::read_to_string(top.join("Cargo.toml")).unwrap();
    assert!(workspace.contains("unsafe_code = \"forbid\""));
    assert!(std::fs::read_to_string(top.join("LICENSE")).unwrap().contains("Apache License"));
}
