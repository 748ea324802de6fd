//! What the certificates say, read by openssl: the profile of the project's
//! specification and of RFC 5280, field by field.

use std::collections::HashSet;
use std::path::Path;

use dockseal_tests::{KEY_TYPES, Sandbox, pki, require};

fn text(sandbox: &Sandbox, certificate: &Path) -> String {
    let path = certificate.to_str().unwrap();
    sandbox.openssl(["x509", "-noout", "-text", "-nameopt", "RFC2253", "-in", path])
}

fn field(sandbox: &Sandbox, certificate: &Path, what: &[&str]) -> String {
    let mut args = vec!["x509", "-noout", "-in", certificate.to_str().unwrap()];
    args.extend(what);
    sandbox.openssl(args).trim().to_owned()
}

/// The lines of one extension, its name and criticality first.
fn extension<'a>(text: &'a str, name: &str) -> Option<Vec<&'a str>> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let at = lines.iter().position(|line| line.starts_with(&format!("{name}:")))?;
    Some(lines[at..].iter().take(2).copied().collect())
}

#[test]
fn authority_certificates() {
    require!("openssl");
    let sandbox = Sandbox::new();
    let mut subjects = HashSet::new();
    for key in KEY_TYPES {
        let ca = &pki(key, key).ca;
        let text = text(&sandbox, ca);
        assert_eq!(
            extension(&text, "X509v3 Basic Constraints").unwrap(),
            ["X509v3 Basic Constraints: critical", "CA:TRUE, pathlen:1"],
            "{text}"
        );
        assert_eq!(
            extension(&text, "X509v3 Key Usage").unwrap(),
            ["X509v3 Key Usage: critical", "Certificate Sign, CRL Sign"],
            "{text}"
        );
        assert!(extension(&text, "X509v3 Subject Key Identifier").is_some(), "{text}");
        assert!(
            extension(&text, "X509v3 Extended Key Usage").is_none(),
            "an EKU on a root restricts what Go accepts\n{text}"
        );
        assert!(!text.contains("sha1"), "{text}");
        assert!(subjects.insert(field(&sandbox, ca, &["-subject"])), "two authorities share a subject\n{text}");
        let day = 86_400;
        let nearly = (10 * 365 - 1) * day;
        field(&sandbox, ca, &["-checkend", &nearly.to_string()]);
        let beyond = (10 * 365 + 4) * day;
        let expires =
            sandbox.program("openssl").args(["x509", "-noout", "-checkend", &beyond.to_string(), "-in"]).arg(ca).run();
        assert_eq!(expires.code, Some(1), "lives longer than ten years\n{text}");
    }
}

#[test]
fn leaf_certificates() {
    require!("openssl");
    let sandbox = Sandbox::new();
    let mut serials = HashSet::new();
    for key in KEY_TYPES {
        let pki = pki(key, key);
        let subject_of_ca = field(&sandbox, &pki.ca, &["-subject", "-nameopt", "RFC2253"]);
        for (bundle, purpose) in
            [(&pki.daemon, "TLS Web Server Authentication"), (&pki.client, "TLS Web Client Authentication")]
        {
            let cert = bundle.cert();
            let text = text(&sandbox, &cert);
            let usage = if key.starts_with("rsa") && purpose.contains("Server") {
                "Digital Signature, Key Encipherment"
            } else {
                "Digital Signature"
            };
            assert_eq!(extension(&text, "X509v3 Extended Key Usage").unwrap()[1], purpose, "{text}");
            assert_eq!(extension(&text, "X509v3 Key Usage").unwrap(), ["X509v3 Key Usage: critical", usage], "{text}");
            assert!(extension(&text, "X509v3 Basic Constraints").is_none_or(|lines| lines[1] == "CA:FALSE"), "{text}");
            assert!(extension(&text, "X509v3 Subject Key Identifier").is_some(), "{text}");
            assert!(extension(&text, "X509v3 Authority Key Identifier").is_some(), "{text}");
            let issuer = field(&sandbox, &cert, &["-issuer", "-nameopt", "RFC2253"]);
            assert_eq!(issuer.strip_prefix("issuer="), subject_of_ca.strip_prefix("subject="), "{text}");

            let serial = field(&sandbox, &cert, &["-serial"]);
            let digits = serial.strip_prefix("serial=").unwrap();
            assert!(
                !digits.starts_with('-') && (16..=40).contains(&digits.len()),
                "{serial} is not 8 to 20 octets, positive"
            );
            assert!(serials.insert(digits.to_owned()), "{serial} twice");
        }
        let names =
            extension(&text(&sandbox, &pki.daemon.cert()), "X509v3 Subject Alternative Name").unwrap()[1].to_owned();
        assert_eq!(names, "DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1");
        assert_eq!(field(&sandbox, &pki.daemon.cert(), &["-subject", "-nameopt", "RFC2253"]), "subject=CN=localhost");
        assert_eq!(field(&sandbox, &pki.client.cert(), &["-subject", "-nameopt", "RFC2253"]), "subject=CN=alice");
    }
}

