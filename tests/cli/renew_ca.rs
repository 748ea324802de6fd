//! `dockseal renew-ca`: delivered everywhere, once, and nothing else changes. What docker makes of it is in the oracles.

use std::fs;
use std::path::PathBuf;

use dockseal_tests::{Sandbox, require};

use crate::{NOW, at, home, picture, refused_with_hint};

/// Every `ca.pem` that somebody has of the authority.
fn anchors(sandbox: &Sandbox) -> Vec<PathBuf> {
    let contexts = sandbox.root().join("home/.docker/contexts/tls");
    let of_context = fs::read_dir(contexts).unwrap().map(|entry| entry.unwrap().path().join("docker"));
    let places = ["host/daemon", "host/clients/alice"].map(|place| sandbox.path(place));
    places.into_iter().chain(of_context).map(|place| place.join("ca.pem")).collect()
}

#[test]
fn every_place_gets_the_new_certificate_once() {
    require!("openssl");
    let sandbox = Sandbox::new();
    let run = |time: &str, line: &str| at(&sandbox, time, line).success();
    let _ = run(NOW, "bootstrap h.test --client alice --out host --no-passphrase");
    let _ = run(NOW, "context create prod --host tcp://h.test:2376 --client carl");
    let before = fs::read(home(&sandbox).join("ca.pem")).unwrap();
    let early = run("2031-01-01T00:00:00Z", "renew-ca");
    assert!(early.stdout.contains("not due"), "{early}");
    assert_eq!(fs::read(home(&sandbox).join("ca.pem")).unwrap(), before);

    // Two thirds of ten years are gone.
    const LATER: &str = "2037-06-15T12:00:00Z";
    let _ = run(LATER, "renew --all");
    let leaves = || {
        ["daemon", "clients/alice"].map(|place| fs::read(sandbox.path("host").join(place).join("cert.pem")).unwrap())
    };
    let (old_leaves, old) = (leaves(), picture(&sandbox));
    let planned = run(LATER, "renew-ca --dry-run");
    assert_eq!(planned.stdout.matches("would put the authority's new certificate into ca.pem").count(), 3, "{planned}");
    old.assert_same(&picture(&sandbox), "a dry run");
    // A place that cannot be reached gets it by the next run.
    let [gone, aside] = ["host/clients/alice", "aside"].map(|place| sandbox.path(place));
    fs::rename(&gone, &aside).unwrap();
    let left = at(&sandbox, LATER, "renew-ca").exits(1);
    assert!(left.stderr.contains("it is gone"), "{left}");
    fs::rename(&aside, &gone).unwrap();
    let new = fs::read(home(&sandbox).join("ca.pem")).unwrap();
    assert_ne!(new, before);
    let rest = run(LATER, "renew-ca");
    assert!(rest.stdout.contains("not due") && rest.stdout.contains("client alice in"), "{rest}");
    assert!(!rest.stdout.contains("host/daemon"), "{rest}");
    for path in anchors(&sandbox) {
        assert_eq!(fs::read(&path).unwrap(), new, "{}", path.display());
    }
    assert_eq!(leaves(), old_leaves);
    for place in ["host/daemon", "host/clients/alice"] {
        let _ = sandbox.openssl([
            "verify",
            "-attime",
            "2150000000",
            "-CAfile",
            &format!("{place}/ca.pem"),
            &format!("{place}/cert.pem"),
        ]);
    }
    let _ = run(LATER, "inventory check");
    let listed = run(LATER, "list --format json");
    assert_eq!(listed.stdout.matches("\"kind\":\"authority\"").count(), 1, "{listed}");
    // Whoever is renewed from now on may live longer than the old certificate did, which ended on 2040-06-12.
    let _ = run("2040-01-01T00:00:00Z", "renew alice");
    let end = sandbox.openssl(["x509", "-noout", "-enddate", "-in", "host/clients/alice/cert.pem"]);
    assert!(end.contains("2040 GMT") && end.contains("Dec 31"), "{end}");
}

#[test]
fn keys_of_every_kind() {
    require!("openssl");
    for key in ["p384", "ed25519", "rsa2048"] {
        let sandbox = Sandbox::new();
        let run = |line: &str| sandbox.dockseal(line.split(' ')).run().success();
        let _ = run(&format!("init --no-passphrase --key {key} --permit h.test"));
        let _ = run("issue daemon h.test --out daemon");
        let ran = run("renew-ca --early --lifetime 7y --format json");
        let json: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!(json["results"][0]["state"], "renewed", "{ran}");
        assert_eq!(json["results"][1]["state"], "trusts", "{ran}");
        let _ =
            sandbox.openssl("verify -x509_strict -purpose sslserver -CAfile daemon/ca.pem daemon/cert.pem".split(' '));
    }
}

