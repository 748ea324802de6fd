//! `inventory check`, `rebuild` and `log`.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use dockseal_tests::{Bundle, Ran, Sandbox, require, require_root, tree};
use serde_json::Value;

use crate::{NOW, at, home, refused_with_hint};

fn run(sandbox: &Sandbox, line: &str) -> Ran {
    at(sandbox, NOW, line)
}

fn office() -> Sandbox {
    let sandbox = Sandbox::new();
    for line in [
        "init --no-passphrase",
        "issue daemon db.example.com 10.0.0.5 --out db",
        "issue client alice --out clients/alice",
        "issue client bob --out clients/bob",
    ] {
        let _ = run(&sandbox, line).success();
    }
    sandbox
}

/// The findings of a check, by their ids.
#[track_caller]
fn findings(sandbox: &Sandbox, code: i32) -> Vec<String> {
    let ran = run(sandbox, "inventory check --format json").exits(code);
    let json: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}\n{ran}"));
    // People are told of the same.
    let human = run(sandbox, "inventory check").exits(code);
    let found = json["findings"].as_array().unwrap();
    for finding in found {
        assert!(human.stdout.contains(finding["text"].as_str().unwrap()), "{human}");
    }
    found.iter().map(|finding| finding["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_check_sees_what_changed() {
    let sandbox = office();
    let ran = run(&sandbox, "inventory check").success();
    assert!(ran.stdout.contains("3 of 3 directories"), "{ran}");
    let alice = sandbox.path("clients/alice");
    let key = alice.join("key.pem");
    let mode = |path: &std::path::Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    // Wider modes.
    mode(&key, 0o644);
    assert_eq!(findings(&sandbox, 1), ["mode"]);
    mode(&key, 0o400);
    assert_eq!(findings(&sandbox, 0), [] as [&str; 0]);
    mode(&alice, 0o770);
    assert_eq!(findings(&sandbox, 1), ["mode"]);
    mode(&alice, 0o700);
    // Another's key; another's certificate.
    fs::rename(&key, sandbox.path("kept")).unwrap();
    fs::copy(sandbox.path("clients/bob/key.pem"), &key).unwrap();
    assert_eq!(findings(&sandbox, 1), ["key"]);
    fs::remove_file(&key).unwrap();
    assert_eq!(findings(&sandbox, 1), ["gone"]);
    fs::rename(sandbox.path("kept"), &key).unwrap();
    let cert = alice.join("cert.pem");
    fs::rename(&cert, sandbox.path("kept")).unwrap();
    fs::copy(sandbox.path("clients/bob/cert.pem"), &cert).unwrap();
    assert_eq!(findings(&sandbox, 1), ["other"]);
    fs::remove_file(&cert).unwrap();
    fs::write(&cert, "nothing").unwrap();
    assert_eq!(findings(&sandbox, 1), ["other"]);
    fs::remove_file(&cert).unwrap();
    assert_eq!(findings(&sandbox, 1), ["gone"]);
    fs::rename(sandbox.path("kept"), &cert).unwrap();
    assert_eq!(findings(&sandbox, 0), [] as [&str; 0]);
    // A directory that went, and one that is a file now.
    fs::rename(&alice, sandbox.path("moved")).unwrap();
    assert_eq!(findings(&sandbox, 1), ["gone"]);
    fs::write(&alice, "a file").unwrap();
    assert_eq!(findings(&sandbox, 1), ["gone"]);
    fs::remove_file(&alice).unwrap();
    fs::rename(sandbox.path("moved"), &alice).unwrap();
    // The authority's own key, and another authority's inventory.
    mode(&home(&sandbox).join("ca-key.pem"), 0o444);
    assert_eq!(findings(&sandbox, 1), ["mode"]);
    mode(&home(&sandbox).join("ca-key.pem"), 0o400);
    let other = office();
    fs::copy(home(&other).join("inventory.db"), home(&sandbox).join("inventory.db")).unwrap();
    assert!(findings(&sandbox, 1).contains(&"foreign".to_owned()));
}

#[test]
fn a_check_of_what_it_cannot_tell() {
    require!("python3");
    let sandbox = office();
    // A delivery that a killed run left open; a place elsewhere.
    sandbox.change_inventory("UPDATE destination SET pending = 1 WHERE id = 1");
    assert_eq!(findings(&sandbox, 1), ["unfinished"]);
    sandbox.change_inventory("UPDATE destination SET pending = NULL, machine = 'x', machine_name = 'y' WHERE id = 1");
    let ran = run(&sandbox, "inventory check").success();
    assert!(ran.stdout.contains("2 of 2") && ran.stdout.contains("1 on other machines"), "{ran}");
    // Damage beyond the header.
    let file = home(&sandbox).join("inventory.db");
    let mut bytes = fs::read(&file).unwrap();
    let end = bytes.len();
    bytes[end / 4..end / 2].fill(0xaa);
    fs::write(&file, bytes).unwrap();
    let ran = run(&sandbox, "inventory check");
    refused_with_hint(&ran, &[2]);
    assert!(ran.stderr.contains("rebuild"), "{ran}");
}

/// What the inventory holds of certificates and places.
fn contents(sandbox: &Sandbox) -> Vec<String> {
    let mut rows = sandbox.inventory(
        "SELECT role, name, hex(serial), not_before, not_after, due_at, key_holder, state, hex(place), hex(der) \
         FROM certificate LEFT JOIN destination ON destination.certificate = certificate.id",
    );
    rows.sort();
    rows
}

#[test]
fn a_rebuilt_inventory_knows_what_the_lost_one_knew() {
    require!("python3");
    let sandbox = office();
    let before = contents(&sandbox);
    assert_eq!(before.len(), 3);
    let file = home(&sandbox).join("inventory.db");
    // Healthy: not without being told so.
    let refused = run(&sandbox, "inventory rebuild .");
    refused_with_hint(&refused, &[1]);
    assert_eq!(contents(&sandbox), before);
    // Lost, damaged, cut off, emptied.
    let whole = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    let ran = run(&sandbox, "inventory rebuild .").success();
    assert!(ran.stdout.contains("3 certificates, in 3 directories"), "{ran}");
    assert_eq!(contents(&sandbox), before);
    for (number, damaged) in [&b"rubbish"[..], &whole[..whole.len() / 2], b""].into_iter().enumerate() {
        fs::write(&file, damaged).unwrap();
        let ran = run(&sandbox, "inventory rebuild .").success();
        assert_eq!(contents(&sandbox), before);
        let kept = home(&sandbox).join(format!("inventory.db.damaged-{}", number + 1));
        assert!(ran.stdout.contains(kept.to_str().unwrap()), "{ran}");
        assert!(fs::read(kept).unwrap() == damaged, "not what was there");
        assert_eq!(findings(&sandbox, 0), [] as [&str; 0]);
    }
    let _ = run(&sandbox, "inventory rebuild --replace db").success();
    assert_eq!(contents(&sandbox).len(), 1);
    // It goes on from there.
    let _ = run(&sandbox, "issue client carol --out carol").success();
    let _ = run(&sandbox, "renew db.example.com").success();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
}

#[test]
fn a_tree_of_everything() {
    require!("python3", "openssl");
    let sandbox = office();
    // What a renewal keeps beside its place; a certificate alone; one of another authority; junk.
    let _ = run(&sandbox, "renew alice").success();
    fs::create_dir_all(sandbox.path("papers")).unwrap();
    let _ = run(&sandbox, "request client dave --out dave").success();
    let out = run(&sandbox, "issue client dave --csr dave/request.csr --out -").success();
    sandbox.write("papers/from-mail.txt", format!("Dear Dave,\n\n{}\nYours", out.stdout));
    let other = office();
    let _ = sandbox.program("cp").arg("-r").arg(other.path("clients")).arg(sandbox.path("theirs")).run().success();
    sandbox.write("junk.pem", "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n");
    sandbox.write("large.pem", [b"-----BEGIN CERTIFICATE-----".to_vec(), vec![b'A'; 2 << 20]].concat());
    symlink("..", sandbox.path("papers/loop")).unwrap();
    symlink(sandbox.root(), sandbox.path("db/up")).unwrap();
    let fifo = sandbox.path("pipe");
    let _ = sandbox.program("mkfifo").arg(&fifo).run().success();
    let before = tree(&sandbox.work()).to_string();
    let known = sandbox.inventory("SELECT count(*) FROM certificate");
    fs::remove_file(home(&sandbox).join("inventory.db")).unwrap();
    let ran = run(&sandbox, "inventory rebuild .").success();
    assert!(ran.stdout.contains("5 certificates, in 3 directories"), "{ran}");
    assert_eq!(known, ["5"]);
    assert_eq!(tree(&sandbox.work()).to_string(), before, "looking changed something");
    let states = sandbox.inventory("SELECT name, state, key_holder FROM certificate ORDER BY name, state");
    assert_eq!(
        states,
        [
            "alice\tissued\there",
            "alice\tsuperseded\there",
            "bob\tissued\there",
            "dave\tissued\telsewhere",
            "db.example.com\tissued\there",
        ]
    );
    // A directory that is not there changes nothing.
    let inventory = fs::read(home(&sandbox).join("inventory.db")).unwrap();
    refused_with_hint(&run(&sandbox, "inventory rebuild --replace . nowhere"), &[2]);
    assert!(fs::read(home(&sandbox).join("inventory.db")).unwrap() == inventory, "changed");
}

/// What was revoked stays revoked, found or not, and no number of a list comes twice.
#[test]
fn revocations_outlive_the_inventory() {
    require!("python3", "openssl");
    let sandbox = office();
    let _ = run(&sandbox, "revoke alice --reason keyCompromise").success();
    let _ = run(&sandbox, "revoke bob").success();
    fs::remove_dir_all(sandbox.path("clients/bob")).unwrap();
    fs::remove_file(home(&sandbox).join("inventory.db")).unwrap();
    let serials = |file: &str| -> Vec<String> {
        let text = sandbox.openssl(["crl", "-in", file, "-noout", "-text"]);
        let mut found: Vec<String> =
            text.lines().filter_map(|line| line.trim().strip_prefix("Serial Number: ")).map(str::to_owned).collect();
        found.sort();
        found
    };
    let crl = home(&sandbox).join("crl.pem");
    let before = serials(crl.to_str().unwrap());
    assert_eq!(before.len(), 2);
    let ran = run(&sandbox, "inventory rebuild .").success();
    assert!(ran.stdout.contains("2 are revoked by crl.pem, 1 of them found nowhere"), "{ran}");
    assert_eq!(
        sandbox.inventory("SELECT reason, revoked_at FROM certificate WHERE state = 'revoked'"),
        ["keyCompromise\t1907755200"]
    );
    let _ = run(&sandbox, "crl --out new.pem").success();
    assert_eq!(serials("new.pem"), before);
    assert_eq!(sandbox.openssl(["crl", "-in", "new.pem", "-noout", "-crlnumber"]).trim(), "crlNumber=0x03");
}

#[test]
fn the_trail_says_who_did_what() {
    let sandbox = office();
    let ran = run(&sandbox, "inventory log").success();
    let issued = ran.stdout.lines().find(|line| line.contains("issue client alice")).unwrap_or_else(|| panic!("{ran}"));
    assert!(issued.starts_with("2030-06-15 12:00 UTC"), "{ran}");
    assert!(ran.stdout.contains(sandbox.path("clients/alice").to_str().unwrap()), "{ran}");
    let json = run(&sandbox, "inventory log --last 1 --format json").success();
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    let event = &json["events"][0];
    assert_eq!(json["events"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&event["what"], &event["name"], &event["role"]),
        (&"delivered".into(), &"bob".into(), &"client".into())
    );
    assert_eq!(event["command"], format!("dockseal --at {NOW} issue client bob --out clients/bob"));
}

/// A directory that moved: the old place is forgotten, the new one recorded, and renewals go there.
#[test]
fn a_directory_that_moved() {
    require!("openssl");
    let sandbox = Sandbox::new();
    for line in ["init --no-passphrase", "issue client alice --out alice", "issue client bob --out bob"] {
        let _ = run(&sandbox, line).success();
    }
    fs::rename(sandbox.path("alice"), sandbox.path("elsewhere")).unwrap();
    let _ = run(&sandbox, "renew alice").exits(1).says("inventory forget");
    let _ = run(&sandbox, "inventory forget alice").success().says("counts until");
    refused_with_hint(&run(&sandbox, "inventory forget alice"), &[1]);
    let _ = run(&sandbox, "inventory record elsewhere").success();
    let _ = run(&sandbox, "inventory check").success();
    let _ = run(&sandbox, "renew alice").success().says("elsewhere");
    assert!(!sandbox.path("alice").exists());
    Bundle(sandbox.path("elsewhere")).assert_complete();

    // Put there by hand: bob's place holds a copy of alice's bundle, and then counts as hers.
    fs::remove_dir_all(sandbox.path("bob")).unwrap();
    let _ = sandbox.program("cp").args(["-a", "elsewhere", "bob"]).run().success();
    let _ = run(&sandbox, "renew bob").exits(1).says("inventory record");
    let _ = run(&sandbox, "inventory record bob").success();
    assert_eq!(sandbox.inventory("SELECT name, state FROM certificate WHERE name = 'bob'"), ["bob\tsuperseded"]);
    let ran = run(&sandbox, "renew alice").success();
    assert_eq!(ran.stdout.matches("renewed client alice in").count(), 2, "{ran}");

    // Another authority's is none of ours.
    let _ = run(&sandbox, "--authority other init --no-passphrase").success();
    let _ = run(&sandbox, "--authority other issue client carl --out carl").success();
    refused_with_hint(&run(&sandbox, "inventory record carl"), &[1]);
    refused_with_hint(&run(&sandbox, "inventory record nowhere"), &[2]);
}

/// A bundle comes back from a backup and is recorded, as our own hint says: from then on it is what the place has, for
/// every command.
#[test]
fn what_is_recorded_is_in_use() {
    require!("openssl");
    let sandbox = Sandbox::new();
    let _ = run(&sandbox, "bootstrap h.test --client alice --out host --no-passphrase").success();
    let alice = sandbox.path("host/clients/alice");
    let serial = || sandbox.openssl(["x509", "-in", alice.join("cert.pem").to_str().unwrap(), "-noout", "-serial"]);
    let _ = sandbox.program("cp").args(["-a", "host/clients/alice", "backup"]).run().success();
    let old = serial();
    let _ = run(&sandbox, "renew alice").success();
    assert_ne!(serial(), old);
    fs::remove_dir_all(&alice).unwrap();
    fs::rename(sandbox.path("backup"), &alice).unwrap();
    let _ = run(&sandbox, "renew alice").exits(1).says("inventory record");
    let _ = run(&sandbox, "inventory record host/clients/alice").success();

    let _ = run(&sandbox, "inventory check").success();
    let hexadecimal = old.trim().trim_start_matches("serial=").to_owned();
    let listed = run(&sandbox, "list --format json").success();
    assert!(listed.stdout.contains(&hexadecimal), "{hexadecimal} is not in\n{listed}");
    // Ten years later it has ended, and that is told.
    let _ = at(&sandbox, "2031-08-01T00:00:00Z", "status").exits(1);
    // A roll-over takes it along; openssl has the last word.
    for line in ["rollover begin", "rollover advance", "rollover finish"] {
        let _ = run(&sandbox, line).success();
    }
    let (anchors, leaf) = (alice.join("ca.pem"), alice.join("cert.pem"));
    let time = "1907755200"; // 2030-06-15
    let verified = ["verify", "-attime", time, "-CAfile", "host/daemon/ca.pem", leaf.to_str().unwrap()];
    let _ = sandbox.program("openssl").args(verified).run().success();
    assert_eq!(fs::read(&anchors).unwrap(), fs::read(sandbox.path("host/daemon/ca.pem")).unwrap());
    // And a plain renewal finds it.
    let before = serial();
    let _ = run(&sandbox, "renew --all").success().says("client alice");
    assert_ne!(serial(), before);
}

/// Renewals find what is recorded at once: all, and what is due.
#[test]
fn what_is_recorded_is_renewed() {
    require!("openssl");
    for (now, line) in [("2026-11-27T12:00:00Z", "renew --all"), ("2027-11-20T12:00:00Z", "renew --due")] {
        let sandbox = Sandbox::new();
        let run = |line: &str| at(&sandbox, "2026-11-27T00:00:00Z", line).success();
        let _ = run("bootstrap h.test --client alice --out host --no-passphrase");
        let _ = sandbox.program("cp").args(["-a", "host/clients/alice", "backup"]).run().success();
        let _ = run("renew alice");
        fs::remove_dir_all(sandbox.path("host/clients/alice")).unwrap();
        fs::rename(sandbox.path("backup"), sandbox.path("host/clients/alice")).unwrap();
        let _ = run("inventory record host/clients/alice");
        let serial = || sandbox.openssl(["x509", "-in", "host/clients/alice/cert.pem", "-noout", "-serial"]);
        let before = serial();
        let ran = at(&sandbox, now, line).success();
        assert_ne!(serial(), before, "{ran}");
        let _ = sandbox.dockseal(["inventory", "check"]).run().success();
    }
}

/// What came back from a backup and was not recorded has no date in the inventory: it is looked at.
#[test]
fn what_came_back_is_told_of() {
    require!("openssl");
    let sandbox = Sandbox::new();
    let run = |line: &str| at(&sandbox, "2026-11-27T00:00:00Z", line);
    let _ = run("bootstrap h.test --client alice --out host --no-passphrase").success();
    let _ = sandbox.program("cp").args(["-a", "host/clients/alice", "backup"]).run().success();
    let _ = run("renew alice --lifetime 2y").success();
    for line in ["status", "renew --due"] {
        let _ = run(line).success();
    }
    let alice = sandbox.path("host/clients/alice");
    fs::remove_dir_all(&alice).unwrap();
    fs::rename(sandbox.path("backup"), &alice).unwrap();
    let ended = "2027-12-01T00:00:00Z";
    let end = sandbox.openssl(["x509", "-in", "host/clients/alice/cert.pem", "-noout", "-enddate"]);
    assert!(end.contains("Nov 27 00:00:00 2027"), "{end}");
    let ran = at(&sandbox, ended, "status --role client").exits(1);
    assert!(ran.stdout.contains("alice holds another certificate") && ran.stdout.contains("expired"), "{ran}");
    assert!(ran.stdout.contains("dockseal inventory record DIR"), "{ran}");
    let ran = at(&sandbox, ended, "status --role client --format json").exits(1);
    assert!(ran.stdout.contains("\"not_after\":\"2027-11-27T00:00:00Z\""), "{ran}");
    let _ = at(&sandbox, ended, "list --role client").success().says("(holds another certificate)");
    let ran = at(&sandbox, ended, "renew --due --role client").exits(1);
    assert!(ran.stderr.contains("it holds the certificate of CN=alice"), "{ran}");
    // It has ended, so the second half of the hint helps.
    let _ = at(&sandbox, ended, "issue client alice --out host/clients/alice --replace").success();
    for line in ["status --role client", "renew --due --role client"] {
        let _ = at(&sandbox, ended, line).success();
    }
}

/// A command that has yet to follow a renewal is due in the inventory that is made again, too.
#[test]
fn a_rebuild_keeps_commands_due() {
    let sandbox = office();
    let _ = run(&sandbox, "renew alice --exec false").exits(1);
    let _ = run(&sandbox, "inventory rebuild --replace .").success();
    let ran = run(&sandbox, "status").exits(1);
    assert!(ran.stdout.contains("is still due in") && ran.stdout.contains("clients/alice"), "{ran}");
    let _ = run(&sandbox, "renew --due --exec true").success().says("ran the command for client alice");
    let _ = run(&sandbox, "status").success();
}

#[test]
fn what_is_revoked_is_not_recorded() {
    let sandbox = office();
    let _ = run(&sandbox, "revoke alice").success();
    let ran = run(&sandbox, "inventory record clients/alice");
    refused_with_hint(&ran, &[1]);
    assert!(ran.stderr.contains("was revoked on 2030-06-15"), "{ran}");
}

/// The machine-id changed, or is none: the directories are still told of.
#[test]
fn a_machine_that_got_another_id() {
    require!("python3");
    let sandbox = office();
    sandbox.change_inventory("UPDATE destination SET machine = 'former'");
    assert_eq!(findings(&sandbox, 2), ["machine", "machine", "machine"]);
    // The hint helps.
    for place in ["db", "clients/alice", "clients/bob"] {
        let _ = run(&sandbox, &format!("inventory record {place}")).success();
    }
    assert_eq!(findings(&sandbox, 0), [] as [&str; 0]);
    // Those of other machines are theirs.
    sandbox.change_inventory("UPDATE destination SET machine_name = 'other' WHERE machine = 'former'");
    let ran = run(&sandbox, "inventory check").success();
    assert!(ran.stdout.contains("3 of 3") && ran.stdout.contains("3 on other machines"), "{ran}");
    // Another name as well, and nothing is looked at: that is not "all is as recorded".
    sandbox.change_inventory("UPDATE destination SET machine = 'another' || id, machine_name = 'other'");
    let ran = run(&sandbox, "inventory check").exits(2);
    assert!(ran.stdout.contains("0 of 0") && ran.stdout.contains("Nothing was looked at"), "{ran}");
}

/// What could not be read is missing afterwards, and that is not success.
#[test]
fn a_rebuild_that_could_not_read_all() {
    require!("setpriv");
    require_root!();
    let sandbox = office();
    fs::remove_file(home(&sandbox).join("inventory.db")).unwrap();
    let nobody = 65534;
    let give = |path: &std::path::Path| std::os::unix::fs::chown(path, Some(nobody), Some(nobody)).unwrap();
    for path in tree(sandbox.root()).paths().iter().map(|path| sandbox.root().join(path)).filter(|path| path.exists()) {
        give(&path);
    }
    give(sandbox.root());
    std::os::unix::fs::chown(sandbox.path("clients/bob"), Some(0), Some(0)).unwrap();
    let words = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    let program = sandbox.program("setpriv").args(words).arg(dockseal_tests::dockseal_binary());
    let ran = program.args(["inventory", "rebuild", "."]).run();
    assert_eq!(ran.code, Some(2), "{ran}");
    assert!(ran.stdout.contains("1 files or directories could not be read"), "{ran}");
    assert!(ran.stderr.contains("passed over"), "{ran}");
}

/// A delivery that is under way while the check looks is none that was left unfinished.
#[test]
fn a_check_beside_a_run_at_work() {
    require!("python3");
    let sandbox = office();
    let inventory = home(&sandbox).join("inventory.db");
    sandbox.change_inventory("UPDATE destination SET pending = certificate");
    // One that nobody works on is told of.
    assert_eq!(findings(&sandbox, 1), ["unfinished", "unfinished", "unfinished"]);
    // It ends its delivery, then lets go of the lock.
    let script = "import fcntl, sqlite3, sys, time\n\
        f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX); print('locked', flush=True); sys.stdin.readline()\n\
        time.sleep(1); i = sqlite3.connect(sys.argv[2]); i.execute('UPDATE destination SET pending = NULL'); i.commit()";
    let program = sandbox.program("python3").args(["-c", script]).arg(home(&sandbox).join("lock")).arg(&inventory);
    let mut child = program.start();
    let mut said = [0; 7];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut said).unwrap();
    std::io::Write::write_all(child.stdin.as_mut().unwrap(), b"go\n").unwrap();
    let checked = run(&sandbox, "inventory check");
    assert!(child.wait().unwrap().success());
    let _ = checked.success();
}

