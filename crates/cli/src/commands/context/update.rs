//! `dockseal context update`.

use std::{path::Path, process::ExitCode};

use dockseal_docker::{FilePlan, Ownership, Role, layout::Names};
use dockseal_inventory::Inventory;
use dockseal_lifecycle::{PlacesOf, delivery::LeftAlone};
use dockseal_pki::{Certificate, printable};
use dockseal_store::{Displaced, Existing, stage};
use serde_json::json;

use super::copies::{Copy, Looker, Newer, Recorded, Standing, inventory_here};
use crate::{
    contexts::{self, MetaTrouble, Stored, files_in, read_meta, shown},
    failure::Failure,
    held,
    hints::{inventory_failure, left_alone_failure, undelivered_failure, write_failure},
    invocation::Invocation,
    judgement,
    ledger::Ledger,
    output::Output,
    reissue::fitted,
    report::{CertificateReport, until},
    rows::Rows,
};

const WHAT: &str = "cannot update the contexts";

#[derive(clap::Args)]
#[command(
    after_help = "A stale copy is one in whose certificate's place another came: by a renewal on another machine, or of a directory from\n\
    which docker context create copied. The newer files are copied from where they are on this machine, judged, and swapped in\n\
    as one unit; what was there is kept for dockseal rollback. From then on renewals go there. --all mends the recorded\n\
    directories too. Nothing is issued.\n\n\
    Examples:\n  \
    dockseal context update --all\n  \
    dockseal context update prod\n  \
    dockseal context update prod --host tcp://build2.example.com:2376"
)]
pub(super) struct Args {
    /// The contexts
    #[arg(value_name = "NAME", required_unless_present = "all")]
    names: Vec<String>,
    /// Every context, and every recorded directory of this machine
    #[arg(long, conflicts_with_all = ["names", "host", "description"])]
    all: bool,
    /// Have docker dial this instead; without a port 2376
    #[arg(long, value_name = "tcp://HOST:PORT")]
    host: Option<String>,
    /// Have docker context ls say this of it
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
}

pub(super) fn run(args: &Args, invocation: &Invocation, output: &mut Output) -> Result<ExitCode, Failure> {
    let host = args.host.as_deref().map(|host| contexts::host(host, WHAT)).transpose()?;
    let chosen = chosen(args, invocation)?;
    let mut rows = Rows::new(output.format());
    let mut ledger = match inventory_here(invocation)? {
        None => None,
        Some(inventory) if !has_work(&inventory, &chosen, args.all, invocation)? => None,
        Some(inventory) => {
            drop(inventory);
            let home = invocation.home()?;
            Some(Ledger::open(&home, invocation.around(), output)?)
        }
    };
    let (mut copies, mut directories) = (Vec::new(), Vec::new());
    {
        let opened = if ledger.is_none() { inventory_here(invocation)? } else { None };
        let inventory = ledger.as_ref().map(|ledger| &ledger.inventory).or(opened.as_ref());
        let looker = Looker::new(inventory, invocation, WHAT);
        for stored in chosen {
            let copy = looker.context(&stored)?;
            copies.push((stored, copy));
        }
        if args.all {
            directories = looker.stale_directories()?;
        }
    }
    for (stored, copy) in &copies {
        if host.is_some() || args.description.is_some() {
            let described =
                describe(stored, host.as_deref(), args.description.as_deref(), invocation, &mut rows, output);
            if let Err(failure) = described {
                let who = printable(&format!("context {}", stored.name));
                rows.trouble(&who, &failure, json!({ "context": stored.name }), output);
            }
        }
        if copy.is_foreign() {
            forget(copy, ledger.as_mut(), &mut rows, output);
        }
        mend(copy, ledger.as_mut(), invocation, &mut rows, output);
    }
    for copy in &directories {
        mend(copy, ledger.as_mut(), invocation, &mut rows, output);
    }
    if directories.iter().any(|copy| copy.role() == Some(Role::Daemon)) {
        output.note("dockerd reads its files when it starts: restart it where a daemon's directory was updated");
    }
    Ok(rows.finish(output))
}

fn chosen(args: &Args, invocation: &Invocation) -> Result<Vec<Stored>, Failure> {
    let mut all = contexts::all(invocation, WHAT)?;
    if args.all {
        return Ok(all);
    }
    for name in &args.names {
        if !all.iter().any(|stored| stored.name == *name) {
            return Err(contexts::unknown(name, WHAT));
        }
    }
    all.retain(|stored| args.names.contains(&stored.name));
    Ok(all)
}

