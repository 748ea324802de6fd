//! `kill -9` at any instant: before random ones of the system calls that change a file, hundreds of times, and before every
//! single one that touches a file. strace counts them, so that no instant depends on how fast the machine is.
//!
//! After each: whatever bundle is there is whole, no secret is readable by others, the inventory opens and knows every
//! certificate that is anywhere, no serial was used twice, and the next run of the same command completes and clears away
//! what was staged.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use dockseal_tests::{Bundle, Ran, Random, Sandbox, note_skip, require, tree};

use crate::home;

/// One command, what must be there before it, and what is there after it.
struct Story {
    name: &'static str,
    before: &'static [&'static str],
    command: &'static str,
    /// Bundles there must be at any instant.
    always: &'static [&'static str],
    /// Bundles there are in the end.
    finally: &'static [&'static str],
}

/// The home of these stories, in the sandbox's HOME, has an inventory; every directory that bundles are in.
const PLACES: [&str; 5] = ["host/daemon", "host/clients/alice", "host/clients/bob", "c", "many/dora"];

const STORIES: [Story; 12] = [
    Story {
        name: "bootstrap from nothing",
        before: &[],
        command: "bootstrap h.test --client alice --client bob --out host --no-passphrase",
        always: &[],
        finally: &["host/daemon", "host/clients/alice", "host/clients/bob"],
    },
    Story {
        name: "one more client",
        before: &["bootstrap h.test --client alice --out host --no-passphrase"],
        command: "bootstrap h.test --client alice --client bob --out host --no-passphrase",
        always: &["host/daemon", "host/clients/alice"],
        finally: &["host/daemon", "host/clients/alice", "host/clients/bob"],
    },
    Story {
        name: "issue and replace",
        before: &["init --no-passphrase", "issue client alice --out c --no-passphrase"],
        command: "issue client alice --out c --no-passphrase --replace",
        always: &["c"],
        finally: &["c"],
    },
    Story {
        name: "bootstrap and replace",
        before: &["bootstrap h.test --client alice --out host --no-passphrase"],
        command: "bootstrap h.test --client alice --out host --no-passphrase --replace",
        always: &["host/daemon", "host/clients/alice"],
        finally: &["host/daemon", "host/clients/alice"],
    },
    Story { name: "renew", before: &[BOTH], command: "renew --all", always: ALL, finally: ALL },
    Story { name: "renew again", before: &[BOTH, "renew --all"], command: "renew --all", always: ALL, finally: ALL },
    Story {
        name: "issue many",
        before: &["init --no-passphrase"],
        command: "issue clients carl dora eve --out many",
        always: &[],
        finally: &["many/carl", "many/dora", "many/eve"],
    },
    Story { name: "revoke", before: &[BOTH], command: "revoke bob", always: ALL, finally: ALL },
    Story { name: "begin a roll-over", before: &[BOTH], command: "rollover begin", always: ALL, finally: ALL },
    Story {
        name: "advance a roll-over",
        before: &[BOTH, "rollover begin"],
        command: "rollover advance",
        always: ALL,
        finally: ALL,
    },
    Story {
        name: "finish a roll-over",
        before: &[BOTH, "rollover begin", "rollover advance"],
        command: "rollover finish",
        always: ALL,
        finally: ALL,
    },
    Story {
        name: "renew the authority",
        // Two thirds of its life are gone.
        before: &["--at 1990-01-01T00:00:00Z init --no-passphrase --lifetime 50y", BOTH],
        command: "renew-ca",
        always: ALL,
        finally: ALL,
    },
];

const BOTH: &str = "bootstrap h.test --client alice --client bob --out host --no-passphrase";
const ALL: &[&str] = &["host/daemon", "host/clients/alice", "host/clients/bob"];

impl Story {
    fn stage(&self) -> Sandbox {
        let sandbox = Sandbox::new();
        for line in self.before {
            let _ = sandbox.dockseal(line.split(' ')).run().success();
        }
        sandbox
    }

