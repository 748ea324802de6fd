//! What a run tells on the way. What it returns is its result; an event changes nothing.

use std::path::PathBuf;

use dockseal_inventory::Entry;

/// Something that whoever started the run may want to know.
///
/// Never holds a secret.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// An authority of the time before inventories got one, of so many certificates.
    InventoryMade {
        /// How many.
        certificates: usize,
    },
    /// A file of revocation lists holds more than can be read.
    ListsDamaged {
        /// The file.
        path: PathBuf,
    },
    /// A revocation list that is newer than the inventory revokes a certificate; the inventory follows it.
    RevokedByList {
        /// The certificate, as the inventory had it.
        entry: Box<Entry>,
    },
}

/// Whoever listens.
pub trait Events {
    /// Called as it happens, on the thread of the run.
    fn tell(&mut self, event: Event);
}

/// Nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silence;

impl Events for Silence {
    fn tell(&mut self, _event: Event) {}
}
