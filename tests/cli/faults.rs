//! Every system call with which bundles are written fails once, in every command that writes them. Right after, what the
//! inventory says is held against what is on disk, by another SQLite, and the next run goes on as if nothing had been.

use std::fs;
use std::path::{Path, PathBuf};

use dockseal_tests::{Bundle, Program, Ran, Sandbox, note_skip, require};

use crate::{home, rollover::understand};

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
    assert_places_are_so(sandbox, &PLACES, state, when);
}

/// What is there is whole, and as it is remembered; what is not there is not remembered.
#[track_caller]
fn assert_places_are_so(sandbox: &Sandbox, places: &[&str], state: &str, when: &str) {
    let places: Vec<PathBuf> = places.iter().map(|place| sandbox.path(place)).collect();
    for place in places.iter().filter(|place| place.is_dir()) {
        Bundle(place.clone()).assert_complete();
    }
    let script = dockseal_tests::repository().join("tests/cli/kill/books.py");
    let checked = sandbox.program("python3").arg(script).arg(home(sandbox).join("inventory.db")).arg(state);
    let checked = checked.args(places).run().success();
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

/// A look that fails after a rollback's swap does not take the swap back: what is there is what is recorded, and goes on.
#[test]
fn rolling_back_and_no_look_at_it() {
    const LOOKS: [&str; 3] = ["fstat", "newfstatat", "statx"];
    require!("openssl", "python3", "strace");
    let sandbox = Sandbox::new();
    let run = |line: &str| sandbox.dockseal(line.split(' ')).run();
    let _ = run(OFFICE).success();
    let _ = run("renew --all").success();
    let probe = traced(&sandbox, &["-e", "trace=fstat,newfstatat,?statx,renameat2"], "rollback alice").run();
    if probe.code != Some(0) {
        note_skip(&format!("strace is not allowed here: {}", probe.stderr.trim()));
        return;
    }
    let log = fs::read_to_string(sandbox.root().join("tmp/calls")).unwrap();
    let swap = log.lines().find(|line| line.contains("RENAME_EXCHANGE")).unwrap();
    let thread = swap.split(' ').next().unwrap();
    let (before, after) = log.split_once(swap).unwrap();
    let count = |text: &str, call: &str| {
        text.lines().filter(|line| line.starts_with(thread) && line.contains(&format!(" {call}("))).count()
    };
    let mut injected = 0;
    for call in LOOKS {
        let done = count(before, call);
        // What follows first is the store's; the inventory's come later.
        for n in done + 1..=done + count(after, call).min(4) {
            let how = format!("inject={call}:error=EIO:when={n}");
            let ran = traced(&sandbox, &["-e", &format!("trace={call}"), "-e", &how], "rollback alice").run();
            let when = format!("{call} number {n}\n{ran}");
            injected += 1;
            let _ = run("renew --due").success();
            assert_so(&sandbox, "settled", &when);
            let checked = run("inventory check");
            assert_eq!(checked.code, Some(0), "{when}\n{checked}");
        }
    }
    assert!(injected > 1, "{log}");
}

/// A command that does something else when it is run again: what was there before is put back for each fault.
struct Once<'a> {
    before: &'a [&'a str],
    command: &'a str,
    places: &'a [&'a str],
    /// What is so after each run of it, disturbed or not.
    holds: fn(&Sandbox, &Ran),
    /// How it may end when it is run again after a fault, besides well.
    again: &'a str,
}

const OFFICE: &str = "bootstrap localhost --client alice --client bob --out host --no-passphrase";

impl Once<'_> {
    fn under_every_fault(&self) {
        let sandbox = Sandbox::new();
        for line in self.before {
            let _ = sandbox.dockseal(line.split(' ')).run().success();
        }
        let saved = tempfile::tempdir().unwrap();
        for directory in ["home", "here"] {
            copy(&sandbox, &sandbox.root().join(directory), &saved.path().join(directory));
        }
        let put_back = || {
            for directory in ["home", "here"] {
                fs::remove_dir_all(sandbox.root().join(directory)).unwrap();
                copy(&sandbox, &saved.path().join(directory), &sandbox.root().join(directory));
            }
        };
        let log = sandbox.root().join("tmp/calls");
        let (mut injected, mut failed) = (0, 0);
        for (call, error) in FAULTS.into_iter().chain(SHARED_FAULTS) {
            put_back();
            let probe = traced(&sandbox, &["-e", &format!("trace={call}")], self.command).run();
            if probe.code != Some(0) && probe.stderr.contains("ptrace") {
                note_skip(&format!("strace is not allowed here: {}", probe.stderr.trim()));
                return;
            }
            let _ = probe.success();
            let calls = fs::read_to_string(&log).unwrap();
            let count = calls.lines().filter(|line| line.contains(&format!("{call}("))).count();
            let first = if call == "openat" { 12 } else { 1 };
            for n in (first..=count).step_by((count / 3).max(1)) {
                put_back();
                let how = format!("inject={call}:error={error}:when={n}");
                let ran = traced(&sandbox, &["-e", &format!("trace={call}"), "-e", &how], self.command).run();
                let when = format!("{}: {call} number {n} of {count} answers {error}\n{ran}", self.command);
                assert!(matches!(ran.code, Some(0..=2)), "{when}");
                injected += 1;
                failed += usize::from(ran.code != Some(0));
                let is_shared = SHARED_FAULTS.contains(&(call, error));
                self.assert_holds(&sandbox, &ran, if is_shared { "open" } else { "settled" }, &when);
                let next = sandbox.dockseal(self.command.split(' ')).run();
                let is_well = next.code == Some(0) || !self.again.is_empty() && next.holds(self.again);
                assert!(is_well, "{when}\nand then\n{next}");
                self.assert_holds(&sandbox, &next, "settled", &format!("the run after {when}"));
                for place in self.places {
                    assert!(sandbox.path(place).is_dir(), "no {place} after {when}\nand then\n{next}");
                }
            }
        }
        println!("{}: {injected} faults, {failed} of them ended it", self.command);
        assert!(injected > 5 && failed * 6 > injected, "only {failed} of {injected} faults were noticed");
    }

    #[track_caller]
    fn assert_holds(&self, sandbox: &Sandbox, ran: &Ran, state: &str, when: &str) {
        (self.holds)(sandbox, ran);
        if home(sandbox).join("inventory.db").exists() {
            assert_places_are_so(sandbox, self.places, state, when);
        }
    }
}