/// Who was revoked stays so, and lists are numbered on: openssl reads them before and after.
#[test]
fn revocations_go_on() {
    require!("openssl");
    let sandbox = Sandbox::new();
    let openssl = |line: &str| sandbox.openssl(line.split(' '));
    let _ = openssl(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout key.pem -out ca.pem -days 900 -subj /CN=theirs \
         -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign",
    );
    sandbox.write("index.txt", "R\t350101000000Z\t260101000000Z\t1F\tunknown\t/CN=mallory\n");
    sandbox.write("crlnumber", "2A\n");
    let run = |line: &str| sandbox.dockseal(line.split(' ')).run().success();
    let _ = run("adopt --ca ca.pem --key key.pem --no-passphrase");
    let list = || {
        let path = home(&sandbox).join("crl.pem");
        let text = sandbox.openssl(["crl", "-noout", "-text", "-in", path.to_str().unwrap()]);
        assert!(text.contains("Serial Number: 1F"), "{text}");
        let number = text.split("X509v3 CRL Number:").nth(1).unwrap().trim();
        number.lines().next().unwrap().trim().parse::<u64>().unwrap()
    };
    let _ = run("crl");
    assert_eq!(list(), 42);
    let _ = run("renew-ca --early");
    assert_eq!(list(), 42, "the list stays as it is");
    fs::remove_file(home(&sandbox).join("crl.pem")).unwrap();
    let _ = run("crl");
    assert_eq!(list(), 43);
    // Also in an inventory that is made again, with the old certificate beside the index.
    fs::remove_file(home(&sandbox).join("revoked-before.txt")).unwrap();
    fs::remove_file(home(&sandbox).join("crl.pem")).unwrap();
    let _ = run("inventory rebuild --replace .");
    let _ = run("crl");
    let _ = list();
}

#[test]
fn what_has_another_cure_is_refused() {
    require!("openssl");
    let sandbox = Sandbox::new();
    let run = |line: &str| sandbox.dockseal(line.split(' ')).run();
    let _ = run("init --no-passphrase").success();
    let _ = run("rollover begin").success();
    let refused = run("renew-ca --early");
    refused_with_hint(&refused, &[1]);
    assert!(refused.stderr.contains("a roll-over is under way"), "{refused}");
    let _ = run("rollover abort").success();
    let _ = run("renew-ca --early").success();

    // Somebody else signed it.
    let openssl = |line: &str| sandbox.openssl(line.split(' '));
    let _ = openssl(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout root.key -out root.pem -subj /CN=root -days 900",
    );
    let _ =
        openssl("req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout key.pem -out csr -subj /CN=below");
    sandbox.write(
        "extensions",
        "basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n",
    );
    let _ = openssl(
        "x509 -req -in csr -CA root.pem -CAkey root.key -CAcreateserial -days 900 -extfile extensions -out ca.pem",
    );
    let chain = [fs::read(sandbox.path("ca.pem")).unwrap(), fs::read(sandbox.path("root.pem")).unwrap()].concat();
    sandbox.write("chain.pem", chain);
    for (ca, directory) in [("chain.pem", "one"), ("ca.pem", "two")] {
        let _ = run(&format!("adopt --ca {ca} --key key.pem --no-passphrase --authority {directory}")).success();
        for more in ["", " --dry-run"] {
            let refused = run(&format!("renew-ca --early --authority {directory}{more}"));
            refused_with_hint(&refused, &[2]);
            assert!(refused.stderr.contains("is signed by CN=root"), "{refused}");
        }
    }
}

/// A certificate that a clock ahead has made is renewed without being asked twice.
#[test]
fn what_is_not_valid_yet_is_due() {
    require!("openssl");
    let sandbox = Sandbox::new();
    let _ = at(&sandbox, NOW, "init --no-passphrase").success();
    let _ = at(&sandbox, "2038-01-01T00:00:00Z", "renew-ca").success();
    let ca = home(&sandbox).join("ca.pem");
    let begins = || sandbox.openssl(["x509", "-in", ca.to_str().unwrap(), "-noout", "-startdate"]);
    assert!(begins().contains("2037") || begins().contains("2038"), "{}", begins());
    let _ = at(&sandbox, NOW, "renew-ca").success();
    assert!(begins().contains("2030"), "{}", begins());
}
