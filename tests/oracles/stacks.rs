//! Mutual handshakes in other people's TLS stacks, each as server and as client, with
//! its own counter-proofs. The programs are in `stacks/`; each ends with "done".

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dockseal_tests::{
    Bundle, Dockerd, DockerdOptions, KEY_TYPES, MIXED_PAIRS, Pki, Ran, Sandbox, note_skip, pki, require, require_root,
    tool,
};

const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

fn script(name: &str) -> PathBuf {
    dockseal_tests::repository().join("tests/oracles/stacks").join(name)
}

/// Material of every key type, with a label each.
fn every_pki() -> Vec<(String, Arc<Pki>)> {
    let same = KEY_TYPES.iter().map(|key| (*key, *key));
    same.chain(MIXED_PAIRS).map(|(ca, leaf)| (format!("{ca} CA, {leaf} leaf"), pki(ca, leaf))).collect()
}

type Handshake = fn(&Sandbox, &str, &Pki, &Bundle) -> Ran;

fn all(handshake: Handshake) {
    let sandbox = Sandbox::new();
    for (label, pki) in every_pki() {
        done(&handshake(&sandbox, &label, &pki, &Pki::stranger().client));
    }
}

fn control(handshake: Handshake) {
    let sandbox = Sandbox::new();
    done(&handshake(&sandbox, "control", &Pki::by_openssl(), &Pki::stranger_by_openssl().client));
}

fn done(ran: &Ran) {
    assert!(ran.code == Some(0) && ran.stdout.ends_with("done\n"), "{ran}");
}

fn python(sandbox: &Sandbox, label: &str, pki: &Pki, stranger: &Bundle) -> Ran {
    let dirs = [&pki.daemon.0, &pki.client.0, &stranger.0];
    sandbox.program("python3").arg(script("handshake.py")).arg(label).args(dirs).args(NAMES).run()
}

#[test]
fn python_strict() {
    require!("python3");
    all(python);
}

#[test]
fn control_python() {
    require!("python3");
    control(python);
}

/// cryptography (PyPI), which pkilint brings along: its verifier of clients takes none without an alternative name.
fn cryptography(sandbox: &Sandbox, label: &str, pki: &Pki, stranger: &Bundle) -> Ran {
    let python = tool("lint_pkix_cert").expect("pkilint").with_file_name("python");
    let dirs = [&pki.daemon.0, &pki.client.0, &stranger.0];
    sandbox.program(python).arg(script("verifiers.py")).arg(label).args(dirs).args(NAMES).run()
}

#[test]
fn cryptography_verifiers() {
    require!("lint_pkix_cert");
    all(cryptography);
}

fn node(sandbox: &Sandbox, label: &str, pki: &Pki, stranger: &Bundle) -> Ran {
    let dirs = [&pki.daemon.0, &pki.client.0, &stranger.0];
    sandbox.program("node").arg(script("handshake.js")).arg(label).args(dirs).args(NAMES).run()
}

#[test]
fn node_tls() {
    require!("node");
    all(node);
}

#[test]
fn control_node() {
    require!("node");
    control(node);
}

fn java(sandbox: &Sandbox, stranger: &Bundle, all: &[(String, Arc<Pki>)]) -> Ran {
    let mut program = sandbox.program("java").arg(script("Handshake.java")).arg(&stranger.0).arg("localhost,127.0.0.1");
    for (label, pki) in all {
        program = program.arg(label).arg(&pki.daemon.0).arg(&pki.client.0);
    }
    program.limit(Duration::from_secs(300)).run()
}

#[test]
fn java_jsse() {
    require!("java");
    done(&java(&Sandbox::new(), &Pki::stranger().client, &every_pki()));
}

#[test]
fn control_java() {
    require!("java");
    let control = [("control".to_owned(), Pki::by_openssl())];
    done(&java(&Sandbox::new(), &Pki::stranger_by_openssl().client, &control));
}

