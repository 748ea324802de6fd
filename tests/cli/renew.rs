//! `dockseal renew` and `dockseal rollback`: what is kept and what is new, what is left as it is and why.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::Instant;

use dockseal_tests::{
    Bundle, Program, Sandbox, Tree, public_key_of_certificate, public_key_of_key, require, require_root, tree,
};

use crate::{at as run, home, refused, with_authority};

/// When everything here is issued; two thirds of a year later it is due.
const BORN: &str = "2030-01-01T00:00:00Z";
const LATER: &str = "2030-10-01T00:00:00Z";

fn program(sandbox: &Sandbox, at: &str, line: &str) -> Program {
    sandbox.dockseal(["--at", at]).args(line.split(' '))
}

fn with_bundles(lines: &[&str]) -> Sandbox {
    let sandbox = Sandbox::new();
    let _ = run(&sandbox, BORN, "init --no-passphrase").success();
    for line in lines {
        let _ = run(&sandbox, BORN, line).success();
    }
    sandbox
}

fn serial(sandbox: &Sandbox, certificate: &str) -> String {
    sandbox.openssl(["x509", "-noout", "-serial", "-in", certificate])
}

/// Changes the inventory as no command of this program would.
fn tamper(sandbox: &Sandbox, sql: &str) {
    const SCRIPT: &str = "import sqlite3, sys\nc = sqlite3.connect(sys.argv[1])\nc.execute(sys.argv[2])\nc.commit()";
    let file = home(sandbox).join("inventory.db");
    let _ = sandbox.program("python3").args(["-c", SCRIPT]).arg(file).arg(sql).run().success();
}

/// The directories that bundles are in, without the authority.
fn picture(sandbox: &Sandbox) -> Tree {
    tree(&sandbox.work())
}

/// What openssl says of a certificate that a renewal keeps: everything but serial, key, validity and signature.
fn kept(sandbox: &Sandbox, certificate: &str) -> String {
    let extensions = "subjectAltName,extendedKeyUsage,keyUsage,basicConstraints,authorityKeyIdentifier";
    let words = ["x509", "-noout", "-subject", "-issuer", "-ext", extensions, "-in", certificate];
    let text = sandbox.openssl(["x509", "-noout", "-text", "-in", certificate]);
    let key = text.lines().filter(|line| line.contains("Public Key Algorithm") || line.contains("Public-Key:"));
    format!("{}{}", sandbox.openssl(words), key.collect::<Vec<_>>().join("\n"))
}

/// How long it lives, in seconds, worked out by Python from openssl's dates.
fn lifetime(sandbox: &Sandbox, certificate: &str) -> String {
    const SCRIPT: &str = "import sys, datetime as d\n\
        t = [d.datetime.strptime(line.split('=')[1].strip(), '%b %d %H:%M:%S %Y GMT') for line in sys.stdin if '=' in line]\n\
        print(int((t[1] - t[0]).total_seconds()))";
    let dates = sandbox.openssl(["x509", "-noout", "-dates", "-in", certificate]);
    sandbox.program("python3").args(["-c", SCRIPT]).input(dates).run().success().stdout
}

