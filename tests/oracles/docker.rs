//! A real `dockerd --tlsverify` and the real `docker`, with issued material.
//!
//! What the client prints when it is refused varies with both versions and with
//! which side is faster (TLS 1.3 clients finish first), so the reason is read in the
//! daemon's log, where Go writes it down.

use std::fs;
use std::path::{Path, PathBuf};

use dockseal_tests::{
    Bundle, Dockerd, DockerdOptions, MIXED_PAIRS, Pki, Ran, Sandbox, busybox_image, pki, require, require_root,
};

fn daemon_with(pki: &Pki) -> Dockerd {
    Dockerd::start(&DockerdOptions { material: pki.daemon.clone(), ipv6: true })
}

/// The docker on the PATH, and Debian's if that is another one.
pub(crate) fn docker_clients() -> Vec<PathBuf> {
    let mut found = vec![dockseal_tests::tool("docker").expect("docker")];
    let debian = PathBuf::from("/usr/bin/docker");
    if debian.is_file() && debian.canonicalize().unwrap() != found[0].canonicalize().unwrap() {
        found.push(debian);
    }
    found
}

fn ask(daemon: &Dockerd, client: &Path, host: &str, certificates: &Path, what: &[&str]) -> Ran {
    let ran = daemon.sandbox().program(client).args(what);
    ran.env("DOCKER_HOST", daemon.url(host)).env("DOCKER_TLS_VERIFY", "1").env("DOCKER_CERT_PATH", certificates).run()
}

/// `docker version` and `docker info` by IPv4, IPv6 and name, with every client.
fn talks(daemon: &Dockerd, client: &Bundle) {
    for docker in docker_clients() {
        for host in ["127.0.0.1", "[::1]", "localhost"] {
            let version =
                ask(daemon, &docker, host, &client.0, &["version", "--format", "{{.Server.Version}}"]).success();
            assert!(version.stdout.trim().starts_with(|c: char| c.is_ascii_digit()), "{version}");
        }
        let info =
            ask(daemon, &docker, "127.0.0.1", &client.0, &["info", "--format", "{{.ServerVersion}} {{.Driver}}"]);
        assert!(info.clone().success().stdout.trim().ends_with(" vfs"), "{info}");
        let human = ask(daemon, &docker, "[::1]", &client.0, &["info"]).success();
        assert!(human.stdout.contains("Storage Driver: vfs"), "{human}");
    }
}

/// A container, by the explicit flags and nothing in the environment.
fn runs_a_container(daemon: &Dockerd, client: &Bundle) {
    let flags = || {
        [
            "--tlsverify".to_owned(),
            format!("--tlscacert={}", client.ca().display()),
            format!("--tlscert={}", client.cert().display()),
            format!("--tlskey={}", client.key().display()),
            "-H".to_owned(),
            daemon.url("127.0.0.1"),
        ]
    };
    let image = busybox_image(daemon.sandbox());
    let _ = daemon.plain_docker(flags()).args(["import".as_ref(), image.as_os_str(), "box:1".as_ref()]).run().success();
    let container =
        ["container", "run", "--rm", "--network", "host", "box:1", "/bin/sh", "-c", "echo hello from $((6*7))"];
    let said = daemon.plain_docker(flags()).args(container).run().success();
    assert_eq!(said.stdout, "hello from 42\n");
}

fn serves(pki: &Pki) {
    let daemon = daemon_with(pki);
    talks(&daemon, &pki.client);
}

