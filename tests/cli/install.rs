//! A certificate whose key stays where it is, renewed: the request there, the answer at the authority, the two put
//! together again there.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use dockseal_tests::{Bundle, Ran, Sandbox, public_key_of_certificate, public_key_of_key, require, require_root, tree};

use crate::{home, picture, refused_with_hint, with_authority};

fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

fn run(sandbox: &Sandbox, line: &str) -> Ran {
    sandbox.dockseal(words(line)).run()
}

fn ca(sandbox: &Sandbox) -> String {
    home(sandbox).join("ca.pem").display().to_string()
}

/// A directory with the bundle of a client, whose key was made there.
fn with_client(directory: &str) -> Sandbox {
    let sandbox = with_authority();
    let _ = run(&sandbox, &format!("request client alice --out {directory}")).success();
    answer(&sandbox, &format!("issue client alice --csr {directory}/request.csr --out -"), "first.pem");
    let _ = sandbox.dockseal(["install", directory, "first.pem", "--ca"]).arg(ca(&sandbox)).run().success();
    sandbox
}

/// What the authority answers, in a file.
fn answer(sandbox: &Sandbox, line: &str, file: &str) {
    let signed = run(sandbox, line).success().stdout;
    sandbox.write(file, signed);
}

fn serial(sandbox: &Sandbox, certificate: &str) -> String {
    sandbox.openssl(["x509", "-noout", "-serial", "-in", certificate])
}

#[track_caller]
fn unchanged(sandbox: &Sandbox, line: &str, code: i32, says: &str) {
    let before = picture(sandbox);
    let ran = run(sandbox, line);
    refused_with_hint(&ran, &[code]);
    assert!(ran.stderr.contains(says), "{says:?} is not said\n{ran}");
    before.assert_same(&picture(sandbox), &ran);
}

#[test]
fn the_first_certificate() {
    require!("openssl");
    let sandbox = with_authority();
    let _ = run(&sandbox, "request daemon h.test 10.0.0.5 --out d --mode 0440").success();
    answer(&sandbox, "issue daemon h.test 10.0.0.5 --csr d/request.csr --out -", "cert.pem");
    unchanged(&sandbox, "install d cert.pem", 2, "there is no ca.pem");
    let key = fs::read(sandbox.path("d/key.pem")).unwrap();
    let _ = run(&sandbox, &format!("install d cert.pem --ca {}", ca(&sandbox))).success().says("restart");
    assert_eq!(tree(&sandbox.path("d")).paths(), ["./ca.pem", "./cert.pem", "./key.pem"]);
    assert_eq!(fs::read(sandbox.path("d/key.pem")).unwrap(), key, "the key is the one that was made there");
    assert_eq!(fs::metadata(sandbox.path("d/key.pem")).unwrap().permissions().mode() & 0o7777, 0o440);
    Bundle(sandbox.path("d")).assert_complete();
    assert_eq!(fs::read_dir(sandbox.work()).unwrap().count(), 2, "nothing is kept of a directory without certificate");
    // The same once more changes nothing and says so.
    let before = tree(&sandbox.work());
    let _ = run(&sandbox, "install d cert.pem").success().says("nothing was changed");
    before.assert_same(&tree(&sandbox.work()), "");
}

#[test]
fn a_new_key_waits_for_its_certificate() {
    require!("openssl");
    let sandbox = with_client("c");
    let read = |name: &str| fs::read(sandbox.path("c").join(name)).unwrap();
    let docker_reads = ["ca.pem", "cert.pem", "key.pem"];
    let before = docker_reads.map(read);
    let made = run(&sandbox, "request --renew c").success();
    assert_eq!(docker_reads.map(read), before, "nothing that Docker reads may change\n{made}");
    let waiting = read("renewal-key.pem");
    assert_eq!(fs::metadata(sandbox.path("c/renewal-key.pem")).unwrap().permissions().mode() & 0o7777, 0o600);
    assert!(!made.holds("PRIVATE KEY"), "{made}");
    // The request is for the same user and the new key, says openssl.
    let asked = sandbox.openssl(words("req -verify -noout -text -in c/request.csr"));
    assert!(asked.contains("Subject: CN = alice"), "{asked}");
    let asked = sandbox.openssl(words("req -noout -pubkey -in c/request.csr"));
    assert_eq!(asked, public_key_of_key(&sandbox.path("c/renewal-key.pem")));
    assert_ne!(asked, public_key_of_key(&sandbox.path("c/key.pem")));
    // The key that waits is not lost to a second run, of either kind.
    unchanged(&sandbox, "request --renew c", 1, "waits");
    unchanged(&sandbox, "request --renew c --reuse-key", 1, "waits");
    unchanged(&sandbox, "request --renew c --out -", 1, "waits");

    answer(&sandbox, "renew alice --csr c/request.csr --out -", "new.pem");
    let _ = run(&sandbox, "install c new.pem").success();
    assert_eq!(tree(&sandbox.path("c")).paths(), ["./ca.pem", "./cert.pem", "./key.pem"]);
    assert_eq!(read("key.pem"), waiting);
    Bundle(sandbox.path("c")).assert_complete();
    assert_eq!(serial(&sandbox, "c/cert.pem"), serial(&sandbox, "new.pem"));

    // The authority on the same machine knows where it went.
    let sql = "SELECT name, state FROM certificate JOIN destination ON destination.certificate = certificate.id";
    assert_eq!(sandbox.inventory(sql), ["alice\tissued"]);
    assert_eq!(sandbox.inventory("SELECT count(*) FROM certificate WHERE state = 'issued'"), ["1"]);

    // Back, and forward again.
    let _ = run(&sandbox, "rollback c").success();
    assert_eq!(docker_reads.map(read), before);
    assert_eq!(read("renewal-key.pem"), waiting, "the key that waited is there again");
    let _ = run(&sandbox, "install c new.pem").success();
    assert_eq!(read("key.pem"), waiting);
    let _ = run(&sandbox, "renew alice").success();
    Bundle(sandbox.path("c")).assert_complete();
}

