//! The one cause: the first gate, in Docker's order, that is not passed; and the command that mends it.

mod answers;
mod client_side;
mod daemon_side;

use dockseal_docker::gate::Gate;

use self::{
    answers::{certificate_is_demanded, daemon_answers},
    client_side::{certificate_is_offered, client_loads},
    daemon_side::{chain_is_accepted, handshake, port_speaks_tls, proxy_lets_through},
};
use super::{dialled::Manner, picture::Picture};

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

/// docker does not get through, and not for TLS.
fn refused_behind_tls(cause: impl Into<String>, hint: impl Into<String>) -> Option<Diagnosis> {
    Some(Diagnosis { outcome: Outcome::Refused, gate: None, cause: cause.into(), hint: hint.into() })
}

fn unknown(cause: impl Into<String>, hint: impl Into<String>) -> Option<Diagnosis> {
    Some(Diagnosis { outcome: Outcome::Unknown, gate: None, cause: cause.into(), hint: hint.into() })
}
