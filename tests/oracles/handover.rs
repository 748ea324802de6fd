//! `--as p12`: opened by OpenSSL, Java's keytool and NSS, for every kind of key, and used by each of them for a handshake
//! with a real dockerd. The control is a .p12 made by openssl alone.

use std::fs;
use std::path::Path;
use std::time::Duration;

use dockseal_tests::{
    Bundle, Dockerd, DockerdOptions, KEY_TYPES, Pki, Ran, Sandbox, pki, public_key_of_certificate, public_key_of_key,
    require, require_root,
};

const PASSPHRASE: &str = "it's \"correct\" $horse";
const PASSFILE: &str = "passphrase";

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write(PASSFILE, format!("{PASSPHRASE}\n"));
    sandbox
}

fn export(sandbox: &Sandbox, bundle: &Bundle, file: &str) -> Ran {
    let ran = sandbox.dockseal(["export"]).arg(&bundle.0).args(["--as", "p12", "--out", file]);
    ran.args(["--p12-passphrase-file", PASSFILE]).run().success()
}

/// What OpenSSL takes out of it is what the directory has; and it names what it is encrypted with.
fn openssl_opens(sandbox: &Sandbox, bundle: &Bundle, file: &str) {
    let out = |flags: &[&str]| {
        let open = ["pkcs12", "-in", file, "-passin", "file:passphrase", "-nodes"];
        sandbox.openssl(open.iter().chain(flags))
    };
    let fingerprints = |pem: &str| -> Vec<String> {
        let mut found: Vec<String> = pem
            .split_inclusive("-----END CERTIFICATE-----")
            .filter(|block| block.contains("BEGIN CERTIFICATE"))
            .map(|block| {
                sandbox
                    .program("openssl")
                    .args(["x509", "-noout", "-fingerprint", "-sha256"])
                    .input(block)
                    .run()
                    .success()
                    .stdout
            })
            .collect();
        found.sort();
        found
    };
    let read = |path: &Path| fs::read_to_string(path).unwrap();
    assert_eq!(fingerprints(&out(&["-nokeys", "-clcerts"])), fingerprints(&read(&bundle.cert())));
    assert_eq!(fingerprints(&out(&["-nokeys", "-cacerts"])), fingerprints(&read(&bundle.ca())));
    let key = sandbox.write("key-of-p12.pem", out(&["-nocerts"]));
    assert_eq!(public_key_of_key(&key), public_key_of_certificate(&bundle.cert()));
    let info =
        sandbox.program("openssl").args(["pkcs12", "-info", "-noout", "-passin", "file:passphrase", "-in", file]);
    let info = info.run().success().stderr;
    assert!(info.contains("MAC: sha256") && info.contains("Shrouded Keybag: PBES2, PBKDF2, AES-256-CBC"), "{info}");
    assert_eq!(info.matches("PRF hmacWithSHA256").count(), 2, "{info}");
    let wrong = sandbox.program("openssl").args(["pkcs12", "-noout", "-passin", "pass:wrong", "-in", file]).run();
    let _ = wrong.failure().says("invalid password");
}

/// keytool finds a key with its chain up to the CA, and the CA as one that is trusted.
fn keytool_opens(sandbox: &Sandbox, file: &str) {
    let list = ["-list", "-v", "-keystore", file, "-storepass:file", PASSFILE];
    let said = sandbox.program("keytool").args(list).limit(Duration::from_secs(120)).run().success().stdout;
    assert!(said.contains("Keystore type: PKCS12") && said.contains("contains 2 entries"), "{said}");
    assert!(said.contains("PrivateKeyEntry") && said.contains("Certificate chain length: 2"), "{said}");
    assert!(said.contains("trustedCertEntry"), "{said}");
}

fn nss_import(sandbox: &Sandbox, file: &str, database: &str) -> Ran {
    fs::create_dir(sandbox.path(database)).unwrap();
    let _ = sandbox.program("certutil").args(["-N", "-d", database, "--empty-password"]).run().success();
    sandbox.program("pk12util").args(["-i", file, "-d", database, "-w", PASSFILE, "-K", ""]).run()
}

/// NSS 3.87 has no Ed25519 in PKCS#12: it says so, and so do we.
const NOT_FOR_NSS: &str = "ed25519";

#[test]
fn every_kind_of_key_is_opened_by_all() {
    require!("openssl", "keytool", "pk12util", "certutil");
    for kind in KEY_TYPES {
        let (sandbox, pki) = (sandbox(), pki(kind, kind));
        let ran = export(&sandbox, &pki.client, "a client.p12");
        openssl_opens(&sandbox, &pki.client, "a client.p12");
        keytool_opens(&sandbox, "a client.p12");
        let imported = nss_import(&sandbox, "a client.p12", "nss");
        assert_eq!(imported.code == Some(0), kind != NOT_FOR_NSS, "{kind}: {imported}");
        assert_eq!(ran.stderr.contains("NSS"), kind == NOT_FOR_NSS, "{ran}");
        let keys = sandbox.program("certutil").args(["-K", "-d", "nss"]).run();
        assert_eq!(keys.stdout.contains("alice"), kind != NOT_FOR_NSS, "{kind}: {keys}");
    }
    let sandbox = sandbox();
    let _ = export(&sandbox, &Pki::by_openssl().client, "theirs.p12");
    openssl_opens(&sandbox, &Pki::by_openssl().client, "theirs.p12");
}

