//! Certificate requests: ours read by openssl, openssl's signed by us. A request asks,
//! the profile decides: nothing dangerous in it reaches the certificate.

use std::fs;

use dockseal_tests::{Bundle, Dockerd, KEY_TYPES, Sandbox, public_key_of_key, require, tree};

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

/// ring has no P-521: openssl makes the requests, and holds the certificates against the keys.
#[test]
fn a_request_for_a_p_521_key() {
    require!("openssl");
    let sandbox = authority();
    let _ = sandbox.openssl(["ecparam", "-name", "secp521r1", "-genkey", "-noout", "-out", "key.pem"]);
    for digest in ["-sha256", "-sha384", "-sha512"] {
        let _ = sandbox.openssl(["req", "-new", "-key", "key.pem", digest, "-subj", "/CN=alice", "-out", "alice.csr"]);
        let issue = ["issue", "client", "alice", "--csr", "alice.csr", "--out", "-", "--no-passphrase"];
        let signed = sandbox.dockseal(issue).run().success();
        let _ = sandbox.write("cert.pem", &signed.stdout);
        let public = dockseal_tests::public_key_of_certificate(&sandbox.path("cert.pem"));
        assert_eq!(public, public_key_of_key(&sandbox.path("key.pem")));
    }
    // The last octet of a request is its signature's.
    let _ = sandbox.openssl(["req", "-in", "alice.csr", "-outform", "DER", "-out", "damaged.der"]);
    let mut damaged = fs::read(sandbox.path("damaged.der")).unwrap();
    *damaged.last_mut().unwrap() ^= 1;
    let _ = sandbox.write("damaged.der", damaged);
    let _ = sandbox.openssl(["req", "-inform", "DER", "-in", "damaged.der", "-out", "damaged.csr"]);
    let issue = ["issue", "client", "mallory", "--csr", "damaged.csr", "--out", "-", "--no-passphrase"];
    let _ = sandbox.dockseal(issue).run().failure().says("signature");
}

/// What the request made for a P-521 key is installed beside it, handed over, and taken by dockerd and docker.
#[test]
fn a_p_521_key_serves_and_is_served() {
    require!("openssl", "docker", "dockerd");
    let sandbox = authority();
    for (dir, key) in [
        ("daemon", "ecparam -name secp521r1 -genkey -noout"),
        ("client", "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-521"),
    ] {
        fs::create_dir(sandbox.path(dir)).unwrap();
        let made = format!("{key} -out {dir}/key.pem");
        let _ = sandbox.openssl(made.split(' '));
        let asked = format!("req -new -key {dir}/key.pem -subj /CN=x -out {dir}.csr");
        let _ = sandbox.openssl(asked.split(' '));
        let whom: &[&str] = if dir == "daemon" { &["localhost", "127.0.0.1"] } else { &["alice"] };
        let out = format!("signed-{dir}");
        let csr = format!("{dir}.csr");
        let issue = [&["issue", dir], whom, &["--csr", &csr, "--out", &out, "--no-passphrase"]].concat();
        let _ = sandbox.dockseal(issue).run().success();
        let (cert, ca) = (format!("{out}/cert.pem"), format!("{out}/ca.pem"));
        let _ = sandbox.dockseal(["install", dir, &cert, "--ca", &ca]).run().success();
        Bundle(sandbox.path(dir)).assert_complete();
        let export = ["export", dir, "--as", "p12", "--out", "out.p12", "--no-p12-passphrase"];
        let _ = sandbox.dockseal(export).run().success();
        let _ =
            sandbox.openssl(["pkcs12", "-in", "out.p12", "-passin", "pass:", "-nodes", "-nocerts", "-out", "out.pem"]);
        assert_eq!(public_key_of_key(&sandbox.path("out.pem")), public_key_of_key(&sandbox.path(dir).join("key.pem")));
        fs::remove_file(sandbox.path("out.p12")).unwrap();
    }
    let daemon = Dockerd::start_in_mode(
        &[&["--tlsverify".to_owned()][..], &Dockerd::file_flags(&Bundle(sandbox.path("daemon")))].concat(),
        false,
    );
    let _ = daemon.docker("127.0.0.1", &sandbox.path("client"), ["version"]).run().success();
    // The same key with its next certificate.
    let renewed = sandbox.dockseal(["renew", "alice", "--csr", "client.csr", "--out", "-", "--no-passphrase"]).run();
    let _ = sandbox.dockseal(["install", "client", "-"]).input(renewed.success().stdout).run().success();
    let _ = daemon.docker("127.0.0.1", &sandbox.path("client"), ["version"]).run().success();
}

/// Go 1.27 takes no certificate in which an IPv4 address or range stands as IPv6: openssl shows how they are written.
#[test]
fn addresses_mapped_to_ipv6() {
    require!("openssl");
    let sandbox = Sandbox::new();
    let init = ["init", "--no-passphrase", "--permit", "::ffff:10.0.0.0/104", "--permit", "::ffff:192.0.2.7"];
    let _ = sandbox.dockseal(init).run().success();
    let issue = ["issue", "daemon", "::ffff:10.1.2.3", "--out", "daemon", "--no-passphrase"];
    let _ = sandbox.dockseal(issue).run().success();
    let names = sandbox.openssl(["x509", "-noout", "-ext", "subjectAltName", "-in", "daemon/cert.pem"]);
    assert!(names.contains("IP Address:10.1.2.3"), "{names}");
    let constraints = sandbox.openssl(["x509", "-noout", "-ext", "nameConstraints", "-in", "daemon/ca.pem"]);
    assert!(constraints.contains("IP:10.0.0.0/255.0.0.0"), "{constraints}");
    assert!(constraints.contains("IP:192.0.2.7/255.255.255.255"), "{constraints}");
}

/// A P-521 key signs nothing here, and what one signed elsewhere counts.
#[test]
fn authorities_with_p_521_keys() {
    require!("openssl");
    let sandbox = Sandbox::new();
    let _ = sandbox.write("ca.cnf", "basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign,cRLSign\n");
    for line in [
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-521 -nodes -keyout root-key.pem -subj /CN=root -out root.pem",
        "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout below-key.pem -subj /CN=below -out below.csr",
        "x509 -req -in below.csr -CA root.pem -CAkey root-key.pem -days 20 -sha384 -extfile ca.cnf -out below.pem",
    ] {
        let _ = sandbox.openssl(line.split(' '));
    }
    let adopt = ["adopt", "--ca", "root.pem", "--key", "root-key.pem", "--no-passphrase"];
    let _ = sandbox.dockseal(adopt).run().exits(2).says("ECDSA P-521").says("P-384");
    let chain = ["below.pem", "root.pem"].map(|file| fs::read_to_string(sandbox.path(file)).unwrap()).concat();
    let _ = sandbox.write("chain.pem", chain);
    let adopt = ["adopt", "--ca", "chain.pem", "--key", "below-key.pem", "--no-passphrase"];
    let adopted = sandbox.dockseal(adopt).run().success();
    assert!(!adopted.holds("its issuer is not in the file"), "{adopted:?}");
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