/// Whether the inventory is to be written to.
fn has_work(inventory: &Inventory, chosen: &[Stored], all: bool, invocation: &Invocation) -> Result<bool, Failure> {
    // Where a killed run swapped the newer files in, all looks done, and is recorded nowhere.
    let unfinished = inventory.unfinished().map_err(|error| inventory_failure(WHAT, &error))?;
    if unfinished.iter().any(|destination| invocation.has(&destination.place)) {
        return Ok(true);
    }
    let looker = Looker::new(Some(inventory), invocation, WHAT);
    for stored in chosen {
        let copy = looker.context(stored)?;
        if copy.newer.is_some() || copy.can_be_recorded() || copy.is_foreign() {
            return Ok(true);
        }
    }
    Ok(all && !looker.stale_directories()?.is_empty())
}

/// Changes what docker dials, or what it says of a context.
fn describe(
    stored: &Stored,
    host: Option<&str>,
    description: Option<&str>,
    invocation: &Invocation,
    rows: &mut Rows,
    output: &mut Output,
) -> Result<(), Failure> {
    let what = format!("cannot change the context {}", stored.name);
    let store = contexts::store(invocation)?;
    let lock = store.lock().map_err(|error| write_failure(&what, &error))?;
    let mut meta = read_meta(&stored.files.meta).map_err(|trouble| damaged(&what, &trouble))?;
    let before = meta.clone();
    if let Some(host) = host {
        meta.dial(host);
    }
    if let Some(description) = description {
        meta.describe(description);
    }
    if meta == before {
        return Ok(());
    }
    let source = dockseal_store::read(&stored.files.source()).ok().map(|file| file.bytes.to_vec());
    store
        .write(&stored.files, &meta.to_json(), source.as_deref(), &lock)
        .map_err(|error| write_failure(&what, &error))?;
    let (name, host) = (&stored.name, meta.host());
    rows.row(
        &format!("context {} dials {}", printable(name), printable(host)),
        &json!({ "state": "changed", "context": name, "host": host, "description": meta.description() }),
        output,
    );
    Ok(())
}

pub(super) fn damaged(what: &str, trouble: &MetaTrouble) -> Failure {
    Failure::trouble(what).cause(trouble).hint("make it again with dockseal context create … --replace")
}

/// Brings what took the place of a copy, or says why not.
fn mend(copy: &Copy, ledger: Option<&mut Ledger>, invocation: &Invocation, rows: &mut Rows, output: &mut Output) {
    let place = shown(&copy.place);
    let place = printable(&place);
    let wire = json!({ "directory": copy.place.path.to_string_lossy(), "who": copy.who() });
    let places = ledger.as_ref().map_or(PlacesOf::Everybody, |ledger| ledger.places());
    let done = match (&copy.standing, &copy.newer) {
        // What the inventory of another user calls newer is that user's word, and so would be the key that comes here.
        (Standing::Stale, Some(_)) if !places.include_place(&copy.place) => {
            let PlacesOf::User(user) = places else { return };
            Err(left_alone_failure(Some(&copy.place), LeftAlone::NotTheirs { user }))
        }
        // Certificates are no secret: whoever owns the directory can have put one there to get the key of another.
        (Standing::Stale, Some(_)) if copy.recorded == Recorded::AsAnother => Err(no(
            copy,
            "another certificate is recorded for it",
            "if the one that is there is right, say so with dockseal inventory record DIR",
        )),
        (Standing::Stale, Some(newer)) => bring(copy, newer, ledger, invocation).map(|certificate| {
            let ends = until(certificate.validity, invocation.now);
            let role = copy.role().unwrap_or(Role::Client);
            let mut wire = wire.clone();
            wire["state"] = json!("updated");
            wire["certificate"] = json!(CertificateReport::new(role, &certificate));
            Some((format!("updated {place}, valid until {ends}"), wire))
        }),
        _ if copy.can_be_recorded() => record(copy, ledger).map(|()| {
            let mut wire = wire.clone();
            wire["state"] = json!("recorded");
            Some((format!("recorded {place}: renewals go there too"), wire))
        }),
        (Standing::Revoked, _) => Err(no(copy, "its certificate was revoked", "dockseal context remove takes it out")),
        (Standing::Unreadable(cause), _) => Err(no(copy, cause, "see what is there, or make it again")),
        (Standing::Expired | Standing::Superseded, _) if copy.entry.is_some() => Err(no(
            copy,
            "its certificate counts no longer, and there is no newer one",
            "make it again with dockseal context create … --replace",
        )),
        _ => Ok(None),
    };
    match done {
        Ok(Some((human, wire))) => rows.row(&human, &wire, output),
        Ok(None) => {}
        Err(failure) => rows.trouble(&place, &failure, wire, output),
    }
}

