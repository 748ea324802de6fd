//! What differs between generations of Docker, beside the docker on the PATH and the dockerd of the machine.

use std::fs;

use dockseal_tests::{Bundle, Dockerd, Ran, Sandbox, require, require_root};

use super::{Probed, Server, probe};

/// An authority, and a directory with a certificate of it for each name, key and extensions.
fn mint(sandbox: &Sandbox, leaves: &[(&str, &str, &str)]) {
    let openssl = |line: String| sandbox.openssl(line.split_whitespace());
    let p256 = "ec -pkeyopt ec_paramgen_curve:P-256";
    openssl(format!("req -x509 -newkey {p256} -nodes -keyout cak -out ca.pem -days 30 -subj /CN=generations"));
    for (dir, kind, extensions) in leaves {
        fs::create_dir(sandbox.path(dir)).unwrap();
        sandbox.write("ext", extensions);
        openssl(format!("req -newkey {kind} -nodes -keyout {dir}/key.pem -out csr -subj /CN={dir}"));
        openssl(format!(
            "x509 -req -days 30 -in csr -CA ca.pem -CAkey cak -CAcreateserial -out {dir}/cert.pem -extfile ext"
        ));
        fs::copy(sandbox.path("ca.pem"), sandbox.path(format!("{dir}/ca.pem"))).unwrap();
    }
}

const P256: &str = "ec -pkeyopt ec_paramgen_curve:P-256";

fn docker(sandbox: &Sandbox, url: &str, dir: &str) -> Ran {
    let docker = sandbox.program(dockseal_tests::tool("docker").unwrap()).args(["-H", url, "version"]);
    docker.env("DOCKER_TLS_VERIFY", "1").env("DOCKER_CERT_PATH", sandbox.path(dir)).run()
}

fn differs(probed: &Probed, text: &str) -> bool {
    let differences = probed.json["version_differences"].as_array().unwrap();
    differences.iter().any(|line| line.as_str().unwrap().contains(text))
}

/// A bare `*` fits a host of one label for go1.19 and for no later one (docker-facts 3.1).
#[test]
fn a_bare_asterisk() {
    require!("openssl", "docker");
    let sandbox = Sandbox::new();
    mint(&sandbox, &[("daemon", P256, "subjectAltName=DNS:*\n"), ("client", P256, "extendedKeyUsage=clientAuth\n")]);
    let server = Server::openssl_with(&Bundle(sandbox.path("daemon")), &["-www"]);
    let url = format!("tcp://localhost:{}", server.port);
    let of = |version: &str| probe(&sandbox, &url, &["--client", "client", "--docker", version]);
    for version in ["28.2.2", "29"] {
        let probed = of(version).is(1, "client-accepts-daemon", "not for localhost");
        assert!(differs(&probed, "docker 20.10 would not refuse it"), "{}", probed.human);
        assert!(probed.human.stderr.contains("docker 20.10 would not"), "{}", probed.human);
    }
    let probed = of("20.10").is(2, "", "no Docker");
    assert!(differs(&probed, "docker 28 would refuse it") && differs(&probed, "docker 29 would refuse it"));
    // docker 28 is the witness.
    let docker = docker(&sandbox, &url, "client");
    assert!(docker.holds("certificate is valid for *, not localhost"), "{docker}");
    // Without --docker it is the newest.
    assert_eq!(probe(&sandbox, &url, &["--client", "client"]).json["docker_version"], "29");
    let ran = sandbox.dockseal(["probe", &url, "--docker", "1.2"]).run();
    assert!(ran.code == Some(2) && ran.stderr.contains("no version of Docker"), "{ran}");
}

/// docker before 29 has no ChaCha20 in TLS 1.2.
#[test]
fn a_suite_that_only_29_has() {
    require!("openssl", "docker");
    let sandbox = Sandbox::new();
    mint(
        &sandbox,
        &[("daemon", P256, "subjectAltName=IP:127.0.0.1\n"), ("client", P256, "extendedKeyUsage=clientAuth\n")],
    );
    let more = ["-www", "-tls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305"];
    let server = Server::openssl_with(&Bundle(sandbox.path("daemon")), &more);
    let probed = probe(&sandbox, &server.url(), &["--client", "client"]).is(2, "", "no Docker");
    assert!(differs(&probed, "docker before 29 offers AES-GCM alone"), "{}", probed.human);
    for version in ["20.10", "28"] {
        let _ = probe(&sandbox, &server.url(), &["--client", "client", "--docker", version]).is(
            1,
            "handshake",
            "handshake_failure",
        );
    }
    let docker = docker(&sandbox, &server.url(), "client");
    assert!(docker.code == Some(1) && docker.holds("handshake failure"), "{docker}");
}

/// dockerd 20.10 takes a client's RSA key of 768 bits, dockerd 29 does not (docker-facts 3.1).
#[test]
fn a_key_that_the_next_daemon_refuses() {
    require!("dockerd", "docker", "openssl");
    require_root!();
    let sandbox = Sandbox::new();
    let client = "extendedKeyUsage=clientAuth\n";
    mint(
        &sandbox,
        &[
            ("daemon", P256, "subjectAltName=IP:127.0.0.1\n"),
            ("short", "rsa:768", client),
            ("long", "rsa:2048", client),
        ],
    );
    let mut flags = vec!["--tlsverify".to_owned()];
    flags.extend(Dockerd::file_flags(&Bundle(sandbox.path("daemon"))));
    let daemon = Dockerd::start_in_mode(&flags, false);
    let url = daemon.url("127.0.0.1");
    let version =
        daemon.docker("127.0.0.1", &sandbox.path("short"), ["version", "--format", "{{.Server.Version}}"]).run();
    assert!(version.clone().success().stdout.starts_with("20.10"), "the daemon of this test is Debian's: {version}");
    let probed = probe(&sandbox, &url, &["--client", "short"]);
    assert_eq!(probed.outcome(), ("works", ""), "{}", probed.human);
    assert!(differs(&probed, "dockerd 29 would refuse the client's certificate"), "{}", probed.human);
    assert!(!differs(&probed, "dockerd 28"), "{}", probed.human);
    let probed = probe(&sandbox, &url, &["--client", "long"]);
    assert_eq!(probed.json["version_differences"].as_array().unwrap().len(), 0, "{}", probed.human);
}
