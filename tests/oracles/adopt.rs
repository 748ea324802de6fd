//! Authorities made by the tools people have, adopted, and then used: openssl's
//! verdict on what they issue, and a real dockerd for the two commonest.
//!
//! openssl, mkcert, easy-rsa and cfssl make their own; docker-machine
//! (libmachine/cert/cert.go) and step (crypto/pemutil) are imitated in the forms they write.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use dockseal_tests::{
    Bundle, Dockerd, DockerdOptions, Sandbox, public_key_of_certificate, require, require_root, tree,
};

const PASSPHRASE: &str = "correct-horse";

/// An authority made elsewhere.
struct Foreign {
    ca: PathBuf,
    key: PathBuf,
    passphrase: Option<&'static str>,
}

impl Foreign {
    fn at(sandbox: &Sandbox, passphrase: Option<&'static str>) -> Self {
        Self { ca: sandbox.path("foreign/ca.pem"), key: sandbox.path("foreign/ca-key.pem"), passphrase }
    }
}

fn openssl(sandbox: &Sandbox, line: &str) {
    fs::create_dir_all(sandbox.path("foreign")).unwrap();
    sandbox.openssl(line.split_whitespace());
}

/// Docker's documentation, word for word but for the passphrase and the subject:
/// `openssl genrsa -aes256 -out ca-key.pem 4096`, `openssl req -new -x509 -days 365 …`.
fn docker_documentation(sandbox: &Sandbox, how: &str) -> Foreign {
    openssl(sandbox, &format!("genrsa {how} -aes256 -passout file:pass -out foreign/ca-key.pem 4096"));
    openssl(
        sandbox,
        "req -new -x509 -days 365 -key foreign/ca-key.pem -passin file:pass -sha256 -out foreign/ca.pem \
         -subj /C=AU/ST=Queensland/L=Brisbane/O=Docker/OU=Sales/CN=build.example.com",
    );
    Foreign::at(sandbox, Some(PASSPHRASE))
}

/// A root by openssl, its key then rewritten by `rewrite`.
fn rewritten(sandbox: &Sandbox, key: &str, subject: &str, rewrite: &str, passphrase: Option<&'static str>) -> Foreign {
    openssl(
        sandbox,
        &format!(
            "req -x509 -newkey {key} -nodes -keyout foreign/plain.pem -out foreign/ca.pem -days 1080 -subj {subject} \
             -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,digitalSignature,keyEncipherment,keyAgreement,keyCertSign"
        ),
    );
    openssl(sandbox, rewrite);
    Foreign::at(sandbox, passphrase)
}

fn home(sandbox: &Sandbox) -> PathBuf {
    sandbox.root().join("home/.local/share/dockseal")
}

/// Adopts, issues, and lets openssl judge. Returns the daemon's and the client's bundles.
fn adopt_and_issue(sandbox: &Sandbox, foreign: &Foreign) -> (Bundle, Bundle) {
    sandbox.write("pass", format!("{PASSPHRASE}\n"));
    let passphrase =
        if foreign.passphrase.is_some() { vec!["--passphrase-file", "pass"] } else { vec!["--no-passphrase"] };
    let run = |args: &[&str]| sandbox.dockseal(args.iter().chain(&passphrase)).run().success();
    let before = (fs::read(&foreign.ca).unwrap(), fs::read(&foreign.key).unwrap());
    let (ca, key) = (foreign.ca.to_str().unwrap(), foreign.key.to_str().unwrap());
    let _ = run(&["adopt", "--ca", ca, "--key", key]);
    assert_eq!(before, (fs::read(&foreign.ca).unwrap(), fs::read(&foreign.key).unwrap()), "adopt changed the original");

    let home = home(sandbox);
    let stored = fs::read_to_string(home.join("ca-key.pem")).unwrap();
    let label = if foreign.passphrase.is_some() { "ENCRYPTED PRIVATE KEY" } else { "PRIVATE KEY" };
    assert!(stored.starts_with(&format!("-----BEGIN {label}-----")), "kept in another form");
    assert_eq!(fs::metadata(home.join("ca-key.pem")).unwrap().permissions().mode() & 0o777, 0o400);
    let opened = sandbox
        .program("openssl")
        .args(["pkey", "-pubout", "-passin", "file:pass", "-in"])
        .arg(home.join("ca-key.pem"));
    assert_eq!(opened.run().success().stdout, public_key_of_certificate(&foreign.ca));

    let _ = run(&["issue", "daemon", "localhost", "127.0.0.1", "::1", "--out", "daemon"]);
    let _ = run(&["issue", "client", "alice", "--out", "alice"]);
    let (daemon, client) = (Bundle(sandbox.path("daemon")), Bundle(sandbox.path("alice")));
    for (bundle, purpose) in [(&daemon, "sslserver"), (&client, "sslclient")] {
        bundle.assert_complete();
        let verify = sandbox.program("openssl").args(["verify", "-purpose", purpose, "-CAfile"]);
        // Against the authority's own file, not ours.
        let _ = verify.arg(&foreign.ca).arg(bundle.cert()).run().success();
    }
    (daemon, client)
}

