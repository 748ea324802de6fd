//! What people who come from other tools have: their trees, made by the steps that those tools document, are understood by
//! `inventory rebuild`, and the commands that it prints make of each certificate a place that is renewed. They are run as
//! they are printed; openssl compares what they make with what was there.

use std::fs;
use std::path::Path;

use dockseal_tests::{Bundle, Sandbox, dockseal_binary, require, tool};
use serde_json::Value;

use crate::home;

const DAEMON: &str = "subjectAltName=DNS:h.test,IP:10.0.0.5\n";
const CLIENT: &str = "extendedKeyUsage=clientAuth\n";

/// An authority as Docker's instructions make it.
fn authority(sandbox: &Sandbox, ca: &str, key: &str, subject: &str) {
    for file in [ca, key] {
        fs::create_dir_all(sandbox.path(file).parent().unwrap()).unwrap();
    }
    let line = format!("req -new -x509 -days 900 -newkey rsa:2048 -noenc -keyout {key} -out {ca} -subj {subject}");
    let _ = sandbox.openssl(line.split(' '));
}

/// A certificate of it, in one file, and its key in another.
fn leaf(sandbox: &Sandbox, [ca, ca_key]: [&str; 2], [certificate, key]: [&str; 2], subject: &str, extensions: &str) {
    fs::create_dir_all(sandbox.path(certificate).parent().unwrap()).unwrap();
    sandbox.write("extensions", extensions);
    for line in [
        format!("req -new -newkey rsa:2048 -noenc -keyout {key} -subj {subject} -out csr"),
        format!(
            "x509 -req -in csr -CA {ca} -CAkey {ca_key} -set_serial 0x{} -days 700 -extfile extensions -out {certificate}",
            certificate.bytes().map(|byte| format!("{:02x}", byte & 0x7f)).take(16).collect::<String>()
        ),
    ] {
        let _ = sandbox.openssl(line.split(' '));
    }
    for file in ["csr", "extensions"] {
        fs::remove_file(sandbox.path(file)).unwrap();
    }
}

/// Adopts the authority and has the tree looked through.
fn rebuilt(sandbox: &Sandbox, [ca, key]: [&str; 2]) -> Vec<Value> {
    let _ = sandbox.dockseal(["adopt", "--ca", ca, "--key", key, "--no-passphrase"]).run().success();
    offers(sandbox)
}

fn offers(sandbox: &Sandbox) -> Vec<Value> {
    let ran = sandbox.dockseal(["--format", "json", "inventory", "rebuild", "--replace", "."]).run().success();
    let json: Value = serde_json::from_str(&ran.stdout).unwrap();
    let mut offers = json["to_lay_out"].as_array().unwrap().clone();
    offers.sort_by_key(|offer| offer["file"].to_string());
    offers
}

/// Runs what is offered, word for word. Each is a bundle then, with the certificate that was there, and is renewed.
fn follow(sandbox: &Sandbox, offers: &[Value], expected: &[(&str, &str)]) {
    let found: Vec<(&str, &str)> =
        offers.iter().map(|offer| (offer["name"].as_str().unwrap(), offer["file"].as_str().unwrap())).collect();
    let expected: Vec<(&str, String)> =
        expected.iter().map(|(name, file)| (*name, sandbox.path(file).display().to_string())).collect();
    assert_eq!(found, expected.iter().map(|(name, file)| (*name, file.as_str())).collect::<Vec<_>>());
    std::os::unix::fs::symlink(dockseal_binary(), sandbox.path("dockseal")).unwrap();
    let path = format!("{}:{}", sandbox.work().display(), std::env::var("PATH").unwrap());
    for offer in offers {
        let (command, directory) = (offer["command"].as_str().unwrap(), offer["directory"].as_str().unwrap());
        let _ = sandbox.program("sh").env("PATH", &path).args(["-c", command]).run().success();
        let shown = |file: &Path| sandbox.openssl(["x509", "-noout", "-fingerprint", "-in", file.to_str().unwrap()]);
        let bundle = Bundle(directory.into());
        assert_eq!(shown(&bundle.cert()), shown(Path::new(offer["file"].as_str().unwrap())));
        bundle.assert_complete();
    }
    let renewed = sandbox.dockseal(["renew", "--all"]).run().success();
    for offer in offers {
        assert!(renewed.stdout.contains(offer["directory"].as_str().unwrap()), "{renewed}");
        let directory = Bundle(offer["directory"].as_str().unwrap().into());
        let [ca, cert] = [directory.ca(), directory.cert()].map(|path| path.display().to_string());
        let _ = sandbox.openssl(["verify", "-CAfile", &ca, &cert]);
    }
    let _ = sandbox.dockseal(["inventory", "check"]).run().success();
}