#[test]
fn what_is_kept_and_what_is_new() {
    require!("openssl", "python3");
    for (issue, key) in [
        ("daemon h.test *.h.test 10.0.0.5 2001:db8::5", "p384"),
        ("daemon h.test --lifetime 800d", "p256"),
        ("daemon h.test --lifetime 1000d --allow-long-lifetime", "rsa2048"),
        ("client alice --lifetime 7d", "ed25519"),
        ("client alice --lifetime 2h", "p256"),
    ] {
        for reuse in ["", " --reuse-key"] {
            let sandbox = with_bundles(&[&format!("issue {issue} --key {key} --out d")]);
            fs::copy(sandbox.path("d/cert.pem"), sandbox.path("old.pem")).unwrap();
            let name = issue.split(' ').nth(1).unwrap();
            let ran = run(&sandbox, "2030-01-01T01:00:00Z", &format!("renew {name}{reuse}")).success();
            Bundle(sandbox.path("d")).assert_complete();
            assert_eq!(kept(&sandbox, "d/cert.pem"), kept(&sandbox, "old.pem"), "{ran}");
            assert_eq!(lifetime(&sandbox, "d/cert.pem"), lifetime(&sandbox, "old.pem"), "{ran}");
            assert_ne!(serial(&sandbox, "d/cert.pem"), serial(&sandbox, "old.pem"));
            let [new, old] = ["d/cert.pem", "old.pem"].map(|path| public_key_of_certificate(&sandbox.path(path)));
            assert_eq!(new == old, !reuse.is_empty(), "{ran}");
            assert_eq!(sandbox.inventory("SELECT state FROM certificate ORDER BY id"), ["superseded", "issued"]);
        }
    }
    let sandbox = with_bundles(&["issue client alice --out c"]);
    let _ = run(&sandbox, BORN, "renew alice --lifetime 30d").success();
    assert_eq!(lifetime(&sandbox, "c/cert.pem").trim().parse::<u64>().unwrap() / 86_400, 30);
}

#[test]
fn whose_it_is_stays() {
    require!("openssl");
    require_root!();
    let sandbox = with_bundles(&["issue client ci --out c --mode 0640", "issue daemon h.test --out d"]);
    let stat = |name: &str| {
        let words = ["-c", "%n %u:%g %a", name];
        sandbox.program("stat").args(words).run().success().stdout
    };
    let _ = sandbox.program("chown").args(["-R", "4242:4343", "c", "d"]).run().success();
    let names = ["c", "c/key.pem", "c/cert.pem", "d", "d/key.pem", "d/ca.pem"];
    let before = names.map(stat);
    assert!(before[1].contains("4242:4343 640") && before[4].contains("4242:4343 400"), "{before:?}");
    let _ = run(&sandbox, BORN, "renew --all").success();
    assert_eq!(names.map(stat), before);
    let _ = run(&sandbox, BORN, "rollback ci").success();
    assert_eq!(names.map(stat), before);
}

#[test]
fn what_a_person_edited_stays() {
    let sandbox = with_bundles(&["bootstrap h.test --client alice --out host --no-passphrase"]);
    let edited = "{ \"debug\": true }\n";
    fs::write(sandbox.path("host/daemon/daemon.json"), edited).unwrap();
    let _ = run(&sandbox, BORN, "renew h.test").success();
    assert_eq!(fs::read_to_string(sandbox.path("host/daemon/daemon.json")).unwrap(), edited);
    assert!(sandbox.path("host/daemon/docker.service.d/dockseal.conf").is_file());
}

