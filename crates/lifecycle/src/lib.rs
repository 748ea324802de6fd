//! The use-cases of an authority for Docker, without a command line: opening it, issuing, delivering, renewing.
//!
//! ```text
//! Surroundings                                    what a run is given: the time, randomness, who runs it
//! AuthoritySession::open_to_sign(opened, …)       the authority to itself, and what killed runs left is settled
//! permit(…) ─► Permitted ─► issue(…) ─► Issued    signed, judged, numbered; written nowhere yet
//! session.deliver_to(&issued, plan, place, …)     swapped in as one unit and recorded
//! renewal::renew(opened, selection, …)            what is due, in all its places, a batch at a time
//! ```
//! Silent: no terminal, prompt, environment or clock is touched, nothing is said in words that a person would have to read. What
//! happens on the way is an [`Event`]; what went wrong is an error with its facts.

pub mod authority;
pub mod bundle_directory;
pub mod certificates;
pub mod delivery;
mod events;
pub mod identity;
pub mod judgement;
mod parallel;
pub mod permit;
pub mod renewal;
pub mod revocation;
pub mod session;
mod surroundings;

pub use events::{Event, Events, Silence};
pub use parallel::in_parallel;
pub use session::AuthoritySession;
pub use surroundings::Surroundings;
