//! `--exec`: the command that follows a renewal.

use std::process::{Command, Stdio};

use super::{Report, WHAT};
use crate::{
    authority::Opened,
    failure::Failure,
    invocation::Invocation,
    ledger::{Ledger, inventory_failure},
    output::Output,
    report::rfc3339,
};

/// Runs the command for every place that waits for it: those of this run, and those where it failed before. Others can
/// work on the authority meanwhile.
pub(super) fn run_all(
    command: &str,
    opened: &Opened,
    invocation: &Invocation,
    report: &mut Report,
    output: &mut Output,
) -> Result<(), Failure> {
    let failure = |error| inventory_failure(WHAT, &error);
    let mut ledger = Ledger::open(&opened.home, opened.authority.issuer(), invocation, output)?;
    let waiting = ledger.inventory.commands_due().map_err(failure)?;
    let machine = &invocation.machine;
    for destination in waiting.into_iter().filter(|destination| destination.place.machine == *machine) {
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
        ledger.give_way(&opened.home, invocation)?;
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
