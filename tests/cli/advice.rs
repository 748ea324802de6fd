//! What `dockseal verify` says of material that Docker takes, beside its verdict.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use dockseal_tests::{Bundle, KEY_TYPES, Pki, Program, Sandbox, pki, require};
use serde_json::{Value, json};

/// The answer, which must be this.
fn answer(program: Program, code: i32) -> Value {
    let ran = program.args(["--format", "json", "--host", "localhost"]).run().exits(code);
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}\n{ran}"))
}

fn verify(sandbox: &Sandbox, daemon: &Path, client: &Path) -> Program {
    sandbox.dockseal(["verify", "--daemon"]).arg(daemon).arg("--client").arg(client)
}

/// The findings of a check: side, file, text.
fn of(answer: &Value, check: &str) -> Vec<(Value, Value, String)> {
    let findings = answer["findings"].as_array().unwrap().iter().filter(|finding| finding["check"] == check);
    findings
        .map(|finding| (finding["side"].clone(), finding["file"].clone(), finding["text"].as_str().unwrap().to_owned()))
        .collect()
}

/// A directory like this one that a test may spoil.
fn copy(sandbox: &Sandbox, name: &str, from: &Bundle) -> PathBuf {
    let to = sandbox.path(name);
    fs::create_dir(&to).unwrap();
    fs::set_permissions(&to, fs::Permissions::from_mode(0o755)).unwrap();
    for (file, mode) in [("ca.pem", 0o644), ("cert.pem", 0o644), ("key.pem", 0o600)] {
        fs::write(to.join(file), fs::read(from.0.join(file)).unwrap()).unwrap();
        fs::set_permissions(to.join(file), fs::Permissions::from_mode(mode)).unwrap();
    }
    to
}

#[test]
fn our_own_issuer_needs_none() {
    let sandbox = Sandbox::new();
    for key in KEY_TYPES {
        let pki = pki(key, key);
        let answer = answer(verify(&sandbox, &pki.daemon.0, &pki.client.0), 0);
        let found = answer["findings"].as_array().unwrap().iter();
        let checks: Vec<&str> = found.map(|finding| finding["check"].as_str().unwrap()).collect();
        // tests/oracles/stacks.rs has the Java that does so.
        let expected: &[&str] = if key == "ed25519" { &["bouncy-castle-withholds"] } else { &[] };
        assert_eq!(checks, expected, "{key}");
    }
}

/// The commands of Docker's documentation (engine/security/protect-access.md), without passphrase.
fn documented(sandbox: &Sandbox, bits: &str) {
    let openssl = |args: &str| drop(sandbox.openssl(args.split(' ')));
    openssl(&format!("genrsa -out ca-key.pem {bits}"));
    openssl("req -new -x509 -days 365 -key ca-key.pem -sha256 -out ca.pem -subj /CN=documented");
    for (side, extensions) in [
        ("daemon", "subjectAltName = DNS:localhost,IP:127.0.0.1\nextendedKeyUsage = serverAuth\n"),
        ("client", "extendedKeyUsage = clientAuth\n"),
    ] {
        let _ = sandbox.write(format!("{side}/extfile.cnf"), extensions);
        openssl(&format!("genrsa -out {side}/key.pem 2048"));
        openssl(&format!("req -subj /CN={side} -sha256 -new -key {side}/key.pem -out {side}/csr"));
        openssl(&format!(
            "x509 -req -days 365 -sha256 -in {side}/csr -CA ca.pem -CAkey ca-key.pem -CAcreateserial -out {side}/cert.pem -extfile {side}/extfile.cnf"
        ));
        let _ = fs::copy(sandbox.path("ca.pem"), sandbox.path(side).join("ca.pem")).unwrap();
    }
}

#[test]
fn the_documented_recipe_is_refused_elsewhere() {
    require!("openssl");
    let sandbox = Sandbox::new();
    documented(&sandbox, "2048");
    let answer = answer(verify(&sandbox, &sandbox.path("daemon"), &sandbox.path("client")), 0);
    let text = "strict OpenSSL (Python since 3.13) refuses what Docker takes: a CA has no keyUsage".to_owned();
    let expected = ["client", "daemon"].map(|side| (json!(side), json!("ca"), text.clone()));
    assert_eq!(of(&answer, "other-stacks-refuse"), expected);
    assert_eq!(answer["outcome"], "accepted", "advice never changes a verdict");
    // Alone, the files of the side that is there are named.
    for side in ["daemon", "client"] {
        let alone = sandbox.dockseal(["verify", &format!("--{side}")]).arg(sandbox.path(side));
        let expected = [(json!(side), json!("ca"), text.clone())];
        assert_eq!(of(&self::answer(alone, 0), "other-stacks-refuse"), expected);
    }
}

#[test]
fn a_weak_ca_is_named() {
    require!("openssl");
    let sandbox = Sandbox::new();
    documented(&sandbox, "1024");
    let answer = answer(verify(&sandbox, &sandbox.path("daemon"), &sandbox.path("client")), 0);
    let text = "the key of the CA \"documented\" is RSA 1024".to_owned();
    let expected = ["client", "daemon"].map(|side| (json!(side), json!("ca"), text.clone()));
    assert_eq!(of(&answer, "weak-key"), expected);
    let others = of(&answer, "other-stacks-refuse");
    assert!(others.iter().any(|(_, _, text)| text.contains("Python (security level 2) and rustls")), "{others:?}");
}