/// What a renewal kept is still there for `rollback` after the inventory was made again.
#[test]
fn a_rebuild_remembers_what_is_kept() {
    require!("openssl");
    let sandbox = office();
    let alice = sandbox.path("clients/alice");
    let serial = || sandbox.openssl(["x509", "-in", alice.join("cert.pem").to_str().unwrap(), "-noout", "-serial"]);
    let before = serial();
    let _ = run(&sandbox, "renew alice").success();
    fs::remove_file(home(&sandbox).join("inventory.db")).unwrap();
    let _ = run(&sandbox, "inventory rebuild .").success();
    let _ = run(&sandbox, "rollback alice").success();
    assert_eq!(serial(), before);
    let _ = run(&sandbox, "inventory check").success();
}

/// A run that lets others work in between notices that the inventory was made again, and records nothing in the one before.
#[test]
fn a_rebuild_in_the_middle_of_a_run() {
    require!("strace", "prlimit", "openssl");
    let sandbox = Sandbox::new();
    let _ = run(&sandbox, "init --no-passphrase").success();
    let _ = run(&sandbox, "issue clients a b c d e f g h i --out c").success();
    let log = sandbox.root().join("tmp/calls");
    // Few descriptors make small batches; it is stopped when it opens the lock for the second one.
    let traced = sandbox.program("prlimit").args(["--nofile=70:70", "strace", "-f", "-qq", "-o"]).arg(&log);
    let how = ["-P", "lock", "-e", "trace=openat", "-e", "inject=openat:signal=SIGSTOP:when=3"];
    let renewing = traced.args(how).arg(dockseal_tests::dockseal_binary()).args(["--at", NOW, "renew", "--all"]);
    let renewing = std::thread::spawn(move || renewing.run());
    let pid = loop {
        assert!(!renewing.is_finished(), "it was all one batch");
        let calls = fs::read_to_string(&log).unwrap_or_default();
        match calls.lines().find(|call| call.contains("stopped by SIGSTOP")) {
            Some(call) => break call.split(' ').next().unwrap().to_owned(),
            None => std::thread::sleep(std::time::Duration::from_millis(20)),
        }
    };
    let _ = run(&sandbox, "inventory rebuild --replace c").success();
    let _ = sandbox.program("kill").args(["-CONT", &pid]).run().success();
    let ran = renewing.join().unwrap().exits(2);
    assert!(ran.stderr.contains("it was made again meanwhile"), "{ran}");
    let _ = run(&sandbox, "inventory check").success().says("9 of 9");
    // The hint helps, and what is in use is what is revoked.
    let _ = run(&sandbox, "renew --all").success();
    let _ = run(&sandbox, "revoke i").success();
    let serial = sandbox.openssl(["x509", "-noout", "-serial", "-in", "c/i/cert.pem"]);
    let crl = home(&sandbox).join("crl.pem");
    let listed = sandbox.openssl(["crl", "-noout", "-text", "-in", crl.to_str().unwrap()]);
    assert!(listed.contains(serial.trim().trim_start_matches("serial=")), "{serial}{listed}");
}
