//! Clients with keys of every kind and size that openssl makes: the probe gets through where docker does, and says no
//! where docker is refused.

use std::fs;

use dockseal_tests::{Bundle, Dockerd, Sandbox, require, require_root};

use super::{Server, agrees_with_docker, probe};

/// An authority by openssl with a daemon of P-256 and a client of each kind: a directory of three files each.
fn mint(sandbox: &Sandbox, kinds: &[(&str, &str)]) {
    let openssl = |line: String| sandbox.openssl(line.split_whitespace());
    openssl(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout cak -out ca.pem -days 30 -subj /CN=kinds"
            .to_owned(),
    );
    sandbox.write("ext", "subjectAltName=IP:127.0.0.1\n");
    for (dir, kind) in kinds {
        fs::create_dir(sandbox.path(dir)).unwrap();
        openssl(format!("req -newkey {kind} -nodes -keyout {dir}/key.pem -out csr -subj /CN={dir}"));
        openssl(format!(
            "x509 -req -days 30 -in csr -CA ca.pem -CAkey cak -CAcreateserial -out {dir}/cert.pem -extfile ext"
        ));
        fs::copy(sandbox.path("ca.pem"), sandbox.path(format!("{dir}/ca.pem"))).unwrap();
    }
}

const KINDS: [(&str, &str); 9] = [
    ("daemon", "ec -pkeyopt ec_paramgen_curve:P-256"),
    ("p384", "ec -pkeyopt ec_paramgen_curve:P-384"),
    ("p521", "ec -pkeyopt ec_paramgen_curve:P-521"),
    ("ed25519", "ed25519"),
    ("rsa768", "rsa:768"),
    ("rsa1024", "rsa:1024"),
    ("rsa1536", "rsa:1536"),
    ("rsa3072", "rsa:3072"),
    ("rsa4608", "rsa:4608"),
];

#[test]
fn clients_keys_as_docker_proves_them() {
    require!("dockerd", "docker", "openssl");
    require_root!();
    let sandbox = Sandbox::new();
    mint(&sandbox, &KINDS);
    let mut flags = vec!["--tlsverify".to_owned()];
    flags.extend(Dockerd::file_flags(&Bundle(sandbox.path("daemon"))));
    let daemon = Dockerd::start_in_mode(&flags, false);
    let url = daemon.url("127.0.0.1");
    for (dir, _) in KINDS {
        let bundle = Bundle(sandbox.path(dir));
        let probed = probe(&sandbox, &url, &["--client", dir]);
        assert_eq!(probed.outcome(), ("works", ""), "{dir}: {}", probed.human);
        assert_eq!(probed.json["client_certificate"], "accepted", "{dir}: {}", probed.human);
        agrees_with_docker(&daemon, &bundle, &probed);
    }
    // The same keys in the forms of old tools, which docker takes as well.
    for (dir, line) in
        [("p521", "ec -in p521/key.pem -out old.pem"), ("rsa1024", "rsa -in rsa1024/key.pem -out old.pem -traditional")]
    {
        sandbox.openssl(line.split_whitespace());
        fs::rename(sandbox.path("old.pem"), sandbox.path(format!("{dir}/key.pem"))).unwrap();
        let text = fs::read_to_string(sandbox.path(format!("{dir}/key.pem"))).unwrap();
        assert!(text.contains("BEGIN EC PRIVATE KEY") || text.contains("BEGIN RSA PRIVATE KEY"), "{text}");
        let probed = probe(&sandbox, &url, &["--client", dir]);
        assert_eq!(probed.outcome(), ("works", ""), "{dir}: {}", probed.human);
    }
    // The key of another is no proof.
    fs::copy(sandbox.path("rsa1536/key.pem"), sandbox.path("rsa1024/key.pem")).unwrap();
    let _ = probe(&sandbox, &url, &["--client", "rsa1024"]).is(1, "client-loads", "is not the one for");
}

/// TLS 1.2 signs RSA in another way, and openssl is another judge of the signatures.
#[test]
fn clients_keys_before_openssl() {
    require!("openssl");
    let sandbox = Sandbox::new();
    mint(&sandbox, &KINDS);
    for version in ["-tls1_2", "-tls1_3"] {
        let more = ["-www", "-Verify", "1", "-verify_return_error", "-cipher", "DEFAULT:@SECLEVEL=0", version];
        let server = Server::openssl_with(&Bundle(sandbox.path("daemon")), &more);
        for dir in ["p521", "rsa1024", "rsa1536", "rsa4608", "rsa3072"] {
            let probed = probe(&sandbox, &server.url(), &["--client", dir]).is(2, "", "no Docker");
            assert_eq!(probed.json["client_certificate"], "accepted", "{version} {dir}: {}", probed.human);
        }
    }
}

/// Short keys on the other side.
#[test]
fn servers_with_short_keys() {
    require!("openssl");
    let sandbox = Sandbox::new();
    mint(&sandbox, &KINDS);
    for dir in ["rsa768", "rsa1024", "rsa1536", "rsa4608", "p521"] {
        let more = ["-www", "-cipher", "DEFAULT:@SECLEVEL=0"];
        let server = Server::openssl_with(&Bundle(sandbox.path(dir)), &more);
        let probed = probe(&sandbox, &server.url(), &["--client", "daemon"]);
        assert_eq!(probed.json["key_proof"], "verified", "{dir}: {}", probed.human);
    }
}