    /// Everything that must hold right after the kill.
    fn assert_safe(&self, sandbox: &Sandbox, when: &str) {
        let what = tree(sandbox.root());
        for (path, (mode, _, entry)) in &what.0 {
            if let dockseal_tests::Entry::File(bytes) = entry {
                let secret = String::from_utf8_lossy(bytes).contains("PRIVATE KEY")
                    || path.ends_with("key.pem")
                    || path.ends_with("ca-key.pem");
                assert!(!secret || mode & 0o077 == 0, "{}: {when}: {} is {mode:o}\n{what}", self.name, path.display());
            }
        }
        for bundle in self.always {
            assert!(sandbox.path(bundle).is_dir(), "{}: {when}: {bundle} is gone\n{what}", self.name);
        }
        for bundle in self.finally {
            if sandbox.path(bundle).exists() {
                let names: BTreeSet<String> = tree(&sandbox.path(bundle)).paths().into_iter().collect();
                let mut expected = vec!["./ca.pem", "./cert.pem", "./key.pem"];
                if bundle.ends_with("daemon") {
                    expected.extend(["./daemon.json", "./docker.service.d", "./docker.service.d/dockseal.conf"]);
                }
                let expected: BTreeSet<String> = expected.iter().map(ToString::to_string).collect();
                assert_eq!(names, expected, "{}: {when}: {bundle} is not whole\n{what}", self.name);
                Bundle(sandbox.path(bundle)).assert_complete();
            }
        }
        // An authority is whole, or it is not there.
        let (certificate, key) = (home(sandbox).join("ca.pem"), home(sandbox).join("ca-key.pem"));
        if certificate.exists() {
            let of_certificate = dockseal_tests::public_key_of_certificate(&certificate);
            assert_eq!(of_certificate, dockseal_tests::public_key_of_key(&key), "{}: {when}\n{what}", self.name);
        }
    }

    /// What the inventory says is so.
    fn assert_books(&self, sandbox: &Sandbox, state: &str, when: &str) {
        let inventory = home(sandbox).join("inventory.db");
        assert_eq!(home(sandbox).exists(), inventory.exists(), "{}: {when}: no inventory", self.name);
        if !inventory.exists() {
            return;
        }
        let script = dockseal_tests::repository().join("tests/cli/kill/books.py");
        let checked = sandbox.program("python3").arg(script).arg(&inventory).arg(state);
        let checked = checked.args(PLACES.map(|place| sandbox.path(place))).run().success();
        assert_eq!(checked.stdout, "", "{}: {when}: {checked}\n{}", self.name, tree(sandbox.root()));
    }

    /// The next run completes, and then there is what an undisturbed run leaves.
    fn assert_recovers(&self, sandbox: &Sandbox, when: &str, undisturbed: &BTreeSet<String>) {
        let ran = sandbox.dockseal(self.command.split(' ')).run();
        // What was revoked before the kill is not revoked again; that is said.
        let done =
            ran.code == Some(0) || self.name == "revoke" && ran.code == Some(1) && ran.holds("was revoked already");
        assert!(done, "{}: {when}: the next run fails\n{ran}\n{}", self.name, tree(sandbox.root()));
        for bundle in self.finally {
            assert!(sandbox.path(bundle).is_dir(), "{}: {when}: no {bundle}\n{ran}", self.name);
        }
        self.assert_safe(sandbox, when);
        self.assert_books(sandbox, "settled", when);
        let left = listed(sandbox.root());
        assert_eq!(&left, undisturbed, "{}: {when}: leftovers after the next run\n{ran}", self.name);
    }
}

/// All paths.
fn listed(root: &Path) -> BTreeSet<String> {
    tree(root).paths().into_iter().collect()
}

/// The system calls that change what is on disk, and those around them.
const CALLS: &str = "?open,openat,?creat,write,?pwrite64,?writev,fsync,?fdatasync,?sync,?syncfs,?rename,?renameat,?renameat2,?link,linkat,\
                     ?unlink,unlinkat,?mkdir,mkdirat,?rmdir,?chmod,fchmod,?fchmodat,?chown,fchown,?fchownat,ftruncate,flock,?symlink,symlinkat";

/// An instant of a run: just before a thread makes a system call of this name for the `nth` time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Instant {
    call: String,
    nth: usize,
}

impl std::fmt::Display for Instant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} number {}", self.call, self.nth)
    }
}

/// What strace says of a run, in order: each call that it made, and whether that changes a file.
fn instants(log: &str) -> Vec<(Instant, bool)> {
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut instants = Vec::new();
    for line in log.lines() {
        // "PID  call(arguments) = result"; a line that goes on with an earlier call has no parenthesis that opens.
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let Some((call, arguments)) = rest.trim_start().split_once('(') else { continue };
        let nth = counts.entry((thread, call)).or_default();
        *nth += 1;
        let changes = match call {
            "open" | "openat" => ["O_CREAT", "O_TRUNC"].iter().any(|flag| arguments.contains(flag)),
            // What it says to people is no file.
            "write" | "writev" => !arguments.starts_with("1,") && !arguments.starts_with("2,"),
            "flock" => false,
            _ => true,
        };
        instants.push((Instant { call: call.to_owned(), nth: *nth }, changes));
    }
    instants
}