#[test]
fn what_others_may_read_or_write() {
    let sandbox = Sandbox::new();
    let pki = pki("p256", "p256");
    let sides = [copy(&sandbox, "daemon", &pki.daemon), copy(&sandbox, "client", &pki.client)];
    let ask = || answer(verify(&sandbox, &sides[0], &sides[1]), 0);
    assert_eq!(ask()["findings"], json!([]));
    let with_mode = |path: &Path, mode: u32| {
        let before = fs::metadata(path).unwrap().permissions();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        let answer = ask();
        fs::set_permissions(path, before).unwrap();
        answer
    };
    for (side, folder) in ["daemon", "client"].into_iter().zip(&sides) {
        for mode in [0o640, 0o604, 0o444] {
            let loose = of(&with_mode(&folder.join("key.pem"), mode), "key-readable-by-others");
            assert_eq!(loose.len(), 1);
            assert_eq!((&loose[0].0, &loose[0].1), (&json!(side), &json!("key")), "{mode:o}");
        }
        for file in ["ca", "cert", "key"] {
            let path = folder.join(format!("{file}.pem"));
            let writable = of(&with_mode(&path, 0o602), "world-writable");
            assert_eq!(writable.len(), 1, "{path:?}");
            assert_eq!((&writable[0].0, &writable[0].1), (&json!(side), &json!(file)));
        }
        let writable = of(&with_mode(folder, 0o777), "world-writable");
        assert_eq!(writable.len(), 1, "said once, not for each file");
        assert_eq!((&writable[0].0, &writable[0].1), (&json!(side), &Value::Null));
        assert_eq!(with_mode(folder, 0o1777)["findings"], json!([]), "nobody removes others' files there");
        // Each directory by itself says it as well.
        fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).unwrap();
        let _ = sandbox.dockseal(["verify"]).arg(folder).run().exits(0).says("world-writable");
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

#[test]
fn an_empty_ca_trusts_everybody_and_that_is_said() {
    let sandbox = Sandbox::new();
    let pki = pki("p256", "p256");
    let (daemon, client) = (pki.daemon.0.display(), pki.client.0.display());
    let pair = |folder: &dyn std::fmt::Display| format!("--tlscert={folder}/cert.pem --tlskey={folder}/key.pem");
    let daemon_json = |more: &str| {
        let text = format!(
            "{{\"tlsverify\": true, \"tlscert\": \"{daemon}/cert.pem\", \"tlskey\": \"{daemon}/key.pem\"{more}}}"
        );
        sandbox.write(format!("daemon{}.json", more.len()), text)
    };
    let start = || sandbox.dockseal(["verify"]);
    let flags = |flags: String| start().arg("--dockerd-flags").arg(flags);
    let with_client = |program: Program| program.arg("--client").arg(&pki.client.0);
    let host = "-H tcp://0.0.0.0:2376";
    for (program, side) in [
        (start().arg("--daemon-json").arg(daemon_json("")), "daemon"),
        (start().arg("--daemon-json").arg(daemon_json(", \"tlscacert\": \"\"")), "daemon"),
        (with_client(start().arg("--daemon-json").arg(daemon_json(", \"debug\": true"))), "daemon"),
        (flags(format!("--tlsverify --tlscacert= {} {host}", pair(&daemon))), "daemon"),
        (with_client(flags(format!("--tls --tlscacert= {} {host}", pair(&daemon)))), "daemon"),
        (start().arg("--daemon").arg(&pki.daemon.0).args(["--daemon-ca", ""]), "daemon"),
        (with_client(start().arg("--daemon").arg(&pki.daemon.0).args(["--daemon-ca", ""])), "daemon"),
        (with_client(start()).args(["--client-ca", ""]), "client"),
        (with_client(start()).args(["--client-ca", ""]).arg("--daemon").arg(&pki.daemon.0), "client"),
        (start().arg("--docker-flags").arg(format!("--tlsverify --tlscacert= {}", pair(&client))), "client"),
    ] {
        let ran = program.args(["--format", "json"]).run();
        let answer: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}\n{ran}"));
        let said = of(&answer, "system-roots-trusted");
        assert!(said.iter().any(|(of, file, _)| *of == json!(side) && *file == "ca"), "{side}\n{ran}");
    }
}

#[test]
fn a_certificate_that_stays_at_home_says_whose_it_is() {
    let sandbox = Sandbox::new();
    let (pki, stranger) = (Pki::by_openssl(), Pki::stranger_by_openssl());
    let client = copy(&sandbox, "client", &stranger.client);
    fs::write(client.join("ca.pem"), fs::read(&pki.ca).unwrap()).unwrap();
    let answer = answer(verify(&sandbox, &pki.daemon.0, &client), 1);
    let text = "docker sends no certificate: the daemon lists \"CN=openssl\", and the client's was issued by \"CN=openssl-stranger\"";
    let expected = [(json!("client"), json!("cert"), text.to_owned())];
    assert_eq!(of(&answer, "client-certificate-withheld"), expected);
}
