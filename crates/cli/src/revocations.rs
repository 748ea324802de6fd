//! The authority's revocation lists: what they say, and putting them where proxies get them.

use std::{collections::HashSet, path::Path};

use dockseal_ca::{Authority, CrlError, CrlRequest};
use dockseal_inventory::{Generation, GenerationId, Inventory, InventoryError, State};
use dockseal_lifecycle::revocation::{KeptLists, kept_lists};
use dockseal_pki::{Lifetime, RevocationList, Revoked, SerialNumber, moment};
use dockseal_store::Home;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::hints::crl_failure;
use crate::{
    authority::{Opened, known_issuers},
    failure::Failure,
    former::Former,
    hints::{home_failure, inventory_failure},
    invocation::Invocation,
    ledger::Ledger,
    report::rfc3339,
};

const WHAT: &str = "cannot write the revocation list";

/// How soon the next list is promised unless somebody says otherwise: a week, which bears a few days of trouble with the
/// timer that makes it.
pub(crate) const NEXT_UPDATE: &str = "7d";

/// Makes a new list for each authority that may sign one, and puts them into the authority's home: the one that signs
/// first, then those before or after it. While two are trusted, a proxy that checks wants a list of each.
///
/// Lists of generations whose key is not here any more stay as they are: one file serves clients of them all.
pub(crate) fn write(
    opened: &Opened,
    others: &[Authority],
    ledger: &mut Ledger,
    next_update: Lifetime,
    invocation: &Invocation,
) -> Result<Vec<RevocationList>, Failure> {
    let before = before(&opened.home)?.readable;
    let inventory = |error| inventory_failure(WHAT, &error);
    // Asked first: a number that no list gets is no harm, but a refusal is to change nothing.
    if !opened.authority.may_sign_crls() {
        return Err(crl_failure(WHAT, &CrlError::MayNotSign));
    }
    let counting = others.iter().filter(|other| other.issuer().validity.contains(invocation.now));
    let former = Former::kept(&opened.home, known_issuers(&opened.home, WHAT)?, WHAT)?;
    let mut lists = Vec::new();
    for authority in std::iter::once(&opened.authority).chain(counting.filter(|other| other.may_sign_crls())) {
        let issuer = authority.issuer();
        let previous = before.iter().find(|list| list.is_of(issuer));
        let generation = ledger.recorder().generation(issuer).map_err(inventory)?;
        let before = previous.into_iter().flat_map(|list| &list.revoked).chain(former.revoked_by(issuer));
        // A list that a clock ahead has made was not issued after the end of anything yet.
        let ended = previous.map_or(OffsetDateTime::UNIX_EPOCH, |list| list.this_update.min(invocation.now));
        let revoked = revoked(&ledger.inventory, generation, before, ended).map_err(inventory)?;
        let after = previous.and_then(|list| list.number).unwrap_or(0);
        let number = ledger.recorder().next_crl_number(generation, after).map_err(inventory)?;
        let request = CrlRequest { number, now: invocation.now, next_update, revoked };
        lists.push(authority.sign_crl(&request).map_err(|error| crl_failure(WHAT, &error))?);
    }
    let generations = ledger.inventory.generations().map_err(inventory)?;
    let kept = before
        .into_iter()
        .filter(|list| is_of_one(list, &generations) && !lists.iter().any(|new| new.issuer == list.issuer));
    let kept: Vec<RevocationList> = kept.collect();
    lists.extend(kept);
    opened.home.write_crls(&to_pem(&lists)).map_err(|error| home_failure(WHAT, &error))?;
    Ok(lists)
}

fn is_of_one(list: &RevocationList, generations: &[Generation]) -> bool {
    generations.iter().any(|generation| list.is_of(&generation.certificate))
}

/// What the list of a generation is to hold.
///
/// What `ended` before the list before stays out: one list that was issued after its end had it (RFC 5280 section 3.3). What
/// was revoked `before` by that list, or elsewhere, and the inventory does not call revoked stays too: they may know better.
fn revoked<'r>(
    inventory: &Inventory,
    generation: GenerationId,
    before: impl Iterator<Item = &'r Revoked>,
    ended: OffsetDateTime,
) -> Result<Vec<Revoked>, InventoryError> {
    let known = inventory.revoked(generation, ended)?;
    let mut entries = Vec::new();
    let mut serials: HashSet<SerialNumber> = known.iter().map(|(serial, _)| serial.clone()).collect();
    for entry in before {
        let known = inventory.numbered(generation, &entry.serial)?;
        let is_revoked = known.is_some_and(|known| matches!(known.state, State::Revoked(_)));
        if !is_revoked && serials.insert(entry.serial.clone()) {
            entries.push(entry.clone());
        }
    }
    entries.extend(known.into_iter().map(|(serial, revocation)| Revoked {
        serial,
        at: revocation.at,
        reason: revocation.reason,
    }));
    Ok(entries)
}

/// The lists in the authority's home.
pub(crate) fn before(home: &Home) -> Result<KeptLists, Failure> {
    kept_lists(home).map_err(|error| home_failure(WHAT, &error))
}

/// The text of several lists, one after the other.
pub(crate) fn to_pem(lists: &[RevocationList]) -> String {
    lists.iter().map(RevocationList::to_pem).collect()
}

/// What the newest list says, for people.
pub(crate) fn describe(lists: &[RevocationList], path: &Path) -> String {
    lists
        .iter()
        .map(|list| {
            let number = list.number.map_or_else(|| "without a number".to_owned(), |number| format!("number {number}"));
            let count = list.revoked.len();
            let certificates = if count == 1 { "certificate" } else { "certificates" };
            let next = list.next_update.map_or_else(|| "not said".to_owned(), moment);
            format!("CRL {number} of {}, {count} {certificates}, the next by {next}: {}\n", list.issuer, path.display())
        })
        .collect()
}

/// What they say, for programs.
pub(crate) fn wire(lists: &[RevocationList]) -> Vec<Value> {
    let wire = |list: &RevocationList| {
        json!({
            "issuer": list.issuer.to_string(),
            "number": list.number,
            "this_update": rfc3339(list.this_update),
            "next_update": list.next_update.map(rfc3339),
            "revoked": list.revoked.len(),
        })
    };
    lists.iter().map(wire).collect()
}
