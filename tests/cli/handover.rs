//! `--as`: one file with everything in it, made whole or not at all, recorded, and never with its passphrase on a command
//! line. Who opens it is in the oracles.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;
use std::thread;
use std::time::Duration;

use dockseal_tests::{
    Random, Sandbox, dockseal_binary, public_key_of_certificate, public_key_of_key, require, require_root, tree,
};
use rustix::process::{Pid, Signal, kill_process};

use crate::places::tmpfs;
use crate::{refused, refused_with_hint, with_authority};

const PASSPHRASE: &str = "correct horse";

fn sandbox() -> Sandbox {
    let sandbox = with_authority();
    let file = sandbox.write("passphrase", format!("{PASSPHRASE}\n"));
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
    sandbox
}

/// What is in a tar, as tar lists it: mode, owner, name and where a link leads.
fn listed(sandbox: &Sandbox, file: &str) -> Vec<String> {
    let ran = sandbox.program("tar").args(["--numeric-owner", "-tvf", file]).run().success();
    assert_eq!(ran.stderr, "", "tar complains: {ran}");
    let line = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        format!("{} {} {}", words[0], words[1], words[5..].join(" "))
    };
    ran.stdout.lines().map(line).collect()
}

#[test]
fn a_tar_has_the_same_files_with_their_modes() {
    require!("tar", "openssl");
    let sandbox = sandbox();
    let _ = sandbox.dockseal(["issue", "client", "alice", "--as", "tar", "--out", "alice.tar"]).run().success();
    assert_eq!(fs::metadata(sandbox.path("alice.tar")).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(
        listed(&sandbox, "alice.tar"),
        ["-r--r--r-- 0/0 ca.pem", "-r--r--r-- 0/0 cert.pem", "-rw------- 0/0 key.pem"]
    );
    fs::create_dir(sandbox.path("out")).unwrap();
    let _ = sandbox.program("tar").args(["-xf", "alice.tar", "-C", "out"]).run().success();
    let out = sandbox.path("out");
    assert_eq!(public_key_of_certificate(&out.join("cert.pem")), public_key_of_key(&out.join("key.pem")));

    let whole = ["issue", "daemon", "h.test", "--client", "ci", "--layout", "dind", "--as", "tar", "--out", "dind.tar"];
    let _ = sandbox.dockseal(whole).args(["--mode", "0440", "--group", "1234"]).run().success();
    assert_eq!(
        listed(&sandbox, "dind.tar"),
        [
            "drwx------ 0/1234 ca/",
            "lrwxrwxrwx 0/1234 ca/cert.pem -> ../server/ca.pem",
            "drwxr-x--- 0/1234 server/",
            "-r--r--r-- 0/1234 server/ca.pem",
            "-r--r--r-- 0/1234 server/cert.pem",
            "-r--r----- 0/1234 server/key.pem",
            "drwxr-x--- 0/1234 client/",
            "-r--r--r-- 0/1234 client/ca.pem",
            "-r--r--r-- 0/1234 client/cert.pem",
            "-r--r----- 0/1234 client/key.pem",
        ]
    );
    let registry = ["issue", "client", "ci", "--layout", "registry", "--registry", "h.test:5000"];
    let _ = sandbox.dockseal(registry).args(["--as", "tar", "--out", "registry.tar"]).run().success();
    assert_eq!(
        listed(&sandbox, "registry.tar"),
        [
            "drwxr-xr-x 0/0 certs.d/",
            "drwx------ 0/0 certs.d/h.test:5000/",
            "-r--r--r-- 0/0 certs.d/h.test:5000/ca.crt",
            "-r--r--r-- 0/0 certs.d/h.test:5000/client.cert",
            "-rw------- 0/0 certs.d/h.test:5000/client.key",
        ]
    );
}

#[test]
fn the_same_directory_gives_the_same_tar() {
    require!("tar");
    let sandbox = sandbox();
    let _ = sandbox.dockseal(["issue", "client", "alice", "--out", "a path", "--mode", "0640"]).run().success();
    let export = |file: &str| {
        let _ = sandbox.dockseal(["export", "a path", "--as", "tar", "--out", file]).run().success();
        fs::read(sandbox.path(file)).unwrap()
    };
    let before = tree(&sandbox.path("a path"));
    let (one, two) = (export("one.tar"), export("two.tar"));
    assert_eq!(one, two);
    assert_eq!(one.len() % 512, 0);
    assert!(one.ends_with(&[0; 1024]), "no end of archive");
    assert!(listed(&sandbox, "one.tar").contains(&"-rw-r----- 0/0 key.pem".to_owned()));
    before.assert_same(&tree(&sandbox.path("a path")), "exported");
    // To standard output the same octets.
    let line = format!("{} export 'a path' --as tar --out - > three.tar", dockseal_binary().display());
    let _ = sandbox.program("sh").args(["-c", &line]).run().success();
    assert_eq!(fs::read(sandbox.path("three.tar")).unwrap(), one);
    // A registry's keeps its names.
    let registry = ["issue", "client", "ci", "--layout", "registry", "--registry", "h.test", "--out", "etc"];
    let _ = sandbox.dockseal(registry).run().success();
    let _ = sandbox.dockseal(["export", "etc/certs.d/h.test", "--as", "tar", "--out", "r.tar"]).run().success();
    assert_eq!(listed(&sandbox, "r.tar").last().unwrap(), "-rw------- 0/0 client.key");
}

#[test]
fn what_cannot_be_handed_over() {
    let sandbox = sandbox();
    let _ = sandbox.dockseal(["issue", "client", "alice", "--out", "alice"]).run().success();
    let _ = sandbox.dockseal(["issue", "client", "bob", "--out", "other"]).run().success();
    sandbox.write("there.p12", "mine");
    symlink("nowhere", sandbox.path("dangling.p12")).unwrap();
    sandbox.write("empty", "\n");
    sandbox.write("emoji", "smile \u{1f600}\n");
    fs::create_dir(sandbox.path("mixed")).unwrap();
    fs::create_dir(sandbox.path("keyless")).unwrap();
    for name in ["ca.pem", "cert.pem"] {
        fs::copy(sandbox.path("alice").join(name), sandbox.path("mixed").join(name)).unwrap();
        fs::copy(sandbox.path("alice").join(name), sandbox.path("keyless").join(name)).unwrap();
    }
    fs::copy(sandbox.path("other/key.pem"), sandbox.path("mixed/key.pem")).unwrap();
    let before = tree(sandbox.root());
    let issue = ["issue", "client", "carol"];
    let p12 = ["--as", "p12", "--out", "new.p12"];
    let secret = ["--p12-passphrase-file", "passphrase"];
    let export = ["export", "alice"];
    let cases: Vec<(Vec<&str>, &[i32])> = vec![
        // No passphrase, an empty one, or one that cannot be.
        ([&issue[..], &p12].concat(), &[2]),
        ([&export[..], &p12].concat(), &[2]),
        ([&issue[..], &p12, &["--p12-passphrase-file", "empty"]].concat(), &[2]),
        ([&export[..], &p12, &["--p12-passphrase-file", "emoji"]].concat(), &[2]),
        ([&issue[..], &p12, &["--p12-passphrase-file", "missing"]].concat(), &[2]),
        ([&issue[..], &p12, &["--p12-passphrase-fd", "99"]].concat(), &[2]),
        // Something is there.
        ([&issue[..], &secret, &["--as", "p12", "--out", "there.p12"]].concat(), &[1]),
        ([&issue[..], &secret, &["--as", "p12", "--out", "dangling.p12"]].concat(), &[1]),
        ([&issue[..], &["--as", "tar", "--out", "alice"]].concat(), &[2]),
        ([&issue[..], &["--as", "tar", "--out", "missing/x.tar"]].concat(), &[2]),
        ([&export[..], &["--as", "tar", "--out", "there.p12"]].concat(), &[1]),
        // What does not fit together.
        ([&issue[..], &secret, &["--as", "tar", "--out", "x.tar"]].concat(), &[2]),
        (["issue", "daemon", "h.test", "--layout", "dind"].iter().chain(&p12).chain(&secret).copied().collect(), &[2]),
        (vec!["export", "mixed", "--as", "tar", "--out", "x.tar"], &[1]),
        (vec!["export", "keyless", "--as", "tar", "--out", "x.tar"], &[1]),
        (vec!["export", "missing", "--as", "tar", "--out", "x.tar"], &[2]),
        (vec!["issue", "client", "carol", "--out", "-"], &[2]),
        (vec!["renew", "alice", "--out", "x"], &[2]),
    ];
    for (line, codes) in cases {
        println!("{line:?}");
        refused_with_hint(&sandbox.dockseal(&line).run(), codes);
        before.assert_same(&tree(sandbox.root()), line.join(" "));
    }
    // clap's own words.
    for line in [vec!["export", "alice", "--out", "x"], [&issue[..], &["--as", "zip", "--out", "x"]].concat()] {
        refused(&sandbox.dockseal(&line).run(), &[2]);
        before.assert_same(&tree(sandbox.root()), line.join(" "));
    }
}

/// A terminal gets no key; with one, the passphrase is asked for twice.
#[test]
fn on_a_terminal() {
    require!("script", "openssl");
    let sandbox = sandbox();
    let on_terminal = |line: &str, input: &str| {
        let line = format!("{} {line}", dockseal_binary().display());
        sandbox.program("script").args(["-qec", &line, "/dev/null"]).input(input).run()
    };
    let shown = on_terminal("issue client alice --as tar --out -", "");
    assert!(shown.code == Some(2) && shown.stdout.contains("never written to a terminal"), "{shown}");
    assert!(!shown.stdout.contains("PRIVATE KEY"), "{shown}");
    let asked = on_terminal("issue client alice --as p12 --out alice.p12", "\none\ntwo\nright words\nright words\n");
    assert_eq!(asked.code, Some(0), "{asked}");
    assert!(asked.stdout.contains("protects nothing") && asked.stdout.contains("the two differ"), "{asked}");
    let open = ["pkcs12", "-in", "alice.p12", "-noout", "-passin"];
    let _ = sandbox.openssl(open.iter().copied().chain(["pass:right words"]));
    let _ = sandbox.program("openssl").args(open).arg("pass:wrong").run().failure();
}

/// Recorded: revocable by name, and the next one takes the place of the one before.
#[test]
fn what_was_handed_over_is_remembered() {
    require!("python3", "openssl");
    let sandbox = sandbox();
    let secret = ["--p12-passphrase-file", "passphrase"];
    let ran = sandbox
        .dockseal(["issue", "client", "alice", "--as", "p12", "--out", "alice.p12"])
        .args(secret)
        .run()
        .success();
    assert!(ran.stderr.contains("renewals by themselves do not reach it"), "{ran}");
    let events = || sandbox.inventory("SELECT detail FROM event WHERE what = 'handed over' ORDER BY id");
    assert_eq!(events(), [format!("as p12 to {}", sandbox.path("alice.p12").display())]);
    assert_eq!(sandbox.inventory("SELECT count(*) FROM destination"), ["0"]);
    assert!(!sandbox.inventory("SELECT command FROM run").concat().contains(PASSPHRASE));
    let states = || sandbox.inventory("SELECT state FROM certificate ORDER BY id");
    assert_eq!(states(), ["issued"]);

    // By itself no renewal reaches it, which is said and is not success.
    let due = sandbox.dockseal(["renew", "--all"]).run();
    assert_eq!(due.code, Some(1), "{due}");
    assert!(due.stderr.contains("--as KIND --out FILE"), "{due}");
    let _ = sandbox.dockseal(["renew", "alice", "--as", "p12", "--out", "next.p12"]).args(secret).run().success();
    assert_eq!(states(), ["superseded", "issued"]);
    let serial = |file: &str| {
        let pem = sandbox.openssl(["pkcs12", "-in", file, "-passin", "file:passphrase", "-nokeys", "-clcerts"]);
        sandbox.write("leaf.pem", pem);
        sandbox.openssl(["x509", "-noout", "-serial", "-in", "leaf.pem"])
    };
    let listed = sandbox.inventory("SELECT hex(serial) FROM certificate ORDER BY id");
    for (file, recorded) in ["alice.p12", "next.p12"].iter().zip(&listed) {
        assert_eq!(serial(file).trim(), format!("serial={recorded}").trim_end());
    }
    let _ = sandbox.dockseal(["revoke", "alice"]).run().success();
    assert_eq!(states()[1], "revoked");
}

/// What is killed leaves a whole file or none, and none that the inventory does not know.
#[test]
fn killed_at_random_instants() {
    require!("openssl", "python3");
    let sandbox = sandbox();
    let mut random = Random::seeded(50);
    let mut killed = 0;
    // Most of its time goes into the passphrase. It follows the machine's load.
    let mut span = Duration::from_millis(300);
    for n in 0..40 {
        let file = format!("{n}.p12");
        let line = ["issue", "client", "alice", "--as", "p12", "--p12-passphrase-file", "passphrase", "--out", &file];
        let mut child = sandbox.dockseal(line).start_quietly();
        thread::sleep(Duration::from_micros(random.below(u64::try_from(span.as_micros()).unwrap())));
        let _ = kill_process(Pid::from_child(&child), Signal::KILL);
        let in_time = child.wait().unwrap().code().is_none();
        killed += usize::from(in_time);
        span = if in_time { span * 21 / 20 } else { span * 9 / 10 };
        if sandbox.path(&file).exists() {
            let _ = sandbox.openssl(["pkcs12", "-in", &file, "-passin", "file:passphrase", "-noout"]);
            let known = sandbox.inventory("SELECT detail FROM event WHERE what = 'handed over'");
            assert!(known.iter().any(|detail| detail.ends_with(&format!("/{file}"))), "{file} is not recorded");
        }
    }
    println!("{killed} of 40 runs were killed before their end");
    assert!(killed > 10, "only {killed} runs were killed: the delays do not fit");
    let _ = sandbox.dockseal(["inventory", "check"]).run().success();
    assert_eq!(tree(&sandbox.work()).leftovers(), Vec::<String>::new());
}

#[test]
fn a_full_disk() {
    require_root!();
    require!("openssl", "python3");
    let sandbox = sandbox();
    let Some(place) = tmpfs(&sandbox, "size=64k,mode=0700") else { return };
    fs::write(place.join("ballast"), vec![0; 64 * 1024]).unwrap();
    for form in ["tar", "p12"] {
        let out = place.join(format!("alice.{form}"));
        let mut program = sandbox.dockseal(["issue", "client", "alice", "--as", form, "--out"]).arg(&out);
        if form == "p12" {
            program = program.args(["--p12-passphrase-file", "passphrase"]);
        }
        refused_with_hint(&program.run(), &[2]);
        assert_eq!(tree(&place).paths(), ["./ballast"]);
    }
    // Nobody has them: they do not count.
    assert_eq!(sandbox.inventory("SELECT count(*) FROM certificate WHERE state = 'issued'"), ["0"]);
    fs::remove_file(place.join("ballast")).unwrap();
    let out = place.join("alice.tar");
    let _ = sandbox.dockseal(["issue", "client", "alice", "--as", "tar", "--out"]).arg(out).run().success();
}

/// The passphrase is in no argument list, and the file is nobody else's at any instant.
#[test]
fn the_passphrase_comes_by_a_descriptor() {
    require!("openssl");
    let sandbox = sandbox();
    let line = format!(
        "umask 0; {} issue client alice --as p12 --out alice.p12 --p12-passphrase-fd 3 3< passphrase",
        dockseal_binary().display()
    );
    let _ = sandbox.program("sh").args(["-c", &line]).run().success();
    let _ = sandbox.openssl(["pkcs12", "-in", "alice.p12", "-passin", "file:passphrase", "-noout"]);
    assert_eq!(fs::metadata(sandbox.path("alice.p12")).unwrap().permissions().mode() & 0o7777, 0o600);
    // No option takes the passphrase itself.
    let help = Command::new(dockseal_binary()).args(["export", "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    assert!(help.contains("--p12-passphrase-file <FILE>") && !help.contains("<PASSPHRASE>"), "{help}");
}
