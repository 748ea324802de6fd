//! The main job: what is made, that it is made once, and that more can be added.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use dockseal_tests::{Bundle, Sandbox, is_root, require, tree};

use crate::{refused, with_authority};

const BOOTSTRAP: [&str; 6] = ["bootstrap", "build.example.com", "10.0.0.5", "--client", "alice", "--no-passphrase"];

/// Modes as docker-bench-security wants them (its checks 3.9 to 3.14: certificates 444
/// or tighter, the daemon's key 400, owner root; 3.17, 3.18: daemon.json 644, root).
#[test]
fn layout_and_modes() {
    let sandbox = Sandbox::new();
    let _ = sandbox.dockseal(BOOTSTRAP).run().success();
    let dir = sandbox.path("build.example.com");
    let expected = "\
dir  0700 .
dir  0700 clients
dir  0700 clients/alice
file 0444 clients/alice/ca.pem
file 0444 clients/alice/cert.pem
file 0600 clients/alice/key.pem
dir  0700 daemon
file 0444 daemon/ca.pem
file 0444 daemon/cert.pem
file 0644 daemon/daemon.json
dir  0700 daemon/docker.service.d
file 0644 daemon/docker.service.d/dockseal.conf
file 0400 daemon/key.pem
";
    let shown = tree(&dir).to_string();
    // The drop-in's directory holds nothing secret; only its being there is asked.
    let shown = shown.replace("dir  0755 daemon/docker.service.d", "dir  0700 daemon/docker.service.d");
    assert_eq!(shown, expected);
    if is_root() {
        for (path, (_, uid, _)) in tree(&dir).0 {
            assert_eq!(uid, 0, "{} is not root's", path.display());
        }
    }
    let home = tree(&crate::home(&sandbox)).to_string();
    for line in ["dir  0700 .", "file 0444 ca.pem", "file 0400 ca-key.pem"] {
        assert!(home.lines().any(|found| found == line), "{line} is not in\n{home}");
    }
}

/// No umask makes a secret readable, and none makes a certificate unreadable.
#[test]
fn any_umask() {
    let dockseal = dockseal_tests::dockseal_binary().to_str().unwrap();
    let mut seen = Vec::new();
    for umask in ["000", "022", "077", "777"] {
        let sandbox = Sandbox::new();
        let line = format!("umask {umask}; exec {dockseal} {}", BOOTSTRAP.join(" "));
        let _ = sandbox.program("sh").args(["-c", &line]).run().success();
        seen.push((umask, tree(&sandbox.path("build.example.com")).to_string()));
    }
    for (umask, shown) in &seen {
        assert_eq!(shown, &seen[0].1, "umask {umask}");
    }
}

#[test]
fn a_second_run_changes_nothing_and_says_so() {
    let sandbox = Sandbox::new();
    let _ = sandbox.dockseal(BOOTSTRAP).run().success();
    let before = tree(sandbox.root());
    let again = sandbox.dockseal(BOOTSTRAP).run().success();
    before.assert_same(&tree(sandbox.root()), "");
    assert!(again.holds("nothing") || again.holds("unchanged") || again.holds("already"), "{again}");
    let json = sandbox.dockseal(["--format", "json"]).args(BOOTSTRAP).run().success();
    let result: serde_json::Value =
        serde_json::from_str(&json.stdout).unwrap_or_else(|error| panic!("{error}\n{json}"));
    assert_eq!(result["schema"], 1);
    before.assert_same(&tree(sandbox.root()), "");
}

#[test]
fn one_more_client_adds_only_that() {
    require!("openssl");
    let sandbox = Sandbox::new();
    let _ = sandbox.dockseal(BOOTSTRAP).run().success();
    let before = tree(&sandbox.path("build.example.com"));
    let _ = sandbox.dockseal(BOOTSTRAP).args(["--client", "bob"]).run().success();
    let after = tree(&sandbox.path("build.example.com"));
    for (path, entry) in &before.0 {
        assert!(after.0.get(path) == Some(entry), "{} changed", path.display());
    }
    let new: Vec<String> = after.paths().into_iter().filter(|path| !before.paths().contains(path)).collect();
    assert_eq!(new, ["./clients/bob", "./clients/bob/ca.pem", "./clients/bob/cert.pem", "./clients/bob/key.pem"]);
    Bundle(sandbox.path("build.example.com/clients/bob")).assert_complete();
}

