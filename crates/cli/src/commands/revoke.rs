//! `dockseal revoke`: what was issued to somebody is to count no longer, as far as anybody asks.

use std::process::ExitCode;

use dockseal_ca::Authority;
use dockseal_docker::Role;
use dockseal_inventory::{Entry, Inventory, Matches, Revocation, State};
use dockseal_pki::{RevocationList, RevocationReason, SerialNumber, moment, printable};
use dockseal_store::Home;
use serde_json::json;

use crate::{
    authority::{Opened, open_every, read},
    failure::Failure,
    groups::{PassphraseArgs, parse_lifetime},
    hints::inventory_failure,
    invocation::Invocation,
    ledger::{Ledger, open_to_read},
    named,
    output::Output,
    report::{CertificateReport, SCHEMA, rfc3339},
    revocations::{NEXT_UPDATE, before, describe, wire, write},
};

const WHAT: &str = "cannot revoke";

#[derive(clap::Args)]
#[command(
    after_help = "A name means everything that was issued to it and has not ended, the certificates that renewals superseded included:\n\
    Docker would accept those too. A serial number means that one certificate.\n\n\
    dockerd and docker never read revocation lists. Proxies do; see dockseal crl --help.\n\n\
    Examples:\n  \
    dockseal revoke alice --reason keyCompromise\n  \
    dockseal revoke daemon/build.example.com --reason cessationOfOperation\n  \
    dockseal revoke 5C0F3B1E9A7D24608E51F3C2B7A9D0E4"
)]
pub(crate) struct Args {
    /// Whose certificates: a user, a daemon's name, ROLE/NAME, or a serial number
    #[arg(value_name = "NAME|SERIAL")]
    name: String,
    /// Why, as RFC 5280 names it: keyCompromise, CACompromise, affiliationChanged, superseded, cessationOfOperation,
    /// privilegeWithdrawn or unspecified
    #[arg(long, value_parser = reason, default_value = "unspecified", value_name = "REASON")]
    reason: RevocationReason,
    /// Write no revocation list; then the authority's key is not needed
    #[arg(long)]
    no_crl: bool,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

fn reason(text: &str) -> Result<RevocationReason, String> {
    RevocationReason::parse(text).ok_or_else(|| {
        let words = RevocationReason::ALL.map(RevocationReason::word).join(", ");
        format!("not a reason of RFC 5280 that can be given here; those are {words}")
    })
}

pub(crate) fn run(args: &Args, invocation: &Invocation, output: &mut Output) -> Result<ExitCode, Failure> {
    let home = invocation.home()?;
    read(&home)?;
    // Before anybody types a passphrase.
    if home.inventory_path().exists()
        && let Err(refusal) = wanted(&open_to_read(&home)?, args, invocation)
    {
        return if args.no_crl || all_listed(&home, args, invocation)? {
            Err(refusal)
        } else {
            finish_lists(args, refusal, invocation, output)
        };
    }
    let opened = if args.no_crl { None } else { Some(open_every(&args.passphrase, invocation, output)?) };
    let mut ledger = match &opened {
        Some((opened, _)) => Ledger::open_to_sign(opened, invocation.around(), output)?,
        None => Ledger::open(&home, invocation.around(), output)?,
    };
    // Once more: other runs may have been at work meanwhile.
    let entries = wanted(&ledger.inventory, args, invocation)?;
    let ids: Vec<_> = entries.iter().map(|entry| entry.id).collect();
    ledger
        .recorder()
        .revoke(&ids, Revocation { at: invocation.now, reason: args.reason })
        .map_err(|error| inventory_failure(WHAT, &error))?;
    let lists = match &opened {
        None => Vec::new(),
        Some((opened, others)) => lists(opened, others, &mut ledger, invocation, output)?,
    };
    let places = places(&ledger.inventory, &entries)?;
    drop(ledger);
    report(args.reason, &entries, &places, &lists, &home, invocation, output);
    Ok(ExitCode::SUCCESS)
}

/// Whether the lists in the home have every revoked certificate that is meant; true where none is.
fn all_listed(home: &Home, args: &Args, invocation: &Invocation) -> Result<bool, Failure> {
    let inventory = open_to_read(home)?;
    let found = match inventory.find(&args.name, None).map_err(|error| inventory_failure(WHAT, &error))? {
        Matches::Past(entries) => entries,
        Matches::One(_) | Matches::Several(_) | Matches::None => return Ok(true),
    };
    let lists = before(home)?.readable;
    let is_listed = |entry: &Entry| {
        lists.iter().any(|list| {
            list.issuer == entry.certificate.issuer && list.revoked.iter().any(|one| one.serial == *entry.serial())
        })
    };
    // What ended leaves the lists.
    let counts = |entry: &&Entry| {
        matches!(entry.state, State::Revoked(_)) && entry.certificate.validity.not_after >= invocation.now
    };
    Ok(found.iter().filter(counts).all(is_listed))
}

/// A run was killed after it revoked and before it wrote the lists: they are written now, and the answer stays no.
fn finish_lists(
    args: &Args,
    refusal: Failure,
    invocation: &Invocation,
    output: &mut Output,
) -> Result<ExitCode, Failure> {
    let (opened, others) = open_every(&args.passphrase, invocation, output)?;
    let mut ledger = Ledger::open_to_sign(&opened, invocation.around(), output)?;
    if !lists(&opened, &others, &mut ledger, invocation, output)?.is_empty() {
        output.note("the revocation list lacked it, and has it now");
    }
    Err(refusal)
}

/// The certificates that are to be revoked, at least one.
fn wanted(inventory: &Inventory, args: &Args, invocation: &Invocation) -> Result<Vec<Entry>, Failure> {
    let text = &args.name;
    let failed = |error| inventory_failure(WHAT, &error);
    let found = match inventory.find(text, None).map_err(failed)? {
        Matches::One(entries) => entries,
        Matches::Several(entries) => return Err(named::ambiguous(text, &entries, WHAT)),
        Matches::Past(entries) => {
            let open: Vec<Entry> = entries.iter().filter(|entry| is_open(entry, invocation)).cloned().collect();
            if open.iter().any(|entry| open.first().is_some_and(|first| !is_of_the_same(entry, first))) {
                return Err(named::ambiguous(text, &open, WHAT));
            }
            if open.is_empty() { entries } else { open }
        }
        Matches::None => return Err(named::unknown(inventory, text, WHAT)?),
    };
    let Some(first) = found.first() else { return Err(named::unknown(inventory, text, WHAT)?) };
    let mut all = if found.len() == 1 && is_serial_of(text, first) {
        found
    } else {
        let mut all = inventory.known_as(&first.name, Some(first.role)).map_err(failed)?;
        all.retain(|entry| is_of_the_same(entry, first));
        all
    };
    let last = all.last().cloned();
    all.retain(|entry| is_open(entry, invocation));
    match last {
        Some(last) if all.is_empty() => Err(closed(&last)),
        _ => Ok(all),
    }
}

fn is_of_the_same(entry: &Entry, other: &Entry) -> bool {
    entry.role == other.role && entry.name == other.name
}

/// Whether there is something to revoke: not revoked yet, and not ended.
fn is_open(entry: &Entry, invocation: &Invocation) -> bool {
    matches!(entry.state, State::Issued | State::Superseded) && entry.certificate.validity.not_after >= invocation.now
}

fn is_serial_of(text: &str, entry: &Entry) -> bool {
    SerialNumber::meant_by(text.rsplit('/').next().unwrap_or_default()).contains(entry.serial())
}

fn closed(entry: &Entry) -> Failure {
    let whose = format!("{} {}", entry.role, printable(&entry.name));
    let failure = Failure::no(WHAT);
    match &entry.state {
        State::Revoked(revocation) => failure
            .cause(format!("{whose} was revoked already, on {} ({})", moment(revocation.at), revocation.reason))
            .hint("dockseal list --all shows when and why; nothing was changed"),
        _ => failure
            .cause(format!(
                "{whose} has nothing left to revoke: it ended on {}",
                moment(entry.certificate.validity.not_after)
            ))
            .hint("what has ended lets nobody in"),
    }
}

/// The new lists. That an authority may sign none does not undo the revocation.
fn lists(
    opened: &Opened,
    others: &[Authority],
    ledger: &mut Ledger,
    invocation: &Invocation,
    output: &mut Output,
) -> Result<Vec<RevocationList>, Failure> {
    if !opened.authority.may_sign_crls() {
        output
            .warn("no revocation list was written: the authority's certificate does not let it sign any (no cRLSign)");
        return Ok(Vec::new());
    }
    write(opened, others, ledger, parse_lifetime(NEXT_UPDATE)?, invocation).map_err(|failure| Failure {
        what: "revoked, but the revocation list could not be written".to_owned(),
        hint: Some("when that is mended, dockseal crl writes it".to_owned()),
        ..failure
    })
}

/// Where revoked bundles still are.
fn places(inventory: &Inventory, entries: &[Entry]) -> Result<Vec<String>, Failure> {
    let mut places = Vec::new();
    for entry in entries {
        for destination in inventory.destinations_of(entry.id).map_err(|error| inventory_failure(WHAT, &error))? {
            let place = destination.place;
            places.push(format!("{} on {}", place.path.display(), place.machine_name));
        }
    }
    Ok(places)
}

fn report(
    reason: RevocationReason,
    entries: &[Entry],
    places: &[String],
    lists: &[RevocationList],
    home: &Home,
    invocation: &Invocation,
    output: &mut Output,
) {
    let mut human = String::new();
    for entry in entries {
        human.push_str(&format!(
            "Revoked {} {}, serial {}, which ends on {} ({reason})\n",
            entry.role,
            printable(&entry.name),
            entry.serial(),
            moment(entry.certificate.validity.not_after),
        ));
    }
    human.push_str(&describe(lists, &home.crl_path()));
    if !places.is_empty() {
        human.push_str(&format!("Still in {}\n", places.join(", ")));
    }
    let last = entries.iter().map(|entry| entry.certificate.validity.not_after).max().unwrap_or(invocation.now);
    let who = match entries.first().map(|entry| entry.role) {
        Some(Role::Daemon) => "docker never reads revocation lists: it goes on talking to this daemon's certificate",
        _ => "dockerd never reads revocation lists: it goes on letting this client in",
    };
    human.push_str(&format!(
        "\n{who} until {}.\nWhat helps today:\n\
         - a proxy that reads crl.pem in front of the docker socket (dockseal crl --help)\n\
         - a roll-over: who no longer trusts the old authority accepts nothing that it signed (dockseal rollover begin)\n\
         - short lifetimes for what is issued next: dockseal issue client NAME --lifetime 7d\n",
        moment(last)
    ));
    let json = json!({
        "schema": SCHEMA,
        "reason": reason.word(),
        "at": rfc3339(invocation.now),
        "revoked": entries.iter().map(|entry| CertificateReport::new(entry.role, &entry.certificate)).collect::<Vec<_>>(),
        "still_in": places,
        "file": (!lists.is_empty()).then(|| home.crl_path().to_string_lossy().into_owned()),
        "lists": wire(lists),
        "obeyed_by_docker": false,
    });
    output.result(&human, &json);
}