/// Where strace writes.
fn strace_log(sandbox: &Sandbox) -> PathBuf {
    sandbox.root().join("tmp/calls")
}

fn strace_is_allowed() -> bool {
    let sandbox = Sandbox::new();
    let probe = sandbox.program("strace").args(["-f", "-qq", "-o"]).arg(strace_log(&sandbox)).arg("true").run();
    if probe.code != Some(0) {
        note_skip(&format!("strace is not allowed here: {}", probe.stderr.trim()));
    }
    probe.code == Some(0)
}

fn traced(story: &Story, sandbox: &Sandbox, how: &[&str]) -> Ran {
    let program = sandbox.program("strace").args(["-f", "-qq", "-o"]).arg(strace_log(sandbox));
    let ran = program.args(how).arg(dockseal_tests::dockseal_binary()).args(story.command.split(' ')).run();
    assert!(matches!(ran.code, None | Some(0)), "{}: neither done nor killed\n{ran}", story.name);
    ran
}

/// The instants of an undisturbed run, and what it leaves.
fn undisturbed(story: &Story) -> (Vec<(Instant, bool)>, BTreeSet<String>) {
    let sandbox = story.stage();
    let _ = traced(story, &sandbox, &["-e", &format!("trace={CALLS}")]).success();
    let log = fs::read_to_string(strace_log(&sandbox)).unwrap();
    fs::remove_file(strace_log(&sandbox)).unwrap();
    (instants(&log), listed(sandbox.root()))
}

/// Runs the story's command until that instant; whether it got there.
fn kill(story: &Story, sandbox: &Sandbox, at: &Instant) -> bool {
    let Instant { call, nth } = at;
    let inject = format!("inject={call}:signal=KILL:when={nth}");
    let ran = traced(story, sandbox, &["-e", &format!("trace={call}"), "-e", &inject]);
    fs::remove_file(strace_log(sandbox)).unwrap();
    ran.code.is_none()
}

/// Kills before random ones of the calls that change a file: between two of them, nothing changes.
fn at_random_instants(story: &Story, seed: u64, times: usize) {
    if !strace_is_allowed() {
        return;
    }
    let (instants, left) = undisturbed(story);
    let instants: Vec<Instant> =
        instants.into_iter().filter(|(_, changes)| *changes).map(|(instant, _)| instant).collect();
    let mut random = Random::seeded(seed);
    let mut killed = 0;
    for n in 0..times {
        let sandbox = story.stage();
        let at = &instants[usize::try_from(random.below(instants.len() as u64)).unwrap()];
        killed += usize::from(kill(story, &sandbox, at));
        let when = format!("kill {n} of {times}, at {at}");
        story.assert_safe(&sandbox, &when);
        // Reading it with another SQLite mends it as our own would: every second time, ours is the first.
        if n % 2 == 0 {
            story.assert_books(&sandbox, "open", &when);
        }
        story.assert_recovers(&sandbox, &when, &left);
    }
    println!("{}: {killed} of {times} runs were killed, at one of {} instants", story.name, instants.len());
    assert!(killed * 10 >= times * 9, "strace killed only {killed} of {times}");
}

#[test]
fn bootstrap_killed_at_random_instants() {
    require!("openssl", "strace");
    at_random_instants(&STORIES[0], 20, 200);
}

#[test]
fn one_more_client_killed_at_random_instants() {
    require!("openssl", "strace");
    at_random_instants(&STORIES[1], 21, 60);
}

#[test]
fn replacing_killed_at_random_instants() {
    require!("openssl", "strace");
    at_random_instants(&STORIES[2], 22, 200);
}

#[test]
fn bootstrap_replacing_killed_at_random_instants() {
    require!("openssl", "strace");
    at_random_instants(&STORIES[3], 23, 60);
}

#[test]
fn renewing_killed_at_random_instants() {
    require!("openssl", "python3", "strace");
    at_random_instants(&STORIES[4], 24, 100);
    at_random_instants(&STORIES[5], 25, 100);
}

#[test]
fn issuing_many_killed_at_random_instants() {
    require!("openssl", "python3", "strace");
    at_random_instants(&STORIES[6], 26, 60);
}

#[test]
fn revoking_killed_at_random_instants() {
    require!("openssl", "python3", "strace");
    at_random_instants(&STORIES[7], 27, 60);
}

#[test]
fn rolling_over_killed_at_random_instants() {
    require!("openssl", "python3", "strace");
    at_random_instants(&STORIES[8], 28, 40);
    at_random_instants(&STORIES[9], 29, 40);
    at_random_instants(&STORIES[10], 30, 40);
}

