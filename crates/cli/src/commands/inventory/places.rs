//! `dockseal inventory record` and `forget`: a person says what a directory is to the authority.

use std::{path::PathBuf, process::ExitCode};

use dockseal_inventory::{Found, KeyHolder, State};
use dockseal_pki::printable;
use serde_json::json;

use crate::{
    authority::{known_issuers, trusted_issuers},
    endpoint::name_of,
    failure::Failure,
    former::{Former, revoked_failure},
    held,
    hints::inventory_failure,
    invocation::Invocation,
    ledger::Ledger,
    output::Output,
    report::SCHEMA,
};

#[derive(clap::Args)]
#[command(
    after_help = "For a bundle that was copied or moved there, or put there by hand: from now on renewals go there too.\n\n\
    Example:\n  dockseal inventory record /srv/runner/docker-tls"
)]
pub(super) struct RecordArgs {
    /// The directory, with ca.pem and cert.pem
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

#[derive(clap::Args)]
#[command(after_help = "The certificate counts until it ends: revoke it if nobody is to use it any more.\n\n\
    Examples:\n  dockseal inventory forget ./clients/alice\n  dockseal inventory forget /etc/docker/tls --machine old-build-host")]
pub(super) struct ForgetArgs {
    /// The directory, whether it is still there or not
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// The machine that it is, or was, on [default: this one]
    #[arg(long, value_name = "NAME")]
    machine: Option<String>,
}

pub(super) fn record(args: &RecordArgs, invocation: &Invocation, output: &mut Output) -> Result<ExitCode, Failure> {
    const WHAT: &str = "cannot record the directory";
    let home = invocation.home()?;
    let held = held::read(&args.directory, WHAT)?;
    let leaf = held.bundle.leaf().ok_or_else(|| Failure::trouble(WHAT))?;
    let by = known_issuers(&home, WHAT)?.into_iter().find(|by| leaf.issuer == by.subject && leaf.is_signed_by(by));
    let Some(by) = by else {
        return Err(Failure::no(WHAT)
            .cause(format!("its certificate was issued by {}, and not by this authority", leaf.issuer))
            .hint("name the authority that issued it with --authority DIR"));
    };
    if trusted_issuers(&home, WHAT)?.iter().all(|one| one.public_key.spki() != by.public_key.spki()) {
        return Err(Failure::no(WHAT)
            .cause(format!(
                "what {} has is of an authority that was rolled over: nobody trusts it",
                args.directory.display()
            ))
            .hint("dockseal issue with --replace puts a new one there"));
    }
    held::judge(&held, invocation, WHAT)?;
    let (role, name) = (held.endpoint.role(), name_of(&held.endpoint));
    let place = invocation.place(&args.directory)?;
    let layout = held.layout;
    let key_holder = if held.bundle.key.is_some() { KeyHolder::Here } else { KeyHolder::Elsewhere };
    let mut ledger = Ledger::open(&home, invocation.around(), output)?;
    let known = ledger.inventory.entry_of(leaf.fingerprint()).map_err(|error| inventory_failure(WHAT, &error))?;
    if let Some(State::Revoked(revocation)) = known.map(|known| known.state) {
        return Err(revoked_failure(WHAT, revocation));
    }
    Former::of_home(&home, vec![by.clone()], WHAT)?.refuse_revoked(&by, &leaf.serial)?;
    let generation = ledger.recorder().generation(&by).map_err(|error| inventory_failure(WHAT, &error))?;
    let numbered =
        ledger.inventory.numbered(generation, &leaf.serial).map_err(|error| inventory_failure(WHAT, &error))?;
    if let Some(other) = numbered.filter(|other| other.certificate != *leaf) {
        return Err(Failure::no(WHAT)
            .cause(format!(
                "its serial number {} is also that of the certificate of {} {}",
                leaf.serial,
                other.role,
                printable(&other.name)
            ))
            .hint("issue another one with dockseal issue, and put it there with --replace"));
    }
    let found =
        Found { generation, role, name: name.clone(), certificate: leaf, key_holder, place: Some((&place, layout)) };
    ledger.recorder().found(&[found]).map_err(|error| inventory_failure(WHAT, &error))?;
    let path = place.path.display().to_string();
    output.result(
        &format!(
            "{path} holds the certificate of {role} {}, serial {}; renewals go there\n",
            printable(&name),
            leaf.serial
        ),
        &json!({
            "schema": SCHEMA, "directory": path, "role": role.word(), "name": name, "serial": leaf.serial.to_string(),
        }),
    );
    Ok(ExitCode::SUCCESS)
}

pub(super) fn forget(args: &ForgetArgs, invocation: &Invocation, output: &mut Output) -> Result<ExitCode, Failure> {
    const WHAT: &str = "cannot forget the directory";
    let failure = |error| inventory_failure(WHAT, &error);
    let home = invocation.home()?;
    let here = invocation.place(&args.directory)?;
    let mut ledger = Ledger::open(&home, invocation.around(), output)?;
    let named = |name: &str, place: &dockseal_inventory::Place| name == place.machine_name || name == place.machine;
    let known = ledger.inventory.destinations_of_path(&here.path).map_err(failure)?;
    let found = known.into_iter().find(|destination| match &args.machine {
        None => destination.place.machine == here.machine,
        Some(name) => named(name, &destination.place),
    });
    let Some(destination) = found else {
        return Err(Failure::no(WHAT)
            .cause(format!("nothing was delivered to {}, as far as this authority knows", here.path.display()))
            .hint("dockseal list shows where certificates are"));
    };
    let (entry, told) = crate::ledger::forget(&mut ledger, &destination).map_err(failure)?;
    let path = destination.place.path.display().to_string();
    let machine = &destination.place.machine_name;
    let human = format!("{path} on {machine} is forgotten; what is there was left as it is\n{told}");
    let serial = entry.map(|entry| entry.serial().to_string());
    output.result(&human, &json!({ "schema": SCHEMA, "directory": path, "serial": serial }));
    Ok(ExitCode::SUCCESS)
}
