//! The only crate that writes files.
//!
//! It carries out a [`FilePlan`](dockseal_docker::FilePlan) as one unit ([`deliver`]), reads what people hand over without
//! being fooled by what it is ([`read`]), and keeps the authority's [`Home`]. It decides nothing about certificates.
//!
//! A directory is staged beside its place, synced, and put there by one rename(2) or, over another one, by
//! renameat2(2) with `RENAME_EXCHANGE`; so whoever opens the directory finds the old bundle or the new one, at every
//! instant and after any crash.
//!
//! ```
//! use dockseal_docker::{FilePlan, Ownership, PlannedFile};
//! use dockseal_store::{Existing, deliver, read};
//!
//! # let directory = tempfile::tempdir()?;
//! # let directory = directory.path().canonicalize()?;
//! let plan = FilePlan {
//!     directory_mode: 0o700,
//!     files: vec![PlannedFile::public("ca.pem", 0o444, "the anchors\n".to_owned())],
//!     ownership: Ownership::default(),
//! };
//! let place = directory.join("client");
//! deliver(&plan, &place, Existing::Keep)?.check()?;
//! assert_eq!(&read(&place.join("ca.pem"))?.bytes[..], b"the anchors\n");
//! // What is there is not overwritten unless that is said.
//! assert!(deliver(&plan, &place, Existing::Keep).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod amend;
mod contexts;
mod deliver;
mod directory;
mod error;
mod files;
mod found;
mod generations;
mod home;
mod link;
mod lock;
mod pack;
mod read;
mod remove;
mod replacement;
mod stage;
mod walk;

pub use amend::{AmendError, amend};
pub use contexts::{ContextLock, ContextStore};
pub use deliver::{
    Batch, Displaced, Placed, Staged, deliver, keep_displaced, kept_by_another, previous_path, remove_stale, roll_back,
    stage, stage_for_batch,
};
pub use directory::resolve;
pub use error::{ReadError, WriteError};
pub use files::{NewFile, make_directories, make_open_directory, make_parents, write_new};
pub use found::{Existing, check_destination};
pub use generations::{Change, Generations};
pub use home::{AuthorityFiles, CRL_MODE, Heritage, Home, HomeError};
pub use link::{link, supplant};
pub use lock::HomeLock;
pub use pack::pack;
pub use read::{OpenedFile, RegularFile, Sight, open, owner_of, read, read_as_docker, read_from};
pub use remove::remove;
pub use replacement::{Replacement, replace};
pub use walk::Walk;
