//! Whether recorded places still hold what is recorded for them: a directory that came back from a backup has a certificate of
//! former times, which no date in the inventory tells.

use dockseal_inventory::{Destination, Entry, Inventory, InventoryError};
use dockseal_pki::{Certificate, certificates_in_pem};
use dockseal_store::Sight;

use crate::surroundings::Surroundings;

/// How many places are read from the inventory at once.
const PAGE: u32 = 256;

/// A place that holds another certificate than the recorded one.
#[derive(Clone, Debug)]
pub struct Changed {
    /// The place.
    pub destination: Destination,
    /// What is recorded for it.
    pub entry: Entry,
    /// What it holds.
    pub leaf: Certificate,
}

/// Looks at every recorded place of this machine, and hands out those that hold another certificate. What is missing or cannot
/// be read is not among them: renewals tell of it.
///
/// # Errors
/// When the inventory cannot be read.
pub fn changed_places(
    inventory: &Inventory,
    around: &Surroundings,
    mut each: impl FnMut(Changed),
) -> Result<(), InventoryError> {
    let mut after = None;
    loop {
        let page = inventory.destinations(after, PAGE)?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.id);
        for destination in page.into_iter().filter(|destination| around.has(&destination.place)) {
            if let Some(changed) = changed(destination, inventory)? {
                each(changed);
            }
        }
    }
}

fn changed(destination: Destination, inventory: &Inventory) -> Result<Option<Changed>, InventoryError> {
    let Some(id) = destination.certificate.filter(|_| destination.pending.is_none()) else { return Ok(None) };
    let Some(entry) = inventory.entry(id)? else { return Ok(None) };
    let Some(leaf) = holds_another(&destination, &entry) else { return Ok(None) };
    // Another run may be at work there right now: it announces what it is going to deliver, and records it afterwards.
    let now = inventory.destination_at(&destination.place)?;
    let is_so = now.is_some_and(|now| now.certificate == Some(id) && now.pending.is_none());
    Ok(is_so.then_some(Changed { destination, entry, leaf }))
}

/// The certificate in a place of this machine, where it can be read and is not this one.
pub fn holds_another(destination: &Destination, entry: &Entry) -> Option<Certificate> {
    let names = destination.layout.names(entry.role);
    let file = Sight::of(&destination.place.path).ok()?.read(names.chain).ok()?;
    // As it was written, nearly always: then there is nothing to parse.
    if file.bytes.starts_with(entry.certificate.to_pem().as_bytes()) {
        return None;
    }
    let leaf = certificates_in_pem(&file.bytes).ok()?.into_iter().next()?;
    (leaf != entry.certificate).then_some(leaf)
}