#[test]
fn the_command_that_follows() {
    require!("openssl");
    let sandbox = with_bundles(&["issue client alice --out c", "issue daemon h.test --out d"]);
    let renew = |command: &str, at: &str| program(&sandbox, at, "renew --due --exec").arg(command).run();
    // Not for those that could not be renewed, and not before.
    let _ = renew("echo too early >>ran", BORN).success();
    assert!(!sandbox.path("ran").exists());
    let ran = renew("test $DOCKSEAL_NAME = alice || exit 7; env | grep ^DOCKSEAL_ | sort >>ran", LATER).exits(1);
    assert!(ran.stderr.contains("exit status: 7") && ran.stderr.contains("h.test"), "{ran}");
    let serial = serial(&sandbox, "c/cert.pem").trim().replace("serial=", "");
    let end = sandbox.openssl(["x509", "-noout", "-enddate", "-dateopt", "iso_8601", "-in", "c/cert.pem"]);
    let end = end.trim().replace("notAfter=", "").replace(' ', "T");
    let directory = sandbox.path("c").canonicalize().unwrap();
    let expected = format!(
        "DOCKSEAL_DIRECTORY={}\nDOCKSEAL_NAME=alice\nDOCKSEAL_NOT_AFTER={end}\nDOCKSEAL_ROLE=client\nDOCKSEAL_SERIAL={serial}\n",
        directory.display()
    );
    assert_eq!(fs::read_to_string(sandbox.path("ran")).unwrap(), expected);
    // Nothing is due, but one command is; it alone runs, until it succeeds, and then no more.
    let daemon = fs::read(sandbox.path("d/cert.pem")).unwrap();
    let _ = renew("echo $DOCKSEAL_NAME >>retried; exit 1", LATER).exits(1);
    let _ = renew("echo $DOCKSEAL_NAME >>retried", LATER).success();
    let quiet = renew("echo $DOCKSEAL_NAME >>retried", LATER).success();
    assert!(quiet.stdout.is_empty() && quiet.stderr.is_empty(), "{quiet}");
    assert_eq!(fs::read_to_string(sandbox.path("retried")).unwrap(), "h.test\nh.test\n");
    assert_eq!(fs::read(sandbox.path("d/cert.pem")).unwrap(), daemon, "the certificate is not renewed for it");
}

/// A renewal without a command, or one that has nothing to do, says that a command is due and does not forget it; and so
/// does everything else that puts a bundle into the place.
#[test]
fn a_command_that_failed_stays_due() {
    let sandbox = with_bundles(&["issue client alice --out c", "issue daemon h.test --out d"]);
    let renew = |command: &str| program(&sandbox, LATER, "renew --due --exec").arg(command).run();
    let _ = renew("exit 1").exits(1);
    let due = || sandbox.inventory("SELECT command_due FROM destination");
    for line in
        ["renew --due", "renew --all", "renew h.test", "rollback h.test", "issue client alice --out c --replace"]
    {
        let ran = run(&sandbox, LATER, line).success();
        if line.starts_with("renew") {
            let says = "is still due in ";
            assert!(ran.stderr.contains(says) && ran.stderr.contains("and 1 other place"), "{ran}");
            assert!(ran.stderr.contains("renew --due --exec"), "{ran}");
        }
        assert_eq!(due(), ["1", "1"], "{ran}");
    }
    let _ = renew("echo $DOCKSEAL_NAME >>ran").success();
    assert_eq!(fs::read_to_string(sandbox.path("ran")).unwrap(), "alice\nh.test\n");
    let quiet = run(&sandbox, LATER, "renew --due").success();
    assert!(quiet.stdout.is_empty() && quiet.stderr.is_empty(), "{quiet}");
    // What did not get its new bundle has nothing to follow; what did has.
    fs::remove_dir_all(sandbox.path("d")).unwrap();
    let _ = program(&sandbox, LATER, "renew --all --exec").arg("exit 1").run().exits(1);
    assert_eq!(due(), ["1", "0"]);
    let _ = run(&sandbox, LATER, "inventory forget c").success();
    assert_eq!(due(), ["0", "0"]);
}

/// A command that fails, or that ends the run as one that hangs does in the end, is not the first again: the others have their
/// turn. Meanwhile status says so.
#[test]
fn commands_take_turns() {
    let sandbox = with_bundles(&["issue client a --out a", "issue client b --out b", "issue client c --out c"]);
    let renew = |command: &str| program(&sandbox, LATER, "renew --due --exec").arg(command).run();
    let _ = renew("exit 1").exits(1);
    let status = |more: &str| run(&sandbox, LATER, &format!("status{more}"));
    let said = status("").exits(1);
    assert!(said.stdout.contains("is still due in ") && said.stdout.contains("and 2 other places"), "{said}");
    assert!(!said.stdout.contains("Nothing is due"), "{said}");
    let wire: serde_json::Value = serde_json::from_str(&status(" --format json").exits(1).stdout).unwrap();
    assert_eq!((&wire["due"], &wire["commands_due"]), (&true.into(), &3.into()));
    assert!(status(" --format prometheus").exits(1).stdout.contains("\ndockseal_commands_due 3\n"));
    assert!(status(" --role daemon").success().stdout.contains("Nothing is due"));

    let _ = renew("echo $DOCKSEAL_NAME >>ran; kill -KILL $PPID");
    let _ = renew("echo $DOCKSEAL_NAME >>ran").success();
    assert_eq!(fs::read_to_string(sandbox.path("ran")).unwrap(), "a\nb\nc\na\n");
    let said = status("").success();
    assert!(said.stdout.contains("Nothing is due"), "{said}");
}