#[test]
fn what_is_said_names_what_was_made() {
    let sandbox = Sandbox::new();
    let ran = sandbox.dockseal(BOOTSTRAP).args(["--client", "bob"]).run().success();
    for text in [
        "build.example.com/daemon",
        "build.example.com/clients/alice",
        "build.example.com/clients/bob",
        "DOCKER_CERT_PATH",
        "docker",
    ] {
        assert!(ran.holds(text), "{text} is not said\n{ran}");
    }
    // A client's certificate is root on the host: that is said when it is issued.
    assert!(ran.holds("root"), "{ran}");
}

#[test]
fn an_existing_authority_is_used() {
    let sandbox = with_authority();
    let before = fs::read(crate::home(&sandbox).join("ca.pem")).unwrap();
    let _ = sandbox.dockseal(BOOTSTRAP).run().success();
    assert_eq!(before, fs::read(crate::home(&sandbox).join("ca.pem")).unwrap());
    assert_eq!(before, fs::read(sandbox.path("build.example.com/daemon/ca.pem")).unwrap());
}

/// Where the authority is: the flag before the variable before XDG before HOME.
#[test]
fn the_authoritys_home() {
    let sandbox = Sandbox::new();
    let init = |more: &[&str]| sandbox.dockseal(more.iter().copied()).args(["init", "--no-passphrase"]);
    let _ = init(&["--authority", "flag"]).env("DOCKSEAL_AUTHORITY", "variable").run().success();
    assert!(sandbox.path("flag/ca.pem").is_file() && !sandbox.path("variable").exists());
    let _ = init(&[]).env("DOCKSEAL_AUTHORITY", sandbox.path("variable")).run().success();
    assert!(sandbox.path("variable/ca.pem").is_file());
    let _ = init(&[]).env("XDG_DATA_HOME", sandbox.path("xdg")).run().success();
    assert!(sandbox.path("xdg/dockseal/ca.pem").is_file());
    let _ = init(&[]).env_remove("XDG_DATA_HOME").run().success();
    assert!(sandbox.root().join("home/.local/share/dockseal/ca.pem").is_file());
    // Without any of them there is no guess.
    let nowhere = init(&[]).env_remove("XDG_DATA_HOME").env_remove("HOME").run();
    refused(&nowhere, &[2]);
}

#[test]
fn issued_certificates_are_kept() {
    require!("openssl", "python3");
    let sandbox = with_authority();
    let _ = sandbox.dockseal(["issue", "client", "a", "--out", "a", "--no-passphrase"]).run().success();
    let serial = sandbox.openssl(["x509", "-noout", "-serial", "-in", "a/cert.pem"]);
    let serial = serial.trim().strip_prefix("serial=").unwrap().to_lowercase();
    let kept = sandbox.inventory("SELECT serial, role, name, state, der FROM certificate");
    let der = sandbox.openssl(["x509", "-in", "a/cert.pem", "-outform", "DER", "-out", "a.der"]);
    assert_eq!(der, "");
    let der: String = fs::read(sandbox.path("a.der")).unwrap().iter().map(|octet| format!("{octet:02x}")).collect();
    assert_eq!(kept, [format!("{serial}\tclient\ta\tissued\t{der}")]);
    let place: String = sandbox.path("a").as_os_str().as_encoded_bytes().iter().map(|o| format!("{o:02x}")).collect();
    assert_eq!(sandbox.inventory("SELECT place, certificate, pending FROM destination"), [format!("{place}\t1\tNone")]);
    // Nothing secret is in there.
    let key = fs::read_to_string(sandbox.path("a/key.pem")).unwrap();
    let inventory = fs::read(crate::home(&sandbox).join("inventory.db")).unwrap();
    let line = key.lines().nth(1).unwrap().as_bytes();
    assert!(!inventory.windows(line.len()).any(|window| window == line));
    assert!(!inventory.windows(11).any(|window| window == b"PRIVATE KEY"));
}