#[test]
fn times() {
    require!("openssl");
    let sandbox = Sandbox::new();
    let at = ["--at", "2030-06-15T12:00:00Z"];
    let run = |args: &[&str]| sandbox.dockseal(args.iter().copied().chain(at)).run().success();
    let _ = run(&["init", "--no-passphrase", "--lifetime", "2y"]);
    let _ = run(&["issue", "client", "a", "--no-passphrase", "--lifetime", "90d", "--out", "a"]);
    let ca = sandbox.root().join("home/.local/share/dockseal/ca.pem");
    let dates = |path: &Path| field(&sandbox, path, &["-dates", "-dateopt", "iso_8601"]);
    let of_ca = dates(&ca);
    assert!(of_ca.ends_with("notAfter=2032-06-14 12:00:00Z"), "{of_ca}");
    let leaf = dates(&sandbox.path("a/cert.pem"));
    assert!(leaf.ends_with("notAfter=2030-09-13 12:00:00Z"), "{leaf}");

    // Later, the five minutes of backdating show; and no leaf outlives its CA.
    let at = ["--at", "2032-01-01T00:00:00Z"];
    let out = ["issue", "client", "b", "--no-passphrase", "--out", "b"];
    let clamped = sandbox.dockseal(out.iter().chain(&at)).run().success();
    assert!(clamped.holds("2032-06-14"), "the clamp is not said\n{clamped}");
    let leaf = dates(&sandbox.path("b/cert.pem"));
    assert_eq!(leaf, "notBefore=2031-12-31 23:55:00Z\nnotAfter=2032-06-14 12:00:00Z");
}

#[test]
fn a_name_longer_than_a_common_name_stays_in_the_sans() {
    require!("openssl");
    let sandbox = Sandbox::new();
    let long = format!("{}.{}.example.com", "a".repeat(40), "b".repeat(40));
    let _ =
        sandbox.dockseal(["bootstrap", &long, "--client", "alice", "--no-passphrase", "--out", "host"]).run().success();
    let cert = sandbox.path("host/daemon/cert.pem");
    assert!(!field(&sandbox, &cert, &["-subject"]).contains(&long));
    let verify =
        ["verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname", &long, "-CAfile", "host/daemon/ca.pem"];
    sandbox.openssl(verify.iter().chain(&["host/daemon/cert.pem"]));
}

#[test]
fn an_encrypted_authority_key_opens_with_openssl() {
    require!("openssl");
    let sandbox = Sandbox::new();
    for key in ["p256", "rsa2048", "ed25519"] {
        sandbox.write("pass", "correct horse\nsecond line\n");
        let home = sandbox.path(key);
        let _ = sandbox
            .dockseal(["init", "--key", key, "--passphrase-file", "pass"])
            .env("DOCKSEAL_AUTHORITY", &home)
            .run()
            .success();
        let path = home.join("ca-key.pem");
        let pem = std::fs::read_to_string(&path).unwrap();
        assert!(pem.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"), "{key}");
        let pkey =
            |pass: &str| sandbox.program("openssl").args(["pkey", "-pubout", "-passin", pass, "-in"]).arg(&path).run();
        let public = pkey("pass:correct horse").success().stdout;
        let _ = pkey("pass:correct horsE").failure();
        assert_eq!(public, dockseal_tests::public_key_of_certificate(&home.join("ca.pem")));
        let parsed = sandbox.openssl(["asn1parse", "-in", path.to_str().unwrap()]);
        assert!(parsed.contains("PBES2"), "{parsed}");
        let strong = ["1.3.6.1.4.1.11591.4.11", "scrypt", "PBKDF2"];
        assert!(strong.iter().any(|kdf| parsed.contains(kdf)), "{parsed}");
    }
}