#[test]
fn nothing_due_is_silence() {
    let sandbox = Sandbox::new();
    sandbox.write("pass", "correct horse\n");
    let _ = run(&sandbox, BORN, "init --passphrase-file pass").success();
    let _ = run(&sandbox, BORN, "issue client alice --out c --passphrase-file pass").success();
    let before = picture(&sandbox);
    for line in ["renew --due", "renew --within 30d", "renew --due --exec false", "renew --due --role daemon"] {
        let ran = run(&sandbox, BORN, line).success();
        assert!(ran.stdout.is_empty() && ran.stderr.is_empty(), "{ran}");
    }
    before.assert_same(&picture(&sandbox), "");
    // One that is due wants the passphrase.
    refused(&run(&sandbox, LATER, "renew --due"), &[2]);
    before.assert_same(&picture(&sandbox), "");
    let _ = run(&sandbox, LATER, "renew --due --passphrase-file pass").success().says("renewed client alice");
}

/// Two thirds of the life: not a second earlier.
#[test]
fn due_is_two_thirds() {
    // Issued with five minutes of grace before; 90 days and 5 minutes in all, two thirds of it are 60 days and 200 s.
    let sandbox = with_bundles(&["issue client alice --lifetime 90d --out c"]);
    let silent = run(&sandbox, "2030-03-01T23:58:19Z", "renew --due --dry-run").success();
    assert_eq!(silent.stdout, "", "{silent}");
    let _ = run(&sandbox, "2030-03-01T23:58:20Z", "renew --due --dry-run").success().says("would renew client alice");
}

#[test]
fn a_dry_run_changes_nothing() {
    let sandbox = with_bundles(&["issue client alice --out c", "issue daemon h.test --out d"]);
    let before = crate::picture(&sandbox);
    let ran = run(&sandbox, LATER, "renew --all --dry-run --exec false").success();
    for says in ["would renew client alice", "would renew daemon h.test"] {
        assert!(ran.stdout.contains(says), "{ran}");
    }
    before.assert_same(&crate::picture(&sandbox), &ran);
    assert_eq!(sandbox.inventory("SELECT count(*) FROM certificate"), ["2"]);
}