#[test]
fn renewing_the_authority_killed_at_random_instants() {
    require!("strace");
    at_random_instants(&STORIES[11], 31, 8);
}

/// Kills at every system call, or at every `stride`th of each kind.
fn at_every_call(story: &Story, stride: usize) {
    if !strace_is_allowed() {
        return;
    }
    let (instants, left) = undisturbed(story);
    // Most of what is opened is a part of a path on the way to a directory, which changes nothing: every fourth does.
    let stride_of = |at: &Instant| if at.call == "openat" { stride * 4 } else { stride };
    let instants: BTreeSet<Instant> =
        instants.into_iter().map(|(at, _)| at).filter(|at| (at.nth - 1) % stride_of(at) == 0).collect();
    let mut killed = 0;
    for at in &instants {
        let sandbox = story.stage();
        killed += usize::from(kill(story, &sandbox, at));
        let when = format!("killed at {at}");
        story.assert_safe(&sandbox, &when);
        story.assert_recovers(&sandbox, &when, &left);
    }
    let total = instants.len();
    println!("{}: killed at {killed} of {total} system calls", story.name);
    assert!(killed * 10 >= total * 9, "strace killed only {killed} of {total}");
}

/// A run with `--exec` that is killed between the first bundle it swaps in and the last command: the next one runs the
/// command for every place with a new bundle, and for no place twice but the one whose command was running.
#[test]
fn a_command_that_follows_outlives_a_kill() {
    require!("openssl", "python3", "strace");
    const BORN: &str = "2030-01-01T00:00:00Z";
    const LATER: &str = "2030-10-01T00:00:00Z";
    let names = ["a", "b", "c", "d", "e", "f"];
    let stage = || {
        let sandbox = Sandbox::new();
        let _ = sandbox.dockseal(["--at", BORN, "init", "--no-passphrase"]).run().success();
        for name in names {
            let _ = sandbox.dockseal(["--at", BORN, "issue", "daemon", name, "--out", name]).run().success();
        }
        sandbox
    };
    let command = ["--at", LATER, "renew", "--due", "--exec", "echo $DOCKSEAL_NAME >>ran"];
    // Without -f: the commands are left alone.
    let traced = |sandbox: &Sandbox, how: &[&str]| {
        let program = sandbox.program("strace").args(["-qq", "-o"]).arg(strace_log(sandbox));
        program.args(how).arg(dockseal_tests::dockseal_binary()).args(command).run()
    };
    if !strace_is_allowed() {
        return;
    }
    let sandbox = stage();
    let _ = traced(&sandbox, &["-e", &format!("trace={CALLS}")]).success();
    let log = fs::read_to_string(strace_log(&sandbox)).unwrap();
    let count = |call: &str| log.lines().filter(|line| line.starts_with(&format!("{call}("))).count();
    let mut between = 0;
    // Every move, and some of the writes to the inventory, among them those that record what was moved.
    for (call, stride) in [("renameat2", 1), ("renameat", 1), ("rename", 1), ("pwrite64", 7)] {
        for n in (1..=count(call)).step_by(stride) {
            let sandbox = stage();
            let before = names.map(|name| fs::read(sandbox.path(name).join("cert.pem")).unwrap());
            let when = format!("killed at {call} number {n}");
            let inject = format!("inject={call}:signal=KILL:when={n}");
            let ran = traced(&sandbox, &["-e", &format!("trace={call}"), "-e", &inject]);
            let renewed = names
                .iter()
                .zip(before)
                .filter(|(name, was)| fs::read(sandbox.path(name).join("cert.pem")).unwrap() != *was);
            let renewed: Vec<&str> = renewed.map(|(name, _)| *name).collect();
            let followed = || fs::read_to_string(sandbox.path("ran")).unwrap_or_default();
            between += usize::from(!renewed.is_empty() && followed().is_empty());
            let next = sandbox.dockseal(command).run().success();
            let mut followed: Vec<String> = followed().lines().map(str::to_owned).collect();
            let times = followed.len();
            followed.sort();
            followed.dedup();
            assert_eq!(followed, names, "{when}, with {renewed:?} renewed\n{ran}\n{next}");
            assert!(times <= names.len() + 1, "{when}: {times} commands\n{ran}\n{next}");
        }
    }
    assert!(between >= names.len(), "only {between} kills fell between a swap and its command\n{log}");
}

#[test]
fn bootstrap_killed_at_every_system_call() {
    require!("openssl", "strace");
    at_every_call(&STORIES[0], 1);
}

#[test]
fn renewing_killed_at_every_third_system_call() {
    require!("openssl", "python3", "strace");
    // Three bundles go the same way.
    at_every_call(&STORIES[5], 3);
}