/// The daemon refuses, and its log says why in these words.
fn is_refused(daemon: &Dockerd, certificates: &Path, reason: &str) {
    for docker in docker_clients() {
        let before = daemon.log().matches(reason).count();
        let ran = ask(daemon, &docker, "127.0.0.1", certificates, &["version"]).failure();
        let refused = [
            "bad certificate",
            "certificate required",
            "unknown certificate authority",
            "broken pipe",
            "connection reset",
        ];
        assert!(refused.iter().any(|text| ran.holds(text)), "{ran}");
        let mut after = before;
        for _ in 0..100 {
            after = daemon.log().matches(reason).count();
            if after > before {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        assert!(after > before, "{reason:?} is not in the daemon's log after\n{ran}\n{}", daemon.log());
    }
}

/// `cert.pem` and `key.pem` of one bundle with the `ca.pem` of another.
fn mixed(sandbox: &Sandbox, name: &str, anchors: &Bundle, pair: Option<&Bundle>) -> PathBuf {
    let dir = sandbox.path(name);
    fs::create_dir(&dir).unwrap();
    fs::copy(anchors.ca(), dir.join("ca.pem")).unwrap();
    if let Some(pair) = pair {
        fs::copy(pair.cert(), dir.join("cert.pem")).unwrap();
        fs::copy(pair.key(), dir.join("key.pem")).unwrap();
    }
    dir
}

fn refuses_all_others(ours: &Pki, stranger: &Pki) {
    let daemon = daemon_with(ours);
    let sandbox = daemon.sandbox();
    // The counter-proofs count only if the rightful client is let in.
    talks(&daemon, &ours.client);

    is_refused(&daemon, &mixed(sandbox, "no-certificate", &ours.client, None), "client didn't provide a certificate");
    // A Go client does not even offer a certificate of an authority the daemon did not name.
    is_refused(
        &daemon,
        &mixed(sandbox, "strangers", &ours.client, Some(&stranger.client)),
        "client didn't provide a certificate",
    );
    is_refused(&daemon, &mixed(sandbox, "daemons", &ours.client, Some(&ours.daemon)), "incompatible key usage");

    // The other way round: our client refuses a daemon of another authority ...
    let theirs = daemon_with(stranger);
    for docker in docker_clients() {
        let _ = ask(&theirs, &docker, "127.0.0.1", &ours.client.0, &["version"])
            .failure()
            .says("certificate signed by unknown authority");
    }
}

#[test]
fn control_openssl_material_is_accepted() {
    require!("dockerd", "docker", "busybox");
    require_root!();
    let pki = Pki::by_openssl();
    let daemon = daemon_with(&pki);
    talks(&daemon, &pki.client);
    runs_a_container(&daemon, &pki.client);
}

#[test]
fn control_openssl_counter_proofs_are_refused() {
    require!("dockerd", "docker");
    require_root!();
    refuses_all_others(&Pki::by_openssl(), &Pki::stranger_by_openssl());
}

macro_rules! each_key_type {
    ($($name:ident => $key:literal,)+) => {$(
        #[test]
        fn $name() {
            require!("dockerd", "docker", "busybox");
            require_root!();
            let pki = pki($key, $key);
            let daemon = daemon_with(&pki);
            talks(&daemon, &pki.client);
            runs_a_container(&daemon, &pki.client);
        }
    )+};
}
each_key_type! {
    serves_p256 => "p256",
    serves_p384 => "p384",
    serves_ed25519 => "ed25519",
    serves_rsa2048 => "rsa2048",
    serves_rsa3072 => "rsa3072",
    serves_rsa4096 => "rsa4096",
}

#[test]
fn serves_when_ca_and_leaf_keys_differ() {
    require!("dockerd", "docker");
    require_root!();
    for (ca, leaf) in MIXED_PAIRS {
        serves(&pki(ca, leaf));
    }
}

#[test]
fn counter_proofs_are_refused() {
    require!("dockerd", "docker");
    require_root!();
    refuses_all_others(&pki("p256", "p256"), &Pki::stranger());
}

#[test]
fn a_host_outside_the_names_is_refused() {
    require!("dockerd", "docker");
    require_root!();
    let sandbox = Sandbox::new();
    let _ = sandbox
        .dockseal(["bootstrap", "127.0.0.1", "--client", "alice", "--no-passphrase", "--out", "host"])
        .run()
        .success();
    let (material, client) = (Bundle(sandbox.path("host/daemon")), sandbox.path("host/clients/alice"));
    let daemon = Dockerd::start(&DockerdOptions { material, ipv6: true });
    for docker in docker_clients() {
        let _ = ask(&daemon, &docker, "127.0.0.1", &client, &["version"]).success();
        let _ = ask(&daemon, &docker, "[::1]", &client, &["version"])
            .failure()
            .says("certificate is valid for 127.0.0.1, not ::1");
        let _ = ask(&daemon, &docker, "localhost", &client, &["version"])
            .failure()
            .says("certificate is not valid for any names, but wanted to match localhost");
    }
}
