//! The binary in a temporary directory: exit codes, what is said, and what is on disk
//! afterwards, with good input, bad input, bad places, bad company and a bad end.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "test code"
)]

mod adopted;
mod adopting;
mod advice;
mod audit;
mod bad_input;
mod bootstrap;
mod bulk;
mod completions;
mod context;
mod env;
mod faults;
mod foreign;
mod handover;
mod install;
mod inventory;
mod kill;
mod large;
mod layouts;
mod migrants;
mod neighbours;
mod places;
mod plugin;
mod races;
mod recorded;
mod renew;
mod renew_ca;
mod revoke;
mod rollover;
mod secrets;
mod snapshots;
mod status;
mod timer;
mod verify;

use dockseal_tests::{Entry, Ran, Sandbox, Tree, tree};

/// Where the authority of a sandbox is when nobody says otherwise.
fn home(sandbox: &Sandbox) -> std::path::PathBuf {
    sandbox.root().join("home/.local/share/dockseal")
}

/// A sandbox with an authority without passphrase.
fn with_authority() -> Sandbox {
    let sandbox = Sandbox::new();
    let _ = sandbox.dockseal(["init", "--no-passphrase"]).run().success();
    sandbox
}

/// When the stories of some tests happen.
const NOW: &str = "2030-06-15T12:00:00Z";

/// A command line that runs at that time.
fn at(sandbox: &Sandbox, time: &str, line: &str) -> Ran {
    sandbox.dockseal(["--at", time]).args(line.split(' ')).run()
}

/// All of a sandbox but what SQLite's readers share with one another.
fn picture(sandbox: &Sandbox) -> Tree {
    let mut picture = tree(sandbox.root());
    picture.0.retain(|path, (_, _, entry)| {
        let empty = matches!(entry, Entry::File(bytes) if bytes.is_empty());
        !(path.ends_with("inventory.db-shm") || empty && path.ends_with("inventory.db-wal"))
    });
    picture
}

/// A refusal: one of these codes, and both an error and a hint on standard error.
#[track_caller]
fn refused(ran: &Ran, codes: &[i32]) {
    assert!(ran.code.is_some_and(|code| codes.contains(&code)), "should exit with one of {codes:?}\n{ran}");
    assert!(ran.stderr.contains("error: "), "no error is named\n{ran}");
    assert!(!ran.stderr.contains("panicked"), "{ran}");
    assert_eq!(ran.stdout, "", "a refusal has no result\n{ran}");
}

/// The same, with a hint what to do.
#[track_caller]
fn refused_with_hint(ran: &Ran, codes: &[i32]) {
    refused(ran, codes);
    assert!(ran.stderr.contains("hint:"), "no hint is given\n{ran}");
}
