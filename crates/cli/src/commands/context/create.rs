//! `dockseal context create`.

use std::{path::PathBuf, process::ExitCode};

use dockseal_ca::Endpoint;
use dockseal_docker::{Layout, Ownership, Role, layout, plan};
use dockseal_inventory::{Entry, Inventory, Place, State};
use dockseal_pki::{Certificate, UserName};
use dockseal_store::Existing;
use serde_json::json;

use crate::{
    authority::{open, read_certificates},
    contexts::{self, Books, Done, Wanted, files_in, put},
    endpoint::{SubjectKey, new_key, parse_user, permit},
    failure::Failure,
    groups::{LeafArgs, PassphraseArgs},
    hints::inventory_failure,
    invocation::Invocation,
    ledger::{Ledger, known_here, open_to_read, recorded_here, settle},
    output::{Output, fields},
    reissue::visit,
    report::{CertificateReport, SCHEMA, until},
};

#[derive(clap::Args)]
#[command(
    after_help = "The context is written where docker looks: below DOCKER_CONFIG, else ~/.docker; docker --config DIR seal\n\
    context create … writes below DIR. docker itself is not needed. Renewals and roll-overs go there too. A context that is there already\n\
    stays, unless --replace is given.\n\n\
    Examples:\n  \
    dockseal context create prod --host tcp://build.example.com:2376 --client alice\n  \
    dockseal context create prod --host build.example.com --from ./build/clients/alice --description 'The build host'\n  \
    docker --context prod ps"
)]
pub(super) struct Args {
    /// What docker is to call it
    #[arg(value_name = "NAME")]
    name: String,
    /// What docker is to dial; without a port 2376
    #[arg(long, value_name = "tcp://HOST:PORT")]
    host: String,
    /// Issue a certificate for this user, for this context alone
    #[arg(long, value_name = "USER", required_unless_present = "from", conflicts_with = "from")]
    client: Option<String>,
    /// Copy ca.pem, cert.pem and key.pem of this directory, whoever issued them
    #[arg(long, value_name = "DIR", conflicts_with_all = ["lifetime", "key", "allow_long_lifetime"])]
    from: Option<PathBuf>,
    /// What docker context ls says of it
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Put it in the place of the context of that name
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    leaf: LeafArgs,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

/// What came of it.
struct Outcome {
    done: Done,
    notes: Vec<String>,
    certificate: Certificate,
    recorded: bool,
}

pub(super) fn run(args: &Args, invocation: &Invocation, output: &mut Output) -> Result<ExitCode, Failure> {
    let what = format!("cannot make the context {}", args.name);
    contexts::check_name(&args.name, &what)?;
    let host = contexts::host(&args.host, &what)?;
    let existing = if args.replace { Existing::Replace } else { Existing::Keep };
    let description = args.description.as_deref();
    let wanted = Wanted { name: &args.name, host: &host, description, source: None, existing };
    let outcome = match (&args.client, &args.from) {
        (Some(user), _) => issued(args, &parse_user(user)?, &wanted, &what, invocation, output)?,
        (None, Some(directory)) => copied(directory, &wanted, &what, invocation, output)?,
        (None, None) => return Err(Failure::trouble(what).hint("give --client USER or --from DIR")),
    };
    report(&wanted, &outcome, invocation, output);
    Ok(ExitCode::SUCCESS)
}

/// A directory's files, whoever issued them.
fn copied(
    directory: &std::path::Path,
    wanted: &Wanted<'_>,
    what: &str,
    invocation: &Invocation,
    output: &mut Output,
) -> Result<Outcome, Failure> {
    let plan = files_in(directory, Ownership::default(), what)?;
    let path = directory.join(layout::CERT_FILE);
    let chain = read_certificates(plan.contents(layout::CERT_FILE), &path)?;
    let certificate = chain.into_iter().next().ok_or_else(|| Failure::trouble(what))?;
    let mut known = known_here(&certificate, invocation, output, what)?;
    let is_current = known.as_ref().is_some_and(|(_, entry)| entry.state == State::Issued);
    let (done, notes) = match &mut known {
        Some((ledger, entry)) if is_current => put(wanted, plan, Books::Known(ledger, entry.id), invocation)?,
        known => {
            let source = invocation.place(directory)?.path;
            let mut former = match known {
                Some(_) => None,
                None => {
                    let place = invocation.place(&contexts::store(invocation)?.files(wanted.name).tls)?;
                    recorded_here(&place, invocation, output, what)?
                }
            };
            let ledger = known.as_mut().map(|(ledger, _)| ledger).or(former.as_mut());
            put(&Wanted { source: Some(&source), ..*wanted }, plan, Books::Unknown(ledger), invocation)?
        }
    };
    if known.is_some() && !is_current {
        output.warn(&format!(
            "another certificate took the place of the one in {}; dockseal context update {} brings it",
            directory.display(),
            wanted.name
        ));
    }
    Ok(Outcome { done, notes, certificate, recorded: is_current })
}

/// A certificate of its own.
fn issued(
    args: &Args,
    user: &UserName,
    wanted: &Wanted<'_>,
    what: &str,
    invocation: &Invocation,
    output: &mut Output,
) -> Result<Outcome, Failure> {
    let files = contexts::store(invocation)?.files(wanted.name);
    let place = invocation.place(&files.tls)?;
    let home = invocation.home()?;
    // A run that was killed may have delivered it already.
    settle(&home, invocation.around(), output)?;
    let has_one = wanted.existing == Existing::Keep
        && home.inventory_path().exists()
        && delivered_to(&open_to_read(&home)?, &place, user, what, invocation)?.is_some();
    if has_one {
        let mut ledger = Ledger::open(&home, invocation.around(), output)?;
        if let Some(entry) = delivered_to(&ledger.inventory, &place, user, what, invocation)? {
            let plan = files_in(&place.path, Ownership::default(), what)?;
            let (done, notes) = put(wanted, plan, Books::Known(&mut ledger, entry.id), invocation)?;
            return Ok(Outcome { done, notes, certificate: entry.certificate, recorded: true });
        }
    }
    if wanted.existing == Existing::Keep && files.meta.symlink_metadata().is_ok() {
        return Err(contexts::another(what));
    }
    let opened = open(&args.passphrase, invocation, output)?;
    let key = SubjectKey::Here(Box::new(new_key(args.leaf.key, output)?));
    let endpoint = Endpoint::Client { user: user.clone() };
    let permitted = permit(&opened.authority, &endpoint, key, args.leaf.wish()?, invocation.around())?;
    let mut ledger = Ledger::open_to_sign(&opened, invocation.around(), output)?;
    // Another run may have been faster while this one waited.
    if wanted.existing == Existing::Keep && files.meta.symlink_metadata().is_ok() {
        return Err(contexts::another(what));
    }
    let mut issued = permitted.issue(&opened.authority, &mut ledger, None, invocation.around())?;
    let plan = plan(&issued.bundle, Role::Client, Layout::Docker, Ownership::default());
    let mut notes = std::mem::take(&mut issued.notes);
    let (done, more) = put(wanted, plan, Books::New(&mut ledger, &issued), invocation)?;
    notes.extend(more.into_iter().filter(|note| !notes.contains(note)).collect::<Vec<_>>());
    Ok(Outcome { done, notes, certificate: issued.certificate, recorded: true })
}

/// The user's certificate that counts and is in this place, as it was delivered.
fn delivered_to(
    inventory: &Inventory,
    place: &Place,
    user: &UserName,
    what: &str,
    invocation: &Invocation,
) -> Result<Option<Entry>, Failure> {
    let failure = |error| inventory_failure(what, &error);
    let Some(destination) = inventory.destination_at(place).map_err(failure)? else { return Ok(None) };
    let Some(entry) = destination.certificate.map(|id| inventory.entry(id)).transpose().map_err(failure)?.flatten()
    else {
        return Ok(None);
    };
    let is_theirs = entry.state == State::Issued && entry.role == Role::Client && entry.name == user.as_str();
    Ok(Some(entry).filter(|entry| is_theirs && visit(&destination, entry, invocation).is_ok()))
}

fn report(wanted: &Wanted<'_>, outcome: &Outcome, invocation: &Invocation, output: &mut Output) {
    let Outcome { done, notes, certificate, recorded } = outcome;
    for note in notes {
        output.note(note);
    }
    let first = match done {
        Done::Made => format!("Made the context {}", wanted.name),
        Done::Changed => format!("Changed the context {}", wanted.name),
        Done::Nothing => format!("The context {} is like that already; nothing was changed", wanted.name),
    };
    let user = certificate.subject.common_name().unwrap_or_else(|| certificate.subject.to_string());
    let rows = [
        ("dials", wanted.host.to_owned()),
        ("as", dockseal_pki::printable(&user)),
        ("valid until", until(certificate.validity, invocation.now)),
        (
            "renewed",
            if *recorded { "by this authority" } else { "elsewhere; dockseal context update brings it" }.to_owned(),
        ),
    ];
    let next = contexts::docker_line(&format!("--context {} version", wanted.name), invocation);
    output.result(
        &format!("{first}\n{}\nNext:\n  {next}\n", fields(&rows)),
        &json!({
            "schema": SCHEMA,
            "context": wanted.name,
            "state": done.word(),
            "host": wanted.host,
            "recorded": recorded,
            "certificate": CertificateReport::new(Role::Client, certificate),
            "notes": notes,
            "next": [next],
        }),
    );
}
