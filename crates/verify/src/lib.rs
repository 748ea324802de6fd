//! Judges what docker and dockerd will do with given certificate files, gate by gate, and says why.
//!
//! ```text
//! Material  = { ca, cert, key: MaterialFile { provenance: Provenance { path, designation }, content: Content } }
//! Scenario  = { client_mode, daemon_mode, host, docker, dockerd, … }      Scenario::mutual("10.0.0.5")
//! judge(&daemon, &client, &scenario, now)                       -> Verdict           both sides
//! Judge::default().verdict(&daemon, &client, &scenario, now)    -> Verdict           the same, asked more than once
//! judge_daemon(&material, &["host", "10.0.0.5"], now)           -> Verdict           a daemon's bundle alone, every generation
//! judge_client(&material, now)                                  -> Verdict           a client's bundle alone, every generation
//! judge_chain(chain, anchors, purpose, host, now, version)      -> Verdict           a bare chain, no keys, no modes
//! judge_generations(&daemon, &client, &scenario, now)           -> [(docker, dockerd, Verdict)]; differences(..) -> Option<Finding>
//! Verdict   : outcome() -> Accepted | Refused(Gate) | Undetermined(Gate), is_accepted(), gates(), findings(), refusals(),
//!             is_encrypted(), authenticates_daemon(), authenticates_client()
//! Offered::by_docker(&client, docker)                          -> Offered           what the client's files put into a handshake
//! Finding   = { check: Check, severity, gate, place, text }     Check: id(), explanation(), remedy(), source(), ALL
//! ```
//! Modes, gates and versions are `dockseal_docker::{mode, gate, version}`.
//!
//! The judge is pure: no file, clock or environment. Trouble in what it judges is a finding, never an error or a panic.
//! It predicts Docker, so Go's rules are the standard; each module names the Go source that it follows. It shares no
//! parser with the crates that issue, so that it cannot share their mistakes.
//!
//! ```
//! use dockseal_verify::{Material, Outcome, Scenario, judge};
//!
//! let daemon = Material::from_bytes("daemon", "no", "certificates", "here");
//! let client = daemon.clone();
//! let verdict = judge(&daemon, &client, &Scenario::mutual("localhost"), time::macros::datetime!(2026-11-23 12:00 UTC));
//! assert!(matches!(verdict.outcome(), Outcome::Refused(_)));
//! ```

mod advice;
mod asn1;
mod base64;
mod check;
mod der;
mod generations;
mod handshake;
mod judge;
mod key;
mod load;
mod material;
mod mldsa;
mod offered;
mod path;
mod pem;
mod pool;
mod scenario;
mod signature;
mod single;
mod verdict;
mod x509;

pub use check::Check;
pub use generations::{differences, judge_generations};
pub use judge::{Judge, judge};
pub use material::{Bytes, Content, Designation, FileKind, Material, MaterialFile, Provenance, Side};
pub use offered::{Offered, certificates};
pub use path::Purpose;
pub use scenario::{Scenario, SystemRoots};
pub use single::{judge_chain, judge_client, judge_daemon};
pub use verdict::{Finding, Outcome, Place, Severity, Status, Verdict};

/// A name from a certificate or a file as a message can bear it.
fn shortened(text: &str) -> String {
    const MOST: usize = 200;
    match text.char_indices().nth(MOST).and_then(|(end, _)| text.get(..end)) {
        Some(start) => format!("{start}…"),
        None => text.to_owned(),
    }
}