fn copy(sandbox: &Sandbox, from: &Path, to: &Path) {
    let _ = sandbox.program("cp").cwd("/").arg("-a").arg(from).arg(to).run().success();
}

/// Whoever held a bundle before still gets in.
fn all_get_in(sandbox: &Sandbox, _: &Ran) {
    for client in &PLACES[1..] {
        assert!(understand(&sandbox.path(PLACES[0]), &sandbox.path(client)), "{client}");
    }
}

/// Who is said to be revoked is on the list, and what is not on the list was not said.
fn bob_is_listed_if_said(sandbox: &Sandbox, ran: &Ran) {
    let serial = sandbox.openssl(["x509", "-noout", "-serial", "-in", "host/clients/bob/cert.pem"]);
    let serial = serial.trim().trim_start_matches("serial=");
    let crl = home(sandbox).join("crl.pem");
    let is_listed =
        crl.exists() && sandbox.openssl(["crl", "-noout", "-text", "-in", crl.to_str().unwrap()]).contains(serial);
    let is_recorded =
        sandbox.inventory("SELECT name FROM certificate WHERE state = 'revoked' AND name = 'bob'") == ["bob"];
    assert!(is_recorded || !is_listed, "listed and not recorded: {ran}");
    if ran.code == Some(0) || ran.holds("was revoked already") {
        assert!(is_listed && is_recorded, "listed: {is_listed}, recorded: {is_recorded}: {ran}");
    }
}

/// An authority is there with all that it needs, or not at all.
fn an_authority_is_whole(sandbox: &Sandbox, ran: &Ran) {
    let there = ["ca.pem", "ca-key.pem", "inventory.db"].map(|name| home(sandbox).join(name).exists());
    assert!(there == [true; 3] || there == [false; 3], "{there:?} {ran}");
    assert!(ran.code != Some(0) || there == [true; 3], "{ran}");
}

/// docker finds a context with all its files, or none. For docker a directory with a meta.json is one (docker/cli
/// cli/context/store/metadatastore.go, isContextDir).
fn a_context_is_whole(sandbox: &Sandbox, ran: &Ran) {
    let contexts = sandbox.root().join("home/.docker/contexts");
    let entries = fs::read_dir(contexts.join("meta")).into_iter().flatten().flatten();
    let found: Vec<_> = entries.filter(|entry| entry.path().join("meta.json").exists()).collect();
    for context in &found {
        Bundle(contexts.join("tls").join(context.file_name()).join("docker")).assert_complete();
    }
    assert!(ran.code != Some(0) || found.len() == 1, "{ran}");
}

#[test]
fn revoking() {
    require!("openssl", "python3", "strace");
    let story = Once {
        before: &[OFFICE, "revoke alice", "issue client alice --out host/clients/alice --no-passphrase --replace"],
        command: "revoke bob",
        places: &PLACES,
        holds: bob_is_listed_if_said,
        again: "was revoked already",
    };
    story.under_every_fault();
}

#[test]
fn rolling_over() {
    require!("openssl", "python3", "strace");
    let steps = [OFFICE, "rollover begin", "rollover advance", "rollover finish"];
    for at in 1..steps.len() {
        let (before, command) = (&steps[..at], steps[at]);
        let again = "no roll-over is under way";
        Once { before, command, places: &PLACES, holds: all_get_in, again }.under_every_fault();
    }
}

#[test]
fn aborting_a_roll_over() {
    require!("openssl", "python3", "strace");
    let before = &[OFFICE, "rollover begin", "rollover advance"];
    let again = "no roll-over is under way";
    Once { before, command: "rollover abort", places: &PLACES, holds: all_get_in, again }.under_every_fault();
}

#[test]
fn bootstrapping() {
    require!("openssl", "python3", "strace");
    Once { before: &[], command: OFFICE, places: &PLACES, holds: an_authority_is_whole, again: "" }.under_every_fault();
}

#[test]
fn issuing_many() {
    require!("openssl", "python3", "strace");
    let command = "issue clients carol dave eve --out many --no-passphrase";
    let places = &["many/carol", "many/dave", "many/eve"];
    let holds = an_authority_is_whole;
    Once { before: &[OFFICE], command, places, holds, again: "" }.under_every_fault();
}

#[test]
fn making_a_context() {
    require!("openssl", "python3", "strace");
    let command = "context create far --host tcp://h.test:2376 --client carol --no-passphrase";
    Once { before: &[OFFICE], command, places: &[], holds: a_context_is_whole, again: "" }.under_every_fault();
}