#[test]
fn replacing_makes_a_new_key_and_leaves_no_trace() {
    require!("openssl");
    let sandbox = with_authority();
    let issue = ["issue", "client", "a", "--out", "a", "--no-passphrase"];
    let _ = sandbox.dockseal(issue).run().success();
    let before = tree(&sandbox.path("a"));
    refused(&sandbox.dockseal(issue).run(), &[1]);
    before.assert_same(&tree(&sandbox.path("a")), "");
    let key = fs::read(sandbox.path("a/key.pem")).unwrap();
    let _ = sandbox.dockseal(issue).arg("--replace").run().success();
    assert_ne!(key, fs::read(sandbox.path("a/key.pem")).unwrap());
    assert_eq!(before.to_string(), tree(&sandbox.path("a")).to_string(), "modes changed");
    Bundle(sandbox.path("a")).assert_complete();
    assert_eq!(tree(&sandbox.work()).leftovers(), Vec::<String>::new());
}

#[test]
fn owner_group_and_mode() {
    dockseal_tests::require_root!();
    let sandbox = with_authority();
    let owned = [
        "issue",
        "client",
        "a",
        "--out",
        "a",
        "--no-passphrase",
        "--owner",
        "nobody",
        "--group",
        "1234",
        "--mode",
        "0640",
    ];
    let _ = sandbox.dockseal(owned).run().success();
    let key = fs::metadata(sandbox.path("a/key.pem")).unwrap();
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    let nobody = passwd.lines().find_map(|line| line.strip_prefix("nobody:x:")).unwrap().split(':').next().unwrap();
    assert_eq!((key.uid().to_string().as_str(), key.gid(), key.permissions().mode() & 0o777), (nobody, 1234, 0o640));
}

/// What is there already but is not what was asked for is refused, with the reason; and
/// `--replace` makes it so.
#[test]
fn what_cannot_be_kept() {
    type Spoil = fn(&Sandbox);
    let cases: [(&str, Spoil, &[&str], &str); 5] = [
        ("another name", |_| (), &["10.0.0.6"], "10.0.0.6"),
        ("expired", |_| (), &["--at", "2099-01-01T00:00:00Z", "--authority", "later"], ""),
        (
            "a key is gone",
            |sandbox| fs::remove_file(sandbox.path("build.example.com/clients/alice/key.pem")).unwrap(),
            &[],
            "key.pem",
        ),
        (
            "a key of another",
            |sandbox| {
                let from = sandbox.path("build.example.com/daemon/key.pem");
                fs::copy(from, sandbox.path("build.example.com/clients/alice/key.pem")).unwrap();
            },
            &[],
            "clients/alice",
        ),
        ("another authority", |_| (), &["--authority", "other"], "another authority"),
    ];
    for (case, spoil, more, says) in cases {
        println!("{case}");
        let sandbox = Sandbox::new();
        let _ = sandbox.dockseal(BOOTSTRAP).run().success();
        let _ = sandbox.dockseal(["--authority", "other", "init", "--no-passphrase"]).run().success();
        let later = ["--authority", "later", "init", "--no-passphrase", "--at", "2098-01-01T00:00:00Z"];
        let _ = sandbox.dockseal(later).run().success();
        spoil(&sandbox);
        let before = tree(sandbox.root());
        let ran = sandbox.dockseal(BOOTSTRAP).args(more).run();
        crate::refused_with_hint(&ran, &[1]);
        assert!(ran.holds("--replace") && ran.holds(says), "{case}\n{ran}");
        before.assert_same(&tree(sandbox.root()), &ran);
        let _ = sandbox.dockseal(BOOTSTRAP).args(more).arg("--replace").run().success();
        Bundle(sandbox.path("build.example.com/daemon")).assert_complete();
        Bundle(sandbox.path("build.example.com/clients/alice")).assert_complete();
        let _ = sandbox.dockseal(BOOTSTRAP).args(more).run().success();
    }
}

#[test]
fn a_kept_key_that_others_can_read() {
    for key in ["daemon/key.pem", "clients/alice/key.pem"] {
        let sandbox = Sandbox::new();
        let _ = sandbox.dockseal(BOOTSTRAP).run().success();
        let key = sandbox.path("build.example.com").join(key);
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
        let ran = sandbox.dockseal(BOOTSTRAP).run();
        let mended = fs::metadata(&key).unwrap().permissions().mode() & 0o077 == 0;
        let said = ran.stderr.contains("warning") || ran.code == Some(1);
        assert!(mended || (said && ran.stderr.contains("key.pem")), "{ran}");
    }
}