/// Places that are not written to, each for a reason of its own, and one good one, which gets its new bundle.
#[test]
fn places_in_trouble() {
    require!("openssl", "unshare");
    require_root!();
    let names = ["gone", "file", "link", "foreign", "theirs", "edited", "older", "mixed", "readonly", "good"];
    let lines: Vec<String> = names.iter().map(|name| format!("issue client {name} --out p/{name}")).collect();
    let sandbox = with_bundles(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    let path = |name: &str| sandbox.path("p").join(name);
    // One more, of another machine that shares this authority.
    let id = sandbox.write("machine-id", "0123456789abcdef0123456789abcdef\n");
    let inside = "mount --bind \"$1\" /etc/machine-id && shift && exec \"$@\"";
    let elsewhere = |at: &str, line: &str| {
        let program = sandbox.program("unshare").args(["--mount", "sh", "-c", inside, "sh"]).arg(&id);
        program.arg(dockseal_tests::dockseal_binary()).args(["--at", at]).args(line.split(' ')).run()
    };
    let _ = elsewhere(BORN, "issue client far --out p/far").success();

    fs::remove_dir_all(path("gone")).unwrap();
    fs::remove_dir_all(path("file")).unwrap();
    fs::write(path("file"), "mine").unwrap();
    fs::rename(path("link"), path("real")).unwrap();
    symlink("real", path("link")).unwrap();
    fs::write(path("foreign/notes.txt"), "mine").unwrap();
    fs::remove_dir_all(path("theirs")).unwrap();
    sandbox.write("p/theirs/letter.txt", "mine");
    let _ = run(&sandbox, BORN, "--authority strangers init --no-passphrase").success();
    let _ = run(&sandbox, BORN, "--authority strangers issue client edited --out x").success();
    fs::remove_dir_all(path("edited")).unwrap();
    fs::rename(sandbox.path("x"), path("edited")).unwrap();
    fs::copy(path("good/key.pem"), path("mixed/key.pem")).unwrap();
    // The certificate before this one, which is for the same key.
    let older = fs::read(path("older/cert.pem")).unwrap();
    let _ = run(&sandbox, BORN, "renew older --reuse-key").success();
    fs::remove_file(path("older/cert.pem")).unwrap();
    fs::write(path("older/cert.pem"), older).unwrap();
    // A mount of its own, read-only, with the bundle inside.
    let mount = sandbox.program("mount").args(["--bind"]).arg(path("readonly")).arg(path("readonly")).run();
    let _ = mount.success();
    let _ = sandbox.program("mount").args(["-o", "remount,ro,bind"]).arg(path("readonly")).run().success();

    let good = serial(&sandbox, "p/good/cert.pem");
    let mut before = picture(&sandbox);
    for dry in [" --dry-run", ""] {
        let ran = run(&sandbox, LATER, &format!("renew --all{dry}")).exits(1);
        for (name, why) in [
            ("gone", "it is gone"),
            ("file", "not a directory"),
            ("link", "not a directory"),
            ("foreign", "notes.txt"),
            ("theirs", "cert.pem"),
            ("edited", "changed by hand"),
            ("older", "changed by hand"),
            ("mixed", "changed by hand"),
            ("readonly", "readonly"),
            ("far", "another one"),
        ] {
            // Only the attempt itself meets what hinders the swap.
            if dry.is_empty() || !matches!(name, "foreign" | "readonly") {
                let said = ran.stderr.split("warning: ").find(|text| text.starts_with(&format!("client {name}: ")));
                let said = said.unwrap_or_else(|| panic!("nothing is said about {name}\n{ran}"));
                assert!(said.contains(why) && said.contains("hint:"), "{name}: {said}");
            }
        }
        assert_eq!(
            ran.stdout.lines().filter(|line| line.contains("renewed client ")).count(),
            usize::from(dry.is_empty())
        );
    }
    assert_ne!(serial(&sandbox, "p/good/cert.pem"), good);
    Bundle(path("good")).assert_complete();
    let mut after = picture(&sandbox);
    for picture in [&mut before, &mut after] {
        picture.0.retain(|path, _| !path.to_string_lossy().contains("good") && path != Path::new("./p"));
    }
    before.assert_same(&after, "the others are as they were");
    // The new serials of those that failed are taken and count for nothing; the old ones still count.
    assert_eq!(sandbox.inventory("SELECT count(*) FROM certificate WHERE state = 'issued'"), ["11"]);
    // The machine that has it can.
    let ran = elsewhere(LATER, "renew far").success();
    assert!(ran.stdout.contains("renewed client far"), "{ran}");
}

#[test]
fn names() {
    let sandbox = with_bundles(&[
        "issue client alice --out c",
        "issue client both --out b",
        "issue daemon both --out d",
        "issue daemon h.test 10.0.0.5 --out h",
    ]);
    let before = picture(&sandbox);
    let refuse = |line: &str, code: i32, says: &[&str]| {
        let ran = run(&sandbox, BORN, line);
        refused(&ran, &[code]);
        assert!(says.iter().all(|text| ran.stderr.contains(text)), "{says:?}\n{ran}");
        before.assert_same(&picture(&sandbox), &ran);
    };
    for verb in ["renew", "rollback"] {
        refuse(&format!("{verb} alcie"), 2, &["alcie", "did you mean alice?"]);
        refuse(&format!("{verb} zzz"), 2, &["zzz", "dockseal list"]);
        refuse(&format!("{verb} both"), 2, &["client/both", "daemon/both"]);
    }
    refuse("renew", 2, &["NAME"]);
    refuse("renew alice --all", 2, &["cannot be used"]);
    refuse("renew alice zzz", 2, &["zzz"]);
    tamper(
        &sandbox,
        "UPDATE certificate SET state = 'revoked', revoked_at = 1900000000, reason = 'keyCompromise' WHERE name = 'alice'",
    );
    refuse("renew alice", 1, &["revoked", "keyCompromise"]);
    refuse("renew alice --csr - --out -", 1, &["revoked", "keyCompromise"]);
    // Neither the one by name nor --all brings it back.
    let _ = run(&sandbox, BORN, "renew --all").success();
    assert_eq!(
        fs::read(sandbox.path("c/cert.pem")).unwrap(),
        match &before.0[Path::new("./c/cert.pem")].2 {
            dockseal_tests::Entry::File(bytes) => bytes.clone(),
            _ => Vec::new(),
        }
    );
    // Each name of a daemon is one of it, and so is a serial number, however it is written.
    for name in ["10.0.0.5", "daemon/both", "client/both"] {
        let _ = run(&sandbox, BORN, &format!("renew {name}")).success();
    }
    let serial = serial(&sandbox, "h/cert.pem").trim().replace("serial=", "");
    let _ = run(&sandbox, BORN, &format!("renew {serial}")).success().says("renewed daemon h.test");
    // The one it took the place of counts no longer.
    refused(&run(&sandbox, BORN, &format!("renew {serial}")), &[1]);
}

/// The last run says that the machine's clock was this many seconds ahead of what it is.
fn clock_was_ahead(sandbox: &Sandbox, seconds: i64) {
    sandbox.change_inventory(&format!(
        "INSERT INTO run (at, user, machine, machine_name, command)
         VALUES (unixepoch() + {seconds}, 'root', 'here', 'here', 'dockseal crl')"
    ));
}

/// One rule for all that writes: nothing is made by a clock that went back, and whoever gives the time is believed.
#[test]
fn a_clock_that_went_backwards() {
    require!("python3");
    let sandbox = with_authority();
    let now = |line: &str| sandbox.dockseal(line.split(' ')).run();
    let _ = now("issue client alice --out c").success();
    let year = 365 * 86400;
    clock_was_ahead(&sandbox, year);
    let before = picture(&sandbox);
    for line in [
        "renew alice",
        "renew --due",
        "renew --all",
        "status",
        "issue client bob --out b",
        "issue clients carl --out many",
        "revoke alice",
        "crl",
        "rollover begin",
    ] {
        let ran = now(line);
        refused(&ran, &[2]);
        assert!(ran.stderr.contains("the clock went back"), "{ran}");
        before.assert_same(&picture(&sandbox), &ran);
    }
    // The hint helps, and it helps the runs after it that nobody types.
    let refused = now("renew --all");
    let (_, given) = refused.stderr.split_once("say so with ").unwrap();
    let _ = now(&format!("{} renew --all", given.lines().next().unwrap().trim())).success();
    let _ = now("renew --all").success();
    let _ = now("issue client bob --out b").success();
    // A run whose time was given says nothing of the clock: nobody is locked out by it.
    let _ = now("--at 2035-01-01T00:00:00Z crl").success();
    let _ = now("renew --all").success();
    let _ = now("revoke bob").success();
    // Clocks that differ by a few minutes are none that went back.
    clock_was_ahead(&sandbox, 120);
    let _ = now("renew alice").success();
}

#[test]
fn a_locked_authority() {
    require!("python3");
    let sandbox = with_bundles(&["issue client alice --out c"]);
    let lock = home(&sandbox).join("lock");
    let script = "import fcntl, sys\n\
        f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX); f.write('dockseal renew --all (process 4711)'); f.flush()\n\
        print('locked', flush=True); sys.stdin.read()";
    let mut holder = sandbox.program("python3").args(["-c", script]).arg(&lock).start();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(holder.stdout.take().unwrap()), &mut line).unwrap();
    let before = picture(&sandbox);
    let started = Instant::now();
    let ran = run(&sandbox, BORN, "--wait 1s renew alice");
    refused(&ran, &[2]);
    assert!(ran.stderr.contains("dockseal renew --all (process 4711)"), "by whom is not said\n{ran}");
    assert!(started.elapsed().as_millis() >= 1000, "it did not wait");
    refused(&run(&sandbox, BORN, "--wait 0 rollback alice"), &[2]);
    before.assert_same(&picture(&sandbox), &ran);
    // Nothing due needs nobody's leave.
    let _ = run(&sandbox, BORN, "--wait 0 renew --due").success();
    // One that waits long enough gets its turn.
    let waiting = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| run(&sandbox, BORN, "renew alice"));
        std::thread::sleep(std::time::Duration::from_millis(300));
        drop(holder.stdin.take());
        waiting.join().unwrap()
    });
    let _ = waiting.success();
    assert!(holder.wait().unwrap().success());
}

