//! Remembers what was issued, to whom, and where it was delivered: one SQLite file in the authority's home.
//!
//! ```text
//! Inventory::in_memory() … to_bytes()                    a new one, written with the authority's other files
//! Inventory::open(path, Access)                          checks format and version; migrates forward when writing
//! Inventory::open_of(path, Access, Ownership)            the same in another user's directory, with that user's rights
//!   reading : page(Selection, after, limit), find(text, role), similar(text), entry(id), destinations…, tally(now), …
//!   writing : as_run(&run) -> Recorder
//!             reserve -> signed -> delivered | taken_back   a serial's way; each call is one durable transaction
//! ```
//! Kept: each serial before it is signed with, each certificate as DER, every [`Destination`] of it and what was
//! delivered there when, revocations, CRL numbers, and a trail of events that nobody changes afterwards. Not kept:
//! private keys, passphrases, or anything else that is secret.
//!
//! It issues nothing, judges nothing, and touches no file but its own. `now` and who asks are arguments.
//!
//! Sources: <https://www.sqlite.org/wal.html> (readers never wait for writers), <https://www.sqlite.org/lang_with.html>,
//! RFC 5280 sections 4.1.2.2 (serials) and 5.2.3 (CRL numbers).
//!
//! ```
//! use dockseal_inventory::{Cursor, Inventory, Selection};
//!
//! let inventory = Inventory::in_memory()?;
//! let (entries, next) = inventory.page(Selection::Issued, Cursor::START, 100)?;
//! assert!(entries.is_empty() && next.is_none());
//! # Ok::<(), dockseal_inventory::InventoryError>(())
//! ```

mod entry;
mod error;
mod query;
mod record;
mod rights;
mod rows;
mod schema;
mod writer;

pub use entry::{
    CertificateId, Delivery, Destination, DestinationId, Entry, Event, Generation, GenerationId, KeyHolder, Kind,
    Place, Revocation, Run, State,
};
pub use error::InventoryError;
pub use query::{Cursor, Matches, Selection, Tally};
pub use record::{Delivered, Found, Recorder, Reservation, Signed};
pub use schema::{Access, Inventory};
