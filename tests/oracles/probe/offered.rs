//! What docker puts into a handshake of odd files, and what the probe does: the same octets, and the same answer.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use dockseal_tests::{Bundle, Dockerd, Pki, Sandbox, pki, require, require_root};

use super::{Server, agrees_with_docker, probe, utf8};

/// A client's files after something happened to them.
struct Odd {
    name: &'static str,
    cert: Vec<u8>,
    key: Vec<u8>,
}

/// What editors, mail programs and copying make of two files.
fn odd_files(pki: &Pki) -> Vec<Odd> {
    let read = |path: PathBuf| fs::read_to_string(path).unwrap();
    let (cert, key, ca) = (read(pki.client.cert()), read(pki.client.key()), read(pki.ca.clone()));
    let block = |label: &str, inside: &str| format!("-----BEGIN {label}-----\n{inside}-----END {label}-----\n");
    let lines: Vec<&str> = ca.lines().collect();
    let some_lines_lost = [&lines[..4], &lines[lines.len() - 1..]].concat().join("\n") + "\n";
    let inside = lines[1..lines.len() - 1].join("\n") + "\n";
    let odd = |name, cert: String, key: &str| Odd { name, cert: cert.into_bytes(), key: key.as_bytes().to_vec() };
    vec![
        odd("as-it-is", cert.clone(), &key),
        odd("with-its-ca", format!("{cert}{ca}"), &key),
        odd("lines-lost", format!("{cert}{some_lines_lost}"), &key),
        odd("no-certificate", format!("{cert}{}", block("CERTIFICATE", "AAECAwQFBgcICQ==\n")), &key),
        odd("empty-block", format!("{cert}{}", block("CERTIFICATE", "")), &key),
        odd("no-base64", format!("{cert}{}", block("CERTIFICATE", "?\n")), &key),
        odd("no-base64-and-ca", format!("{cert}{}{ca}", block("CERTIFICATE", "?\n")), &key),
        odd(
            "other-labels",
            format!("{}{key}{cert}{}", block("X509 CERTIFICATE", &inside), block("CERTIFICATE ", &inside)),
            &key,
        ),
        odd("headers", format!("{cert}{}", block("CERTIFICATE", &format!("a: b\n\n{inside}"))), &key),
        odd("byte-order-mark", format!("\u{feff}{cert}{ca}"), &key),
        odd("twice-after-a-mark", format!("\u{feff}{cert}{cert}"), &key),
        odd("on-one-line", format!("{cert}{}{ca}", ca.trim_end()), &key),
        odd("another-first", format!("{ca}{cert}"), &key),
        odd("cut-off", format!("{cert}{}", lines[..4].join("\n")), &key),
        odd("key-after-damage", cert.clone(), &format!("{}{key}", block("EC PARAMETERS", "?\n"))),
        odd("key-of-another-label", cert.clone(), &key.replace("PRIVATE KEY", "DOCKER PRIVATE KEY")),
        odd("key-indented", cert.clone(), &key.replace('\n', "\n ")),
    ]
}

fn written(sandbox: &Sandbox, odd: &Odd, pki: &Pki) -> Bundle {
    let dir = sandbox.path(odd.name);
    fs::create_dir(&dir).unwrap();
    fs::copy(&pki.ca, dir.join("ca.pem")).unwrap();
    fs::write(dir.join("cert.pem"), &odd.cert).unwrap();
    fs::write(dir.join("key.pem"), &odd.key).unwrap();
    Bundle(dir)
}

#[test]
fn odd_files_before_dockerd() {
    require!("dockerd", "docker");
    require_root!();
    let (pki, sandbox) = (pki("p256", "p256"), Sandbox::new());
    let mut flags = vec!["--tlsverify".to_owned()];
    flags.extend(Dockerd::file_flags(&pki.daemon));
    let daemon = Dockerd::start_in_mode(&flags, false);
    let mut answers = BTreeSet::new();
    for odd in odd_files(&pki) {
        let client = written(&sandbox, &odd, &pki);
        let docker = daemon.docker("127.0.0.1", &client.0, ["version"]).run();
        let probed = probe(&sandbox, &daemon.url("127.0.0.1"), &["--client", odd.name]);
        let works = docker.code == Some(0);
        assert_eq!(probed.human.code, Some(if works { 0 } else { 1 }), "{}\n{docker}\n{}", odd.name, probed.human);
        agrees_with_docker(&daemon, &client, &probed);
        answers.insert((works, probed.text("/verdict/gate").to_owned()));
    }
    // Each answer there is, or the files are not odd enough.
    let gates = ["", "client-loads", "daemon-accepts-client"];
    assert_eq!(answers.len(), gates.len(), "{answers:?}");
    assert!(answers.iter().all(|(works, gate)| gates.contains(&gate.as_str()) && *works == gate.is_empty()));
}

/// The longest Certificate message that openssl was sent, from the protocol that it writes.
fn certificate_message(protocol: &str) -> Vec<String> {
    let messages = protocol.split("<<< ").filter(|message| {
        message.lines().next().is_some_and(|line| line.contains("Handshake") && line.ends_with(", Certificate"))
    });
    let octets = messages.map(|message| {
        let lines = message.lines().skip(1).take_while(|line| line.starts_with("    "));
        lines.flat_map(str::split_whitespace).map(str::to_owned).collect::<Vec<_>>()
    });
    octets.max_by_key(Vec::len).unwrap_or_default()
}

#[test]
fn odd_files_octet_for_octet() {
    require!("docker", "openssl");
    let (pki, sandbox) = (pki("p256", "p256"), Sandbox::new());
    let protocol = sandbox.path("protocol");
    let mut sent = BTreeSet::new();
    for odd in odd_files(&pki) {
        let client = written(&sandbox, &odd, &pki);
        for version in ["-tls1_3", "-tls1_2"] {
            let server = || {
                let _ = fs::remove_file(&protocol);
                Server::openssl(&[version, "-rev", "-verify", "3", "-msg", "-msgfile", utf8(&protocol)])
            };
            let message = || certificate_message(&fs::read_to_string(&protocol).unwrap());
            let listening = server();
            let mut docker = sandbox.program("docker").args(["--tlsverify", "-H", &listening.url()]);
            for (flag, path) in [("cacert", client.ca()), ("cert", client.cert()), ("key", client.key())] {
                docker = docker.arg(format!("--tls{flag}={}", path.display()));
            }
            let docker = docker.arg("version").run();
            drop(listening);
            let by_docker = message();
            let listening = server();
            let probed = probe(&sandbox, &listening.url(), &["--client", odd.name]);
            drop(listening);
            // Without a certificate there are the probe's other handshakes, with an empty message.
            let by_probe = Some(message()).filter(|message| message.len() > 8).unwrap_or_default();
            assert_eq!(by_probe, by_docker, "{} {version}\n{docker}\n{}", odd.name, probed.human);
            sent.insert(by_docker);
        }
    }
    assert!(sent.len() > 10, "{} kinds of messages", sent.len());
}