/// During a roll-over there are two anchors, and both are in it.
#[test]
fn both_anchors_of_a_roll_over_are_in_it() {
    require!("openssl", "keytool");
    let sandbox = sandbox();
    for line in ["init --no-passphrase", "issue client alice --out alice", "rollover begin", "rollover advance"] {
        let _ = sandbox.dockseal(line.split(' ')).run().success();
    }
    let _ = export(&sandbox, &Bundle(sandbox.path("alice")), "alice.p12");
    let list = ["-list", "-keystore", "alice.p12", "-storepass:file", PASSFILE];
    let said = sandbox.program("keytool").args(list).run().success().stdout;
    assert_eq!(said.matches("trustedCertEntry").count(), 2, "{said}");
    let cas = sandbox.openssl(["pkcs12", "-in", "alice.p12", "-passin", "file:passphrase", "-nokeys", "-cacerts"]);
    // The cross-signed certificate of the chain is a third.
    assert_eq!(cas.matches("BEGIN CERTIFICATE").count(), 3, "{cas}");
}

/// Passphrases that are not ASCII: OpenSSL and NSS take them, Java takes none such, which is said.
#[test]
fn passphrases_beyond_ascii() {
    require!("openssl", "keytool", "pk12util", "certutil");
    let sandbox = Sandbox::new();
    sandbox.write(PASSFILE, "pässwörd €\n");
    let ran = export(&sandbox, &pki("p256", "p256").client, "a.p12");
    assert!(ran.stderr.contains("Java opens no .p12"), "{ran}");
    openssl_opens(&sandbox, &pki("p256", "p256").client, "a.p12");
    let _ = nss_import(&sandbox, "a.p12", "nss").success();
    let list = ["-list", "-keystore", "a.p12", "-storepass:file", PASSFILE];
    let _ = sandbox.program("keytool").args(list).run().failure();
    // Not ours alone: of one that openssl makes, Java says the same.
    let client = &pki("p256", "p256").client;
    let ran =
        sandbox.program("openssl").args(["pkcs12", "-export", "-passout", "file:passphrase", "-out", "theirs.p12"]);
    let _ = ran.arg("-in").arg(client.cert()).arg("-inkey").arg(client.key()).run().success();
    let list = ["-list", "-keystore", "theirs.p12", "-storepass:file", PASSFILE];
    let _ = sandbox.program("keytool").args(list).run().failure();
}

#[test]
fn each_of_them_talks_to_dockerd_with_it() {
    require!("dockerd", "containerd", "docker", "openssl", "java", "curl", "pk12util", "certutil", "tstclnt");
    require_root!();
    let pki = pki("p256", "p256");
    let daemon = Dockerd::start(&DockerdOptions { material: pki.daemon.clone(), ipv6: true });
    let sandbox = sandbox();
    let _ = export(&sandbox, &pki.client, "alice.p12");
    let url = format!("https://localhost:{}/version", daemon.port());
    let answers = |ran: &Ran| assert!(ran.stdout.contains("ApiVersion"), "{ran}");

    // Java: nothing but the file, as key store and as trust store.
    let dial = dockseal_tests::repository().join("tests/oracles/handover/Dial.java");
    let java = sandbox.program("java").arg(dial).args(["alice.p12", PASSPHRASE, &url]);
    answers(&java.limit(Duration::from_secs(120)).run().success());

    // OpenSSL, by way of curl, which takes the client's part out of it; the CA's as OpenSSL does.
    let cas = sandbox.openssl(["pkcs12", "-in", "alice.p12", "-passin", "file:passphrase", "-nokeys", "-cacerts"]);
    sandbox.write("ca.pem", cas);
    let curl =
        ["--silent", "--cert-type", "P12", "--cert", "alice.p12", "--pass", PASSPHRASE, "--cacert", "ca.pem", &url];
    answers(&sandbox.program("curl").args(curl).run().success());
    let without = sandbox.program("curl").args(["--silent", "--cacert", "ca.pem", &url]).run();
    let _ = without.failure();

    // NSS: its database, with the CA marked as trusted there as NSS wants it.
    let _ = nss_import(&sandbox, "alice.p12", "nss").success();
    let listed = sandbox.program("certutil").args(["-L", "-d", "nss"]).run().success().stdout;
    let nickname = |mark: &str| -> String {
        let line =
            listed.lines().find(|line| line.trim_end().ends_with(mark)).unwrap_or_else(|| panic!("{mark}: {listed}"));
        line.trim_end().strip_suffix(mark).unwrap().trim().to_owned()
    };
    let (own, ca) = (nickname("u,u,u"), nickname(",,"));
    let _ = sandbox.program("certutil").args(["-M", "-d", "nss", "-t", "CT,C,C", "-n", &ca]).run().success();
    let port = daemon.port().to_string();
    let nss = ["-h", "localhost", "-p", &port, "-d", "nss", "-n", &own, "-V", "tls1.2:tls1.3", "-A", "request"];
    sandbox.write("request", "GET /version HTTP/1.0\r\nHost: localhost\r\n\r\n");
    answers(&sandbox.program("tstclnt").args(nss).limit(Duration::from_secs(60)).run());

    // docker itself, with what OpenSSL takes out of it.
    let client = sandbox.path("taken out");
    fs::create_dir(&client).unwrap();
    for (name, flags) in [("key.pem", "-nocerts"), ("cert.pem", "-clcerts"), ("ca.pem", "-cacerts")] {
        let open = ["pkcs12", "-in", "alice.p12", "-passin", "file:passphrase", "-nodes", flags];
        let more = if name == "key.pem" { None } else { Some("-nokeys") };
        fs::write(client.join(name), sandbox.openssl(open.iter().copied().chain(more))).unwrap();
    }
    let version = daemon.docker("localhost", &client, ["version", "--format", "{{.Server.Version}}"]).run().success();
    assert!(!version.stdout.trim().is_empty(), "{version}");
}
