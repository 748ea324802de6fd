//! Asking the judge before anything is written.

use dockseal_ca::Endpoint;
use dockseal_docker::{FilePlan, layout, version::Version};
use dockseal_pki::{Bundle, SubjectAltName};
use dockseal_verify::{Material, Purpose, Severity, Status, Verdict, judge_chain, judge_client, judge_daemon};
use time::OffsetDateTime;

use crate::failure::Failure;

/// Has Docker's rules applied to a bundle; what the judge advises comes back, what it refuses is a failure.
///
/// A bundle whose key stayed elsewhere is judged as a chain, since Docker cannot be asked to load a key that is not here.
pub(crate) fn of_bundle(
    bundle: &Bundle,
    endpoint: &Endpoint,
    now: OffsetDateTime,
    what: &str,
) -> Result<Vec<String>, Failure> {
    let (anchors, chain) = (bundle.anchors.to_pem(), bundle.chain_pem());
    let hosts: Vec<String> = match endpoint {
        Endpoint::Daemon { names } => names.iter().map(dialled).collect(),
        Endpoint::Client { .. } => Vec::new(),
    };
    let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
    let verdicts: Vec<Verdict> = match (bundle.key_pem(), endpoint) {
        (Some(key), Endpoint::Daemon { .. }) => {
            vec![judge_daemon(&Material::from_bytes("", anchors, chain, key.as_bytes()), &hosts, now)]
        }
        (Some(key), Endpoint::Client { .. }) => {
            vec![judge_client(&Material::from_bytes("", anchors, chain, key.as_bytes()), now)]
        }
        (None, Endpoint::Daemon { .. }) => hosts
            .iter()
            .map(|host| {
                judge_chain(chain.as_bytes(), anchors.as_bytes(), Purpose::Server, Some(host), now, Version::default())
            })
            .collect(),
        (None, Endpoint::Client { .. }) => {
            vec![judge_chain(chain.as_bytes(), anchors.as_bytes(), Purpose::Client, None, now, Version::default())]
        }
    };
    advice(&verdicts, what)
}

/// The same for a client's files as they are.
pub(crate) fn of_client_files(plan: &FilePlan, now: OffsetDateTime, what: &str) -> Result<Vec<String>, Failure> {
    let [ca, cert, key] = [layout::CA_FILE, layout::CERT_FILE, layout::KEY_FILE].map(|name| plan.contents(name));
    advice(&[judge_client(&Material::from_bytes("", ca, cert, key), now)], what)
}

fn advice(verdicts: &[Verdict], what: &str) -> Result<Vec<String>, Failure> {
    let mut advice = Vec::new();
    for verdict in verdicts {
        if !verdict.is_accepted() {
            return Err(refused(verdict, what));
        }
        for finding in verdict.findings().iter().filter(|finding| finding.severity != Severity::Refusal) {
            if !advice.contains(&finding.text) {
                advice.push(finding.text.clone());
            }
        }
    }
    Ok(advice)
}

fn refused(verdict: &Verdict, what: &str) -> Failure {
    let failure = Failure::no(what);
    match verdict.refusals().next() {
        Some(finding) => failure.cause(format!("Docker would refuse it: {}", finding.text)).hint(format!(
            "{} ({})",
            as_hint(finding.remedy),
            finding.check.id()
        )),
        None => {
            let skipped = verdict.gates().iter().find_map(|(gate, status)| match status {
                Status::Skipped(why) => Some(format!("cannot tell whether Docker would take it ({gate}): {why}")),
                _ => None,
            });
            let why = skipped.unwrap_or_else(|| "cannot tell what Docker would do with it".to_owned());
            failure.cause(why).hint("see what the judge says of it: dockseal verify DIR")
        }
    }
}

/// A sentence as hints have it: lower case, no period.
pub(crate) fn as_hint(sentence: &str) -> String {
    let sentence = sentence.trim_end_matches('.');
    let mut characters = sentence.chars();
    match (characters.next(), characters.as_str()) {
        // An abbreviation keeps its capitals.
        (Some(first), rest) if rest.starts_with(|c: char| !c.is_uppercase()) => {
            first.to_lowercase().chain(rest.chars()).collect()
        }
        _ => sentence.to_owned(),
    }
}

/// A host that a client would dial to match this name.
fn dialled(name: &SubjectAltName) -> String {
    match name {
        SubjectAltName::Dns(name) => name.replacen('*', "any", 1),
        SubjectAltName::Ip(address) => address.to_string(),
    }
}
