//! The one cause: the first gate, in Docker's order, that is not passed; and the command that mends it.

mod client_side;
mod daemon_side;

use dockseal_docker::gate::Gate;
use dockseal_probe::{Offer, Proof};

use self::{
    client_side::{certificate_is_offered, client_loads},
    daemon_side::{chain_is_accepted, handshake, port_speaks_tls, proxy_lets_through},
};
use super::{
    dialled::Manner,
    picture::{Picture, is_docker},
    words::{answer, described},
};

/// The answer in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Works,
    Refused,
    Unknown,
}

impl Outcome {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Works => "works",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
        }
    }
}

pub(super) struct Diagnosis {
    pub(super) outcome: Outcome,
    /// Where it stops.
    pub(super) gate: Option<Gate>,
    pub(super) cause: String,
    pub(super) hint: String,
}

impl Diagnosis {
    pub(super) fn of(picture: &Picture<'_>) -> Self {
        let first = |gates: &[Gatekeeper]| gates.iter().find_map(|gate| gate(picture));
        let found = first(&[proxy_lets_through, port_speaks_tls]).or_else(|| match picture.manner {
            Manner::Verifying => first(&VERIFYING),
            Manner::Unverified => first(&UNVERIFIED),
            Manner::Plain { why, remedy } => docker_speaks_plainly(why, remedy, first(&VERIFYING)),
        });
        found.unwrap_or_else(|| Self { outcome: Outcome::Works, gate: None, cause: String::new(), hint: String::new() })
    }
}

/// What stops at a gate.
type Gatekeeper = fn(&Picture<'_>) -> Option<Diagnosis>;

const VERIFYING: [Gatekeeper; 6] =
    [client_loads, handshake, chain_is_accepted, certificate_is_demanded, certificate_is_offered, daemon_answers];

/// docker does not look at the chain: what it is refused for comes first.
const UNVERIFIED: [Gatekeeper; 6] =
    [client_loads, handshake, certificate_is_demanded, certificate_is_offered, daemon_answers, chain_is_not_looked_at];

/// docker speaks plain HTTP to a port that speaks TLS; `next` is what it meets once it speaks TLS.
fn docker_speaks_plainly(why: &str, remedy: &str, next: Option<Diagnosis>) -> Option<Diagnosis> {
    let next = next.filter(|next| next.outcome == Outcome::Refused);
    let next = next.map_or_else(String::new, |next| format!("; then there is another cause: {}", next.cause));
    refused(
        Gate::SameProtocol,
        format!("docker speaks plain HTTP, and the port speaks TLS: {why}"),
        format!("{remedy}{next}"),
    )
}

/// docker connects, and would not if it looked.
fn chain_is_not_looked_at(picture: &Picture<'_>) -> Option<Diagnosis> {
    let seen = chain_is_accepted(picture)?;
    Some(Diagnosis {
        cause: format!("docker connects without verifying the daemon; with --tlsverify, {}", seen.cause),
        ..seen
    })
}

fn refused(gate: Gate, cause: impl Into<String>, hint: impl Into<String>) -> Option<Diagnosis> {
    Some(Diagnosis { outcome: Outcome::Refused, gate: Some(gate), cause: cause.into(), hint: hint.into() })
}

fn unknown(cause: impl Into<String>, hint: impl Into<String>) -> Option<Diagnosis> {
    Some(Diagnosis { outcome: Outcome::Unknown, gate: None, cause: cause.into(), hint: hint.into() })
}

/// Whether the daemon lets in who has no certificate at all: then no client is authenticated.
fn certificate_is_demanded(picture: &Picture<'_>) -> Option<Diagnosis> {
    let ping = picture.bare()?.ping.as_ref()?;
    if !is_docker(ping) {
        return None;
    }
    let cause = match picture.authorities() {
        None => {
            "the daemon asks for no client certificate (--tlsverify=false): whoever reaches the port is root on its host"
        }
        Some(_) => {
            "it asks for a client certificate and answers without one as well, which no dockerd does: see the proxy \
                    in front of it"
        }
    };
    refused(
        Gate::DaemonAcceptsClient,
        cause,
        "start dockerd with --tlsverify --tlscacert=ca.pem, or \"tlsverify\": true and \"tlscacert\" in daemon.json, and \
         restart it",
    )
}

fn daemon_answers(picture: &Picture<'_>) -> Option<Diagnosis> {
    let attempt = picture.observation.attempt(Offer::WithCertificate).or(picture.best())?;
    let Some(ping) = &attempt.ping else {
        return unknown(
            format!("TLS works, and then comes no answer to a request: {}", described(attempt)),
            "dial the daemon's TLS port, usually 2376; if this is it, see dockerd's log: journalctl -u docker",
        );
    };
    if !is_docker(ping) {
        return unknown(
            format!("a TLS server that is no Docker answers there: {}", answer(ping)),
            "find the daemon's port: it is 2376 with TLS unless its hosts setting says otherwise",
        );
    }
    if let Some(Proof::NotChecked(why)) = attempt.handshake.as_ref().map(|seen| &seen.proof) {
        return unknown(
            format!("this program cannot check the signature that proves the daemon's key: {why}"),
            format!("try docker itself: docker --tlsverify -H {} version", picture.url()),
        );
    }
    if picture.client.is_none() || picture.chain_verdict.is_none() {
        return unknown(
            "there is no ca.pem of a client to hold the daemon's certificate against",
            format!("name the client's directory: dockseal probe {} --client DIR", picture.url()),
        );
    }
    None
}