fn serves(daemon: Bundle, client: &Bundle) {
    let dockerd = Dockerd::start(&DockerdOptions { material: daemon, ipv6: true });
    for host in ["127.0.0.1", "[::1]", "localhost"] {
        let _ = dockerd.docker(host, &client.0, ["version"]).run().success();
    }
}

#[test]
fn docker_documentation_pkcs8() {
    require!("openssl", "dockerd", "docker");
    require_root!();
    let sandbox = Sandbox::new();
    sandbox.write("pass", format!("{PASSPHRASE}\n"));
    let foreign = docker_documentation(&sandbox, "");
    assert!(fs::read_to_string(&foreign.key).unwrap().starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"));
    let (daemon, client) = adopt_and_issue(&sandbox, &foreign);
    serves(daemon, &client);
}

#[test]
fn docker_documentation_with_an_older_openssl() {
    require!("openssl");
    let sandbox = Sandbox::new();
    sandbox.write("pass", format!("{PASSPHRASE}\n"));
    let foreign = docker_documentation(&sandbox, "-traditional");
    let pem = fs::read_to_string(&foreign.key).unwrap();
    assert!(pem.starts_with("-----BEGIN RSA PRIVATE KEY-----") && pem.contains("DEK-Info: AES-256-CBC"));
    let _ = adopt_and_issue(&sandbox, &foreign);
}

#[test]
fn docker_machine() {
    require!("openssl", "dockerd", "docker");
    require_root!();
    let sandbox = Sandbox::new();
    sandbox.write("pass", "\n");
    let rewrite = "rsa -traditional -in foreign/plain.pem -out foreign/ca-key.pem";
    let foreign = rewritten(&sandbox, "rsa:2048", "/O=root.laptop", rewrite, None);
    assert!(fs::read_to_string(&foreign.key).unwrap().starts_with("-----BEGIN RSA PRIVATE KEY-----"));
    let (daemon, client) = adopt_and_issue(&sandbox, &foreign);
    serves(daemon, &client);
}

#[test]
fn step() {
    require!("openssl");
    let sandbox = Sandbox::new();
    sandbox.write("pass", format!("{PASSPHRASE}\n"));
    let p256 = "ec -pkeyopt ec_paramgen_curve:P-256";
    let rewrite = "ec -in foreign/plain.pem -aes256 -passout file:pass -out foreign/ca-key.pem";
    let foreign = rewritten(&sandbox, p256, "/O=Smallstep/CN=Smallstep", rewrite, Some(PASSPHRASE));
    let pem = fs::read_to_string(&foreign.key).unwrap();
    assert!(pem.starts_with("-----BEGIN EC PRIVATE KEY-----") && pem.contains("DEK-Info"));
    let _ = adopt_and_issue(&sandbox, &foreign);
}

#[test]
fn mkcert() {
    require!("mkcert", "openssl");
    let sandbox = Sandbox::new();
    sandbox.write("pass", "\n");
    fs::create_dir(sandbox.path("foreign")).unwrap();
    let _ = sandbox
        .program("mkcert")
        .env("CAROOT", sandbox.path("foreign"))
        .env("TRUST_STORES", "none")
        .arg("host.test")
        .run()
        .success();
    let foreign = Foreign {
        ca: sandbox.path("foreign/rootCA.pem"),
        key: sandbox.path("foreign/rootCA-key.pem"),
        passphrase: None,
    };
    let _ = adopt_and_issue(&sandbox, &foreign);
}

fn easy_rsa(passphrase: Option<&'static str>) {
    let sandbox = Sandbox::new();
    sandbox.write("pass", format!("{PASSPHRASE}\n"));
    let easyrsa = |args: &[&str]| {
        let program = sandbox.program(dockseal_tests::tool("easyrsa").unwrap());
        let program = program
            .env("EASYRSA_BATCH", "1")
            .env("EASYRSA_PKI", sandbox.path("pki"))
            .env("EASYRSA_REQ_CN", "Office CA");
        let phrase = format!("pass:{PASSPHRASE}");
        program.env("EASYRSA_PASSOUT", &phrase).env("EASYRSA_PASSIN", &phrase).args(args).run().success()
    };
    let _ = easyrsa(&["init-pki"]);
    let _ = easyrsa(if passphrase.is_some() { &["build-ca"] } else { &["build-ca", "nopass"] });
    let foreign = Foreign { ca: sandbox.path("pki/ca.crt"), key: sandbox.path("pki/private/ca.key"), passphrase };
    let _ = adopt_and_issue(&sandbox, &foreign);
}

#[test]
fn easy_rsa_without_passphrase() {
    require!("easyrsa", "openssl");
    easy_rsa(None);
}

#[test]
fn easy_rsa_with_passphrase() {
    require!("easyrsa", "openssl");
    easy_rsa(Some(PASSPHRASE));
}

fn cfssl(key: &str, label: &str) {
    let sandbox = Sandbox::new();
    sandbox.write("pass", "\n");
    sandbox.write(
        "csr.json",
        format!(r#"{{"CN":"Office CA","key":{key},"names":[{{"O":"Office"}}],"ca":{{"expiry":"87600h"}}}}"#),
    );
    let made = sandbox.program("cfssl").args(["gencert", "-initca", "csr.json"]).run().success();
    let bundle: serde_json::Value = serde_json::from_str(&made.stdout).unwrap();
    let ca = sandbox.write("foreign/ca.pem", bundle["cert"].as_str().unwrap());
    let key = sandbox.write("foreign/ca-key.pem", bundle["key"].as_str().unwrap());
    assert!(fs::read_to_string(&key).unwrap().contains(label));
    let _ = adopt_and_issue(&sandbox, &Foreign { ca, key, passphrase: None });
}

#[test]
fn cfssl_rsa() {
    require!("cfssl", "openssl");
    cfssl(r#"{"algo":"rsa","size":2048}"#, "BEGIN RSA PRIVATE KEY");
}

#[test]
fn cfssl_ecdsa() {
    require!("cfssl", "openssl");
    cfssl(r#"{"algo":"ecdsa","size":384}"#, "BEGIN EC PRIVATE KEY");
}

/// The encryptions that openssl has written PKCS#8 keys with over the years.
#[test]
fn encrypted_pkcs8_of_every_age() {
    require!("openssl");
    let ways =
        ["-v2 aes-256-cbc", "-v2 aes-128-cbc -v2prf hmacWithSHA1", "-v2 des3", "-scrypt", "-v2 aes256 -iter 100000"];
    for way in ways {
        let sandbox = Sandbox::new();
        sandbox.write("pass", format!("{PASSPHRASE}\n"));
        let rewrite = format!("pkcs8 -topk8 {way} -in foreign/plain.pem -passout file:pass -out foreign/ca-key.pem");
        let p384 = "ec -pkeyopt ec_paramgen_curve:P-384";
        let foreign = rewritten(&sandbox, p384, "/CN=Old", &rewrite, Some(PASSPHRASE));
        println!("{way}");
        let _ = adopt_and_issue(&sandbox, &foreign);
    }
}

/// And legacy PEM encryption with the other ciphers of RFC 1423 users.
#[test]
fn legacy_pem_of_every_cipher() {
    require!("openssl");
    for cipher in ["-aes128", "-aes192", "-aes256", "-des3"] {
        let sandbox = Sandbox::new();
        sandbox.write("pass", format!("{PASSPHRASE}\n"));
        let rewrite =
            format!("rsa -traditional {cipher} -in foreign/plain.pem -passout file:pass -out foreign/ca-key.pem");
        let foreign = rewritten(&sandbox, "rsa:2048", "/CN=Old", &rewrite, Some(PASSPHRASE));
        println!("{cipher}");
        let _ = adopt_and_issue(&sandbox, &foreign);
    }
}

/// Active Directory's names have a type twice; others join attributes in one part, or are in strings of before UTF-8. Go finds
/// an issuer by the octets of its name, so a real dockerd and docker are asked; openssl of the list and the successor too.
#[test]
fn names_that_only_their_own_octets_say() {
    require!("openssl", "dockerd", "docker");
    require_root!();
    let sandbox = Sandbox::new();
    sandbox.write("pkix", "[req]\nstring_mask = pkix\ndistinguished_name = none\n[none]\n");
    openssl(
        &sandbox,
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout foreign/ca-key.pem -out foreign/ca.pem \
         -config pkix -utf8 -multivalue-rdn -subj /DC=local/DC=corp/OU=Issuing+UID=7/CN=Żółw -days 900 \
         -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign",
    );
    let foreign = Foreign::at(&sandbox, None);
    let parsed = sandbox.openssl(["asn1parse", "-in", foreign.ca.to_str().unwrap()]);
    assert!(parsed.contains("BMPSTRING"), "{parsed}");
    let (daemon, client) = adopt_and_issue(&sandbox, &foreign);
    serves(daemon, &client);
    let run = |line: &str| sandbox.dockseal(line.split(' ')).run().success();
    let _ = run("revoke alice");
    let (ca, crl) = (foreign.ca.to_str().unwrap(), home(&sandbox).join("crl.pem"));
    // openssl's verdict on a list is on the standard error of both ends.
    let list = sandbox.program("openssl").args(["crl", "-noout", "-CAfile", ca, "-in"]).arg(&crl).run().success();
    assert!(list.stderr.contains("verify OK"), "{list}");
    let _ = run("rollover begin");
    let cross = home(&sandbox).join("generation-2/cross.pem");
    let _ = sandbox.openssl(["verify", "-CAfile", ca, cross.to_str().unwrap()]);
}

/// Key trouble: refused with a reason, and nothing is kept of it.
#[test]
fn what_cannot_be_adopted() {
    require!("openssl");
    let sandbox = Sandbox::new();
    sandbox.write("pass", format!("{PASSPHRASE}\n"));
    sandbox.write("wrong", "incorrect horse\n");
    let p256 = "ec -pkeyopt ec_paramgen_curve:P-256";
    let encrypt = "ec -in foreign/plain.pem -aes256 -passout file:pass -out foreign/ca-key.pem";
    let _ = rewritten(&sandbox, p256, "/CN=One", encrypt, Some(PASSPHRASE));
    openssl(&sandbox, "ecparam -name prime256v1 -genkey -noout -out foreign/other.pem");
    openssl(
        &sandbox,
        "req -x509 -newkey rsa:2048 -nodes -keyout foreign/leaf-key.pem -out foreign/leaf.pem -subj /CN=leaf -addext basicConstraints=critical,CA:FALSE",
    );
    sandbox.write("foreign/garbage.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let before = tree(sandbox.root());
    // what is wrong, --ca, --key, how the passphrase is said, exit codes
    type Case<'a> = (&'a str, &'a str, &'a str, &'a [&'a str], &'a [i32]);
    let cases: [Case<'_>; 8] = [
        ("the key of another", "foreign/ca.pem", "foreign/other.pem", &["--no-passphrase"], &[1, 2]),
        ("encrypted, no passphrase", "foreign/ca.pem", "foreign/ca-key.pem", &[], &[2]),
        ("encrypted, none wanted", "foreign/ca.pem", "foreign/ca-key.pem", &["--no-passphrase"], &[1, 2]),
        ("encrypted, wrong passphrase", "foreign/ca.pem", "foreign/ca-key.pem", &["--passphrase-file", "wrong"], &[1]),
        ("not an authority", "foreign/leaf.pem", "foreign/leaf-key.pem", &["--no-passphrase"], &[1, 2]),
        ("not a certificate", "foreign/garbage.pem", "foreign/plain.pem", &["--no-passphrase"], &[2]),
        ("a missing file", "foreign/none.pem", "foreign/plain.pem", &["--no-passphrase"], &[2]),
        ("a key for a certificate", "foreign/plain.pem", "foreign/plain.pem", &["--no-passphrase"], &[2]),
    ];
    for (case, ca, key, more, codes) in cases {
        let ran = sandbox.dockseal(["adopt", "--ca", ca, "--key", key]).args(more).run();
        assert!(ran.code.is_some_and(|code| codes.contains(&code)), "{case}: {ran}");
        assert!(ran.stderr.contains("error: ") && ran.stderr.contains("hint:"), "{case}: {ran}");
        assert!(!ran.holds(PASSPHRASE) && !ran.holds("incorrect horse"), "{case}: the passphrase is shown\n{ran}");
        before.assert_same(&tree(sandbox.root()), case);
    }
    // The same files, rightly used: only the cases above were wrong.
    let _ = sandbox
        .dockseal(["adopt", "--ca", "foreign/ca.pem", "--key", "foreign/ca-key.pem", "--passphrase-file", "pass"])
        .run()
        .success();
}
