//! `dockseal rollover`: every step twice, in every stage, forced, refused, killed, and with places that went wrong.
//!
//! What Docker makes of the certificates in between is proved in the oracles; here our judge stands for it.

mod disturbed;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use dockseal_tests::{Bundle, Ran, Sandbox, Tree, require, require_root, tree};
use dockseal_verify::{Material, Scenario, judge};
use serde_json::Value;
use time::OffsetDateTime;

use crate::{home, places::tmpfs, refused, refused_with_hint};

const PLACES: [&str; 3] = ["host/daemon", "host/clients/alice", "host/clients/bob"];

fn endpoints(sandbox: &Sandbox) {
    let _ = run(sandbox, "bootstrap localhost --client alice --client bob --out host --no-passphrase").success();
}

/// An authority, a daemon and two clients.
fn fleet() -> Sandbox {
    let sandbox = Sandbox::new();
    endpoints(&sandbox);
    sandbox
}

fn run(sandbox: &Sandbox, line: &str) -> Ran {
    sandbox.dockseal(line.split(' ')).run()
}

/// A step that goes well.
#[track_caller]
fn step(sandbox: &Sandbox, line: &str) -> Ran {
    run(sandbox, &format!("rollover {line}")).success()
}

fn json(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}\n{ran}"))
}

/// Exit code, and daemons and clients at each stage.
#[track_caller]
fn status(sandbox: &Sandbox) -> (i32, [[u64; 2]; 4]) {
    let ran = run(sandbox, "rollover status --format json");
    let wire = json(&ran);
    let count = |stage: &str, role: &str| wire["stages"][stage][role].as_u64().unwrap();
    let counts = ["before", "trusts-both", "reissued", "after"]
        .map(|stage| ["daemons", "clients"].map(|role| count(stage, role)));
    (ran.code.unwrap(), counts)
}

const IN: [[[u64; 2]; 4]; 4] = [
    [[1, 2], [0, 0], [0, 0], [0, 0]],
    [[0, 0], [1, 2], [0, 0], [0, 0]],
    [[0, 0], [0, 0], [1, 2], [0, 0]],
    [[0, 0], [0, 0], [0, 0], [1, 2]],
];

fn material(directory: &Path) -> Material {
    let [ca, cert, key] = ["ca.pem", "cert.pem", "key.pem"].map(|name| fs::read(directory.join(name)).unwrap());
    Material::from_bytes("", ca, cert, key)
}

pub(crate) fn understand(daemon: &Path, client: &Path) -> bool {
    let scenario = Scenario::mutual("localhost");
    judge(&material(daemon), &material(client), &scenario, OffsetDateTime::now_utc()).is_accepted()
}

#[track_caller]
fn all_work(sandbox: &Sandbox, when: &str) {
    for client in &PLACES[1..] {
        assert!(understand(&sandbox.path(PLACES[0]), &sandbox.path(client)), "{when}: {client}");
    }
}

/// All that is there, but for what SQLite's readers leave beside the inventory.
fn picture(sandbox: &Sandbox) -> Tree {
    let mut all = tree(sandbox.root());
    all.0.retain(|path, _| !path.to_string_lossy().contains("inventory.db-"));
    all
}

/// The number of certificates in a file.
fn certificates(path: &Path) -> usize {
    fs::read_to_string(path).unwrap().matches("BEGIN CERTIFICATE").count()
}

fn leaf_issuer(sandbox: &Sandbox, place: &str) -> String {
    let cert = sandbox.path(place).join("cert.pem");
    sandbox.openssl(["x509", "-noout", "-issuer", "-in", cert.to_str().unwrap()])
}

