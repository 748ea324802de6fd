//! `dockseal install`: the certificate that answers a request is put in place, whole or not at all.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use dockseal_ca::Endpoint;
use dockseal_docker::{Layout, PlannedFile, Role, layout, plan};
use dockseal_inventory::{Delivered, Delivery};
use dockseal_pki::{Bundle, Certificate, TrustAnchors, moment};
use dockseal_store::{Displaced, Existing, Placed, check_destination, stage};
use serde_json::json;

use super::issue::{check_not_here, read_request};
use crate::{
    authority::{read_brought, read_certificates},
    failure::Failure,
    held::{self, keep_what_a_kill_left},
    hints::{inventory_failure, write_failure},
    input::read_input,
    invocation::Invocation,
    judgement,
    ledger::known_here,
    output::{Output, fields},
    report::{CertificateReport, SCHEMA, until},
};
use dockseal_lifecycle::identity::{dialled_name, endpoint_role, likely_role, may_be};

const WHAT: &str = "cannot install the certificate";

#[derive(clap::Args)]
#[command(
    after_help = "The certificate is to belong to the key that waits in the directory (dockseal request --renew) or to the one that\n\
    is in use, to be for the same names, and to be accepted by Docker's rules. What was there is kept for dockseal rollback.\n\n\
    Examples:\n  \
    dockseal install ~/docker-tls cert.pem\n  \
    dockseal install ~/docker-tls cert.pem --ca ca.pem        the first time, or with the anchors of a new authority\n  \
    ssh ca dockseal renew alice --csr - --out - < ~/docker-tls/request.csr | dockseal install ~/docker-tls -"
)]
pub(crate) struct Args {
    /// The directory that holds the key
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// The certificate, then its intermediates if it has any; - for standard input
    #[arg(value_name = "CERT")]
    certificate: PathBuf,
    /// The trust anchors, instead of the directory's own ca.pem
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

pub(crate) fn run(args: &Args, invocation: &Invocation, output: &mut Output) -> Result<ExitCode, Failure> {
    let directory = args.directory.as_path();
    check_not_here(directory, invocation, WHAT)?;
    let stdin = args.certificate.as_os_str() == "-";
    let shown = if stdin { Path::new("of standard input") } else { &args.certificate };
    let chain = read_brought(&read_input(&args.certificate, WHAT)?, shown)?;
    let leaf = chain.first().ok_or_else(|| Failure::trouble(WHAT))?.clone();
    keep_what_a_kill_left(directory);
    let present = read_chain(directory)?;
    let old = present.first();
    let (anchors, anchors_changed) = anchors(args.ca.as_deref(), directory)?;

    if chain == present && !anchors_changed {
        return unchanged(directory, &leaf, invocation, output);
    }
    if leaf.is_ca() {
        return Err(Failure::no(WHAT)
            .cause(format!("the first certificate is that of an authority, {}", leaf.subject))
            .hint("the endpoint's own certificate comes first; trust anchors are given with --ca"));
    }
    let endpoint = held::endpoint(&leaf, role_of(&leaf, directory, old)?)
        .map_err(|failure| Failure { what: WHAT.to_owned(), ..failure.into() })?;
    let (key, waited) = key_of(directory, &leaf)?;
    match old {
        Some(old) => refuse_another_endpoint(&endpoint, old, directory)?,
        None => compare_with_request(directory, &endpoint, &leaf, output)?,
    }
    let ownership =
        held::ownership(directory, layout::Names::DOCKER).map_err(|error| Failure::trouble(WHAT).cause(error))?;
    let bundle = Bundle { anchors, chain, key: Some(key.key) };
    let mut notes = judgement::of_bundle(&bundle, &endpoint, invocation.now, WHAT).map_err(|failure| {
        let hint = failure.hint.clone().unwrap_or_default();
        match args.ca {
            Some(_) => failure,
            None => failure.hint(format!("{hint}; the anchors of another authority are given with --ca FILE")),
        }
    })?;
    if let Some(old) = old.filter(|old| old.validity.not_after > leaf.validity.not_after) {
        notes.push(format!(
            "it ends before the one that was there, which was valid until {}",
            moment(old.validity.not_after)
        ));
    }
    let mut plan = plan(&bundle, endpoint.role(), Layout::Docker, ownership);
    if waited {
        plan.files.push(PlannedFile::gone(layout::RENEWAL_KEY_FILE));
    } else if directory.join(layout::RENEWAL_KEY_FILE).exists() {
        notes.push("it is for the key in use; the new key goes on waiting for its certificate".to_owned());
    }
    let request = directory.join(layout::REQUEST_FILE);
    if read_request(&request, WHAT).is_ok_and(|csr| csr.public_key.spki() == leaf.public_key.spki()) {
        plan.files.push(PlannedFile::gone(layout::REQUEST_FILE));
    }
    let displaced = if old.is_some() { Displaced::Keep } else { Displaced::Remove };
    check_destination(&plan.names(), directory, Existing::Replace).map_err(|error| write_failure(WHAT, &error))?;
    let mut known = known_here(&leaf, invocation, output, WHAT)?;
    let staged = stage(&plan, directory, Existing::Replace, displaced).map_err(|error| write_failure(WHAT, &error))?;
    let place = invocation.place(directory)?;
    let failure = |error| inventory_failure(WHAT, &error);
    let destination = match &mut known {
        None => None,
        Some((ledger, entry)) => {
            let delivery = Delivery { place: place.clone(), layout: Layout::Docker, ownership };
            Some(ledger.recorder().about_to_install(&delivery, entry.id).map_err(failure)?)
        }
    };
    let placed = staged.put_in_place();
    if let (Some((ledger, entry)), Some(destination)) = (&mut known, destination) {
        let recorded = match &placed {
            Ok(placed) => {
                let keeps_previous = placed.keeps_previous;
                let delivered = Delivered { id: entry.id, keeps_previous, command_due: false };
                ledger.recorder().delivered(&[delivered])
            }
            Err(_) => ledger.recorder().missed(&[destination]),
        };
        recorded.map_err(failure)?;
    }
    placed.and_then(Placed::check).map_err(|error| write_failure(WHAT, &error))?;
    drop(known);

    for note in &notes {
        output.note(note);
    }
    let mut human = format!(
        "Installed the {} certificate {}\n{}",
        endpoint.role(),
        leaf.subject,
        fields(&[
            ("in", place.path.display().to_string()),
            ("serial", leaf.serial.to_string()),
            ("valid until", until(leaf.validity, invocation.now)),
        ])
    );
    if old.is_some() {
        human.push_str("\nWhat was there is kept: dockseal rollback with this directory brings it back.\n");
    }
    if endpoint.role() == Role::Daemon {
        human.push_str("\ndockerd reads its files only when it starts: restart it.\n");
    }
    output.result(&human, &wire("installed", &place.path, endpoint.role(), &leaf, &notes));
    Ok(ExitCode::SUCCESS)
}

fn wire(state: &str, directory: &Path, role: Role, leaf: &Certificate, notes: &[String]) -> serde_json::Value {
    json!({
        "schema": SCHEMA,
        "state": state,
        "directory": directory.display().to_string(),
        "certificate": CertificateReport::new(role, leaf),
        "notes": notes,
    })
}

fn unchanged(
    directory: &Path,
    leaf: &Certificate,
    invocation: &Invocation,
    output: &mut Output,
) -> Result<ExitCode, Failure> {
    let path = invocation.absolute(directory)?;
    let ends = until(leaf.validity, invocation.now);
    let human = format!("{} holds this certificate already, valid until {ends}; nothing was changed\n", path.display());
    let role = likely_role(leaf, Some(&directory.join(layout::CERT_FILE)));
    output.result(&human, &wire("unchanged", &path, role, leaf, &[]));
    Ok(ExitCode::SUCCESS)
}

/// In which role it is installed: where Docker would take it in either, in that of what is there, or of what was asked for.
fn role_of(leaf: &Certificate, directory: &Path, old: Option<&Certificate>) -> Result<Role, Failure> {
    let path = directory.join(layout::CERT_FILE);
    let likely = endpoint_role(leaf, Some(&path)).map_err(|nobody| {
        Failure::no(WHAT).cause(nobody).hint("have one issued with dockseal issue daemon … or dockseal issue client …")
    })?;
    let wanted = match old {
        Some(old) => endpoint_role(old, Some(&path)).ok(),
        None => read_request(&directory.join(layout::REQUEST_FILE), WHAT)
            .ok()
            .map(|request| if request.names.is_empty() { Role::Client } else { Role::Daemon }),
    };
    let fits = |role: &Role| may_be(leaf, *role) && (*role != Role::Daemon || dialled_name(leaf).is_some());
    Ok(wanted.filter(fits).unwrap_or(likely))
}

/// What is in cert.pem, nothing when there is none.
fn read_chain(directory: &Path) -> Result<Vec<Certificate>, Failure> {
    let path = directory.join(layout::CERT_FILE);
    match dockseal_store::read(&path) {
        Ok(file) => Ok(read_certificates(&file.bytes, &path)?),
        Err(error) if error.is_not_found() => Ok(Vec::new()),
        Err(error) => Err(Failure::trouble(WHAT).cause(error).hint("name the directory that holds the key")),
    }
}

/// The anchors to be used, and whether they are others than those that are there.
fn anchors(given: Option<&Path>, directory: &Path) -> Result<(TrustAnchors, bool), Failure> {
    let path = directory.join(layout::CA_FILE);
    let there = match dockseal_store::read(&path) {
        Ok(file) => Some(read_certificates(&file.bytes, &path)?),
        Err(error) if error.is_not_found() => None,
        Err(error) => return Err(Failure::trouble(WHAT).cause(error).hint("name the directory that holds the key")),
    };
    let chosen = match (given, &there) {
        (Some(given), _) => read_brought(&read_input(given, WHAT)?, given)?,
        (None, Some(there)) => there.clone(),
        (None, None) => {
            return Err(Failure::trouble(WHAT)
                .cause(format!("there is no {} in {}", layout::CA_FILE, directory.display()))
                .hint("bring the authority's ca.pem along and give it with --ca FILE"));
        }
    };
    let changed = there.as_ref() != Some(&chosen);
    TrustAnchors::new(chosen)
        .map(|anchors| (anchors, changed))
        .ok_or_else(|| Failure::trouble(WHAT).cause("there is no trust anchor"))
}

/// The key that the certificate is for, and whether that is the one that waited.
fn key_of(directory: &Path, leaf: &Certificate) -> Result<(held::HeldKey, bool), Failure> {
    let mut any = false;
    for (name, waited) in [(layout::RENEWAL_KEY_FILE, true), (layout::KEY_FILE, false)] {
        let Some(key) = held::key(directory, name, WHAT)? else { continue };
        any = true;
        if key.is_of(&leaf.public_key) {
            held::refuse_if_open(&key, WHAT)?;
            return Ok((key, waited));
        }
    }
    if !any {
        return Err(Failure::trouble(WHAT)
            .cause(format!("there is no key in {}", directory.display()))
            .hint("name the directory in which dockseal request made the key"));
    }
    Err(Failure::no(WHAT)
        .cause("the certificate is for another key than those that are here")
        .hint(format!("it is to answer the request {}", directory.join(layout::REQUEST_FILE).display())))
}

/// A client's directory does not become a daemon's, nor Alice's Bob's.
fn refuse_another_endpoint(new: &Endpoint, old: &Certificate, directory: &Path) -> Result<(), Failure> {
    let Ok(old) = held::endpoint_in(old, &directory.join(layout::CERT_FILE)) else { return Ok(()) };
    let no = |cause: String| {
        Failure::no(WHAT).cause(cause).hint(
            "have the one that is there renewed with dockseal renew … --csr; for others make a directory of their own",
        )
    };
    match (new, &old) {
        (Endpoint::Daemon { names: new }, Endpoint::Daemon { names: old }) => {
            let mut differ: Vec<String> =
                old.iter().filter(|name| !new.contains(name)).map(|name| format!("{name} is missing")).collect();
            differ.extend(new.iter().filter(|name| !old.contains(name)).map(|name| format!("{name} is new")));
            if differ.is_empty() { Ok(()) } else { Err(no(format!("it is for other names: {}", differ.join(", ")))) }
        }
        (Endpoint::Client { user: new }, Endpoint::Client { user: old }) if new == old => Ok(()),
        (Endpoint::Client { user: new }, Endpoint::Client { user: old }) => {
            Err(no(format!("it is for the user {new}, and the one that is there for {old}")))
        }
        (new, old) => Err(no(format!("it is a {}'s, and the one that is there a {}'s", new.role(), old.role()))),
    }
}

/// Where there is no certificate yet, the request tells whom it was made for.
fn compare_with_request(
    directory: &Path,
    endpoint: &Endpoint,
    leaf: &Certificate,
    output: &mut Output,
) -> Result<(), Failure> {
    let Ok(request) = read_request(&directory.join(layout::REQUEST_FILE), WHAT) else { return Ok(()) };
    if endpoint.role() == Role::Client && !request.names.is_empty() {
        return Err(Failure::no(WHAT)
            .cause("it is a client's, and the request was a daemon's")
            .hint("have the request signed with dockseal issue daemon … --csr"));
    }
    for missing in request.names.iter().filter(|name| !leaf.names.contains(name)) {
        output.note(&format!("the request asked for {missing}, which the certificate does not have"));
    }
    Ok(())
}
