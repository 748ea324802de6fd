//! The authority that is on this machine as well, where a command is about something else.

use dockseal_inventory::{Destination, Entry, Place, State};
use dockseal_lifecycle::session;
pub(crate) use dockseal_lifecycle::{
    AuthoritySession as Ledger,
    certificates::leaf_in,
    session::{Undelivered, lock, newer_lists, open_inventory, open_to_read, settle},
};
use dockseal_pki::{Certificate, moment, printable};

use crate::{
    failure::Failure,
    hints::{inventory_failure, session_failure},
    invocation::Invocation,
    output::Output,
};

/// The certificate in the inventory of an authority that is on this machine as well.
pub(crate) fn known_here(
    leaf: &Certificate,
    invocation: &Invocation,
    output: &mut Output,
    what: &str,
) -> Result<Option<(Ledger, Entry)>, Failure> {
    let Some(home) = invocation.home().ok().filter(|home| home.inventory_path().exists()) else { return Ok(None) };
    let failure = |error| inventory_failure(what, &error);
    if open_to_read(&home)?.entry_of(leaf.fingerprint()).map_err(failure)?.is_none() {
        return Ok(None);
    }
    let ledger = Ledger::open(&home, invocation.around(), output)?;
    let entry = ledger.inventory.entry_of(leaf.fingerprint()).map_err(failure)?;
    if let Some(State::Revoked(revocation)) = entry.as_ref().map(|entry| &entry.state) {
        return Err(Failure::no(what)
            .cause(format!("it was revoked on {} ({})", moment(revocation.at), revocation.reason))
            .hint("have another one issued"));
    }
    Ok(entry.map(|entry| (ledger, entry)))
}

/// The inventory of an authority that is on this machine as well, where it has this place as a destination.
pub(crate) fn recorded_here(
    place: &Place,
    invocation: &Invocation,
    output: &mut Output,
    what: &str,
) -> Result<Option<Ledger>, Failure> {
    let Some(home) = invocation.home().ok().filter(|home| home.inventory_path().exists()) else { return Ok(None) };
    let known = open_to_read(&home)?.destination_at(place).map_err(|error| inventory_failure(what, &error))?;
    if !known.as_ref().is_some_and(session::is_used) {
        return Ok(None);
    }
    Ok(Some(Ledger::open(&home, invocation.around(), output)?))
}

/// Refuses to go on where this machine's clock went back since the authority was used.
pub(crate) fn refuse_a_clock_that_went_back(
    inventory: &dockseal_inventory::Inventory,
    invocation: &Invocation,
    what: &str,
) -> Result<(), Failure> {
    session::refuse_a_clock_that_went_back(inventory, invocation.around()).map_err(|error| session_failure(what, error))
}

/// Ends that a place is a destination, and returns what is known of the certificate in it, and what people are told of it.
pub(crate) fn forget(
    ledger: &mut Ledger,
    destination: &Destination,
) -> Result<(Option<Entry>, String), dockseal_inventory::InventoryError> {
    let entry = ledger.forget(destination)?;
    let told = entry.as_ref().map_or_else(String::new, |entry| {
        format!(
            "The certificate of {} {} counts until {}: revoke it if nobody is to use it any more\n",
            entry.role,
            printable(&entry.name),
            moment(entry.certificate.validity.not_after)
        )
    });
    Ok((entry, told))
}
