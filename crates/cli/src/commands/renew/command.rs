//! `--exec`: the command that follows a renewal.

use std::process::{Command, Stdio};

use dockseal_inventory::{Destination, Inventory};
use dockseal_store::Home;

use super::{Report, WHAT};
use crate::{
    contexts::shown,
    failure::Failure,
    invocation::Invocation,
    ledger::{Ledger, inventory_failure},
    output::Output,
    report::rfc3339,
};

/// The places of this machine that wait for the command.
pub(super) fn waiting(inventory: &Inventory, invocation: &Invocation) -> Result<Vec<Destination>, Failure> {
    let mut waiting = inventory.commands_due().map_err(|error| inventory_failure(WHAT, &error))?;
    waiting.retain(|destination| {
        destination.place.machine == invocation.machine && invocation.places().include_place(&destination.place)
    });
    Ok(waiting)
}

/// Says in a run without a command which places still wait for one: a daemon there may not have read its files yet.
pub(super) fn remind(inventory: &Inventory, invocation: &Invocation, output: &mut Output) -> Result<(), Failure> {
    let waiting = waiting(inventory, invocation)?;
    let Some(first) = waiting.first() else { return Ok(()) };
    let where_ = shown(&first.place);
    let others = match waiting.len() - 1 {
        0 => String::new(),
        1 => " and 1 other place".to_owned(),
        n => format!(" and {n} other places"),
    };
    output.warn(&format!(
        "the command that follows a renewal is still due in {where_}{others}: it was not run to its end there, or failed;\n\
         run dockseal renew --due --exec COMMAND"
    ));
    Ok(())
}

/// Runs the command for every place that waits for it: those of this run, and those where it failed before. Others can
/// work on the authority meanwhile.
pub(super) fn run_all(
    command: &str,
    home: &Home,
    invocation: &Invocation,
    report: &mut Report,
    output: &mut Output,
) -> Result<(), Failure> {
    let failure = |error| inventory_failure(WHAT, &error);
    let mut ledger = Ledger::open(home, invocation.around(), output)?;
    for destination in waiting(&ledger.inventory, invocation)? {
        let Some(id) = destination.certificate else { continue };
        let Some(entry) = ledger.inventory.entry(id).map_err(failure)? else { continue };
        ledger.pause();
        let status = Command::new("sh")
            .arg("-c")
            .arg(command)
            .env("DOCKSEAL_NAME", &entry.name)
            .env("DOCKSEAL_ROLE", entry.role.word())
            .env("DOCKSEAL_DIRECTORY", &destination.place.path)
            .env("DOCKSEAL_SERIAL", entry.serial().to_string())
            .env("DOCKSEAL_NOT_AFTER", rfc3339(entry.certificate.validity.not_after))
            .stdin(Stdio::null())
            // What it says is talk, and no part of the result.
            .stdout(std::io::stderr())
            .status();
        ledger.resume(home, invocation.around())?;
        let trouble = match status {
            Ok(status) if status.success() => None,
            Ok(status) => Some(status.to_string()),
            Err(error) => Some(error.to_string()),
        };
        ledger.recorder().command_ran(destination.id, trouble.as_deref()).map_err(failure)?;
        let trouble = trouble.map(|trouble| {
            Failure::no("the certificate was renewed, but the command that follows failed")
                .cause(trouble)
                .hint("mend what it needs; the next dockseal renew --due --exec runs it again")
        });
        report.command(&destination, entry.role, &entry.name, trouble, output);
    }
    Ok(())
}
