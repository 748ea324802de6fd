//! `revoke` and `crl`: what is revoked, what the lists say by openssl's reading, and what is refused.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use dockseal_tests::{Sandbox, require, tree};
use serde_json::Value;

use crate::{NOW, at, home, refused, refused_with_hint};

/// An authority of 2030 with clients for 90 days and a daemon.
fn office() -> Sandbox {
    let sandbox = Sandbox::new();
    for line in [
        "init --no-passphrase",
        "issue daemon build --lifetime 90d --out build",
        "issue client alice --lifetime 90d --out alice",
        "issue client bob --lifetime 90d --out bob",
    ] {
        let _ = at(&sandbox, NOW, line).success();
    }
    sandbox
}

fn serial(sandbox: &Sandbox, bundle: &str) -> String {
    let text = sandbox.openssl(["x509", "-noout", "-serial", "-in", &format!("{bundle}/cert.pem")]);
    text.trim().strip_prefix("serial=").unwrap().to_owned()
}

/// Serial numbers and reasons in a list, as openssl reads it after it verified its signature.
#[track_caller]
fn listed(sandbox: &Sandbox, file: &str) -> Vec<(String, String)> {
    let ca = home(sandbox).join("ca.pem");
    let verify = sandbox.program("openssl").args(["crl", "-in", file, "-noout", "-verify", "-CAfile"]).arg(ca).run();
    let _ = verify.success().says("verify OK");
    let text = sandbox.openssl(["crl", "-in", file, "-noout", "-text"]);
    let mut found: Vec<(String, String)> = Vec::new();
    let mut lines = text.lines().map(str::trim);
    while let Some(line) = lines.next() {
        if let Some(serial) = line.strip_prefix("Serial Number: ") {
            found.push((serial.to_owned(), String::new()));
        } else if line == "X509v3 CRL Reason Code:" {
            found.last_mut().unwrap().1 = lines.next().unwrap().to_owned();
        }
    }
    found
}

/// Whether openssl lets a client's certificate through with the list at that second.
fn openssl_takes(sandbox: &Sandbox, bundle: &str, crl: &str, second: i64) -> bool {
    let ca = home(sandbox).join("ca.pem");
    let program = sandbox.program("openssl").args(["verify", "-x509_strict", "-crl_check", "-attime"]);
    let program = program.arg(second.to_string()).arg("-CAfile").arg(ca).args(["-CRLfile", crl]);
    let ran = program.arg(format!("{bundle}/cert.pem")).run();
    if ran.code != Some(0) {
        let _ = ran.clone().says("certificate revoked");
    }
    ran.code == Some(0)
}

/// 2030-06-15T12:00:00Z.
const SECOND: i64 = 1_907_755_200;

#[test]
fn a_name_means_everything_that_was_issued_to_it() {
    require!("openssl");
    let sandbox = office();
    let old = serial(&sandbox, "alice");
    let _ = at(&sandbox, NOW, "issue client alice --lifetime 90d --out alice --replace").success();
    let new = serial(&sandbox, "alice");
    let ran = at(&sandbox, NOW, "revoke alice --reason keyCompromise").success();
    for text in [&old, &new, "dockerd never reads revocation lists", "crl.pem", sandbox.path("alice").to_str().unwrap()]
    {
        assert!(ran.stdout.contains(text), "{text}\n{ran}");
    }
    let crl = home(&sandbox).join("crl.pem");
    let crl = crl.to_str().unwrap();
    let reason = "Key Compromise".to_owned();
    assert_eq!(listed(&sandbox, crl), [(old, reason.clone()), (new, reason)]);
    assert!(!openssl_takes(&sandbox, "alice", crl, SECOND));
    assert!(openssl_takes(&sandbox, "bob", crl, SECOND));
    assert_eq!(fs::metadata(crl).unwrap().permissions().mode() & 0o7777, 0o644);
    // Out of renewal, and out of what is due.
    let later = "2030-09-10T00:00:00Z";
    let status = at(&sandbox, later, "status").exits(1);
    assert!(status.stdout.contains("bob") && !status.stdout.contains("alice"), "{status}");
    let renewed = at(&sandbox, later, "renew --due").success();
    assert!(renewed.stdout.contains("bob") && !renewed.stdout.contains("alice"), "{renewed}");
    refused_with_hint(&at(&sandbox, later, "renew alice"), &[1]);
    // A second time: no, with when and why.
    let before = sandbox.inventory("SELECT count(*) FROM event");
    let again = at(&sandbox, "2030-06-20T12:00:00Z", "revoke alice --reason superseded");
    refused_with_hint(&again, &[1]);
    assert_eq!(sandbox.inventory("SELECT count(*) FROM event"), before);
}