fn no(copy: &Copy, cause: impl std::fmt::Display, hint: &str) -> Failure {
    Failure::no(format!("{} was left as it is", shown(&copy.place))).cause(cause).hint(hint)
}

/// There was nothing to record when this run began, so it has no right to.
fn meanwhile(copy: &Copy) -> Failure {
    no(copy, "another run has changed the inventory meanwhile", "run it again")
}

/// Judges the newer files and swaps them in.
fn bring(
    copy: &Copy,
    newer: &Newer,
    ledger: Option<&mut Ledger>,
    invocation: &Invocation,
) -> Result<Certificate, Failure> {
    let what = format!("{} was left as it is", shown(&copy.place));
    let from = newer.directory.as_deref().ok_or_else(|| {
        no(
            copy,
            "the newer files are not on this machine",
            "copy them here, or run dockseal renew where the authority is",
        )
    })?;
    let ownership = ownership_of_holder(copy, &what)?;
    let plan = judged(from, ownership, newer.id.is_some(), &what, invocation)?;
    let plan = fitted(plan, &copy.place);
    match (newer.id, ledger) {
        (Some(id), Some(ledger)) => {
            ledger
                .install(id, Some(&plan), &copy.place, Displaced::Keep)
                .map_err(|error| undelivered_failure(&what, &error))?;
            forget_source(copy, invocation)?;
        }
        (Some(_), None) => return Err(meanwhile(copy)),
        (None, _) => stage(&plan, &copy.place.path, Existing::Replace, Displaced::Keep)
            .and_then(dockseal_store::Staged::put_in_place)
            .and_then(dockseal_store::Placed::check)
            .map_err(|error| write_failure(&what, &error))?,
    }
    Ok(newer.certificate.clone())
}

/// Whose the place is, if it holds the key of its certificate: anybody can have a certificate, and get nothing by it.
fn ownership_of_holder(copy: &Copy, what: &str) -> Result<Ownership, Failure> {
    let directory = &copy.place.path;
    let sight = held::look(directory, what)?;
    let key = held::key_in(&sight, directory, Names::DOCKER.key, what)?;
    if key.is_none_or(|key| copy.leaf.as_ref().is_none_or(|leaf| !key.is_of(&leaf.public_key))) {
        return Err(no(
            copy,
            "its key is not that of its certificate",
            "make it again with dockseal context create … --replace",
        ));
    }
    sight.ownership(Names::DOCKER.key).map_err(|error| no(copy, error, "see what is there, or make it again"))
}

/// The files to copy, with the owner and mode that their new place has. What no authority here knows is a client's, as it is.
fn judged(
    from: &Path,
    ownership: Ownership,
    is_known: bool,
    what: &str,
    invocation: &Invocation,
) -> Result<FilePlan, Failure> {
    let plan = files_in(from, ownership, what)?;
    if is_known {
        held::judge(&held::read(from, what)?, invocation, what)?;
    } else {
        judgement::of_client_files(&plan, invocation.now, what)?;
    }
    Ok(plan)
}

/// What is there already becomes a destination.
fn record(copy: &Copy, ledger: Option<&mut Ledger>) -> Result<(), Failure> {
    let (Some(ledger), Some(entry)) = (ledger, &copy.entry) else { return Err(meanwhile(copy)) };
    ledger.install(entry.id, None, &copy.place, Displaced::Remove).map_err(|error| undelivered_failure(WHAT, &error))
}

/// What somebody else put into a context is no destination: renewals would look there for what was, and fail.
fn forget(copy: &Copy, ledger: Option<&mut Ledger>, rows: &mut Rows, output: &mut Output) {
    let Some(ledger) = ledger else { return };
    let place = shown(&copy.place);
    let place = printable(&place);
    let wire = json!({ "directory": copy.place.path.to_string_lossy(), "who": copy.who(), "state": "forgotten" });
    match ledger.forget_place(&copy.place) {
        Ok(()) => rows.row(&format!("{place} holds another certificate: renewals no longer go there"), &wire, output),
        Err(error) => rows.trouble(&place, &inventory_failure(WHAT, &error), wire, output),
    }
}

/// The inventory knows from now on where newer files are.
fn forget_source(copy: &Copy, invocation: &Invocation) -> Result<(), Failure> {
    let files = dockseal_docker::context::ContextFiles::of_tls(&copy.place.path);
    let Some(files) = files.filter(|files| files.source().exists()) else { return Ok(()) };
    let store = contexts::store(invocation)?;
    let failed = |error| write_failure(WHAT, &error);
    let lock = store.lock().map_err(failed)?;
    let meta = read_meta(&files.meta).map_err(|trouble| damaged(WHAT, &trouble))?;
    store.write(&files, &meta.to_json(), None, &lock).map_err(failed)
}