#[test]
fn every_step_twice_and_status_in_every_stage() {
    let sandbox = fleet();
    assert_eq!(status(&sandbox), (0, IN[3]), "nothing is under way: all are where they are to be");
    let _ = run(&sandbox, "rollover status").success().says("No roll-over is under way");
    let old = leaf_issuer(&sandbox, PLACES[0]);
    let before = tree(&sandbox.path(PLACES[0]));

    let _ = step(&sandbox, "begin").says("Made the authority CN=Docker authority, serialNumber=");
    assert_eq!(status(&sandbox), (1, IN[1]));
    let begun = picture(&sandbox);
    let _ = step(&sandbox, "begin");
    assert_eq!(begun.paths(), picture(&sandbox).paths(), "begin again makes no other generation");
    // Nothing but ca.pem is another.
    let mut after = tree(&sandbox.path(PLACES[0]));
    assert_eq!(certificates(&sandbox.path("host/daemon/ca.pem")), 2);
    let ca = Path::new("./ca.pem");
    after.0.insert(ca.into(), before.0[ca].clone());
    before.assert_same(&after, "begin changes ca.pem alone");
    let text = run(&sandbox, "rollover status").exits(1);
    for said in
        ["A roll-over is under way.", "generation 2", "To be restarted", "live-restore", "swarm", "rollover advance"]
    {
        assert!(text.stdout.contains(said), "{said}: {text}");
    }

    let _ = step(&sandbox, "advance alice").says("client alice");
    assert_eq!(status(&sandbox), (1, [[0, 0], [1, 1], [0, 1], [0, 0]]));
    all_work(&sandbox, "alice first");
    let _ = step(&sandbox, "advance");
    assert_eq!(status(&sandbox), (1, IN[2]));
    assert_ne!(leaf_issuer(&sandbox, PLACES[0]), old);
    assert_eq!(certificates(&sandbox.path("host/daemon/cert.pem")), 2, "leaf and cross-certificate");
    let advanced = tree(&sandbox.work());
    let _ = step(&sandbox, "advance");
    advanced.assert_same(&tree(&sandbox.work()), "advance again");
    all_work(&sandbox, "advanced");

    let _ = step(&sandbox, "finish").says("The roll-over is finished");
    assert_eq!(status(&sandbox), (0, IN[3]));
    for place in PLACES {
        for file in ["ca.pem", "cert.pem"] {
            assert_eq!(certificates(&sandbox.path(place).join(file)), 1, "{place}/{file}");
        }
        Bundle(sandbox.path(place)).assert_complete();
    }
    let finished = tree(&sandbox.work());
    let _ = step(&sandbox, "finish").says("No roll-over is under way");
    let _ = step(&sandbox, "abort").says("No roll-over is under way");
    let _ = step(&sandbox, "advance");
    finished.assert_same(&tree(&sandbox.work()), "nothing is left to do");
    all_work(&sandbox, "finished");
}

#[test]
fn dry_runs_change_nothing() {
    let sandbox = fleet();
    for next in ["begin", "advance", "finish", ""] {
        let before = picture(&sandbox);
        for line in ["begin --dry-run", "advance --dry-run", "finish --dry-run", "abort --dry-run"] {
            let ran = run(&sandbox, &format!("rollover {line}"));
            assert!(matches!(ran.code, Some(0 | 1)), "{ran}");
        }
        before.assert_same(&picture(&sandbox), format!("before {next}"));
        if !next.is_empty() {
            let _ = step(&sandbox, next);
        }
    }
}

#[test]
fn finish_waits_for_everybody_unless_forced() {
    let sandbox = fleet();
    let _ = step(&sandbox, "begin");
    let _ = step(&sandbox, "advance alice");
    let before = tree(&sandbox.work());
    let ran = run(&sandbox, "rollover finish");
    refused_with_hint(&ran, &[1]);
    assert!(ran.stderr.contains("client bob") && ran.stderr.contains("daemon localhost"), "{ran}");
    assert!(!ran.stderr.contains("client alice"), "{ran}");
    before.assert_same(&tree(&sandbox.work()), "a refused finish");
    let _ = step(&sandbox, "advance daemon/localhost");
    let ran = step(&sandbox, "finish --force").says("will be locked out");
    assert!(ran.stderr.contains("client bob"), "{ran}");
    let understands = |client: &str| understand(&sandbox.path(PLACES[0]), &sandbox.path(client));
    assert_eq!((understands(PLACES[1]), understands(PLACES[2])), (true, false));
    // Status still knows who was left behind, and advance helps them.
    let _ = run(&sandbox, "rollover status").exits(1).says("Left behind");
    let _ = step(&sandbox, "advance");
    all_work(&sandbox, "bob was helped");
    assert_eq!(status(&sandbox), (0, IN[3]));
}

#[test]
fn abort_from_each_stage_leaves_what_was_before() {
    for stage in
        [&["begin"][..], &["begin", "advance alice"], &["begin", "advance"], &["begin", "advance alice", "advance"]]
    {
        let sandbox = fleet();
        let old = leaf_issuer(&sandbox, PLACES[0]);
        for line in stage {
            let _ = step(&sandbox, line);
        }
        let _ = step(&sandbox, "abort").says("The roll-over is aborted");
        assert_eq!(status(&sandbox), (0, IN[3]), "{stage:?}");
        for place in PLACES {
            assert_eq!(leaf_issuer(&sandbox, place), old, "{stage:?}");
            for file in ["ca.pem", "cert.pem"] {
                assert_eq!(certificates(&sandbox.path(place).join(file)), 1, "{stage:?}: {place}/{file}");
            }
        }
        all_work(&sandbox, "aborted");
        let left = fs::read_dir(home(&sandbox)).unwrap().map(|entry| entry.unwrap().file_name());
        assert!(left.into_iter().all(|name| !name.to_string_lossy().contains("generation-")), "its key is gone");
        let _ = step(&sandbox, "abort");
        // And it can be done again, to the end.
        for line in ["begin", "advance", "finish"] {
            let _ = step(&sandbox, line);
        }
        assert_eq!(status(&sandbox), (0, IN[3]));
        all_work(&sandbox, "another one");
    }
}

