//! `dockseal context remove`.

use std::process::ExitCode;

use dockseal_docker::context::{current_context, without_current_context};
use dockseal_store::{AmendError, amend};
use serde_json::json;

use crate::{
    contexts,
    failure::Failure,
    hints::{inventory_failure, write_failure},
    invocation::Invocation,
    ledger::recorded_here,
    output::Output,
    report::SCHEMA,
};

/// The mode that docker gives a config.json (docker/cli cli/config/configfile/file.go `Save`).
const CONFIG_MODE: u32 = 0o600;

#[derive(clap::Args)]
#[command(
    after_help = "Its metadata, its TLS files and what was kept for a rollback go, and renewals no longer look for it. The certificate\n\
    counts until it ends: revoke it if nobody is to use it any more.\n\n\
    Examples:\n  dockseal context remove prod\n  dockseal context remove prod --force"
)]
pub(super) struct Args {
    /// The context
    #[arg(value_name = "NAME")]
    name: String,
    /// Remove it though docker uses it; docker then goes by DOCKER_HOST
    #[arg(long, short)]
    force: bool,
}

pub(super) fn run(args: &Args, invocation: &Invocation, output: &mut Output) -> Result<ExitCode, Failure> {
    let name = args.name.as_str();
    let what = format!("cannot remove the context {name}");
    contexts::check_name(name, &what)?;
    let in_use = contexts::current(invocation).as_deref() == Some(name);
    if in_use && !args.force {
        return Err(Failure::no(what)
            .cause("docker uses it when nothing else is said")
            .hint(format!("{}, or remove it anyway with --force", use_default(invocation))));
    }
    let store = contexts::store(invocation)?;
    let files = store.files(name);
    let place = invocation.place(&files.tls)?;
    let failed = |error| inventory_failure(&what, &error);
    let mut ledger = recorded_here(&place, invocation, output, &what)?;
    if ledger.is_none() && !store.has_any(&files) {
        return Err(contexts::unknown(name, &what));
    }
    let lock = store.lock().map_err(|error| write_failure(&what, &error))?;
    if in_use {
        no_longer_current(name, invocation, &what, output)?;
    }
    store.remove(&files, &lock).map_err(|error| write_failure(&what, &error))?;
    drop(lock);
    let (mut entry, mut told) = (None, String::new());
    if let Some(ledger) = &mut ledger
        && let Some(destination) = ledger.inventory.destination_at(&place).map_err(failed)?
    {
        (entry, told) = crate::ledger::forget(ledger, &destination).map_err(failed)?;
    }
    let human = format!("Removed the context {name}\n{told}");
    let serial = entry.map(|entry| entry.serial().to_string());
    output.result(&human, &json!({ "schema": SCHEMA, "context": name, "serial": serial }));
    Ok(ExitCode::SUCCESS)
}

fn use_default(invocation: &Invocation) -> String {
    contexts::docker_line("context use default", invocation)
}

/// As docker does it: config.json names no context any more. Every other byte of it stays.
fn no_longer_current(name: &str, invocation: &Invocation, what: &str, output: &mut Output) -> Result<(), Failure> {
    let path = contexts::configuration(invocation)?.join("config.json");
    let changed = amend(&path, CONFIG_MODE, |bytes| {
        let Some(bytes) = bytes.filter(|bytes| current_context(bytes).ok().flatten().as_deref() == Some(name)) else {
            return Ok(None);
        };
        let text = std::str::from_utf8(bytes).ok().and_then(without_current_context).ok_or_else(|| {
            Failure::trouble(what)
                .cause(format!("{} cannot be changed safely", path.display()))
                .hint(format!("{}, and remove it then", use_default(invocation)))
        })?;
        Ok(Some(text.into_bytes()))
    });
    match changed {
        Ok(true) => return Ok(()),
        // docker passes over a config.json that it cannot read.
        Ok(false) | Err(AmendError::Read(_)) => {}
        Err(AmendError::Write(error)) => return Err(write_failure(what, &error)),
        Err(AmendError::Change(failure)) => return Err(failure),
    }
    if invocation.variable("DOCKER_CONTEXT").is_some_and(|named| named == name) {
        output.note(&format!("DOCKER_CONTEXT still names {name}"));
    }
    Ok(())
}