/// docker-java's way: what Bouncy Castle reads, Java sends, unless the key is of Ed25519. Then that is advised against.
#[test]
fn java_through_bouncy_castle() {
    require!("java", "dockerd");
    require_root!();
    let jars = ["bcprov", "bcpkix", "bcutil"].map(|name| format!("/usr/share/java/{name}.jar"));
    if !jars.iter().all(|jar| Path::new(jar).is_file()) {
        note_skip("no Bouncy Castle (libbcpkix-java)");
        return;
    }
    let sandbox = Sandbox::new();
    for (pki, sends) in [(pki("p256", "p256"), true), (pki("p384", "ed25519"), false)] {
        let daemon = Dockerd::start(&DockerdOptions { material: pki.daemon.clone(), ipv6: false });
        let url = daemon.url("localhost").replace("tcp://", "https://") + "/_ping";
        let client = &pki.client.0;
        assert_eq!(daemon.docker("localhost", client, ["version"]).run().code, Some(0));
        let java = sandbox.program("java").args(["-cp", &jars.join(":")]).arg(script("BouncyCastle.java"));
        let ran = java.arg(&url).arg(client).run().success();
        assert_eq!(ran.stdout.trim() == "200", sends, "{ran}");
        assert_eq!(daemon.log().contains("client didn't provide a certificate"), !sends, "{}", daemon.log());
        let ran = sandbox.dockseal(["verify"]).arg(client).run().success();
        assert_eq!(ran.stdout.contains("advice bouncy-castle-withholds (cert.pem)"), !sends, "{ran}");
    }
}

/// `unshare --net`, which needs root's rights or user namespaces.
fn own_network(sandbox: &Sandbox) -> Option<Vec<&'static str>> {
    [vec!["--net"], vec!["--map-root-user", "--net"]]
        .into_iter()
        .find(|flags| sandbox.program("unshare").args(flags.clone()).arg("true").run().code == Some(0))
}

fn gnutls(sandbox: &Sandbox, label: &str, pki: &Pki, stranger: &Bundle) -> Ran {
    let flags = own_network(sandbox).expect("checked before");
    let dirs = [&pki.daemon.0, &pki.client.0, &stranger.0];
    let logs = sandbox.root().join("tmp");
    sandbox
        .program("unshare")
        .args(flags)
        .arg(script("handshake-gnutls.sh"))
        .arg(tool("busybox").expect("busybox"))
        .arg(label)
        .args(dirs)
        .arg(logs)
        .args(NAMES)
        .run()
}

#[test]
fn gnutls_tools() {
    require!("gnutls-serv", "gnutls-cli", "busybox", "unshare");
    if own_network(&Sandbox::new()).is_none() {
        note_skip("no network namespace for gnutls-serv, which listens on every address");
        return;
    }
    all(gnutls);
}

#[test]
fn control_gnutls() {
    require!("gnutls-serv", "gnutls-cli", "busybox", "unshare");
    if own_network(&Sandbox::new()).is_none() {
        note_skip("no network namespace for gnutls-serv, which listens on every address");
        return;
    }
    control(gnutls);
}

/// `openssl verify -x509_strict` for the right purpose says yes, for the wrong one no.
fn openssl(sandbox: &Sandbox, pki: &Pki, stranger: &Path) {
    let verify = |purpose: &str, anchors: &Path, cert: &Path, more: &[&str]| {
        let strict = ["verify", "-x509_strict", "-purpose", purpose];
        sandbox.program("openssl").args(strict).args(more).arg("-CAfile").arg(anchors).arg(cert).run()
    };
    let (daemon, client) = (&pki.daemon, &pki.client);
    for more in [["-verify_hostname", "localhost"], ["-verify_ip", "127.0.0.1"], ["-verify_ip", "::1"]] {
        let _ = verify("sslserver", &daemon.ca(), &daemon.cert(), &more).success();
    }
    let _ = verify("sslclient", &client.ca(), &client.cert(), &[]).success();
    let _ = verify("sslclient", &daemon.ca(), &daemon.cert(), &[]).failure().says("unsuitable certificate purpose");
    let _ = verify("sslserver", &client.ca(), &client.cert(), &[]).failure().says("unsuitable certificate purpose");
    let _ = verify("sslserver", &daemon.ca(), &daemon.cert(), &["-verify_hostname", "other.example.com"])
        .failure()
        .says("hostname mismatch");
    let _ = verify("sslserver", stranger, &daemon.cert(), &[]).failure().says("unable to get local issuer certificate");
}

#[test]
fn openssl_verify_strict() {
    require!("openssl");
    let sandbox = Sandbox::new();
    for (_, pki) in every_pki() {
        openssl(&sandbox, &pki, &Pki::stranger().ca);
    }
}

#[test]
fn control_openssl() {
    require!("openssl");
    openssl(&Sandbox::new(), &Pki::by_openssl(), &Pki::stranger_by_openssl().ca);
}
