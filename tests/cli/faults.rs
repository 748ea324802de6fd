//! Every system call with which bundles are written fails once, in every command that writes them. Right after, what the
//! inventory says is held against what is on disk, by another SQLite, and the next run goes on as if nothing had been.

use std::fs;

use dockseal_tests::{Bundle, Program, Sandbox, note_skip, require};

use crate::home;

const PLACES: [&str; 3] = ["host/daemon", "host/clients/alice", "host/clients/bob"];

/// Calls of the store alone: the inventory's SQLite makes none of them, so that it can always be written.
const FAULTS: [(&str, &str); 8] = [
    ("renameat2", "EIO"),
    ("renameat2", "ENOSPC"),
    ("mkdirat", "ENOSPC"),
    ("fchmod", "EIO"),
    ("syncfs", "EIO"),
    ("unlinkat", "EIO"),
    ("getdents64", "EIO"),
    ("flock", "ENOLCK"),
];

/// Shared with SQLite: what was announced may stay so until the next run.
const SHARED_FAULTS: [(&str, &str); 2] = [("fsync", "EIO"), ("openat", "EMFILE")];

fn traced(sandbox: &Sandbox, how: &[&str], command: &str) -> Program {
    let log = sandbox.root().join("tmp/calls");
    let program = sandbox.program("strace").args(["-f", "-qq", "-o"]).arg(log).args(how);
    program.arg(dockseal_tests::dockseal_binary()).args(command.split(' '))
}

#[track_caller]
fn assert_so(sandbox: &Sandbox, state: &str, when: &str) {
    for place in PLACES {
        Bundle(sandbox.path(place)).assert_complete();
    }
    let script = dockseal_tests::repository().join("tests/cli/kill/books.py");
    let checked = sandbox.program("python3").arg(script).arg(home(sandbox).join("inventory.db")).arg(state);
    let checked = checked.args(PLACES.map(|place| sandbox.path(place))).run().success();
    assert_eq!(checked.stdout, "", "{when}: {checked}");
}

fn every_fault_of(command: &str) {
    let sandbox = Sandbox::new();
    let run = |line: &str| sandbox.dockseal(line.split(' ')).run();
    let _ = run("bootstrap h.test --client alice --client bob --out host --no-passphrase").success();
    let _ = run("renew --all").success();
    let probe = traced(&sandbox, &["-e", "trace=renameat2"], command).run();
    if probe.code != Some(0) {
        note_skip(&format!("strace is not allowed here: {}", probe.stderr.trim()));
        return;
    }
    let (mut injected, mut failed) = (0, 0);
    for (call, error) in FAULTS.into_iter().chain(SHARED_FAULTS) {
        let is_shared = SHARED_FAULTS.contains(&(call, error));
        let _ = traced(&sandbox, &["-e", &format!("trace={call}")], command).run().success();
        let log = sandbox.root().join("tmp/calls");
        let count = fs::read_to_string(&log).unwrap().lines().filter(|line| line.contains(&format!("{call}("))).count();
        // What is opened first are the program's libraries.
        let (first, stride) = if call == "openat" { (12, 3) } else { (1, 1) };
        for n in (first..=count).step_by(stride) {
            let how = format!("inject={call}:error={error}:when={n}");
            let ran = traced(&sandbox, &["-e", &format!("trace={call}"), "-e", &how], command).run();
            let when = format!("{command}: {call} number {n} of {count} answers {error}\n{ran}");
            assert!(matches!(ran.code, Some(0..=2)), "{when}");
            injected += 1;
            failed += usize::from(ran.code != Some(0));
            assert_so(&sandbox, if is_shared { "open" } else { "settled" }, &when);
            let next = run("renew --all");
            assert_eq!(next.code, Some(0), "{when}\nand then\n{next}");
            assert_so(&sandbox, "settled", &format!("the run after {when}"));
        }
    }
    println!("{command}: {injected} faults, {failed} of them ended it");
    assert!(failed * 4 > injected, "only {failed} of {injected} faults were noticed");
}

#[test]
fn renewing() {
    require!("openssl", "python3", "strace");
    every_fault_of("renew --all");
}

#[test]
fn replacing() {
    require!("openssl", "python3", "strace");
    every_fault_of("issue client alice --out host/clients/alice --no-passphrase --replace");
}

#[test]
fn rolling_back() {
    require!("openssl", "python3", "strace");
    every_fault_of("rollback alice");
}
