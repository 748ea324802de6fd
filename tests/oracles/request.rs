//! Certificate requests: ours read by openssl, openssl's signed by us. A request asks,
//! the profile decides: nothing dangerous in it reaches the certificate.

use std::fs;

use dockseal_tests::{Bundle, KEY_TYPES, Sandbox, public_key_of_key, require, tree};

fn authority() -> Sandbox {
    let sandbox = Sandbox::new();
    let _ = sandbox.dockseal(["init", "--no-passphrase"]).run().success();
    sandbox
}

fn text(sandbox: &Sandbox, certificate: &str) -> String {
    sandbox.openssl(["x509", "-noout", "-text", "-in", certificate])
}

#[test]
fn a_key_never_travels() {
    require!("openssl");
    let sandbox = authority();
    for key in KEY_TYPES {
        let dir = format!("there-{key}");
        let _ = sandbox
            .dockseal(["request", "daemon", "localhost", "127.0.0.1", "--key", key, "--out", &dir])
            .run()
            .success();
        let csr = format!("{dir}/request.csr");
        let asked = sandbox.openssl(["req", "-verify", "-noout", "-text", "-in", &csr]);
        assert!(asked.contains("DNS:localhost, IP Address:127.0.0.1"), "{asked}");
        assert!(fs::read_to_string(sandbox.path(&csr)).unwrap().starts_with("-----BEGIN CERTIFICATE REQUEST-----"));

        let out = format!("signed-{key}");
        let issue = ["issue", "daemon", "localhost", "127.0.0.1", "--csr", &csr, "--out", &out, "--no-passphrase"];
        let _ = sandbox.dockseal(issue).run().success();
        assert_eq!(tree(&sandbox.path(&out)).paths(), ["./ca.pem", "./cert.pem"], "no key may come out of a request");
        fs::copy(sandbox.path(&dir).join("key.pem"), sandbox.path(&out).join("key.pem")).unwrap();
        Bundle(sandbox.path(&out)).assert_complete();
        assert!(text(&sandbox, &format!("{out}/cert.pem")).contains("DNS:localhost, IP Address:127.0.0.1"));
    }
}

#[test]
fn standard_streams() {
    require!("openssl");
    let sandbox = authority();
    let request = ["request", "client", "alice", "--out", "-", "--key-out", "alice-key.pem"];
    let csr = sandbox.dockseal(request).run().success().stdout;
    assert!(csr.starts_with("-----BEGIN CERTIFICATE REQUEST-----\n") && !csr.contains("PRIVATE KEY"), "{csr}");
    let issue = ["issue", "client", "alice", "--csr", "-", "--out", "-", "--no-passphrase"];
    let signed = sandbox.dockseal(issue).input(csr).run().success();
    assert!(signed.stdout.starts_with("-----BEGIN CERTIFICATE-----\n"), "{signed}");
    sandbox.write("cert.pem", &signed.stdout);
    let ca = sandbox.root().join("home/.local/share/dockseal/ca.pem");
    let verify = ["verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", ca.to_str().unwrap(), "cert.pem"];
    sandbox.openssl(verify);
    let public = dockseal_tests::public_key_of_certificate(&sandbox.path("cert.pem"));
    assert_eq!(public, public_key_of_key(&sandbox.path("alice-key.pem")));
}

/// A request by openssl for far more than anybody may have.
#[test]
fn a_greedy_request_gets_what_the_profile_allows() {
    require!("openssl");
    let sandbox = authority();
    sandbox.write(
        "greedy.cnf",
        "[req]\ndistinguished_name=dn\nprompt=no\nreq_extensions=ext\n[dn]\nO=Evil\nCN=evil.example.com\n[ext]\n\
         basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign,digitalSignature\n\
         extendedKeyUsage=serverAuth,clientAuth,codeSigning\n\
         subjectAltName=DNS:build.example.com,DNS:evil.example.com,IP:10.9.9.9,email:root@example.com\n",
    );
    sandbox.openssl("req -new -newkey rsa:2048 -nodes -keyout k.pem -out greedy.csr -config greedy.cnf".split(' '));
    let issue = ["issue", "daemon", "build.example.com", "--csr", "greedy.csr", "--out", "d", "--no-passphrase"];
    let ran = sandbox.dockseal(issue).run().success();
    let text = text(&sandbox, "d/cert.pem");
    for absent in [
        "CA:TRUE",
        "Certificate Sign",
        "CRL Sign",
        "Client Authentication",
        "Code Signing",
        "Evil",
        "evil.example.com",
        "10.9.9.9",
        "root@",
    ] {
        assert!(!text.contains(absent), "{absent} came through\n{text}");
    }
    assert!(text.contains("DNS:build.example.com") && text.contains("TLS Web Server Authentication"), "{text}");
    // What was dropped is said.
    for dropped in ["evil.example.com", "10.9.9.9"] {
        assert!(ran.stderr.contains(dropped), "nothing is said about {dropped}\n{ran}");
    }
    assert!(ran.holds("basicConstraints") || ran.holds("basic constraints") || ran.holds("CA:TRUE"), "{ran}");

    // A client's, too: the user is the command's, not the request's.
    let issue = ["issue", "client", "alice", "--csr", "greedy.csr", "--out", "c", "--no-passphrase"];
    let _ = sandbox.dockseal(issue).run().success();
    let subject = sandbox.openssl(["x509", "-noout", "-subject", "-nameopt", "RFC2253", "-in", "c/cert.pem"]);
    assert_eq!(subject, "subject=CN=alice\n");
}

#[test]
fn requests_that_are_refused() {
    require!("openssl");
    let sandbox = authority();
    let make = |name: &str, key: &str| {
        let line =
            format!("req -new -newkey {key} -nodes -keyout {name}-key.pem -out {name}.csr -outform DER -subj /CN=x");
        sandbox.openssl(line.split(' '));
        fs::read(sandbox.path(format!("{name}.csr"))).unwrap()
    };
    let pem = |name: &str, der: &[u8]| {
        sandbox.write(format!("{name}.der"), der);
        let der = format!("{name}.der");
        let body = sandbox.openssl(["base64", "-in", &der]);
        sandbox.write(
            format!("{name}.csr"),
            format!("-----BEGIN CERTIFICATE REQUEST-----\n{body}-----END CERTIFICATE REQUEST-----\n"),
        );
    };
    // The last byte of a request belongs to its signature.
    let mut forged = make("forged", "ec -pkeyopt ec_paramgen_curve:P-256");
    *forged.last_mut().unwrap() ^= 1;
    pem("forged", &forged);
    let mut forged = make("forged-rsa", "rsa:2048");
    *forged.last_mut().unwrap() ^= 1;
    pem("forged-rsa", &forged);
    let weak = make("weak", "rsa:1024");
    pem("weak", &weak);
    sandbox.write("garbage.csr", "no request at all\n");
    sandbox.write("empty.csr", "");
    let before = tree(sandbox.root());
    for name in ["forged", "forged-rsa", "weak", "garbage", "empty", "missing"] {
        let csr = format!("{name}.csr");
        let ran =
            sandbox.dockseal(["issue", "client", "alice", "--csr", &csr, "--out", "out", "--no-passphrase"]).run();
        assert!(matches!(ran.code, Some(1 | 2)), "{name}: {ran}");
        assert!(ran.stderr.contains("error: ") && ran.stderr.contains("hint:"), "{name}: {ran}");
        before.assert_same(&tree(sandbox.root()), name);
    }
}
