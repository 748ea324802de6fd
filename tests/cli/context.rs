//! `dockseal context`: what is written, what is refused, what follows at renewals, and bad ends. What docker makes of it is
//! in the oracles; here contexts of docker's are written by hand.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use dockseal_tests::{Bundle, Ran, Random, Sandbox, Tree, require, require_root, tree};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::places::tmpfs;
use crate::{at, home, refused_with_hint};

const BORN: &str = "2030-01-01T00:00:00Z";

fn run(sandbox: &Sandbox, line: &str) -> Ran {
    at(sandbox, BORN, line)
}

/// All there is but who worked on the authority last.
fn picture(sandbox: &Sandbox) -> Tree {
    let mut picture = crate::picture(sandbox);
    picture.0.remove(Path::new("./home/.local/share/dockseal/lock"));
    picture
}

fn with_alice() -> Sandbox {
    let sandbox = Sandbox::new();
    let _ = run(&sandbox, "init --no-passphrase").success();
    let _ = run(&sandbox, "issue client alice --out alice").success();
    sandbox
}

fn store(sandbox: &Sandbox) -> PathBuf {
    sandbox.root().join("home/.docker/contexts")
}

/// The SHA-256 of a name, by coreutils.
fn id(sandbox: &Sandbox, name: &str) -> String {
    let ran = sandbox.program("sha256sum").input(name).run().success();
    ran.stdout.split(' ').next().unwrap().to_owned()
}

fn meta(sandbox: &Sandbox, name: &str) -> PathBuf {
    store(sandbox).join("meta").join(id(sandbox, name)).join("meta.json")
}

fn tls(sandbox: &Sandbox, name: &str) -> PathBuf {
    store(sandbox).join("tls").join(id(sandbox, name)).join("docker")
}

