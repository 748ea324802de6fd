//! The certificates that a person means by a name.

use dockseal_docker::Role;
use dockseal_inventory::{Entry, Inventory, Matches, State};
use dockseal_pki::moment;

use crate::{failure::Failure, hints::inventory_failure};

/// How many of the known names are suggested in place of an unknown one.
const SUGGESTIONS: usize = 3;

/// Those of this name that count.
pub(crate) fn counting(
    inventory: &Inventory,
    text: &str,
    role: Option<Role>,
    what: &str,
) -> Result<Vec<Entry>, Failure> {
    match inventory.find(text, role).map_err(|error| inventory_failure(what, &error))? {
        Matches::One(entries) => Ok(entries),
        Matches::Several(entries) => Err(ambiguous(text, &entries, what)),
        Matches::Past(entries) => Err(past(text, &entries, what)),
        Matches::None => Err(unknown(inventory, text, what)?),
    }
}

/// What is known by nearly that name is suggested.
pub(crate) fn unknown(inventory: &Inventory, text: &str, what: &str) -> Result<Failure, Failure> {
    let names = inventory.names().map_err(|error| inventory_failure(what, &error))?;
    let mut near: Vec<(f64, String)> = names
        .into_iter()
        .map(|name| (strsim::jaro_winkler(&name.to_lowercase(), &text.to_lowercase()), name))
        .filter(|(likeness, _)| *likeness > 0.75)
        .collect();
    near.sort_by(|(a, first), (b, second)| b.total_cmp(a).then_with(|| first.cmp(second)));
    let near: Vec<String> = near.into_iter().take(SUGGESTIONS).map(|(_, name)| name).collect();
    let failure = Failure::trouble(what).cause(format!("nothing is known of {text:?}"));
    Ok(failure.hint(if near.is_empty() {
        "dockseal list shows what there is".to_owned()
    } else {
        format!("did you mean {}? dockseal list shows what there is", near.join(", "))
    }))
}

pub(crate) fn ambiguous(text: &str, entries: &[Entry], what: &str) -> Failure {
    let mut named: Vec<String> = entries.iter().map(|entry| format!("{}/{}", entry.role, entry.name)).collect();
    named.sort();
    named.dedup();
    let hint = if named.len() > 1 {
        format!("say which: {}", named.join(", "))
    } else {
        let serials: Vec<String> = entries.iter().map(|entry| entry.serial().to_string()).collect();
        format!("say which by its serial number: {}", serials.join(", "))
    };
    Failure::trouble(what).cause(format!("{text:?} is the name of several")).hint(hint)
}

fn past(text: &str, entries: &[Entry], what: &str) -> Failure {
    let revoked = entries.iter().rev().find_map(|entry| match &entry.state {
        State::Revoked(revocation) => Some(revocation),
        _ => None,
    });
    let cause = match revoked {
        Some(revocation) => format!("{text} was revoked on {} ({})", moment(revocation.at), revocation.reason),
        None => format!("the certificate of {text} was superseded by another"),
    };
    Failure::no(what).cause(cause).hint("issue another one with dockseal issue, if there is to be one")
}
