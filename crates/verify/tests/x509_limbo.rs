//! The judge against Docker's own answers to the cases of x509-limbo.
//!
//! The suite is another project's data and stays out of this repository: it is read from the folder that
//! DOCKSEAL_LIMBO names, or from ../shared/data beside the repository.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

use dockseal_docker::version::Version;
use dockseal_verify::{Purpose, judge_chain};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::datetime;

/// When Docker's answers were taken; cases without a time of their own were judged at this one.
const RECORDED_AT: OffsetDateTime = datetime!(2026-11-23 18:00 UTC);

#[expect(clippy::disallowed_methods, reason = "a test may read its environment")]
fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).map(PathBuf::from)
}

/// The suite's folder; where there is none that is said aloud and counted, and fails where skipping is forbidden.
fn data() -> Option<PathBuf> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let folder = variable("DOCKSEAL_LIMBO").unwrap_or(beside);
    if folder.join("limbo.json.xz").is_file() {
        return Some(folder);
    }
    let message = format!("SKIPPED x509-limbo: it is not at {}; DOCKSEAL_LIMBO names its folder\n", folder.display());
    assert!(variable("DOCKSEAL_NO_SKIP").is_none(), "{message}");
    // Past the test runner's capture, and into the list that tests/run counts.
    let _ = std::io::stderr().write_all(message.as_bytes());
    if let Some(log) = variable("DOCKSEAL_SKIP_LOG") {
        let log = OpenOptions::new().append(true).create(true).open(log);
        let logged = log.and_then(|mut log| log.write_all(message.as_bytes()));
        assert!(logged.is_ok(), "{logged:?}");
    }
    None
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn joined(values: &Value) -> String {
    values.as_array().into_iter().flatten().map(|pem| format!("{}\n", text(pem))).collect()
}

#[test]
fn agrees_with_docker_on_every_case() {
    let Some(folder) = data() else { return };
    let mut json = Vec::new();
    let compressed = std::fs::read(folder.join("limbo.json.xz")).unwrap();
    lzma_rs::xz_decompress(&mut compressed.as_slice(), &mut json).unwrap();
    let suite: Value = serde_json::from_slice(&json).unwrap();
    let cases: HashMap<&str, &Value> =
        suite["testcases"].as_array().unwrap().iter().map(|case| (text(&case["id"]), case)).collect();

    let answers = std::fs::read_to_string(folder.join("limbo-docker.jsonl")).unwrap();
    let mut judged = 0;
    let mut disagreements = Vec::new();
    for line in answers.lines() {
        let answer: Value = serde_json::from_str(line).unwrap();
        let id = text(&answer["id"]);
        let case = cases[id.strip_suffix("::as-client").unwrap_or(id)];
        let as_client = id.ends_with("::as-client") || text(&case["validation_kind"]) == "CLIENT";
        let purpose = if as_client { Purpose::Client } else { Purpose::Server };
        let host = text(&case["expected_peer_name"]["value"]);
        let host = (!as_client && !host.is_empty()).then_some(host);
        let now =
            case["validation_time"].as_str().map_or(RECORDED_AT, |at| OffsetDateTime::parse(at, &Rfc3339).unwrap());
        // The recorder's clock had whole seconds.
        let now = now.replace_nanosecond(0).unwrap();
        let chain = format!("{}\n{}", text(&case["peer_certificate"]), joined(&case["untrusted_intermediates"]));
        let anchors = joined(&case["trusted_certs"]);
        let verdict = judge_chain(chain.as_bytes(), anchors.as_bytes(), purpose, host, now, Version::V28);
        judged += 1;
        if Some(verdict.is_accepted()) != answer["docker_28_2"].as_bool() {
            let findings: Vec<_> = verdict.refusals().map(|finding| &finding.text).collect();
            disagreements.push(format!("{line}\n  judge: {:?} {findings:?}", verdict.outcome()));
        }
    }
    assert!(judged >= 400, "only {judged} answers");
    assert!(disagreements.is_empty(), "{} of {judged} disagree:\n{}", disagreements.len(), disagreements.join("\n"));
}
