//! The use-cases of an authority for Docker, without a command line: opening it, issuing, delivering, renewing.
//!
//! ```text
//! Surroundings                                    what a run is given: the time, randomness, who runs it
//! AuthoritySession::open_to_sign(opened, …)       the authority to itself, and what killed runs left is settled
//! permit(…) ─► Permitted ─► issue(…) ─► Issued    signed, judged, numbered; written nowhere yet
//! session.deliver_to(&issued, plan, place, …)     swapped in as one unit and recorded
//! renewal::renew(opened, selection, …)            what is due, in all its places, a batch at a time
//! ```
//! ```
//! use std::time::Duration;
//!
//! use dockseal_ca::{Authority, AuthorityRequest};
//! use dockseal_inventory::{Run, Selection};
//! use dockseal_lifecycle::{Silence, Surroundings, init, renewal};
//! use dockseal_pki::KeyAlgorithm;
//! use dockseal_store::Home;
//! use time::macros::datetime;
//!
//! # let directory = tempfile::tempdir()?;
//! # let directory = directory.path().canonicalize()?;
//! let run = Run {
//!     at: datetime!(2026-11-23 12:00 UTC),
//!     user: "ada".to_owned(),
//!     machine: "example".to_owned(),
//!     machine_name: "example".to_owned(),
//!     command: "my program".to_owned(),
//!     time_is_given: false,
//! };
//! let around = Surroundings::new(run, directory.clone(), Duration::from_secs(60));
//! let request =
//!     AuthorityRequest { name: "Builds".to_owned(), lifetime: Authority::USUAL_LIFETIME, permitted: Vec::new() };
//! let home = Home::new(directory.join("ca"));
//! let opened = init::draft(&request, KeyAlgorithm::P256, None, home, &around)?.create(&around)?;
//!
//! // Nothing was issued yet, so nothing is due.
//! let (due, options) = (Selection::Due(around.now), renewal::RenewOptions::default());
//! renewal::renew(&opened, due, options, 100, &around, &mut Silence, &mut |outcome| unreachable!("{outcome:?}"))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//! Silent: no terminal, prompt, environment or clock is touched, nothing is said in words that a person would have to read. What
//! happens on the way is an [`Event`]; what went wrong is an error with its facts.

pub mod authority;
pub mod bundle_directory;
pub mod certificates;
pub mod delivery;
mod events;
pub mod identity;
pub mod init;
pub mod judgement;
mod parallel;
pub mod permit;
mod places;
pub mod renewal;
pub mod revocation;
pub mod session;
mod surroundings;
pub mod survey;

pub use events::{Event, Events, Silence};
pub use parallel::{at_once, in_parallel};
pub use places::PlacesOf;
pub use session::AuthoritySession;
pub use surroundings::Surroundings;
