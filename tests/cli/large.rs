//! `dockseal verify` on files of a hundred megabytes: answered as Docker would, within 256 MiB of memory.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dockseal_tests::{Pki, Program, Ran, Random, Sandbox, dockseal_binary, pki};
use serde_json::Value;

const HUNDRED_MEGABYTES: usize = 100_000_000;

/// dockseal with no more than 256 MiB of address space, which is more than it may hold in memory.
fn confined(sandbox: &Sandbox, args: &[&str]) -> Program {
    let program = sandbox.program("sh").args(["-c", "ulimit -v 262144 && exec \"$0\" \"$@\""]);
    // Generous for a busy machine; a second is usual.
    program.arg(dockseal_binary()).arg("verify").args(args).limit(Duration::from_secs(60))
}

fn garbage(sandbox: &Sandbox) -> PathBuf {
    let mut random = Random::seeded(7);
    let bytes: Vec<u8> = (0..HUNDRED_MEGABYTES / 8).flat_map(|_| random.bits().to_ne_bytes()).collect();
    sandbox.write("garbage", bytes)
}

fn begin_lines(sandbox: &Sandbox) -> PathBuf {
    const LINE: &str = "-----BEGIN CERTIFICATE-----\n";
    sandbox.write("begin-lines", LINE.repeat(HUNDRED_MEGABYTES / LINE.len()))
}

/// A hundred thousand certificates that differ in their serial numbers, then one as it was.
fn many_certificates(sandbox: &Sandbox, one: &Path) -> PathBuf {
    let pem = fs::read_to_string(one).unwrap();
    let at = pem.find('\n').unwrap() + 1;
    // Bytes 18 to 23 of the DER, in the middle of the serial number, are these letters of the base 64.
    let (head, tail) = (&pem[..at + 24], &pem[at + 32..]);
    let mut text = String::new();
    for number in 0..100_000 {
        write!(text, "{head}{number:08}{tail}").unwrap();
    }
    sandbox.write("many-certificates", text + &pem)
}

/// Asks with one file of one side, or of both, in the place of the good one.
fn ask(sandbox: &Sandbox, pki: &Pki, sides: &[&str], name: &str, file: &Path) -> Ran {
    let mut args = vec!["--host".to_owned(), "localhost".to_owned(), "--format".to_owned(), "json".to_owned()];
    for (side, good) in [("daemon", &pki.daemon), ("client", &pki.client)] {
        args.extend([format!("--{side}"), good.0.display().to_string()]);
        if sides.contains(&side) {
            args.extend([format!("--{side}-{name}"), file.display().to_string()]);
        }
    }
    confined(sandbox, &args.iter().map(String::as_str).collect::<Vec<_>>()).run()
}

/// Where it is refused and by which checks; nothing where it is accepted.
fn refusal(ran: &Ran) -> (String, Vec<String>) {
    let answer: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}\n{ran}"));
    let checks = answer["checks"].as_array().unwrap();
    let checks = checks.iter().map(|check| check.as_str().unwrap().to_owned()).collect();
    (answer["gate"].as_str().unwrap_or_default().to_owned(), checks)
}

#[test]
fn a_hundred_megabytes_of_garbage_in_every_file() {
    let sandbox = Sandbox::new();
    let pki = pki("p256", "p256");
    for file in [garbage(&sandbox), begin_lines(&sandbox)] {
        for (side, gate) in [("daemon", "daemon-starts"), ("client", "client-loads")] {
            for (name, check) in [("ca", "ca-unusable"), ("cert", "certificate-missing"), ("key", "key-missing")] {
                let ran = ask(&sandbox, &pki, &[side], name, &file).exits(1);
                assert_eq!(refusal(&ran), (gate.to_owned(), vec![check.to_owned()]), "{side} {name}\n{ran}");
            }
        }
        let (file, good) = (file.to_str().unwrap(), pki.daemon.cert());
        let good = good.to_str().unwrap();
        let _ = confined(&sandbox, &["--chain", file, "--ca", good, "--purpose", "server"]).run().exits(1);
        let _ = confined(&sandbox, &["--chain", good, "--ca", file, "--purpose", "server"]).run().exits(1);
    }
}