#[test]
fn replacing_killed_at_every_system_call() {
    require!("openssl", "strace");
    at_every_call(&STORIES[2], 1);
}

const BORN: &str = "--at 2030-01-01T00:00:00Z";
const LATER: &str = "--at 2030-01-02T00:00:00Z";

/// A place with a bundle and the one before it kept; and another certificate to install, if that is the story.
fn with_one_kept(command: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    let run = |line: &str| sandbox.dockseal(line.split(' ')).run().success();
    for line in ["init --no-passphrase", "issue client k --out k", "renew k"] {
        let _ = run(&format!("{BORN} {line}"));
    }
    if command.contains("install") {
        let _ = run("request --renew k");
        sandbox.write("new.pem", run(&format!("{LATER} renew k --csr k/request.csr --out -")).stdout);
    }
    sandbox
}

/// What docker reads of the bundle in the place, and of the one kept beside it.
fn place_and_kept(sandbox: &Sandbox) -> [Vec<Option<Vec<u8>>>; 2] {
    let files = |directory: &str| {
        ["ca.pem", "cert.pem", "key.pem"].map(|name| fs::read(sandbox.path(directory).join(name)).ok()).to_vec()
    };
    [files("k"), files(".k.dockseal.previous")]
}

/// Kills at every move and every removal, also where the file system cannot exchange: after the next run the place has the
/// bundle that it had and the one before is kept, or it has the new one and the one that it had is kept.
fn neither_bundle_is_lost(command: &str, settles: Option<&str>, back: &str) {
    if !strace_is_allowed() {
        return;
    }
    let sandbox = with_one_kept(command);
    let [last, before] = place_and_kept(&sandbox);
    let saved = tempfile::tempdir().unwrap();
    let copy = |from: &Path, to: &Path| {
        let _ = sandbox.program("cp").args(["-a", "-T"]).args([from, to]).cwd(saved.path()).run().success();
    };
    copy(sandbox.root(), &saved.path().join("root"));
    let log = saved.path().join("calls");
    let traced = |how: &[&str]| {
        for directory in fs::read_dir(sandbox.root()).unwrap() {
            fs::remove_dir_all(directory.unwrap().path()).unwrap();
        }
        copy(&saved.path().join("root"), sandbox.root());
        let program = sandbox.program("strace").args(["-f", "-qq", "-e", "trace=unlinkat,?renameat,?rename,renameat2"]);
        let program = program.arg("-o").arg(&log).args(how).arg(dockseal_tests::dockseal_binary());
        program.args(LATER.split(' ')).args(command.split(' ')).run()
    };
    let later = |line: &str| sandbox.dockseal(LATER.split(' ').chain(line.split(' '))).run().success();
    for how in [&[][..], &["-e", "inject=renameat2:error=EINVAL"]] {
        let _ = traced(how).success();
        let calls = instants(&fs::read_to_string(&log).unwrap());
        let calls: BTreeSet<Instant> = calls.into_iter().map(|(instant, _)| instant).collect();
        for at in calls.iter().filter(|at| how.is_empty() || at.call != "renameat2") {
            let inject = format!("inject={}:signal=KILL:when={}", at.call, at.nth);
            let ran = traced(&[how, &["-e", &inject]].concat());
            if let Some(line) = settles {
                let _ = later(line);
                let [place, kept] = place_and_kept(&sandbox);
                let expected = if place == last { &before } else { &last };
                assert!(
                    kept == *expected,
                    "{command}, {how:?}, at {at}: what is kept\n{ran}\n{}",
                    tree(&sandbox.work())
                );
            }
            let [mut place, _] = place_and_kept(&sandbox);
            if settles.is_none() && !sandbox.path("k").exists() {
                // Moved away, and put back by whatever comes next.
                place.clone_from(&last);
            }
            let back = later(back);
            let expected = if place == last { &before } else { &last };
            let is_back = place_and_kept(&sandbox) == [expected.clone(), place];
            assert!(is_back, "{command}, {how:?}, at {at}: what is back\n{ran}\n{back}\n{}", tree(&sandbox.work()));
        }
        println!("{command}, {how:?}: killed at {} instants", calls.len());
    }
}

#[test]
fn what_is_kept_outlives_a_kill() {
    require!("openssl", "strace");
    for command in ["renew k", "issue client k --out k --replace", "rollback k"] {
        neither_bundle_is_lost(command, Some("renew --due"), "rollback k");
    }
    neither_bundle_is_lost("--authority none install k new.pem", None, "--authority none rollback ./k");
}