#[test]
fn back_and_forth() {
    require!("openssl");
    let sandbox = with_bundles(&["issue client alice --out c", "issue client bob --out b"]);
    let first = fs::read(sandbox.path("c/cert.pem")).unwrap();
    let now = |name: &str| fs::read(sandbox.path(name)).unwrap();
    refused(&run(&sandbox, BORN, "rollback alice"), &[1]);
    refused(&run(&sandbox, BORN, "rollback ./c"), &[1]);
    let _ = run(&sandbox, BORN, "renew alice").success();
    let second = now("c/cert.pem");
    // By name, and by directory; each way twice is where it began.
    for what in ["alice", "./c"] {
        for expected in [&first, &second] {
            let ran = run(&sandbox, BORN, &format!("rollback {what}")).success();
            assert_eq!(&now("c/cert.pem"), expected, "{ran}");
            Bundle(sandbox.path("c")).assert_complete();
            let issued = "SELECT der FROM certificate WHERE name = 'alice' AND state = 'issued'";
            let der = sandbox.openssl(["x509", "-in", "c/cert.pem", "-noout", "-serial"]).trim().replace("serial=", "");
            let of_inventory = sandbox.inventory(issued).concat();
            assert!(of_inventory.contains(&der.to_lowercase()), "another one counts than {der}\n{ran}");
        }
    }
    // A name that is also a directory here is the name.
    let _ = run(&sandbox, BORN, "renew bob").success();
    fs::create_dir(sandbox.path("bob")).unwrap();
    let _ = run(&sandbox, BORN, "rollback bob").success();
    // Where there is no authority, the directory is enough.
    let bare = sandbox.dockseal(["--at", BORN, "--authority", "none", "rollback", "./c"]).run().success();
    assert_eq!(now("c/cert.pem"), first, "{bare}");
    let _ = sandbox.dockseal(["--at", BORN, "--authority", "none", "rollback", "./c"]).run().success();
    // What ended meanwhile does not come back.
    let before = picture(&sandbox);
    let ran = run(&sandbox, "2031-06-01T00:00:00Z", "rollback alice");
    refused(&ran, &[1]);
    assert!(ran.stderr.contains("expired"), "{ran}");
    before.assert_same(&picture(&sandbox), &ran);
    // Nor what was revoked.
    tamper(
        &sandbox,
        "UPDATE certificate SET state = 'revoked', revoked_at = 1900000000, reason = 'superseded' WHERE name = 'alice' AND state = 'superseded'",
    );
    let ran = run(&sandbox, BORN, "rollback alice");
    refused(&ran, &[1]);
    assert!(ran.stderr.contains("revoked"), "{ran}");
    before.assert_same(&picture(&sandbox), &ran);
}