#[test]
fn the_kind_of_key_stays() {
    require!("openssl");
    for (kind, shown) in [("ed25519", "ED25519"), ("rsa2048", "(2048 bit)"), ("p384", "(384 bit)")] {
        let sandbox = with_authority();
        let _ = run(&sandbox, &format!("issue client alice --key {kind} --out c")).success();
        let _ = run(&sandbox, "request --renew c").success();
        let text = sandbox.openssl(words("req -noout -text -in c/request.csr"));
        assert!(text.contains(shown), "{kind}\n{text}");
    }
}

#[test]
fn the_present_key_is_kept_when_asked() {
    require!("openssl");
    let sandbox = with_client("c");
    let before = tree(&sandbox.path("c"));
    let csr = run(&sandbox, "request --renew c --reuse-key --out -").success().stdout;
    before.assert_same(&tree(&sandbox.path("c")), "the request went to standard output alone");
    sandbox.write("stdout.csr", csr);
    let of_request = sandbox.openssl(words("req -verify -noout -pubkey -in stdout.csr"));
    assert_eq!(of_request, public_key_of_key(&sandbox.path("c/key.pem")));
    let _ = run(&sandbox, "request --renew c --reuse-key").success();
    let _ = run(&sandbox, "request --renew c --reuse-key").success();
    assert!(!sandbox.path("c/renewal-key.pem").exists());
    answer(&sandbox, "renew alice --csr c/request.csr --out -", "new.pem");
    let _ = sandbox.dockseal(["install", "c", "-"]).input(fs::read(sandbox.path("new.pem")).unwrap()).run().success();
    assert_eq!(of_request, public_key_of_certificate(&sandbox.path("c/cert.pem")));
    assert_eq!(tree(&sandbox.path("c")).paths(), ["./ca.pem", "./cert.pem", "./key.pem"]);

    // An answer for the key in use does not cost the one that waits.
    let _ = run(&sandbox, "request --renew c").success();
    answer(&sandbox, "renew alice --csr stdout.csr --out -", "late.pem");
    let _ = run(&sandbox, "install c late.pem").success().says("goes on waiting");
    assert!(sandbox.path("c/renewal-key.pem").exists() && sandbox.path("c/request.csr").exists());
    Bundle(sandbox.path("c")).assert_complete();
    // Given up, it is gone; so is the request with it.
    let waiting = public_key_of_key(&sandbox.path("c/renewal-key.pem"));
    let _ = run(&sandbox, "request --renew c --replace").success();
    assert_ne!(waiting, public_key_of_key(&sandbox.path("c/renewal-key.pem")));
    let _ = run(&sandbox, "request --renew c --replace --reuse-key").success();
    assert!(!sandbox.path("c/renewal-key.pem").exists());
}

#[test]
fn requests_that_are_refused() {
    let sandbox = with_client("c");
    unchanged(&sandbox, "request --renew nowhere", 2, "nowhere");
    let _ = run(&sandbox, "request client bob --out new").success();
    unchanged(&sandbox, "request --renew new", 2, "cert.pem");
    unchanged(&sandbox, "request --renew c client alice --out x", 2, "--renew");
    sandbox.write("c/request.csr", "somebody's\n");
    unchanged(&sandbox, "request --renew c", 1, "another key");
    fs::remove_file(sandbox.path("c/request.csr")).unwrap();
    fs::set_permissions(sandbox.path("c/key.pem"), fs::Permissions::from_mode(0o644)).unwrap();
    unchanged(&sandbox, "request --renew c --reuse-key", 1, "0644");
    // A new key is what such a one needs, and everybody's it is no longer.
    let _ = run(&sandbox, "request --renew c").success();
    assert_eq!(fs::metadata(sandbox.path("c/renewal-key.pem")).unwrap().permissions().mode() & 0o7777, 0o640);
    let _ = run(&sandbox, "issue client carol --out k").success();
    fs::copy(sandbox.path("new/key.pem"), sandbox.path("k/key.pem")).unwrap();
    unchanged(&sandbox, "request --renew k", 1, "does not belong");
    fs::remove_file(sandbox.path("k/key.pem")).unwrap();
    unchanged(&sandbox, "request --renew k", 1, "key is not here");
}

