//! `--exec`: the command that follows a renewal.

use std::{
    io,
    os::unix::process::CommandExt,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use dockseal_inventory::{Destination, Entry, Inventory};
use dockseal_store::Home;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::{Report, WHAT};
use crate::{
    contexts::shown, failure::Failure, hints::inventory_failure, invocation::Invocation, ledger::Ledger,
    output::Output, passphrase::is_interactive, report::rfc3339,
};

/// How long a command may take: dockerd is ready or has failed long before (systemd gives a service 90 s by default,
/// DefaultTimeoutStartSec in systemd-system.conf(5)), and a command that hangs does not keep the others waiting for longer.
const LIMIT: Duration = Duration::from_secs(10 * 60);
/// How long it may take to end when it is told to.
const GRACE: Duration = Duration::from_secs(10);
/// How often it is looked at.
const PAUSE: Duration = Duration::from_millis(10);

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
    if let Some(places) = in_words(&waiting) {
        output.warn(&format!(
            "the command that follows a renewal is still due in {places}: it was not run to its end there, or failed;\nrun dockseal renew --due --exec COMMAND"
        ));
    }
    Ok(())
}

/// The places, the first by its name.
pub(crate) fn in_words(waiting: &[Destination]) -> Option<String> {
    let (first, others) = waiting.split_first()?;
    let others = match others.len() {
        0 => String::new(),
        1 => " and 1 other place".to_owned(),
        n => format!(" and {n} other places"),
    };
    Some(format!("{}{others}", shown(&first.place)))
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
        ledger.recorder().command_begins(destination.id).map_err(failure)?;
        ledger.pause();
        let trouble = run(command, &destination, &entry, LIMIT).err();
        ledger.resume(home, invocation.around())?;
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

/// Runs the command for one place; why it failed, if it did.
///
/// Where a person is there, it is in the foreground with this program: it may ask on the terminal, and Ctrl-C ends both. A
/// group of its own could do neither (setpgid(2), termios(4): TTIN), so that only what nobody watches has a limit.
fn run(command: &str, destination: &Destination, entry: &Entry, limit: Duration) -> Result<(), String> {
    let mut shell = Command::new("sh");
    shell
        .arg("-c")
        .arg(command)
        .env("DOCKSEAL_NAME", &entry.name)
        .env("DOCKSEAL_ROLE", entry.role.word())
        .env("DOCKSEAL_DIRECTORY", &destination.place.path)
        .env("DOCKSEAL_SERIAL", entry.serial().to_string())
        .env("DOCKSEAL_NOT_AFTER", rfc3339(entry.certificate.validity.not_after))
        .stdin(Stdio::null())
        // What it says is talk, and no part of the result.
        .stdout(io::stderr());
    let ended = if is_interactive() {
        shell.status().map(outcome_of)
    } else {
        // What it starts is ended with it.
        shell.process_group(0).spawn().and_then(|child| end_within(child, limit, GRACE))
    };
    ended.unwrap_or_else(|error| Err(error.to_string()))
}

fn outcome_of(status: ExitStatus) -> Result<(), String> {
    if status.success() { Ok(()) } else { Err(status.to_string()) }
}

/// Waits for a process that leads a group; the group is ended when the limit is over.
fn end_within(mut child: Child, limit: Duration, grace: Duration) -> io::Result<Result<(), String>> {
    let group = Pid::from_child(&child);
    if !ends_within(group, limit)? {
        let _ = kill_process_group(group, Signal::TERM);
        let _ = ends_within(group, grace)?;
        // Before its leader is reaped the number is nobody else's.
        let _ = kill_process_group(group, Signal::KILL);
        child.wait()?;
        return Ok(Err(format!("it was ended after {} s, which is as long as it may take", limit.as_secs())));
    }
    child.wait().map(outcome_of)
}

/// Whether a child ends in this time; it is not reaped.
fn ends_within(child: Pid, limit: Duration) -> io::Result<bool> {
    let started = Instant::now();
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    loop {
        match waitid(WaitId::Pid(child), options) {
            Ok(Some(_)) => return Ok(true),
            Ok(None) if started.elapsed() >= limit => return Ok(false),
            Ok(None) => thread::sleep(PAUSE),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::test_kill_process_group;

    use super::*;

    /// What a command started goes with it, also what does not listen to SIGTERM.
    #[test]
    fn a_command_that_hangs_is_ended_with_its_children() {
        let ended = |script: &str| {
            let child = Command::new("sh").arg("-c").arg(script).process_group(0).spawn().unwrap();
            let group = Pid::from_child(&child);
            let ended = end_within(child, Duration::from_millis(300), Duration::from_millis(300)).unwrap();
            // The kernel takes a moment to bury orphans.
            let started = Instant::now();
            while test_kill_process_group(group).is_ok() {
                assert!(started.elapsed() < Duration::from_secs(10), "{script}: something lives on");
                thread::sleep(PAUSE);
            }
            ended
        };
        assert_eq!(ended("exit 0"), Ok(()));
        assert_eq!(ended("exit 3"), Err("exit status: 3".to_owned()));
        for script in ["sleep 100", "sleep 100 & sleep 100", "trap '' TERM; sleep 100 & while :; do sleep 1; done"] {
            assert!(ended(script).is_err_and(|said| said.starts_with("it was ended after")), "{script}");
        }
    }
}