#[test]
fn a_second_time_says_when_and_why() {
    let sandbox = office();
    let _ = at(&sandbox, NOW, "revoke alice --reason cessation-of-operation").success();
    let before = tree(&home(&sandbox));
    let again = at(&sandbox, "2030-06-20T12:00:00Z", "revoke alice");
    refused_with_hint(&again, &[1]);
    assert!(again.stderr.contains("2030-06-15 12:00 UTC (cessationOfOperation)"), "{again}");
    let ended = at(&sandbox, "2031-06-20T12:00:00Z", "revoke bob");
    refused_with_hint(&ended, &[1]);
    assert!(ended.stderr.contains("ended on 2030-09-13"), "{ended}");
    for file in ["inventory.db", "crl.pem"] {
        let path = std::path::Path::new(".").join(file);
        assert!(before.0.get(&path) == tree(&home(&sandbox)).0.get(&path), "{file} changed");
    }
}

#[test]
fn a_serial_number_means_that_one() {
    require!("openssl");
    let sandbox = office();
    let old = serial(&sandbox, "alice");
    let _ = at(&sandbox, NOW, "issue client alice --lifetime 90d --out alice --replace").success();
    // As openssl prints it in the text of a certificate.
    let colons: Vec<String> =
        old.to_lowercase().as_bytes().chunks(2).map(|two| String::from_utf8_lossy(two).into()).collect();
    let _ = at(&sandbox, NOW, &format!("revoke {}", colons.join(":"))).success();
    let crl = home(&sandbox).join("crl.pem");
    // Without a reason there is no reason code.
    assert_eq!(listed(&sandbox, crl.to_str().unwrap()), [(old, String::new())]);
    assert!(openssl_takes(&sandbox, "alice", crl.to_str().unwrap(), SECOND));
    let ran = at(&sandbox, NOW, "list --name alice --all").success();
    assert!(ran.stdout.contains("revoked") && ran.stdout.contains("valid"), "{ran}");
}

#[test]
fn names_that_do_not_say_whom() {
    let sandbox = office();
    let unknown = at(&sandbox, NOW, "revoke alcie");
    refused_with_hint(&unknown, &[2]);
    assert!(unknown.stderr.contains("did you mean alice"), "{unknown}");
    let _ = at(&sandbox, NOW, "issue client build --lifetime 90d --out other").success();
    let several = at(&sandbox, NOW, "revoke build");
    refused_with_hint(&several, &[1, 2]);
    assert!(several.stderr.contains("client/build") && several.stderr.contains("daemon/build"), "{several}");
    assert_eq!(sandbox.inventory("SELECT count(*) FROM certificate WHERE state = 'revoked'"), ["0"]);
    let ran = at(&sandbox, NOW, "revoke daemon/build").success();
    assert!(ran.stdout.contains("docker never reads"), "{ran}");
    assert_eq!(sandbox.inventory("SELECT role FROM certificate WHERE state = 'revoked'"), ["daemon"]);
    // Now one of them alone can be meant.
    let _ = at(&sandbox, NOW, "revoke build").success();
    refused(&at(&sandbox, NOW, "revoke bob --reason certificateHold"), &[2]);
}

#[test]
fn lists_are_numbered_and_dated() {
    require!("openssl");
    let sandbox = office();
    let field = |file: &str, what: &str| sandbox.openssl(["crl", "-in", file, "-noout", what, "-dateopt", "iso_8601"]);
    let ran = at(&sandbox, NOW, "crl --out first.pem --format json").success();
    let json: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&json["lists"][0]["number"], &json["lists"][0]["revoked"]), (&1.into(), &0.into()));
    assert_eq!(listed(&sandbox, "first.pem"), []);
    assert_eq!(field("first.pem", "-lastupdate").trim(), "lastUpdate=2030-06-15 11:55:00Z");
    assert_eq!(field("first.pem", "-nextupdate").trim(), "nextUpdate=2030-06-22 12:00:00Z");
    let out = at(&sandbox, NOW, "crl --next-update 36h --out -").success();
    let second = sandbox.write("second.pem", &out.stdout);
    assert_eq!(sandbox.openssl(["crl", "-in", "second.pem", "-noout", "-crlnumber"]).trim(), "crlNumber=0x02");
    assert_eq!(field("second.pem", "-nextupdate").trim(), "nextUpdate=2030-06-17 00:00:00Z");
    assert_eq!(fs::read(second).unwrap(), fs::read(home(&sandbox).join("crl.pem")).unwrap());
    // The key of the authority, by its name in the list.
    let text = sandbox.openssl(["crl", "-in", "second.pem", "-noout", "-text"]);
    let ca = home(&sandbox).join("ca.pem");
    let ca = sandbox.openssl(["x509", "-noout", "-ext", "subjectKeyIdentifier", "-in", ca.to_str().unwrap()]);
    assert!(text.contains("Version 2") && text.contains(ca.lines().nth(1).unwrap().trim()), "{text}\n{ca}");
    // Beyond the year 2049, in GeneralizedTime.
    let _ = at(&sandbox, "2039-12-30T00:00:00Z", "crl --next-update 11y --out late.pem").success();
    assert_eq!(field("late.pem", "-nextupdate").trim(), "nextUpdate=2050-12-27 00:00:00Z");
    let der = sandbox.openssl(["asn1parse", "-in", "late.pem"]);
    assert!(
        der.contains("GENERALIZEDTIME   :20501227000000Z") && der.contains("UTCTIME           :391229235500Z"),
        "{der}"
    );
}