#[test]
fn answers_that_are_refused() {
    require!("openssl");
    let sandbox = with_client("c");
    let _ = run(&sandbox, "request --renew c").success();
    let csr = "--csr c/request.csr --out -";

    // For another key.
    let _ = run(&sandbox, "request client alice --out other").success();
    answer(&sandbox, "issue client alice --csr other/request.csr --out -", "key.pem");
    unchanged(&sandbox, "install c key.pem", 1, "another key");
    // For somebody else, and for the other role.
    answer(&sandbox, &format!("issue client bob {csr}"), "bob.pem");
    unchanged(&sandbox, "install c bob.pem", 1, "bob");
    answer(&sandbox, &format!("issue daemon h.test {csr}"), "daemon.pem");
    unchanged(&sandbox, "install c daemon.pem", 1, "daemon's");
    // Another authority's, without and with its anchor.
    let _ = run(&sandbox, "--authority strangers init --no-passphrase").success();
    answer(&sandbox, &format!("--authority strangers issue client alice {csr}"), "stranger.pem");
    unchanged(&sandbox, "install c stranger.pem", 1, "--ca");
    let _ = run(&sandbox, "--authority third init --no-passphrase").success();
    unchanged(&sandbox, "install c stranger.pem --ca third/ca.pem", 1, "Docker would refuse");
    // Expired, and not valid yet.
    answer(&sandbox, &format!("issue client alice --lifetime 1h {csr}"), "short.pem");
    unchanged(&sandbox, "--at 2050-01-01T00:00:00Z install c short.pem", 1, "Docker would refuse");
    unchanged(&sandbox, "--at 2020-01-01T00:00:00Z install c short.pem", 1, "Docker would refuse");
    // No certificates at all, or the wrong one of several.
    unchanged(&sandbox, &format!("install c {}", ca(&sandbox)), 1, "authority");
    let both = [fs::read(ca(&sandbox)).unwrap(), fs::read(sandbox.path("short.pem")).unwrap()].concat();
    sandbox.write("reversed.pem", both);
    unchanged(&sandbox, "install c reversed.pem", 1, "authority");
    sandbox.write("garbage.pem", "no certificate\n");
    sandbox.write("torn.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n");
    sandbox.write("empty.pem", "");
    for bad in ["garbage.pem", "torn.pem", "empty.pem", "missing.pem", "c/key.pem", "c"] {
        println!("{bad}");
        unchanged(&sandbox, &format!("install c {bad}"), 2, "hint:");
        unchanged(&sandbox, &format!("install c short.pem --ca {bad}"), 2, "hint:");
    }
    // Nothing to install into.
    unchanged(&sandbox, "install nowhere short.pem", 2, "nowhere");
    unchanged(&sandbox, &format!("install strangers short.pem --ca {}", ca(&sandbox)), 2, "no key");
    unchanged(&sandbox, "install short.pem short.pem", 2, "hint:");
    // A key that everybody may have.
    fs::set_permissions(sandbox.path("c/renewal-key.pem"), fs::Permissions::from_mode(0o604)).unwrap();
    unchanged(&sandbox, "install c short.pem", 1, "0604");
    fs::set_permissions(sandbox.path("c/renewal-key.pem"), fs::Permissions::from_mode(0o600)).unwrap();
    // Somebody's file: the directory is not swapped away with it.
    sandbox.write("c/notes.txt", "mine");
    unchanged(&sandbox, "install c short.pem", 1, "notes.txt");
    fs::remove_file(sandbox.path("c/notes.txt")).unwrap();
    let _ = run(&sandbox, "install c short.pem").success().says("ends before");
}

