//! Asking the judge before anything is written.

use std::{error::Error, fmt};

use dockseal_ca::Endpoint;
use dockseal_docker::{FilePlan, layout, version::Version};
use dockseal_pki::{Bundle, SubjectAltName};
use dockseal_verify::{Finding, Material, Purpose, Severity, Status, Verdict, judge_chain, judge_client, judge_daemon};
use time::OffsetDateTime;

/// Docker would not take it, or the judge cannot tell.
#[derive(Clone, Debug)]
pub struct NotAccepted {
    verdict: Box<Verdict>,
}

impl NotAccepted {
    /// The finding for which Docker would refuse it; `None` where the judge cannot tell what Docker would do.
    pub fn refusal(&self) -> Option<&Finding> {
        self.verdict.refusals().next()
    }
}

impl fmt::Display for NotAccepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(finding) = self.refusal() {
            return write!(f, "Docker would refuse it: {}", finding.text);
        }
        let skipped = self.verdict.gates().iter().find_map(|(gate, status)| match status {
            Status::Skipped(why) => Some((gate, why)),
            _ => None,
        });
        match skipped {
            Some((gate, why)) => write!(f, "cannot tell whether Docker would take it ({gate}): {why}"),
            None => f.write_str("cannot tell what Docker would do with it"),
        }
    }
}

impl Error for NotAccepted {}

/// Has Docker's rules applied to a bundle, and returns what the judge advises.
///
/// A bundle whose key stayed elsewhere is judged as a chain, since Docker cannot be asked to load a key that is not here.
///
/// # Errors
/// When Docker would refuse it.
pub fn of_bundle(bundle: &Bundle, endpoint: &Endpoint, now: OffsetDateTime) -> Result<Vec<String>, NotAccepted> {
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
    advice(verdicts)
}

/// The same for a client's files as they are.
///
/// # Errors
/// As [`of_bundle`].
pub fn of_client_files(plan: &FilePlan, now: OffsetDateTime) -> Result<Vec<String>, NotAccepted> {
    let [ca, cert, key] = [layout::CA_FILE, layout::CERT_FILE, layout::KEY_FILE].map(|name| plan.contents(name));
    advice(vec![judge_client(&Material::from_bytes("", ca, cert, key), now)])
}

fn advice(verdicts: Vec<Verdict>) -> Result<Vec<String>, NotAccepted> {
    let mut advice = Vec::new();
    for verdict in verdicts {
        if !verdict.is_accepted() {
            return Err(NotAccepted { verdict: Box::new(verdict) });
        }
        for finding in verdict.findings().iter().filter(|finding| finding.severity != Severity::Refusal) {
            if !advice.contains(&finding.text) {
                advice.push(finding.text.clone());
            }
        }
    }
    Ok(advice)
}

/// A host that a client would dial to match this name.
fn dialled(name: &SubjectAltName) -> String {
    match name {
        SubjectAltName::Dns(name) => name.replacen('*', "any", 1),
        SubjectAltName::Ip(address) => address.to_string(),
    }
}