/// RFC 5280 section 3.3: what ended stays until one list that was made after its end had it.
#[test]
fn what_ended_leaves_the_list_after_one_more() {
    require!("openssl");
    let sandbox = office();
    let _ = at(&sandbox, NOW, "revoke alice").success();
    let end = "2030-09-13T12:00:00Z";
    let count = |time: &str| {
        let _ = at(&sandbox, time, "crl --out list.pem").success();
        listed(&sandbox, "list.pem").len()
    };
    assert_eq!(count(end), 1);
    // thisUpdate of that one lies before the end, so this is the first that was made after it.
    assert_eq!(count("2030-09-14T00:00:00Z"), 1);
    assert_eq!(count("2030-09-15T00:00:00Z"), 0);
    assert_eq!(count("2030-09-16T00:00:00Z"), 0);
}

/// An authority made elsewhere whose certificate does not let it sign lists.
#[test]
fn an_authority_that_may_not_sign_lists() {
    require!("openssl");
    let sandbox = Sandbox::new();
    let line = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout k.pem -out c.pem -days 3000 -subj /CN=Elsewhere \
                -addext keyUsage=critical,keyCertSign";
    let _ = sandbox.openssl(line.split_whitespace());
    let run = |line: &str| sandbox.dockseal(line.split(' ')).run();
    let _ = run("adopt --ca c.pem --key k.pem --no-passphrase").success();
    let _ = run("issue client alice --out alice").success();
    let before = sandbox.inventory("SELECT crl_number FROM generation");
    let refused = run("crl --out list.pem");
    refused_with_hint(&refused, &[1]);
    assert!(refused.stderr.contains("cRLSign"), "{refused}");
    assert_eq!(sandbox.inventory("SELECT crl_number FROM generation"), before);
    // The revocation counts all the same.
    let ran = run("revoke alice").success();
    assert!(ran.stderr.contains("cRLSign"), "{ran}");
    assert_eq!(sandbox.inventory("SELECT state FROM certificate"), ["revoked"]);
    assert!(!sandbox.path("list.pem").exists() && !home(&sandbox).join("crl.pem").exists());
}

/// Without the passphrase nothing is revoked, unless no list is wanted.
#[test]
fn a_locked_key() {
    let sandbox = Sandbox::new();
    sandbox.write("pass", "correct horse\n");
    let run = |line: &str| sandbox.dockseal(line.split(' ')).run();
    let _ = run("init --passphrase-file pass").success();
    let _ = run("issue client alice --out alice --passphrase-file pass").success();
    refused_with_hint(&run("revoke alice"), &[2]);
    sandbox.write("wrong", "incorrect horse\n");
    refused_with_hint(&run("revoke alice --passphrase-file wrong"), &[1]);
    assert_eq!(sandbox.inventory("SELECT state FROM certificate"), ["issued"]);
    let _ = run("revoke alice --no-crl").success();
    assert_eq!(sandbox.inventory("SELECT state FROM certificate"), ["revoked"]);
    assert!(!home(&sandbox).join("crl.pem").exists());
    let _ = run("crl --passphrase-file pass").success();
    assert!(home(&sandbox).join("crl.pem").exists());
}