#[test]
fn a_hundred_thousand_certificates_in_every_file() {
    let sandbox = Sandbox::new();
    let pki = pki("p256", "p256");
    let many = many_certificates(&sandbox, &pki.daemon.ca());
    let copy = sandbox.path("copy");
    fs::copy(&many, &copy).unwrap();
    let refused = |sides: &[&str], name: &str, gate: &str, check: &str| {
        let ran = ask(&sandbox, &pki, sides, name, &many).exits(1);
        assert_eq!(refusal(&ran), (gate.to_owned(), vec![check.to_owned()]), "{sides:?} {name}\n{ran}");
    };
    // The names of that many CAs do not fit into the daemon's CertificateRequest; a client has no such limit.
    refused(&["daemon"], "ca", "handshake", "message-too-large");
    refused(&["daemon", "client"], "ca", "handshake", "message-too-large");
    let ran = ask(&sandbox, &pki, &["client"], "ca", &many).exits(0);
    assert_eq!(refusal(&ran), (String::new(), vec![]), "{ran}");
    // Equal files are held once.
    let args = ["--daemon-mode", "tlsverify=false", "--client-mode", "tlsverify", "--host", "localhost"];
    let sides = ["--daemon", pki.daemon.0.to_str().unwrap(), "--client", pki.client.0.to_str().unwrap()];
    let files = ["--daemon-ca", copy.to_str().unwrap(), "--client-ca", many.to_str().unwrap()];
    let _ = confined(&sandbox, &[&args[..], &sides, &files].concat()).run().exits(0);
    // The first certificate is not the one for the key.
    refused(&["daemon"], "cert", "daemon-starts", "key-mismatch");
    refused(&["client"], "cert", "client-loads", "key-mismatch");
    refused(&["daemon"], "key", "daemon-starts", "key-missing");
    refused(&["client"], "key", "client-loads", "key-missing");
    let chain = |chain: &Path, ca: &Path| {
        let files = ["--chain", chain.to_str().unwrap(), "--ca", ca.to_str().unwrap()];
        confined(&sandbox, &[&files[..], &["--purpose", "server", "--host", "localhost"]].concat()).run()
    };
    let _ = chain(&pki.daemon.cert(), &many).exits(0);
    let _ = chain(&many, &pki.daemon.ca()).exits(1).says("message-too-large");
    // As one of many directories.
    let directory = sandbox.path("client");
    fs::create_dir(&directory).unwrap();
    for name in ["cert.pem", "key.pem"] {
        fs::copy(pki.client.0.join(name), directory.join(name)).unwrap();
    }
    std::os::unix::fs::symlink(&many, directory.join("ca.pem")).unwrap();
    let _ = confined(&sandbox, &[directory.to_str().unwrap()]).run().exits(0);
}

#[test]
fn what_is_too_large_to_be_read_is_not_told() {
    let sandbox = Sandbox::new();
    let pki = pki("p256", "p256");
    let large = sandbox.path("large");
    fs::File::create(&large).unwrap().set_len(300 << 20).unwrap();
    for side in ["daemon", "client"] {
        for name in ["ca", "cert", "key"] {
            let ran = ask(&sandbox, &pki, &[side], name, &large).exits(2);
            assert_eq!(refusal(&ran).1, ["file-unavailable"], "{side} {name}\n{ran}");
            let _ = ran.says("192 MiB");
        }
    }
    let (large, good) = (large.to_str().unwrap(), pki.daemon.cert());
    let good = good.to_str().unwrap();
    let _ = confined(&sandbox, &["--chain", large, "--ca", good, "--purpose", "server"]).run().exits(2).says("192 MiB");
    let _ = confined(&sandbox, &["--daemon-json", large]).run().exits(2).says("KiB");
}