/// libmachine/cert/bootstrap.go and provision/utils.go: one client certificate in certs and in each machine's directory,
/// with the machine's own beside it.
#[test]
fn docker_machine() {
    require!("openssl");
    let sandbox = Sandbox::new();
    let own = ["m/certs/ca.pem", "m/certs/ca-key.pem"];
    authority(&sandbox, own[0], own[1], "/O=root.laptop");
    leaf(&sandbox, own, ["m/certs/cert.pem", "m/certs/key.pem"], "/O=root.laptop", CLIENT);
    let server = ["m/machines/build/server.pem", "m/machines/build/server-key.pem"];
    leaf(&sandbox, own, server, "/O=root.build", &format!("{DAEMON}extendedKeyUsage=serverAuth\n"));
    for name in ["ca.pem", "cert.pem", "key.pem"] {
        fs::copy(sandbox.path(format!("m/certs/{name}")), sandbox.path(format!("m/machines/build/{name}"))).unwrap();
    }
    sandbox.write("m/machines/build/config.json", "{}");
    let offers = rebuilt(&sandbox, own);
    // The client's certificate is in two directories, neither of which can be exchanged, and is laid out once.
    follow(&sandbox, &offers, &[("root.laptop", "m/certs/cert.pem"), ("h.test", server[0])]);
}

/// kekru/docker-remote-api-tls resources/create-certs.sh, before and after entrypoint.sh moves the client's files.
#[test]
fn kekru() {
    require!("openssl");
    let sandbox = Sandbox::new();
    let own = ["certs/ca-cert.pem", "certs/ca-key.pem"];
    authority(&sandbox, own[0], own[1], "/C=GB/O=ExampleCompany/CN=example.com/emailAddress=test@example.com");
    leaf(&sandbox, own, ["certs/client/cert.pem", "certs/client/key.pem"], "/CN=testClient", CLIENT);
    fs::copy(sandbox.path(own[0]), sandbox.path("certs/client/ca.pem")).unwrap();
    leaf(&sandbox, own, ["certs/client-bob-cert.pem", "certs/client-bob-key.pem"], "/CN=bob", CLIENT);
    leaf(&sandbox, own, ["certs/server-cert.pem", "certs/server-key.pem"], "/CN=h.test", DAEMON);
    let offers = rebuilt(&sandbox, own);
    // testClient is in a directory as Docker has it.
    follow(&sandbox, &offers, &[("bob", "certs/client-bob-cert.pem"), ("h.test", "certs/server-cert.pem")]);
}

/// docker-library/docker dockerd-entrypoint.sh, _tls_generate_certs: openssl's files stay beside the bundles.
#[test]
fn docker_in_docker() {
    require!("openssl");
    let sandbox = Sandbox::new();
    let own = ["certs/ca/cert.pem", "certs/ca/key.pem"];
    authority(&sandbox, own[0], own[1], "/CN=docker:dind_CA");
    for (who, subject, extensions) in
        [("client", "/CN=docker:dind_client", CLIENT), ("server", "/CN=docker:dind_server", DAEMON)]
    {
        let files = [format!("certs/{who}/cert.pem"), format!("certs/{who}/key.pem")];
        leaf(&sandbox, own, [&files[0], &files[1]], subject, extensions);
        fs::copy(sandbox.path(own[0]), sandbox.path(format!("certs/{who}/ca.pem"))).unwrap();
        for beside in ["csr.pem", "openssl.cnf"] {
            sandbox.write(format!("certs/{who}/{beside}"), "openssl's");
        }
    }
    let offers = rebuilt(&sandbox, own);
    follow(&sandbox, &offers, &[("docker:dind_client", "certs/client/cert.pem"), ("h.test", "certs/server/cert.pem")]);
    // The tree that docker:dind takes for its own, and does not sign over.
    let top = sandbox.path("certs/dockseal");
    assert_eq!(fs::read(top.join("ca/cert.pem")).unwrap(), fs::read(top.join("server/ca.pem")).unwrap());
    assert!(!top.join("ca/key.pem").exists() && top.join("client/key.pem").exists());
}

/// easy-rsa's own: pki/issued, pki/private and an index.
#[test]
fn easy_rsa() {
    require!("easyrsa", "openssl");
    let sandbox = Sandbox::new();
    let easyrsa = |line: &str| {
        let program = sandbox.program(tool("easyrsa").unwrap()).env("EASYRSA_BATCH", "1");
        program.env("EASYRSA_PKI", sandbox.path("pki")).args(line.split(' ')).run().success()
    };
    for line in [
        "init-pki",
        "--req-cn=Office build-ca nopass",
        "--subject-alt-name=DNS:h.test,IP:10.0.0.5 build-server-full h.test nopass",
        "build-client-full alice nopass",
        "build-client-full mallory nopass",
        "revoke mallory",
    ] {
        let _ = easyrsa(line);
    }
    let offers = rebuilt(&sandbox, ["pki/ca.crt", "pki/private/ca.key"]);
    follow(&sandbox, &offers, &[("alice", "pki/issued/alice.crt"), ("h.test", "pki/issued/h.test.crt")]);
    assert!(sandbox.path("pki/dockseal/client-alice/key.pem").exists());
    // They have places now; what easy-rsa keeps of before is nobody's who is to be laid out again.
    let again = self::offers(&sandbox);
    assert_eq!(again, Vec::<Value>::new());
    assert!(home(&sandbox).join("revoked-before.txt").exists());
}