/// While two authorities are trusted, the file has a list of each: whoever checks every link wants both, whichever of the
/// two it knows. The passphrase opens both keys.
#[test]
fn a_list_of_each_authority_during_a_roll_over() {
    require!("openssl");
    let sandbox = Sandbox::new();
    sandbox.write("pass", "correct horse\n");
    let run = |line: &str| sandbox.dockseal(line.split(' ').chain(["--passphrase-file", "pass"])).run();
    let _ = run("init").success();
    for user in ["alice", "bob"] {
        let _ = run(&format!("issue client {user} --out {user}")).success();
    }
    let (old_ca, old_alice) = (fs::read(home(&sandbox).join("ca.pem")).unwrap(), serial(&sandbox, "alice"));
    sandbox.write("old.pem", old_ca);
    let _ = run("rollover begin").success();
    let _ = run("rollover advance").success();
    let new_alice = serial(&sandbox, "alice");
    let ran = run("revoke alice --reason keyCompromise").success();

    let crl = home(&sandbox).join("crl.pem");
    let text = fs::read_to_string(&crl).unwrap();
    let lists: Vec<&str> = text.split_inclusive("-----END X509 CRL-----\n").collect();
    assert_eq!(lists.len(), 2, "{ran}");
    let new_ca = home(&sandbox).join("generation-2/ca.pem");
    for (list, ca, serial) in [(lists[0], new_ca.clone(), &new_alice), (lists[1], sandbox.path("old.pem"), &old_alice)]
    {
        sandbox.write("one.crl", list);
        let verify =
            sandbox.program("openssl").args(["crl", "-in", "one.crl", "-noout", "-verify", "-CAfile"]).arg(&ca);
        let _ = verify.run().success().says("verify OK");
        assert!(sandbox.openssl(["crl", "-in", "one.crl", "-noout", "-text"]).contains(serial.as_str()), "{serial}");
    }
    for anchor in [sandbox.path("old.pem"), new_ca] {
        let check = |user: &str| {
            let program =
                sandbox.program("openssl").args(["verify", "-crl_check_all", "-purpose", "sslclient", "-CAfile"]);
            let cert = format!("{user}/cert.pem");
            program.arg(&anchor).arg("-CRLfile").arg(&crl).args(["-untrusted", &cert, &cert]).run()
        };
        let _ = check("bob").success();
        let _ = check("alice").failure().says("certificate revoked");
    }
    // Once the old one is out and its key destroyed, its last list stays.
    let _ = run("rollover finish").success();
    fs::remove_file(home(&sandbox).join("ca-key.pem")).unwrap();
    let _ = run("crl").success();
    assert!(fs::read_to_string(&crl).unwrap().contains(lists[1]));
}

/// A list that was made by a clock ahead, or for a time to come, takes nobody off the next one.
#[test]
fn a_list_of_a_time_to_come() {
    require!("openssl");
    let sandbox = Sandbox::new();
    let run = |line: &str| sandbox.dockseal(line.split(' ')).run();
    let _ = run("init --no-passphrase").success();
    let mut serials = Vec::new();
    for name in ["alice", "bob"] {
        let _ = run(&format!("issue client {name} --out {name}")).success();
        let serial = sandbox.openssl(["x509", "-noout", "-serial", "-in", &format!("{name}/cert.pem")]);
        serials.push(serial.trim().trim_start_matches("serial=").to_owned());
    }
    let crl = home(&sandbox).join("crl.pem");
    let listed = || sandbox.openssl(["crl", "-noout", "-text", "-in", crl.to_str().unwrap()]);
    let _ = run("revoke alice").success();
    for _ in 0..2 {
        let _ = run("--at 2035-01-01T00:00:00Z crl").success();
    }
    let _ = run("crl").success();
    assert!(listed().contains(&serials[0]), "{}", listed());
    let _ = run("--at 2035-01-01T00:00:00Z crl").success();
    let _ = run("revoke bob").success();
    assert!(serials.iter().all(|serial| listed().contains(serial)), "{}", listed());
}

/// An inventory that came back from before a revocation does not bring anybody back: the list is newer, and is believed.
#[test]
fn an_inventory_from_before_a_revocation() {
    require!("openssl", "python3");
    let sandbox = Sandbox::new();
    let run = |line: &str| sandbox.dockseal(line.split(' ')).run();
    let _ = run("init --no-passphrase").success();
    for name in ["alice", "bob"] {
        let _ = run(&format!("issue client {name} --out {name}")).success();
    }
    let inventory = home(&sandbox).join("inventory.db");
    // Closed by its last user, it is all there is of it.
    let before = fs::read(&inventory).unwrap();
    let _ = run("revoke bob").success();
    fs::write(&inventory, before).unwrap();
    let checked = run("inventory check").exits(1);
    assert!(checked.stdout.contains("is newer than the inventory"), "{checked}");
    let serial = || sandbox.openssl(["x509", "-noout", "-serial", "-in", "bob/cert.pem"]);
    let first = serial();
    let ran = run("renew --all").success();
    assert_eq!(serial(), first, "{ran}");
    let _ = run("crl").success();
    let again = run("revoke bob");
    assert!(again.stderr.contains("was revoked already"), "{again}");
    let _ = run("inventory check").success();
}