#[test]
fn another_in_its_place_supersedes() {
    let sandbox = with_bundles(&["issue client alice --out c", "issue client alice --out c --replace"]);
    assert_eq!(sandbox.inventory("SELECT state FROM certificate ORDER BY id"), ["superseded", "issued"]);
    // Two directories, one user: both are renewed, each with a certificate of its own.
    let _ = run(&sandbox, BORN, "issue client alice --out c2").success();
    let ran = run(&sandbox, BORN, "renew alice").success();
    assert_eq!(ran.stdout.matches("renewed client alice").count(), 2, "{ran}");
    assert_ne!(public_key_of_key(&sandbox.path("c/key.pem")), public_key_of_key(&sandbox.path("c2/key.pem")));
}

/// An authority of the time before inventories gets one, made of the copies that it kept.
#[test]
fn an_authority_without_inventory() {
    require!("openssl");
    let sandbox = with_bundles(&["issue client alice --out c", "issue daemon h.test --out d"]);
    let home = home(&sandbox);
    fs::create_dir(home.join("issued")).unwrap();
    for name in ["c", "d"] {
        let serial = serial(&sandbox, &format!("{name}/cert.pem")).trim().replace("serial=", "");
        fs::copy(sandbox.path(name).join("cert.pem"), home.join(format!("issued/{serial}.pem"))).unwrap();
    }
    for file in ["inventory.db", "inventory.db-wal", "inventory.db-shm"] {
        let _ = fs::remove_file(home.join(file));
    }
    let ran = run(&sandbox, BORN, "renew --due").success();
    assert!(ran.stderr.contains("2 certificates"), "{ran}");
    assert_eq!(
        sandbox.inventory("SELECT role, name, state FROM certificate ORDER BY role"),
        ["client\talice\tissued", "daemon\th.test\tissued"]
    );
    assert_eq!(fs::metadata(home.join("inventory.db")).unwrap().permissions().mode() & 0o7777, 0o600);
    // Where they are, nobody wrote down then; what can be done is said.
    let ran = run(&sandbox, LATER, "renew --due").exits(1);
    assert!(ran.stderr.contains("request --renew"), "{ran}");
    // A lost inventory is another thing: it is said, and none is made in its place.
    let sandbox = with_authority();
    fs::remove_file(crate::home(&sandbox).join("inventory.db")).unwrap();
    refused(&run(&sandbox, LATER, "renew --due"), &[2]);
    assert!(!crate::home(&sandbox).join("inventory.db").exists());
}

/// A certificate without its key is of no use: nothing is renewed there, and the alarm stays on.
#[test]
fn a_key_that_is_gone() {
    require!("openssl");
    let sandbox = with_bundles(&["issue client alice --out c"]);
    fs::remove_file(sandbox.path("c/key.pem")).unwrap();
    let before = picture(&sandbox);
    for line in ["renew alice", "renew --all", "renew alice --reuse-key"] {
        let ran = run(&sandbox, BORN, line).exits(1);
        assert!(ran.holds("its key key.pem is gone") && ran.holds("hint:"), "{ran}");
        before.assert_same(&picture(&sandbox), &ran);
    }
    let _ = run(&sandbox, "2031-05-01T00:00:00Z", "status").exits(1);
    // The hint helps.
    let _ = run(&sandbox, BORN, "issue client alice --out c --replace").success();
    Bundle(sandbox.path("c")).assert_complete();
    let _ = run(&sandbox, BORN, "renew alice").success();
}