/// A context as docker would have made it of a directory.
fn by_hand(sandbox: &Sandbox, name: &str, host: &str, from: Option<&str>) {
    let path = meta(sandbox, name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let text =
        json!({ "Name": name, "Metadata": {}, "Endpoints": { "docker": { "Host": host, "SkipTLSVerify": false } } });
    fs::write(path, text.to_string()).unwrap();
    if let Some(from) = from {
        let tls = tls(sandbox, name);
        fs::create_dir_all(&tls).unwrap();
        for file in ["ca.pem", "cert.pem", "key.pem"] {
            let _ = fs::remove_file(tls.join(file));
            fs::copy(sandbox.path(from).join(file), tls.join(file)).unwrap();
            fs::set_permissions(tls.join(file), fs::Permissions::from_mode(0o600)).unwrap();
        }
    }
}

fn listed_at(sandbox: &Sandbox, time: &str) -> Value {
    let ran = at(sandbox, time, "context list --format json").success();
    serde_json::from_str(&ran.stdout).unwrap()
}

/// How a context stands.
fn state(sandbox: &Sandbox, name: &str) -> String {
    state_at(sandbox, BORN, name)
}

fn state_at(sandbox: &Sandbox, time: &str, name: &str) -> String {
    let list = listed_at(sandbox, time);
    let row = list["contexts"].as_array().unwrap().iter().find(|row| row["name"] == name);
    row.unwrap_or_else(|| panic!("no {name} in {list:#}"))["state"].as_str().unwrap().to_owned()
}

fn serial(sandbox: &Sandbox, directory: &Path) -> String {
    let certificate = directory.join("cert.pem");
    sandbox.openssl(["x509".as_ref(), "-noout".as_ref(), "-serial".as_ref(), "-in".as_ref(), certificate.as_os_str()])
}

#[test]
fn a_client_of_its_own() {
    require!("openssl");
    let sandbox = with_alice();
    let _ = run(&sandbox, "context create prod --host build.test --client bob --description B")
        .success()
        .says("docker --context prod");
    Bundle(tls(&sandbox, "prod")).assert_complete();
    let text = fs::read_to_string(meta(&sandbox, "prod")).unwrap();
    assert_eq!(
        text,
        r#"{"Name":"prod","Metadata":{"Description":"B"},"Endpoints":{"docker":{"Host":"tcp://build.test:2376","SkipTLSVerify":false}}}"#
    );
    let modes: BTreeSet<u32> = tree(&tls(&sandbox, "prod")).0.values().map(|(mode, ..)| *mode).collect();
    assert_eq!(modes, BTreeSet::from([0o700, 0o600]));
    let kinds = "SELECT kind, count(*) FROM destination WHERE certificate IS NOT NULL GROUP BY kind ORDER BY kind";
    assert_eq!(sandbox.inventory(kinds), ["context\t1", "directory\t1"]);
    let _ = run(&sandbox, "list").success().says("context prod");

    // Again: nothing changes, not even a serial is taken.
    let before = picture(&sandbox);
    let _ = run(&sandbox, "context create prod --host build.test --client bob --description B")
        .success()
        .says("nothing was changed");
    before.assert_same(&picture(&sandbox), "created again");
    for other in
        ["--host other.test --client bob", "--host build.test --client carol", "--host build.test --from alice"]
    {
        refused_with_hint(&run(&sandbox, &format!("context create prod {other}")), &[1]);
        before.assert_same(&picture(&sandbox), other);
    }

    // Replaced, with what others wrote into its metadata kept.
    let theirs = text
        .replace(r#"{"Name""#, r#"{"Extra":[1],"Name""#)
        .replace(r#"{"Description""#, r#"{"GODEBUG":"x","Description""#);
    fs::write(meta(&sandbox, "prod"), theirs).unwrap();
    let old = serial(&sandbox, &tls(&sandbox, "prod"));
    let _ = run(&sandbox, "context create prod --host other.test --client bob --replace").success();
    assert_ne!(serial(&sandbox, &tls(&sandbox, "prod")), old);
    let now = fs::read_to_string(meta(&sandbox, "prod")).unwrap();
    assert_eq!(
        now,
        r#"{"Name":"prod","Metadata":{"Description":"B","GODEBUG":"x"},"Endpoints":{"docker":{"Host":"tcp://other.test:2376","SkipTLSVerify":false}},"Extra":[1]}"#
    );
    let _ =
        run(&sandbox, "context update prod --host third.test:1 --description C").success().says("tcp://third.test:1");
    assert!(fs::read_to_string(meta(&sandbox, "prod")).unwrap().contains(r#""Description":"C","GODEBUG":"x""#));
}

/// `docker --config DIR seal context …` works on the store that this docker has.
#[test]
fn behind_a_docker_of_another_configuration() {
    let sandbox = with_alice();
    let seal = |config: &str, line: &str| {
        let words = ["--config", config, "seal", "--at", BORN, "context"];
        crate::plugin::called(&sandbox).args(words).args(line.split(' ')).run()
    };
    let _ = seal("o t", "create prod --host h --from alice").success().says("docker --config 'o t' --context prod");
    let other = sandbox.path("o t/contexts");
    assert!(other.join("meta").join(id(&sandbox, "prod")).join("meta.json").is_file());
    assert!(!store(&sandbox).exists());
    assert!(seal("o t", "list").success().stdout.contains("prod"));
    assert!(!run(&sandbox, "context list").success().stdout.contains("prod"));
    let _ = seal("o t", "update prod --host g").success().says("tcp://g:2376");
    // Which one is in use is for that docker's config.json to say, and for its flags.
    let _ = sandbox.write("o t/config.json", r#"{"currentContext":"prod"}"#);
    refused_with_hint(&seal("o t", "remove prod").says("docker --config 'o t' context use default"), &[1]);
    let words = ["--config", "o t", "--context", "default", "seal", "--at", BORN, "context", "remove", "prod"];
    let _ = crate::plugin::called(&sandbox).args(words).run().success();
    assert!(!other.join("meta").join(id(&sandbox, "prod")).exists());
    // Neither variable is needed then.
    let bare = crate::plugin::called(&sandbox).env_remove("HOME").env_remove("DOCKER_CONFIG");
    let _ = bare.args(["--config", "o t", "seal", "context", "list"]).run().success();
}

#[test]
fn a_directory_and_a_context_follow() {
    require!("openssl");
    let sandbox = with_alice();
    let _ = run(&sandbox, "context create prod --host h --from alice").success();
    let _ = run(&sandbox, "context create spare --host h2 --from alice").success();
    let (dir, prod, spare) = (sandbox.path("alice"), tls(&sandbox, "prod"), tls(&sandbox, "spare"));
    let all_same = || {
        let one = serial(&sandbox, &dir);
        assert_eq!((&one, &one), (&serial(&sandbox, &prod), &serial(&sandbox, &spare)));
        for bundle in [&dir, &prod, &spare] {
            Bundle(bundle.clone()).assert_complete();
        }
        one
    };
    let first = all_same();
    let _ = run(&sandbox, "renew alice").success().says("context prod").says("context spare");
    let second = all_same();
    assert_ne!(first, second);
    let _ = run(&sandbox, "rollback alice").success().says("context prod");
    assert_eq!(all_same(), first);
    // By the path of one context alone.
    let _ = sandbox.dockseal(["--at", BORN, "rollback"]).arg(&prod).run().success();
    assert_eq!(serial(&sandbox, &prod), second);
    let _ = sandbox.dockseal(["--at", BORN, "rollback"]).arg(&prod).run().success();

    let _ = run(&sandbox, "renew --due").success();
    assert_eq!(all_same(), first);
    let _ = at(&sandbox, "2030-10-01T00:00:00Z", "renew --due").success().says("context prod");
    assert_ne!(all_same(), first);
    for step in ["begin", "advance", "finish"] {
        let _ = at(&sandbox, "2030-10-01T00:00:00Z", &format!("rollover {step}")).success();
        all_same();
        let modes: BTreeSet<u32> = tree(&prod).0.values().map(|(mode, ..)| *mode).collect();
        assert_eq!(modes, BTreeSet::from([0o700, 0o600]), "after {step}");
    }
    let _ = at(&sandbox, "2030-10-01T00:00:00Z", "inventory check").success();
    let _ = at(&sandbox, "2030-10-01T00:00:00Z", "revoke alice").success();
    assert_eq!(state_at(&sandbox, "2030-10-01T00:00:00Z", "prod"), "revoked");

    // All is found again, as contexts.
    let words = ["--at", "2030-10-01T00:00:00Z", "inventory", "rebuild", "--replace", "."];
    let _ = sandbox.dockseal(words).arg(store(&sandbox)).run().success();
    let kinds = "SELECT kind, count(*) FROM destination WHERE certificate IS NOT NULL GROUP BY kind ORDER BY kind";
    assert_eq!(sandbox.inventory(kinds), ["context\t2", "directory\t1"]);
}

#[test]
fn what_is_refused() {
    require!("openssl");
    let sandbox = with_alice();
    let _ = run(&sandbox, "issue client bob --out bob").success();
    let _ = run(&sandbox, "issue daemon h.test --out daemon").success();
    let mix = |name: &str, from: [&str; 3]| {
        fs::create_dir(sandbox.path(name)).unwrap();
        for (file, from) in ["ca.pem", "cert.pem", "key.pem"].iter().zip(from) {
            if !from.is_empty() {
                fs::copy(sandbox.path(from).join(file), sandbox.path(name).join(file)).unwrap();
            }
        }
    };
    mix("mixed", ["alice", "alice", "bob"]);
    mix("keyless", ["alice", "alice", ""]);
    mix("caless", ["", "alice", "alice"]);
    sandbox.write("garbage/ca.pem", "x");
    sandbox.write("garbage/cert.pem", "x");
    sandbox.write("garbage/key.pem", b"\xff\xfe");
    let before = picture(&sandbox);
    for line in [
        "default --host h --client carol",
        "x --host h --client carol",
        "-x --host h --client carol",
        "a/b --host h --client carol",
        "prod --host ssh://h --client carol",
        "prod --host unix:///run/docker.sock --client carol",
        "prod --host tcp:// --client carol",
        "prod --host tcp://h:0 --client carol",
        "prod --host h --client a/b",
        "prod --host h",
        "prod --host h --client carol --from alice",
        "prod --client carol",
        "prod --host h --from daemon",
        "prod --host h --from mixed",
        "prod --host h --from keyless",
        "prod --host h --from caless",
        "prod --host h --from garbage",
        "prod --host h --from nowhere",
    ] {
        let ran = run(&sandbox, &format!("context create {line}"));
        assert!(matches!(ran.code, Some(1 | 2)), "{ran}");
        assert!(!ran.stderr.contains("panicked") && ran.stdout.is_empty(), "{ran}");
        before.assert_same(&picture(&sandbox), &ran);
    }
    refused_with_hint(&at(&sandbox, "2035-01-01T00:00:00Z", "context create prod --host h --from alice"), &[1]);
    for line in ["context update nobody", "context export nobody", "context remove nobody", "context remove default"] {
        refused_with_hint(&run(&sandbox, line), &[2]);
    }
    before.assert_same(&picture(&sandbox), "refused");
    // A link or a file where the store is to be, and files that are not ours where the bundle is to be.
    fs::create_dir_all(tls(&sandbox, "prod")).unwrap();
    fs::write(tls(&sandbox, "prod").join("notes"), "mine").unwrap();
    refused_with_hint(&run(&sandbox, "context create prod --host h --from alice"), &[1]);
    assert!(!meta(&sandbox, "prod").exists());
    let none = sandbox.dockseal(["context", "list"]).env_remove("HOME").env_remove("DOCKER_CONFIG").run();
    refused_with_hint(&none, &[2]);
}

#[test]
fn how_copies_stand() {
    require!("openssl");
    let sandbox = with_alice();
    assert_eq!(run(&sandbox, "context list").success().stdout, "There is no context.\n");
    by_hand(&sandbox, "copied", "tcp://h:2376", Some("alice"));
    by_hand(&sandbox, "near", "unix:///run/docker.sock", None);
    by_hand(&sandbox, "broken", "tcp://h:2376", Some("alice"));
    fs::write(tls(&sandbox, "broken").join("cert.pem"), "x").unwrap();
    let odd = store(&sandbox).join("meta/odd/meta.json");
    fs::create_dir_all(odd.parent().unwrap()).unwrap();
    fs::write(odd, "{").unwrap();
    let _ = run(&sandbox, "init --authority other --no-passphrase").success();
    let _ = run(&sandbox, "issue client eve --authority other --out eve").success();
    let _ = run(&sandbox, "context create strange --host h --from eve").success();
    for (name, expected) in [
        ("copied", "current"),
        ("near", "no certificate"),
        ("broken", "unreadable"),
        ("odd", "no certificate"),
        ("strange", "unknown issuer"),
    ] {
        assert_eq!(state(&sandbox, name), expected, "{name}");
    }
    let _ = run(&sandbox, "context list").success().says("meta.json is damaged").says("renewals do not know of it");

    // Two certificates of one name side by side leave each other alone.
    let _ = run(&sandbox, "issue client alice --out second").success();
    assert_eq!(state(&sandbox, "copied"), "current");
    let _ = run(&sandbox, "issue client alice --out alice --replace").success();
    assert_eq!(state(&sandbox, "copied"), "stale");
    let before = tls(&sandbox, "copied");
    let old = serial(&sandbox, &before);
    let _ = run(&sandbox, "context update copied").success().says("updated context copied");
    assert_ne!(serial(&sandbox, &before), old);
    assert_eq!(state(&sandbox, "copied"), "current");
    assert_eq!(run(&sandbox, "context update copied").success().stdout, "");
    assert_eq!(state_at(&sandbox, "2032-01-01T00:00:00Z", "copied"), "expired");
    let _ = at(&sandbox, "2032-01-01T00:00:00Z", "context update copied").exits(1).says("there is no newer one");
}

/// Where no authority is, the directory that was copied tells.
#[test]
fn a_copy_of_a_directory_that_changed() {
    require!("openssl");
    let sandbox = Sandbox::new();
    let other = |time: &str, line: &str| at(&sandbox, time, &format!("--authority other {line}")).success();
    let _ = other(BORN, "init --no-passphrase");
    let _ = other(BORN, "issue client eve --out eve");
    let _ = run(&sandbox, "context create prod --host h --from eve").success();
    assert_eq!(state(&sandbox, "prod"), "unknown issuer");
    assert!(!home(&sandbox).exists());
    let later = "2030-02-01T00:00:00Z";
    let _ = other(later, "renew eve");
    assert_eq!(state_at(&sandbox, later, "prod"), "stale");
    let _ = at(&sandbox, later, "context update --all").success().says("updated context prod");
    assert_eq!(serial(&sandbox, &tls(&sandbox, "prod")), serial(&sandbox, &sandbox.path("eve")));
    assert_eq!(state_at(&sandbox, later, "prod"), "unknown issuer");
    // Somebody else's certificate is no newer one.
    let _ = other("2030-03-01T00:00:00Z", "issue client mallory --out m");
    fs::remove_dir_all(sandbox.path("eve")).unwrap();
    assert_eq!(state_at(&sandbox, later, "prod"), "unknown issuer");
    fs::rename(sandbox.path("m"), sandbox.path("eve")).unwrap();
    assert_eq!(state_at(&sandbox, "2030-03-01T00:00:00Z", "prod"), "unknown issuer");
}

#[test]
fn stale_directories_are_mended() {
    require!("openssl");
    let sandbox = with_alice();
    let _ = run(&sandbox, "context create prod --host h --from alice").success();
    // A recorded directory was out of reach during a renewal.
    fs::rename(sandbox.path("alice"), sandbox.path("away")).unwrap();
    let _ = run(&sandbox, "renew alice").exits(1).says("it is gone");
    fs::rename(sandbox.path("away"), sandbox.path("alice")).unwrap();
    let list = run(&sandbox, "context list").success().says("stale copies").says("newer in context prod");
    assert!(list.stdout.contains(sandbox.path("alice").canonicalize().unwrap().to_str().unwrap()), "{list}");
    fs::set_permissions(sandbox.path("alice/key.pem"), fs::Permissions::from_mode(0o640)).unwrap();
    let _ = run(&sandbox, "context update --all").success().says("updated ").says("alice");
    assert_eq!(serial(&sandbox, &tls(&sandbox, "prod")), serial(&sandbox, &sandbox.path("alice")));
    Bundle(sandbox.path("alice")).assert_complete();
    let mode = |name: &str| fs::metadata(sandbox.path(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("alice/key.pem"), mode("alice/cert.pem")), (0o640, 0o444), "as the directory had it");
    let _ = run(&sandbox, "inventory check").success();
    // As a run leaves it that is killed between the swap and the record of it.
    sandbox.change_inventory("UPDATE destination SET pending = certificate, certificate = 1 WHERE kind = 'directory'");
    let check = run(&sandbox, "inventory check --format json").exits(1);
    let check: Value = serde_json::from_str(&check.stdout).unwrap();
    let findings: Vec<_> = check["findings"].as_array().unwrap().iter().map(|finding| &finding["id"]).collect();
    assert_eq!(findings, ["unfinished"], "the new certificate and its key are there: {check:#}");
    let again = run(&sandbox, "context update --all").success();
    assert_eq!(again.stdout, "");
    let _ = run(&sandbox, "inventory check").success();
    let _ = run(&sandbox, "renew alice").success();
    let _ = run(&sandbox, "rollback alice").success();
}

/// One that cannot be changed is said in its place, and keeps nobody from the others.
#[test]
fn one_that_cannot_be_changed() {
    require!("openssl");
    let sandbox = with_alice();
    by_hand(&sandbox, "damaged", "tcp://h:2376", Some("alice"));
    by_hand(&sandbox, "zz", "tcp://h:2376", Some("alice"));
    fs::write(meta(&sandbox, "damaged"), "{").unwrap();
    let damaged = id(&sandbox, "damaged");
    let ran = run(&sandbox, &format!("context update --host g --format json zz {damaged}")).exits(1);
    let results: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{ran}"));
    let state = |name: &str| {
        let results = results["results"].as_array().unwrap();
        let row = results.iter().find(|row| row["context"] == name).unwrap_or_else(|| panic!("{results:?}"));
        row["state"].as_str().unwrap().to_owned()
    };
    assert_eq!((state(&damaged).as_str(), state("zz").as_str()), ("left", "changed"));
    assert!(fs::read_to_string(meta(&sandbox, "zz")).unwrap().contains("tcp://g:2376"));
}

#[test]
fn removed_and_forgotten() {
    require!("openssl");
    let sandbox = with_alice();
    let _ = run(&sandbox, "context create prod --host h --from alice").success();
    let _ = run(&sandbox, "context create spare --host h --from alice").success();
    let _ = run(&sandbox, "renew alice").success();
    let config = sandbox.root().join("home/.docker/config.json");
    let theirs = "{\n\t\"auths\": {},\n\t\"currentContext\": \"prod\",\n\t\"x\": 1.0\n}";
    fs::write(&config, theirs).unwrap();
    fs::set_permissions(&config, fs::Permissions::from_mode(0o600)).unwrap();
    if dockseal_tests::is_root() {
        std::os::unix::fs::chown(&config, Some(4321), Some(4321)).unwrap();
    }
    let owner = fs::metadata(&config).unwrap().uid();
    let before = picture(&sandbox);
    refused_with_hint(&run(&sandbox, "context remove prod"), &[1]);
    before.assert_same(&picture(&sandbox), "refused");
    let _ = run(&sandbox, "context remove prod --force").success().says("counts until");
    assert_eq!(fs::read_to_string(&config).unwrap(), theirs.replace("\"prod\"", "\"\""));
    let after = fs::metadata(&config).unwrap();
    assert_eq!((after.uid(), after.permissions().mode() & 0o777), (owner, 0o600));
    let _ = run(&sandbox, "context remove spare").success();
    assert_eq!(tree(&store(&sandbox)).paths(), ["./meta", "./tls"]);
    let _ = run(&sandbox, "renew alice").success();

    // A run that was killed in the middle leaves the former key, where nobody looks but the next removal.
    let kept = meta(&sandbox, "half").with_file_name(".docker.dockseal.previous");
    fs::create_dir_all(&kept).unwrap();
    fs::write(kept.join("key.pem"), "a key").unwrap();
    let _ = run(&sandbox, "context remove half").success();
    assert_eq!(tree(&store(&sandbox)).paths(), ["./meta", "./tls"]);
    refused_with_hint(&run(&sandbox, "context remove half"), &[2]);

    // One that docker removed.
    let _ = run(&sandbox, "context create gone --host h --client bob").success();
    fs::remove_dir_all(meta(&sandbox, "gone").parent().unwrap()).unwrap();
    fs::remove_dir_all(tls(&sandbox, "gone").parent().unwrap()).unwrap();
    let _ = run(&sandbox, "renew bob").exits(1).says("it is gone").says("context create");
    let _ = run(&sandbox, "context create gone --host h --client bob").success().says("made");
    let _ = run(&sandbox, "renew bob").success();
}

/// Renewals do not look for a certificate where another was put.
#[test]
fn anothers_certificate_is_no_destination() {
    require!("openssl");
    let (sandbox, other) = (with_alice(), with_alice());
    fs::rename(other.path("alice"), sandbox.path("theirs")).unwrap();
    for (context, user) in [("prod", "bob"), ("hand", "carol"), ("mine", "dan")] {
        let _ = run(&sandbox, &format!("context create {context} --host h --client {user}")).success();
    }
    let recorded = || {
        sandbox.inventory(
            "SELECT c.name FROM destination d JOIN certificate c ON c.id = d.certificate WHERE d.kind = 'context' ORDER BY 1",
        )
    };
    assert_eq!(recorded(), ["bob", "carol", "dan"]);
    let _ = run(&sandbox, "context create prod --host h --from theirs --replace").success().says("elsewhere");
    assert_eq!(recorded(), ["carol", "dan"]);

    let is_recorded = |name: &str| {
        let list = listed_at(&sandbox, BORN);
        let row = list["contexts"].as_array().unwrap().iter().find(|row| row["name"] == name).unwrap();
        row["recorded"] == true
    };
    assert!(!is_recorded("prod") && is_recorded("hand") && is_recorded("mine"));
    // What cannot be read is still expected there.
    let certificate = tls(&sandbox, "hand").join("cert.pem");
    let whole = fs::read(&certificate).unwrap();
    fs::write(&certificate, "x").unwrap();
    assert!(is_recorded("hand"));
    fs::write(&certificate, whole).unwrap();

    // As docker does it: a stranger's files, and a user's whose certificate was recorded elsewhere.
    by_hand(&sandbox, "hand", "tcp://h:2376", Some("theirs"));
    by_hand(&sandbox, "mine", "tcp://h:2376", Some("alice"));
    assert!(!is_recorded("hand") && !is_recorded("mine"));
    let _ = run(&sandbox, "inventory check").exits(1);
    let updated = run(&sandbox, "context update --all").success();
    let updated = updated.says("context hand holds another certificate").says("recorded context mine");
    assert!(!updated.holds("prod"), "{updated}");
    assert_eq!(recorded(), ["alice"]);
    let _ = run(&sandbox, "inventory check").success();
    assert_eq!(run(&sandbox, "context update --all").success().stdout, "");
    let _ = run(&sandbox, "renew alice").success();
    assert_eq!(serial(&sandbox, &tls(&sandbox, "mine")), serial(&sandbox, &sandbox.path("alice")));
}

/// Names are whole in an archive, or there is none.
#[test]
fn an_archive_of_long_names() {
    require!("openssl", "tar");
    let sandbox = with_alice();
    let _ = run(&sandbox, "context create prod --host h --from alice").success();
    let (long, longer) = ("l".repeat(100), "m".repeat(101));
    fs::write(tls(&sandbox, "prod").join(&long), "x").unwrap();
    let _ = run(&sandbox, "context export prod a.tar").success();
    // docker's archives have no end, which tar says.
    let listed = sandbox.program("tar").args(["-tf", "a.tar"]).run();
    assert!(listed.stdout.lines().any(|line| line == format!("tls/docker/{long}")), "{listed}");
    fs::write(tls(&sandbox, "prod").join(&longer), "x").unwrap();
    refused_with_hint(&run(&sandbox, "context export prod b.tar"), &[2]);
    assert!(!sandbox.path("b.tar").exists());
}

/// A renewal in the middle of it: the certificate and the key in an archive are of one bundle.
#[test]
fn an_archive_is_of_one_bundle() {
    require!("openssl");
    let sandbox = with_alice();
    let _ = run(&sandbox, "context create prod --host h --from alice").success();
    let (there, other) = (tls(&sandbox, "prod"), sandbox.path("other"));
    for (directory, letter) in [(&there, "a"), (&other, "b")] {
        fs::create_dir_all(directory).unwrap();
        // A file that takes a while between the two that are to be of one kind.
        for (file, size) in [("a.pem", 1), ("k.pem", 6 << 20), ("z.pem", 1)] {
            fs::write(directory.join(file), letter.repeat(size)).unwrap();
        }
    }
    let done = std::sync::atomic::AtomicBool::new(false);
    let kinds = thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(15));
                let exchange = rustix::fs::RenameFlags::EXCHANGE;
                rustix::fs::renameat_with(rustix::fs::CWD, &there, rustix::fs::CWD, &other, exchange).unwrap();
            }
        });
        let mut kinds = Vec::new();
        for _ in 0..15 {
            let name = format!("{}.tar", kinds.len());
            let ran = run(&sandbox, &format!("context export prod {name}"));
            let archive = fs::read(sandbox.path(&name)).unwrap_or_default();
            let after = |file: &str| {
                let path = format!("tls/docker/{file}\0");
                let header = archive.windows(path.len()).position(|window| window == path.as_bytes());
                header.map(|header| char::from(archive[header + 512]))
            };
            kinds.push((ran.code, after("a.pem"), after("z.pem")));
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        kinds
    });
    let _ = run(&sandbox, "context export prod quiet.tar").success();
    let made: Vec<_> = kinds.iter().filter(|(code, ..)| *code == Some(0)).collect();
    assert!(made.iter().all(|(_, first, last)| first.is_some() && first == last), "{kinds:?}");
}

#[test]
fn an_archive_is_nobody_elses() {
    let sandbox = with_alice();
    let _ = run(&sandbox, "context create prod --host h --from alice").success();
    let _ = run(&sandbox, "context export prod").success().says("docker context import prod");
    let file = sandbox.path("prod.dockercontext");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
    let before = picture(&sandbox);
    refused_with_hint(&run(&sandbox, "context export prod"), &[1]);
    std::os::unix::fs::symlink("elsewhere", sandbox.path("link")).unwrap();
    refused_with_hint(&run(&sandbox, "context export prod link"), &[1]);
    fs::remove_file(sandbox.path("link")).unwrap();
    before.assert_same(&picture(&sandbox), "refused");
    let terminal = format!("'{}' context export prod -", dockseal_tests::dockseal_binary().display());
    let ran = sandbox.program("script").args(["-qec", &terminal, "/dev/null"]).run();
    assert!(ran.code == Some(2) && ran.holds("terminal") && !ran.stdout.contains("-----BEGIN"), "{ran}");
}

/// However little room there is, there is a whole context or none, and with room again the next run completes.
#[test]
fn a_full_disk() {
    require_root!();
    require!("openssl");
    let (mut failed, mut succeeded) = (0, 0);
    for pages in 1..24 {
        let sandbox = with_alice();
        let Some(place) = tmpfs(&sandbox, &format!("size={}k,mode=0700", pages * 4)) else { return };
        let config = place.join("docker");
        let create = || {
            let words = ["--at", BORN, "context", "create", "prod", "--host", "h", "--from", "alice"];
            sandbox.dockseal(words).env("DOCKER_CONFIG", &config).run()
        };
        let ran = create();
        let what = tree(&place);
        let holds = |name: &str| what.paths().iter().any(|path| path.ends_with(name));
        assert_eq!(what.leftovers(), Vec::<String>::new(), "{pages} pages\n{ran}");
        if ran.code == Some(0) {
            succeeded += 1;
        } else {
            failed += 1;
            refused_with_hint(&ran, &[2]);
            assert!(!holds("meta.json"), "{pages} pages\n{ran}\n{what}");
        }
        let _ = sandbox.program("mount").args(["-o", "remount,size=4m"]).arg(&place).run().success();
        let _ = create().success();
        let tls = config.join("contexts/tls").join(id(&sandbox, "prod")).join("docker");
        Bundle(tls).assert_complete();
        let _ = run(&sandbox, "inventory check").success();
    }
    println!("{failed} failed, {succeeded} succeeded");
    assert!(failed > 2 && succeeded > 2, "{failed} failed, {succeeded} succeeded");
}

#[test]
fn two_at_once() {
    require!("openssl");
    let sandbox = with_alice();
    let words = |line: &str| -> Vec<String> { line.split(' ').map(ToOwned::to_owned).collect() };
    for (round, commands) in [
        ["context create r --host h --client bob", "context create r --host h --client bob"],
        ["context create r --host h --client bob", "context create r --host i --client carol"],
        ["context create r --host h --from alice", "context create r --host i --from alice"],
        ["renew --all", "context update --all"],
    ]
    .into_iter()
    .cycle()
    .take(12)
    .enumerate()
    {
        let start = Barrier::new(2);
        let name = format!("r{round}");
        let runs: Vec<Ran> = thread::scope(|scope| {
            let running = commands.map(|line| {
                let words = words(&line.replace(" r ", &format!(" {name} ")));
                let (start, sandbox) = (&start, &sandbox);
                scope.spawn(move || {
                    start.wait();
                    sandbox.dockseal(["--at", BORN]).args(words).run()
                })
            });
            running.into_iter().map(|one| one.join().unwrap()).collect()
        });
        let done = runs.iter().filter(|ran| ran.code == Some(0)).count();
        let both = commands[0] == commands[1] || commands[0] == "renew --all";
        if both {
            assert!(done >= 1, "{}\n{}", runs[0], runs[1]);
        } else {
            assert_eq!(done, 1, "{}\n{}", runs[0], runs[1]);
        }
        if commands[0] != "renew --all" {
            Bundle(tls(&sandbox, &name)).assert_complete();
            // The host is that of the run whose certificate it is.
            if commands[1].contains("carol") {
                let host = fs::read_to_string(meta(&sandbox, &name)).unwrap();
                assert_eq!(host.contains("tcp://i:"), subject(&sandbox, &name).contains("carol"), "{host}");
            }
        }
        let leftovers: Vec<String> = tree(sandbox.root()).leftovers();
        assert_eq!(leftovers, Vec::<String>::new());
    }
    let _ = run(&sandbox, "inventory check").success();
}

fn subject(sandbox: &Sandbox, name: &str) -> String {
    let certificate = tls(sandbox, name).join("cert.pem");
    sandbox.openssl(["x509".as_ref(), "-noout".as_ref(), "-subject".as_ref(), "-in".as_ref(), certificate.as_os_str()])
}

#[test]
fn making_killed_at_random_instants() {
    require!("openssl");
    killed_at_random_instants(
        5,
        &[
            ("context create prod --host h --client bob", 30),
            ("context create prod --host h --from alice", 30),
            ("context create old --host i --client bob --replace", 20),
        ],
    );
}

#[test]
fn mending_and_removing_killed_at_random_instants() {
    require!("openssl");
    killed_at_random_instants(6, &[("context update --all", 25), ("context remove old", 25), ("renew --all", 15)]);
}

/// Whatever the instant: a context that docker lists is whole, no key is readable by others, and the next run completes.
fn killed_at_random_instants(seed: u64, stories: &[(&str, u32)]) {
    let mut random = Random::seeded(seed);
    for (story, times) in stories {
        let stage = || {
            let sandbox = with_alice();
            let _ = run(&sandbox, "context create old --host h --from alice").success();
            if *story == "context update --all" {
                fs::rename(sandbox.path("alice"), sandbox.path("away")).unwrap();
                let _ = run(&sandbox, "renew alice").exits(1);
                fs::rename(sandbox.path("away"), sandbox.path("alice")).unwrap();
                by_hand(&sandbox, "hand", "tcp://h:1", Some("alice"));
            }
            sandbox
        };
        let mut times_taken = Vec::new();
        let mut undisturbed = stage();
        for _ in 0..3 {
            undisturbed = stage();
            let started = Instant::now();
            let _ = run(&undisturbed, story).success();
            times_taken.push(started.elapsed());
        }
        times_taken.sort();
        let mut span = times_taken[1];
        let listed = |sandbox: &Sandbox| {
            let mut paths: BTreeSet<String> = tree(sandbox.root()).paths().into_iter().collect();
            // What is kept for a rollback depends on how often it was run.
            paths.retain(|path| !path.contains(".dockseal.previous"));
            paths
        };
        let left = listed(&undisturbed);
        let mut killed = 0;
        for n in 0..*times {
            let sandbox = stage();
            let delay = Duration::from_micros(random.below(u64::try_from(span.as_micros()).unwrap() * 11 / 10));
            let mut child = sandbox.dockseal(["--at", BORN]).args(story.split(' ')).start_quietly();
            thread::sleep(delay);
            let _ = kill_process(Pid::from_child(&child), Signal::KILL);
            let in_time = child.wait().unwrap().code().is_none();
            killed += u32::from(in_time);
            span = if in_time { span * 21 / 20 } else { span * 9 / 10 };
            let when = format!("{story}: kill {n} after {delay:?}");
            assert_safe(&sandbox, &when);
            let again = run(&sandbox, story);
            let finished = again.code == Some(0) || story.contains("remove") && again.holds("docker knows no context");
            assert!(finished, "{when}\n{again}\n{}", tree(sandbox.root()));
            assert_safe(&sandbox, &when);
            assert_eq!(listed(&sandbox), left, "{when}\n{again}");
            let _ = run(&sandbox, "inventory check").success();
        }
        println!("{story}: {killed} of {times} runs were killed");
        assert!(killed * 5 > *times * 2, "only {killed} of {times} runs were killed");
    }
}

fn assert_safe(sandbox: &Sandbox, when: &str) {
    let what = tree(sandbox.root());
    for (path, (mode, _, entry)) in &what.0 {
        if let dockseal_tests::Entry::File(bytes) = entry {
            let secret = String::from_utf8_lossy(bytes).contains("PRIVATE KEY");
            assert!(!secret || mode & 0o077 == 0, "{when}: {} is {mode:o}\n{what}", path.display());
        }
    }
    for name in ["old", "prod", "hand"] {
        let (meta, tls) = (meta(sandbox, name), tls(sandbox, name));
        if meta.exists() {
            let text = fs::read_to_string(&meta).unwrap();
            let parsed: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{when}: {error}: {text:?}"));
            assert_eq!(parsed["Name"], name, "{when}");
            // docker would dial in plain text what has no files.
            Bundle(tls.clone()).assert_complete();
        }
        if tls.exists() {
            let paths: BTreeSet<String> = tree(&tls).paths().into_iter().collect();
            let expected = ["./ca.pem", "./cert.pem", "./key.pem"].map(str::to_owned);
            let is_removed = paths.is_empty() || !meta.exists();
            assert!(is_removed || paths == BTreeSet::from(expected), "{when}\n{what}");
            let endpoints: Vec<_> = fs::read_dir(tls.parent().unwrap()).unwrap().collect();
            assert_eq!(endpoints.len(), 1, "{when}: docker would see another endpoint\n{what}");
        }
    }
}