#[test]
fn a_daemon_keeps_its_names() {
    require!("openssl");
    let sandbox = with_authority();
    let _ = run(&sandbox, "issue daemon h.test 10.0.0.5 --out d").success();
    let _ = run(&sandbox, "request --renew d").success();
    let text = sandbox.openssl(words("req -noout -text -in d/request.csr"));
    assert!(text.contains("DNS:h.test, IP Address:10.0.0.5"), "{text}");
    answer(&sandbox, "issue daemon h.test evil.test --csr d/request.csr --out -", "evil.pem");
    unchanged(&sandbox, "install d evil.pem", 1, "10.0.0.5 is missing, evil.test is new");
    // Two have that name now: which is meant, the serial number says.
    unchanged(&sandbox, "renew h.test --csr d/request.csr --out -", 2, "serial number");
    let serial = serial(&sandbox, "d/cert.pem").trim().replace("serial=", "");
    answer(&sandbox, &format!("renew {serial} --csr d/request.csr --out -"), "good.pem");
    let _ = run(&sandbox, "install d good.pem").success().says("restart");
    Bundle(sandbox.path("d")).assert_complete();
}

/// During a roll-over the anchors of both authorities come along.
#[test]
fn the_anchors_of_a_new_authority() {
    require!("openssl");
    let sandbox = with_client("c");
    let _ = run(&sandbox, "--authority next init --no-passphrase").success();
    let _ = run(&sandbox, "request --renew c").success();
    answer(&sandbox, "--authority next issue client alice --csr c/request.csr --out -", "next.pem");
    let both = [fs::read(ca(&sandbox)).unwrap(), fs::read(sandbox.path("next/ca.pem")).unwrap()].concat();
    sandbox.write("both.pem", &both);
    let _ = run(&sandbox, "install c next.pem --ca both.pem").success();
    assert_eq!(fs::read(sandbox.path("c/ca.pem")).unwrap(), both);
    Bundle(sandbox.path("c")).assert_complete();
    // The anchors alone can change as well.
    let _ = run(&sandbox, "install c next.pem --ca next/ca.pem").success();
    assert_eq!(fs::read(sandbox.path("c/ca.pem")).unwrap(), fs::read(sandbox.path("next/ca.pem")).unwrap());
}

/// Root installs for a user: owner, group and mode stay that user's.
#[test]
fn whose_it_is_stays() {
    require_root!();
    let sandbox = with_client("c");
    let owner = "4242:4343";
    let _ = sandbox.program("chown").args(["-R", owner]).arg(sandbox.path("c")).run().success();
    let shown = |path: &Path| {
        sandbox.program("stat").args(["-c", "%u:%g %a"]).arg(path).run().success().stdout.trim_end().to_owned()
    };
    let _ = run(&sandbox, "request --renew c").success();
    assert_eq!(shown(&sandbox.path("c/renewal-key.pem")), "4242:4343 600");
    answer(&sandbox, "renew alice --csr c/request.csr --out -", "new.pem");
    let _ = run(&sandbox, "install c new.pem").success();
    assert_eq!(shown(&sandbox.path("c")), "4242:4343 700");
    assert_eq!(shown(&sandbox.path("c/key.pem")), "4242:4343 600");
    assert_eq!(shown(&sandbox.path("c/cert.pem")), "4242:4343 444");
}

#[test]
fn what_the_authority_says_to_requests() {
    require!("openssl");
    let sandbox = with_client("c");
    let _ = run(&sandbox, "issue daemon h.test --out d").success();
    let _ = run(&sandbox, "request --renew c").success();
    let _ = run(&sandbox, "request daemon evil.test --out e").success();
    // For other names: signed for those that the certificate has, and what is dropped is said.
    let ran = run(&sandbox, "renew h.test --csr e/request.csr --out -").success();
    assert!(ran.stderr.contains("dropped from the request: DNS:evil.test"), "{ran}");
    sandbox.write("h.pem", &ran.stdout);
    let names = sandbox.openssl(words("x509 -noout -ext subjectAltName -in h.pem"));
    assert!(names.contains("DNS:h.test") && !names.contains("evil"), "{names}");
    // Its key waits in a directory: the certificate alone does not go beside the old key.
    unchanged(&sandbox, "renew alice --csr c/request.csr --out c", 1, "dockseal install");
    unchanged(&sandbox, "renew alice --csr e/request.csr --out d", 1, "not made with");
    // A request that is signed with another key than its own.
    let der = sandbox.path("c.der");
    sandbox.openssl(["req", "-in", "c/request.csr", "-outform", "DER", "-out", der.to_str().unwrap()]);
    let mut forged = fs::read(&der).unwrap();
    *forged.last_mut().unwrap() ^= 1;
    sandbox.write("forged.der", forged);
    unchanged(&sandbox, "renew alice --csr forged.der --out -", 2, "signature");
    for more in ["--dry-run", "--exec true", "--reuse-key", "--all"] {
        println!("{more}");
        let before = picture(&sandbox);
        let _ = run(&sandbox, &format!("renew alice --csr c/request.csr --out - {more}")).exits(2);
        before.assert_same(&picture(&sandbox), more);
    }
    unchanged(&sandbox, "renew nobody --csr c/request.csr --out -", 2, "nobody");
    unchanged(&sandbox, "renew alice h.test --csr c/request.csr --out -", 2, "one certificate");
}