/// Anchors that came back from a backup are found, and a renewal mends them.
#[test]
fn anchors_of_former_times_are_found() {
    let sandbox = Sandbox::new();
    for line in ["init --no-passphrase", "issue daemon h.test --out d"] {
        let _ = run(&sandbox, line).success();
    }
    let old = fs::read(sandbox.path("d/ca.pem")).unwrap();
    for line in ["rollover begin", "rollover advance", "rollover finish", "inventory check"] {
        let _ = run(&sandbox, line).success();
    }
    fs::set_permissions(sandbox.path("d/ca.pem"), fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(sandbox.path("d/ca.pem"), old).unwrap();
    let _ = run(&sandbox, "inventory check").exits(1).says("which was rolled over");
    let _ = run(&sandbox, "renew h.test").success();
    let _ = run(&sandbox, "inventory check").success();
}

/// What was kept while two authorities were trusted does not bring the aborted one back unsaid.
#[test]
fn a_rollback_after_an_abort() {
    let sandbox = Sandbox::new();
    for line in
        ["init --no-passphrase", "issue daemon h.test --out d", "rollover begin", "renew h.test", "rollover abort"]
    {
        let _ = run(&sandbox, line).success();
    }
    let anchors = || fs::read_to_string(sandbox.path("d/ca.pem")).unwrap().matches("BEGIN CERTIFICATE").count();
    let ran = run(&sandbox, "rollback h.test");
    refused_with_hint(&ran, &[1]);
    assert!(ran.stderr.contains("which it does not trust now"), "{ran}");
    assert_eq!(anchors(), 1, "{ran}");
    let _ = run(&sandbox, "rollback --force h.test").success();
    assert_eq!(anchors(), 2);
}

#[test]
fn an_abort_goes_on_as_an_abort_and_nothing_is_aborted_after_finish() {
    let sandbox = fleet();
    let _ = step(&sandbox, "begin");
    let _ = step(&sandbox, "advance");
    // A client whose directory is away keeps the abort from ending.
    fs::rename(sandbox.path(PLACES[1]), sandbox.path("away")).unwrap();
    let ran = run(&sandbox, "rollover abort").exits(1);
    assert!(ran.stderr.contains("client alice"), "{ran}");
    for line in ["begin", "advance", "finish"] {
        let ran = run(&sandbox, &format!("rollover {line}"));
        refused_with_hint(&ran, &[1]);
        assert!(ran.stderr.contains("is being aborted"), "{ran}");
    }
    let _ = run(&sandbox, "rollover status").exits(1).says("The roll-over is being aborted");
    fs::rename(sandbox.path("away"), sandbox.path(PLACES[1])).unwrap();
    let _ = step(&sandbox, "abort");
    all_work(&sandbox, "aborted");

    for line in ["begin", "advance"] {
        let _ = step(&sandbox, line);
    }
    fs::rename(sandbox.path(PLACES[1]), sandbox.path("away")).unwrap();
    // Its certificate is of the new authority, so nobody is locked out; but its ca.pem is not what it is to be.
    let _ = run(&sandbox, "rollover finish").exits(1).says("client alice");
    refused_with_hint(&run(&sandbox, "rollover abort"), &[1]);
    refused_with_hint(&run(&sandbox, "rollover begin"), &[1]);
    fs::rename(sandbox.path("away"), sandbox.path(PLACES[1])).unwrap();
    let _ = step(&sandbox, "finish");
    assert_eq!(status(&sandbox), (0, IN[3]));
    all_work(&sandbox, "finished");
}

#[test]
fn places_that_went_wrong_are_told_and_the_rest_goes_on() {
    require_root!();
    let sandbox = fleet();
    let Some(mount) = tmpfs(&sandbox, "size=1m,mode=0700") else { return };
    let _ = run(&sandbox, "issue client ro --out mount/ro").success();
    let _ = run(&sandbox, "issue client gone --out gone").success();
    let _ = run(&sandbox, "issue client key --out key").success();
    let _ = run(&sandbox, "issue client ca --out ca").success();
    let _ = run(&sandbox, "issue client other --out other").success();
    let _ = sandbox.program("mount").args(["-o", "remount,ro"]).arg(&mount).run().success();
    fs::remove_dir_all(sandbox.path("gone")).unwrap();
    fs::remove_file(sandbox.path("key/key.pem")).unwrap();
    fs::copy(sandbox.path("host/clients/bob/key.pem"), sandbox.path("key/key.pem")).unwrap();
    sandbox.openssl([
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        "own-key.pem",
        "-out",
        "own.pem",
        "-subj",
        "/CN=Own",
    ]);
    let anchors = [fs::read(sandbox.path("ca/ca.pem")).unwrap(), fs::read(sandbox.path("own.pem")).unwrap()].concat();
    fs::remove_file(sandbox.path("ca/ca.pem")).unwrap();
    fs::write(sandbox.path("ca/ca.pem"), anchors).unwrap();
    for file in ["cert.pem", "key.pem"] {
        fs::remove_file(sandbox.path("other").join(file)).unwrap();
        fs::copy(sandbox.path(PLACES[1]).join(file), sandbox.path("other").join(file)).unwrap();
    }
    let wrong = [
        ("client ro", "ead-only"),
        ("client gone", "it is gone"),
        ("client key", "its key does not belong"),
        ("client ca", "it trusts CN=Own too"),
        ("client other", "it holds the certificate of CN=alice"),
    ];
    for line in ["begin", "advance"] {
        let ran = run(&sandbox, &format!("rollover {line}")).exits(1);
        for (who, why) in wrong {
            assert!(ran.stderr.contains(who) && ran.stderr.contains(why), "{who}: {why}\n{ran}");
        }
        all_work(&sandbox, line);
    }
    let wire = json(&run(&sandbox, "rollover status --format json"));
    assert_eq!(wire["stages"]["reissued"], serde_json::json!({ "daemons": 1, "clients": 2 }));
    assert_eq!(wire["stages"]["before"]["clients"], 1, "what is read-only can be read");
    assert_eq!(wire["unknown"], 4);
    let ran = run(&sandbox, "rollover finish");
    refused_with_hint(&ran, &[1]);
    for (who, _) in wrong {
        assert!(ran.stderr.contains(who), "{who}\n{ran}");
    }
    let _ = run(&sandbox, "rollover finish --force");
    let _ = run(&sandbox, "rollover status").says("No roll-over is under way");
    all_work(&sandbox, "finished by force");
}

/// A certificate that went to standard output is somewhere, and nobody can say where.
#[test]
fn what_was_handed_out_counts_until_it_ends() {
    let sandbox = fleet();
    let _ = run(&sandbox, "request client carol --out carol").success();
    let _ = run(&sandbox, "issue client carol --csr carol/request.csr --out - --lifetime 3d").success();
    let _ = step(&sandbox, "begin");
    let _ = run(&sandbox, "rollover advance").exits(1).says("client carol");
    let ran = run(&sandbox, "rollover finish");
    refused_with_hint(&ran, &[1]);
    assert!(ran.stderr.contains("client carol") && ran.stderr.contains("handed out"), "{ran}");
    assert!(!ran.stderr.contains("alice"), "{ran}");
    let _ = run(&sandbox, "rollover status").exits(1).says("client carol: handed out");
    let later = (OffsetDateTime::now_utc() + Duration::from_secs(4 * 86_400))
        .format(&time::format_description::well_known::Rfc3339)
        .unwrap();
    let _ = step(&sandbox, &format!("finish --at {later}"));
}

#[test]
fn a_rollback_does_not_bring_a_replaced_authority_back() {
    let sandbox = Sandbox::new();
    let run = |line: &str| sandbox.dockseal(line.split(' ')).run();
    let _ = run("bootstrap h.test --client alice --out host --no-passphrase").success();
    for line in ["rollover begin", "rollover advance", "renew alice"] {
        let _ = run(line).success();
    }
    // Both are trusted still, so that the one before is as good.
    let _ = run("rollback alice").success();
    let _ = run("rollback alice").success();
    let _ = run("rollover finish").success();
    let anchors = || fs::read(sandbox.path("host/clients/alice/ca.pem")).unwrap();
    let before = anchors();
    let ran = run("rollback alice");
    refused_with_hint(&ran, &[1]);
    assert!(ran.stderr.contains("an authority that was rolled over"), "{ran}");
    assert_eq!(anchors(), before);
    // The hint helps, and what that keeps is of the new authority alone.
    let _ = run("renew alice").success();
    let _ = run("rollback alice").success();
    assert_eq!(anchors(), before);
}

/// Where the authority is not, nobody knows of its roll-over; the anchors themselves tell.
#[test]
fn a_rollback_elsewhere_does_not_either() {
    let sandbox = Sandbox::new();
    let run = |line: &str| sandbox.dockseal(line.split(' ')).run();
    for line in ["init --no-passphrase", "issue daemon h.test --out tls", "rollover begin", "rollover advance"] {
        let _ = run(line).success();
    }
    let anchors = || fs::read_to_string(sandbox.path("tls/ca.pem")).unwrap().matches("BEGIN CERTIFICATE").count();
    let _ = run("rollover finish").success();
    assert_eq!(anchors(), 1);
    let _ = run("--authority stranger init --no-passphrase").success();
    for authority in ["none", "stranger"] {
        let ran = run(&format!("--authority {authority} rollback ./tls"));
        refused_with_hint(&ran, &[1]);
        assert!(ran.stderr.contains("which it does not trust now") && ran.stderr.contains("--force"), "{ran}");
        assert_eq!(anchors(), 1, "{ran}");
    }
    let _ = run("--authority none rollback ./tls --force").success();
    assert_eq!(anchors(), 2);
    // What trusts less comes back as it is.
    let _ = run("--authority none rollback ./tls").success();
    assert_eq!(anchors(), 1);
}

/// Nor where nobody recorded the directory.
#[test]
fn a_rollback_of_an_unrecorded_directory_does_not_either() {
    let sandbox = Sandbox::new();
    let run = |line: &str| sandbox.dockseal(line.split(' ')).run();
    let _ = run("bootstrap h.test --client alice --out host --no-passphrase").success();
    for line in ["rollover begin", "rollover advance", "renew alice", "inventory forget host/clients/alice"] {
        let _ = run(line).success();
    }
    let _ = run("rollover finish --force").success();
    let before = tree(&sandbox.path("host"));
    let ran = run("rollback host/clients/alice");
    refused_with_hint(&ran, &[1]);
    assert!(ran.stderr.contains("an authority that was rolled over"), "{ran}");
    before.assert_same(&tree(&sandbox.path("host")), &ran);
}

/// A run that read the authority and then waited while a roll-over went on goes on with the generation that signs now; one
/// whose input is gone says so, and changes nothing.
#[test]
fn a_run_that_waited_for_a_roll_over() {
    dockseal_tests::require!("strace");
    let sandbox = fleet();
    let without_log = |sandbox: &Sandbox| {
        let mut all = picture(sandbox);
        all.0.retain(|path, _| !path.starts_with("./tmp") && !path.ends_with("lock"));
        all
    };
    // What the run that waits is told on its standard input, and how it ends.
    for (line, input, code) in [
        ("renew --all", "", 0),
        ("issue client carol --out carol --no-passphrase", "", 0),
        ("issue clients --from - --out many --no-passphrase", "dave\n", 2),
    ] {
        let log = sandbox.root().join("tmp/calls");
        let stopped = sandbox.program("strace").args(["-f", "-qq", "-o"]).arg(&log);
        // It has read the authority by the time it opens the lock.
        let how = ["-P", "lock", "-e", "trace=openat", "-e", "inject=openat:signal=SIGSTOP:when=1"];
        let waiting = stopped.args(how).arg(dockseal_tests::dockseal_binary()).args(line.split(' ')).input(input);
        let waiting = std::thread::spawn(move || waiting.run());
        let pid = loop {
            let calls = fs::read_to_string(&log).unwrap_or_default();
            match calls.lines().find(|call| call.contains("stopped by SIGSTOP")) {
                Some(call) => break call.split(' ').next().unwrap().to_owned(),
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        for step in ["rollover begin", "rollover advance"] {
            let _ = run(&sandbox, step).success();
        }
        let before = without_log(&sandbox);
        let _ = sandbox.program("kill").args(["-CONT", &pid]).run().success();
        let ran = waiting.join().unwrap();
        assert_eq!(ran.code, Some(code), "{line}: {ran}");
        if code == 0 {
            assert!(ran.stderr.contains("it begins anew"), "{line}: {ran}");
        } else {
            refused_with_hint(&ran, &[code]);
            before.assert_same(&without_log(&sandbox), &ran);
        }
        let _ = run(&sandbox, "rollover finish").success();
        all_work(&sandbox, line);
        fs::remove_file(&log).unwrap();
    }
    assert_eq!(leaf_issuer(&sandbox, "carol"), leaf_issuer(&sandbox, PLACES[0]));
}

#[test]
fn a_finish_does_not_speak_for_other_machines() {
    dockseal_tests::require!("python3");
    let sandbox = Sandbox::new();
    let run = |line: &str| sandbox.dockseal(line.split(' ')).run().success();
    let _ = run("bootstrap h.test --client alice --client bob --out host --no-passphrase");
    let _ = run("rollover begin");
    let _ = run("rollover advance");
    sandbox.change_inventory(
        "UPDATE destination SET machine = 'other', machine_name = 'elsewhere' WHERE CAST(place AS TEXT) LIKE '%bob'",
    );
    // A person is asked (script(1) is a terminal), a script goes on.
    let finish = format!("{} rollover finish", dockseal_tests::dockseal_binary().display());
    let asked = sandbox.program("script").args(["-qec", &finish, "/dev/null"]).input("n\n").run();
    assert!(asked.code == Some(1) && asked.holds("not looked at (1). ") && asked.holds("nobody agreed"), "{asked}");
    let ran = run("rollover finish");
    assert!(ran.holds("What is on other machines was not looked at (1,"), "{ran}");
    assert!(!ran.holds("Nobody recorded here trusts the old one"), "{ran}");
}

#[test]
fn a_destination_on_another_machine_is_named() {
    let sandbox = fleet();
    sandbox.change_inventory(
        "UPDATE destination SET machine = 'other', machine_name = 'elsewhere' WHERE CAST(place AS TEXT) LIKE '%bob'",
    );
    let _ = run(&sandbox, "rollover begin").exits(1).says("elsewhere");
    let _ = run(&sandbox, "rollover advance").exits(1).says("client bob");
    let ran = run(&sandbox, "rollover finish");
    refused_with_hint(&ran, &[1]);
    assert!(ran.stderr.contains("client bob") && ran.stderr.contains("the machine elsewhere"), "{ran}");
}

/// What is issued meanwhile fits the stage, and what is there is kept.
#[test]
fn issue_and_bootstrap_in_every_stage() {
    let sandbox = fleet();
    let bootstrap = "bootstrap localhost --client alice --client bob --out host";
    for (n, (line, anchors, chain)) in
        [("begin", 2, 1), ("advance bob", 2, 2), ("advance", 2, 2), ("finish", 1, 1)].into_iter().enumerate()
    {
        let _ = step(&sandbox, line);
        let _ = run(&sandbox, &format!("issue client c{n} --out c{n}")).success();
        assert_eq!(certificates(&sandbox.path(format!("c{n}/ca.pem"))), anchors, "{line}");
        assert_eq!(certificates(&sandbox.path(format!("c{n}/cert.pem"))), chain, "{line}");
        assert!(understand(&sandbox.path(PLACES[0]), &sandbox.path(format!("c{n}"))), "{line}");
        let before = tree(&sandbox.path("host"));
        let kept = run(&sandbox, bootstrap).success();
        before.assert_same(&tree(&sandbox.path("host")), line);
        let awaits = kept.stderr.contains("client alice: it awaits the roll-over");
        assert_eq!(awaits, line == "advance bob", "{kept}");
        let _ = run(&sandbox, &format!("env c{n} --host tcp://localhost:2376")).success();
        let _ = run(&sandbox, &format!("inspect c{n}")).success();
        let _ = run(&sandbox, &format!("{bootstrap} --client d{n}")).success();
        assert!(understand(&sandbox.path(PLACES[0]), &sandbox.path(format!("host/clients/d{n}"))), "{line}");
    }
    let _ = run(&sandbox, "renew --all").success();
    all_work(&sandbox, "renewed afterwards");
}

#[test]
fn a_replaced_bundle_is_of_the_stage() {
    let sandbox = fleet();
    let _ = step(&sandbox, "begin");
    let _ = step(&sandbox, "advance bob");
    let _ = run(&sandbox, "bootstrap localhost --client alice --client bob --out host --replace").success();
    assert_eq!(status(&sandbox), (1, IN[2]));
    let _ = step(&sandbox, "finish");
    all_work(&sandbox, "finished");
}

/// What was there before the roll-over is nobody's any more.
#[test]
fn rollback_brings_back_nothing_that_is_dead() {
    let sandbox = fleet();
    let _ = step(&sandbox, "begin");
    let _ = step(&sandbox, "advance");
    let _ = run(&sandbox, "rollback alice").success();
    all_work(&sandbox, "rolled back to the old certificate, which all still accept");
    let _ = step(&sandbox, "advance");
    let _ = step(&sandbox, "finish");
    let before = tree(&sandbox.work());
    let ran = run(&sandbox, "rollback alice");
    refused_with_hint(&ran, &[1]);
    assert!(ran.stderr.contains("rolled over"), "{ran}");
    before.assert_same(&tree(&sandbox.work()), "a refused rollback");
}

#[test]
fn an_encrypted_authority_has_an_encrypted_successor() {
    let sandbox = Sandbox::new();
    sandbox.write("word", "correct horse\n");
    let _ =
        run(&sandbox, "bootstrap localhost --client alice --client bob --out host --passphrase-file word").success();
    refused_with_hint(&run(&sandbox, "rollover begin"), &[2]);
    sandbox.write("wrong", "battery staple\n");
    let before = picture(&sandbox);
    refused_with_hint(&run(&sandbox, "rollover begin --passphrase-file wrong"), &[1]);
    before.assert_same(&picture(&sandbox), "a wrong passphrase");
    let _ = step(&sandbox, "begin --passphrase-file word");
    let key = home(&sandbox).join("generation-2/ca-key.pem");
    assert!(fs::read_to_string(&key).unwrap().contains("BEGIN ENCRYPTED PRIVATE KEY"));
    sandbox.openssl(["pkey", "-in", key.to_str().unwrap(), "-passin", "file:word", "-noout"]);
    // Once begun, only issuing needs it.
    let _ = step(&sandbox, "begin");
    refused_with_hint(&run(&sandbox, "rollover advance"), &[2]);
    let _ = step(&sandbox, "advance --passphrase-file word");
    let _ = step(&sandbox, "finish");
    let _ = run(&sandbox, "issue client c --out c --passphrase-file word").success();
    assert!(understand(&sandbox.path(PLACES[0]), &sandbox.path("c")));
}

#[test]
fn one_roll_over_after_another() {
    let sandbox = Sandbox::new();
    let _ = run(&sandbox, "init --no-passphrase --key rsa2048 --permit localhost --lifetime 5y").success();
    endpoints(&sandbox);
    let algorithm = |number: u32| {
        let ca = home(&sandbox).join(format!("generation-{number}/ca.pem"));
        let text = sandbox.openssl(["x509", "-noout", "-text", "-in", ca.to_str().unwrap()]);
        assert!(text.contains("DNS:localhost") && text.contains("CA:TRUE, pathlen:1"), "{text}");
        if text.contains("Public-Key: (2048 bit)") { "rsa2048" } else { "another" }
    };
    for (number, key) in [(2, ""), (3, " --key p384 --name Third --lifetime 9y")] {
        let _ = step(&sandbox, &format!("begin{key}"));
        for line in ["advance", "finish"] {
            let _ = step(&sandbox, line);
            all_work(&sandbox, line);
        }
        assert_eq!(algorithm(number), if number == 2 { "rsa2048" } else { "another" });
        assert_eq!(status(&sandbox), (0, IN[3]));
    }
    assert!(leaf_issuer(&sandbox, PLACES[0]).contains("Third"));
    let ran = run(&sandbox, "issue daemon elsewhere.test --out d");
    refused(&ran, &[1]);
    assert!(ran.stderr.contains("Docker would refuse"), "the constraints were taken over\n{ran}");
    // Halfway into a third one, and back.
    let _ = step(&sandbox, "begin");
    let _ = step(&sandbox, "advance bob");
    let _ = step(&sandbox, "abort");
    assert_eq!(status(&sandbox), (0, IN[3]));
    all_work(&sandbox, "back at the third");
}

#[test]
fn an_authority_without_room_waits_for_everybody_to_trust_first() {
    for (constraints, room) in [("CA:TRUE,pathlen:0", false), ("CA:TRUE,pathlen:1", true), ("CA:TRUE", true)] {
        let sandbox = Sandbox::new();
        sandbox.openssl(
            format!(
                "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout k.pem -out ca.pem -days 900 \
                 -subj /CN=Old -addext basicConstraints=critical,{constraints} -addext keyUsage=critical,keyCertSign"
            )
            .split(' '),
        );
        let _ = run(&sandbox, "adopt --ca ca.pem --key k.pem --no-passphrase").success();
        endpoints(&sandbox);
        let begun = step(&sandbox, "begin");
        assert_eq!(begun.stderr.contains("path length 0"), !room, "{constraints}: {begun}");
        assert_eq!(home(&sandbox).join("generation-2/cross.pem").exists(), room, "{constraints}");
        // One that does not trust the new one yet, and cannot be reached.
        let _ = run(&sandbox, "issue client away --out away").success();
        fs::rename(sandbox.path("away"), sandbox.path("gone")).unwrap();
        let issuer = leaf_issuer(&sandbox, PLACES[0]);
        let ran = run(&sandbox, "rollover advance");
        if room {
            assert_eq!(ran.code, Some(1), "one was left\n{ran}");
            assert_ne!(leaf_issuer(&sandbox, PLACES[0]), issuer);
            continue;
        }
        refused_with_hint(&ran, &[1]);
        assert!(ran.stderr.contains("client away") && !ran.stderr.contains("alice"), "{ran}");
        assert_eq!(leaf_issuer(&sandbox, PLACES[0]), issuer, "nobody has a new certificate");
        fs::rename(sandbox.path("gone"), sandbox.path("away")).unwrap();
        let _ = step(&sandbox, "advance");
        assert_eq!(status(&sandbox).1[2], [1, 3]);
        let _ = step(&sandbox, "finish");
        all_work(&sandbox, constraints);
    }
}

#[test]
fn an_authority_without_room_can_be_forced() {
    let sandbox = Sandbox::new();
    sandbox.openssl(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout k.pem -out ca.pem -days 900 -subj /CN=Old \
         -addext basicConstraints=critical,CA:TRUE,pathlen:0"
            .split(' '),
    );
    let _ = run(&sandbox, "adopt --ca ca.pem --key k.pem --no-passphrase").success();
    endpoints(&sandbox);
    let _ = step(&sandbox, "begin");
    fs::rename(sandbox.path(PLACES[1]), sandbox.path("away")).unwrap();
    let ran = run(&sandbox, "rollover advance --force").exits(1);
    assert!(ran.stderr.contains("these do not trust the new authority yet: client alice"), "{ran}");
    assert_eq!(status(&sandbox).1[2], [1, 1]);
}

#[test]
fn what_cannot_be_rolled_over_is_refused() {
    let sandbox = Sandbox::new();
    for line in ["begin", "status", "advance", "finish", "abort"] {
        refused_with_hint(&run(&sandbox, &format!("rollover {line}")), &[2]);
    }
    let _ = run(&sandbox, "init --no-passphrase --lifetime 30d").success();
    let before = picture(&sandbox);
    refused_with_hint(&run(&sandbox, "rollover begin --at 2040-01-01T00:00:00Z"), &[2]);
    refused_with_hint(&run(&sandbox, "rollover begin --lifetime 0d"), &[2]);
    refused_with_hint(&run(&sandbox, "rollover advance nobody"), &[2]);
    let key = home(&sandbox).join("generation-2");
    assert!(!key.exists(), "{}", before);
    let _ = step(&sandbox, "begin");
    let _ = step(&sandbox, "begin");
    let file = home(&sandbox).join("generations.json");
    for damage in ["", "{", r#"{"schema":9,"signing":1,"trusted":[1]}"#, r#"{"schema":1,"signing":7,"trusted":[7]}"#] {
        fs::remove_file(&file).unwrap();
        fs::write(&file, damage).unwrap();
        for line in ["rollover status", "rollover begin", "rollover abort", "issue client a --out a"] {
            let ran = run(&sandbox, line);
            refused_with_hint(&ran, &[2]);
            assert!(ran.stderr.contains("generation"), "{damage}: {ran}");
        }
    }
}

/// An inventory that was lost halfway knows the certificates of both generations again.
#[test]
fn an_inventory_made_again_halfway() {
    let sandbox = fleet();
    let _ = step(&sandbox, "begin");
    let _ = step(&sandbox, "advance alice");
    for file in ["inventory.db", "inventory.db-wal", "inventory.db-shm"] {
        let _ = fs::remove_file(home(&sandbox).join(file));
    }
    refused_with_hint(&run(&sandbox, "rollover advance"), &[2]);
    let _ = run(&sandbox, "inventory rebuild host").success();
    assert_eq!(status(&sandbox), (1, [[0, 0], [1, 1], [0, 1], [0, 0]]));
    refused_with_hint(&run(&sandbox, "rollover finish"), &[1]);
    for line in ["advance", "finish"] {
        let _ = step(&sandbox, line);
    }
    assert_eq!(status(&sandbox), (0, IN[3]));
    all_work(&sandbox, "finished");
}

/// What people are told does not grow with the certificates, and neither does the memory that it takes.
#[test]
fn status_counts_many_in_little_memory() {
    // Kilobytes at the most, by the kernel's count.
    const SCRIPT: &str = "import resource, subprocess, sys\n\
        said = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE).stdout.decode()\n\
        print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, said)";
    let sandbox = fleet();
    let _ = step(&sandbox, "begin");
    // As many more of alice as there are to be, each in a directory that is gone.
    let many = |more: u32| {
        sandbox.change_inventory(&format!(
            "INSERT INTO certificate (generation, serial, role, name, state, reserved_at, not_before, not_after, due_at,
                 key_holder, fingerprint, der)
             WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {more})
             SELECT generation, randomblob(16), role, name, state, reserved_at, not_before, not_after, due_at, key_holder,
                 randomblob(32), der FROM n, (SELECT * FROM certificate WHERE name = 'alice' LIMIT 1);
             INSERT INTO destination (kind, machine, machine_name, place, certificate)
             SELECT kind, machine, machine_name, CAST('/nowhere/' || certificate.id AS BLOB), certificate.id
             FROM certificate, (SELECT kind, machine, machine_name FROM destination LIMIT 1)
             WHERE certificate.id NOT IN (SELECT certificate FROM destination WHERE certificate IS NOT NULL)
                 AND state = 'issued' AND role = 'client'"
        ));
        let program = sandbox.program("python3").args(["-c", SCRIPT]).arg(dockseal_tests::dockseal_binary());
        let ran = program.args(["rollover", "status"]).run().success();
        let (memory, said) = ran.stdout.split_once(' ').unwrap();
        (memory.parse::<u64>().unwrap(), said.to_owned())
    };
    let (few, _) = many(2_000);
    let (more, said) = many(10_000);
    assert!(said.contains("and 11980 more"), "{said}");
    assert!(more < few + 8_192, "{few} KiB for 2,000 certificates, {more} KiB for 12,000");
    let all = json(&run(&sandbox, "rollover status --format json"));
    assert_eq!((all["endpoints"].as_array().unwrap().len(), all["unknown"].as_u64()), (12_003, Some(12_000)));
}

/// What was kept elsewhere of an authority that was rolled over is refused, and where it is recorded all the same it is due.
#[test]
fn what_nobody_trusts_any_more_is_due() {
    require!("openssl");
    let sandbox = Sandbox::new();
    let run = |line: &str| sandbox.dockseal(line.split(' ')).run();
    let _ = run("init --no-passphrase").success();
    let _ = run("issue client alice --out alice").success();
    let _ = sandbox.program("cp").args(["-a", "alice", "copy"]).run().success();
    let _ = run("inventory record copy").success();
    let _ = run("inventory forget copy").success();
    for step in ["begin", "advance", "finish"] {
        let _ = run(&format!("rollover {step}")).success();
    }
    let openssl = sandbox.program("openssl").args(["verify", "-CAfile", "alice/ca.pem", "copy/cert.pem"]).run();
    assert_ne!(openssl.code, Some(0), "{openssl}");

    let ran = run("inventory record copy").exits(1);
    assert!(ran.stderr.contains("nobody trusts it") && ran.stderr.contains("hint:"), "{ran}");
    assert!(run("status").success().stdout.contains("Nothing is due"));
    // A rebuild finds what is there.
    let _ = run("inventory rebuild --replace .").success();
    let ran = run("status").exits(1);
    assert!(ran.stdout.contains("untrusted") && ran.stdout.contains("copy"), "{ran}");
    let listed = run("list --format json").success();
    assert_eq!(listed.stdout.matches("\"standing\":\"untrusted\"").count(), 1, "{listed}");
    let _ = run("renew --due").success().says("renewed client alice");
    assert!(run("status").success().stdout.contains("Nothing is due"));
    let openssl = sandbox.program("openssl").args(["verify", "-CAfile", "alice/ca.pem", "copy/cert.pem"]).run();
    let _ = openssl.success();
}
