//! One side alone, or a bare chain: the rest taken as good.

use dockseal_docker::gate::Gate;
use dockseal_docker::version::Version;
use time::OffsetDateTime;

use crate::check::Check;
use crate::handshake;
use crate::judge::{Judge, check_of, read_certificates, verify_path};
use crate::load::Chain;
use crate::material::{Bytes, Designation, Material, MaterialFile, Side};
use crate::path::{Options, Purpose, hostname};
use crate::pool::Anchors;
use crate::scenario::Scenario;
use crate::signature::Signatures;
use crate::verdict::{Finding, Status, Verdict};

/// Judges a daemon's bundle alone, for every host that clients will dial, with every generation that Docker has released.
///
/// The client is taken to trust the CA file of the bundle. The verdict returned is the first that refuses, or that of
/// the newest generation and the first host. Without hosts no name is looked at.
#[must_use]
pub fn judge_daemon(material: &Material, hosts: &[&str], now: OffsetDateTime) -> Verdict {
    let client = Material { ca: material.ca.clone(), cert: absent(), key: absent() };
    let hosts = if hosts.is_empty() { &[""] } else { hosts };
    let judge = Judge::default();
    let verdicts = Version::RELEASED.iter().rev().flat_map(|version| {
        let (judge, client) = (&judge, &client);
        hosts.iter().map(move |host| {
            let scenario = Scenario::mutual(*host).between(*version, *version);
            without(
                judge.verdict(material, client, &scenario, now),
                Side::Daemon,
                &[Gate::ClientLoads, Gate::ClientOffersCertificate, Gate::DaemonAcceptsClient],
                "the daemon is judged alone",
            )
        })
    });
    first_refusal(verdicts).unwrap_or_else(|| nothing_judged(Gate::DaemonStarts))
}

/// Judges a client's bundle alone, with every generation that Docker has released.
///
/// The daemon is taken to trust the CA file of the bundle. The verdict returned is the first that refuses, or that of
/// the newest generation.
#[must_use]
pub fn judge_client(material: &Material, now: OffsetDateTime) -> Verdict {
    let daemon = Material { ca: material.ca.clone(), cert: absent(), key: absent() };
    let judge = Judge::default();
    let verdicts = Version::RELEASED.iter().rev().map(|version| {
        let scenario = Scenario::mutual("localhost").between(*version, *version);
        let other = [
            Gate::DaemonStarts,
            Gate::SameProtocol,
            Gate::Handshake,
            Gate::ClientReadsDaemon,
            Gate::ClientAcceptsDaemon,
        ];
        let verdict = judge.verdict(&daemon, material, &scenario, now);
        without(verdict, Side::Client, &other, "the client is judged alone")
    });
    first_refusal(verdicts).unwrap_or_else(|| nothing_judged(Gate::ClientLoads))
}

fn absent() -> MaterialFile {
    MaterialFile::missing("", Designation::Default)
}

/// The verdict without the gates of the side that is not there; its CA file is that of the side that is.
fn without(mut verdict: Verdict, side: Side, gates: &[Gate], reason: &'static str) -> Verdict {
    for (gate, status) in &mut verdict.gates {
        if gates.contains(gate) {
            *status = Status::NotApplicable(reason);
        }
    }
    verdict.findings.retain(|finding| finding.gate.is_none_or(|gate| !gates.contains(&gate)));
    for place in verdict.findings.iter_mut().filter_map(|finding| finding.place.as_mut()) {
        place.side = side;
    }
    verdict
}

/// The first verdict that does not accept, else the first of all; none where there are none.
fn first_refusal(verdicts: impl Iterator<Item = Verdict>) -> Option<Verdict> {
    let mut newest = None;
    for verdict in verdicts {
        if !verdict.is_accepted() {
            return Some(verdict);
        }
        newest.get_or_insert(verdict);
    }
    newest
}

/// What nobody judged is not accepted.
fn nothing_judged(gate: Gate) -> Verdict {
    Verdict {
        gates: vec![(gate, Status::Skipped("nothing was judged"))],
        findings: Vec::new(),
        client_uses_tls: false,
        encrypted: false,
        daemon_authenticated: false,
        client_authenticated: false,
    }
}

/// Judges a bare chain, leaf first, against anchors, both PEM: no keys, no modes.
///
/// The verifier is the docker client of `version` for a daemon's certificate, its dockerd for a client's.
#[must_use]
pub fn judge_chain(
    chain: impl Into<Bytes>,
    anchors: impl Into<Bytes>,
    purpose: Purpose,
    host: Option<&str>,
    now: OffsetDateTime,
    version: Version,
) -> Verdict {
    let (go, gate) = match purpose {
        Purpose::Server => (version.docker_go(), Gate::ClientAcceptsDaemon),
        Purpose::Client => (version.dockerd_go(), Gate::DaemonAcceptsClient),
    };
    let anchors = Anchors::read(&anchors.into(), go);
    let chain = Chain::read(&chain.into(), go);
    let host = host.map(hostname::as_dialled);
    let signatures = Signatures::default();
    let options = Options { purpose, host: host.as_deref(), now, go, signatures: &signatures };
    let refused = if chain.certificates.is_empty() {
        Some((Check::CertificateMissing, "there is no PEM block with a certificate".to_owned(), None))
    } else if !handshake::certificate_message_fits(chain.sent(), go) {
        Some((Check::MessageTooLarge, "the certificates are more than the other side reads".to_owned(), None))
    } else if anchors.is_beyond_the_judge {
        let text = "the CA file has more or larger certificates than are looked at here";
        Some((Check::BeyondTheJudge, text.to_owned(), None))
    } else {
        match read_certificates(&chain, go) {
            Err(unusable) => Some((unusable.check, unusable.text, None)),
            Ok(certificates) => verify_path(&certificates, &anchors, options)
                .err()
                .map(|error| (check_of(&error), error.to_string(), error.remedy())),
        }
    };
    let status = match refused {
        None => Status::Passed,
        Some((Check::BeyondTheJudge, ..)) => Status::Skipped("it is larger than what the judge takes on"),
        Some(_) => Status::Failed,
    };
    let findings = refused.map(|(check, text, remedy)| Finding {
        check,
        severity: check.severity(),
        gate: Some(gate),
        place: None,
        text,
        remedy: remedy.unwrap_or(check.remedy()),
    });
    Verdict {
        gates: vec![(gate, status)],
        findings: findings.into_iter().collect(),
        client_uses_tls: true,
        encrypted: true,
        daemon_authenticated: purpose == Purpose::Server,
        client_authenticated: purpose == Purpose::Client,
    }
}
