//! Files by other names than Docker's defaults: those that daemon.json gives them, and those of Docker's instructions,
//! whose commands make them here. What dockerd says to the same is expected.

use std::fs;

use dockseal_tests::{Dockerd, Sandbox, require, require_root};
use serde_json::{Value, json};

/// The directory that the commands of "Protect the Docker daemon socket" make, but for the key's size and the address.
fn by_instructions(sandbox: &Sandbox) {
    let openssl = |line: &str| sandbox.openssl(line.split_whitespace());
    fs::create_dir(sandbox.path("ssl")).unwrap();
    openssl(
        "req -new -x509 -days 365 -newkey rsa:2048 -nodes -keyout ssl/ca-key.pem -sha256 -out ssl/ca.pem -subj /CN=ca",
    );
    for (who, key, cert, extensions) in [
        ("host", "server-key.pem", "server-cert.pem", "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth\n"),
        ("client", "key.pem", "cert.pem", "extendedKeyUsage=clientAuth\n"),
    ] {
        sandbox.write("ext", extensions);
        openssl(&format!("req -subj /CN={who} -sha256 -new -newkey rsa:2048 -nodes -keyout ssl/{key} -out csr"));
        openssl(&format!(
            "x509 -req -days 365 -sha256 -in csr -CA ssl/ca.pem -CAkey ssl/ca-key.pem -CAcreateserial -out ssl/{cert} -extfile ext"
        ));
    }
}

/// daemon.json with these files, in this directory.
fn daemon_json(sandbox: &Sandbox, directory: &str, files: [&str; 3]) -> Value {
    let mut config = json!({"tlsverify": true, "deprecated-key-path": sandbox.path("trust.json")});
    for (key, file) in ["tlscacert", "tlscert", "tlskey"].into_iter().zip(files) {
        config[key] = format!("{directory}/{file}").into();
    }
    config
}

#[test]
fn names_in_daemon_json_count() {
    require!("dockerd", "docker", "openssl");
    require_root!();
    let sandbox = Sandbox::new();
    by_instructions(&sandbox);
    let here = sandbox.path("ssl");
    let mut answers = Vec::new();
    for files in [
        ["ca.pem", "server-cert.pem", "server-key.pem"],
        ["ca.pem", "sever-cert.pem", "server-key.pem"],
        ["ca.pem", "server-cert.pem", "key.pem"],
        ["ca.pm", "server-cert.pem", "server-key.pem"],
        ["ca.pem", "cert.pem", "key.pem"],
    ] {
        let config = daemon_json(&sandbox, here.to_str().unwrap(), files);
        let config = sandbox.write("running.json", config.to_string());
        let daemon = Dockerd::try_in_mode(&[format!("--config-file={}", config.display())], false);
        let expected = match &daemon {
            Err(log) => {
                assert!(log.contains("no such file") || log.contains("does not match"), "{files:?}: {log}");
                "daemon-starts"
            }
            Ok(daemon) => match daemon.docker("127.0.0.1", &here, ["version"]).run().code {
                Some(0) => "",
                _ => "client-accepts-daemon",
            },
        };
        // Meant for a host, and looked at here.
        let config = sandbox.write("meant.json", daemon_json(&sandbox, "/etc/docker/certs", files).to_string());
        let verify = sandbox.dockseal(["verify", "--format", "json", "--daemon", "ssl", "--client", "ssl"]);
        let ran = verify.args(["--host", "127.0.0.1", "--dockerd", "20.10", "--daemon-json"]).arg(config).run();
        let said: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{ran}"));
        assert_eq!(said["gate"].as_str().unwrap_or(""), expected, "{files:?}: {ran}");
        assert_eq!(ran.code, Some(i32::from(!expected.is_empty())), "{files:?}: {ran}");
        answers.push(expected);
    }
    assert_eq!(answers, ["", "daemon-starts", "daemon-starts", "daemon-starts", "client-accepts-daemon"]);
}

#[test]
fn what_the_instructions_make() {
    require!("dockerd", "docker", "openssl");
    require_root!();
    let sandbox = Sandbox::new();
    by_instructions(&sandbox);
    let here = sandbox.path("ssl");
    // The command of the instructions.
    let flag = |flag: &str, file: &str| format!("--{flag}={}", here.join(file).display());
    let start = || {
        let files = [flag("tlscacert", "ca.pem"), flag("tlscert", "server-cert.pem"), flag("tlskey", "server-key.pem")];
        Dockerd::try_in_mode(&[&["--tlsverify".to_owned()][..], &files].concat(), false)
    };
    let daemon = start().unwrap();
    let _ = daemon.docker("127.0.0.1", &here, ["version"]).run().success();
    let client = ["--client", "ssl"];
    let probed = sandbox.dockseal(["probe", &daemon.url("127.0.0.1"), "--daemon", "ssl"]).args(client).run().exits(0);
    assert!(probed.stdout.contains("cert.pem is what is served"), "{probed}");
    drop(daemon);
    let verify = |args: &[&str]| sandbox.dockseal(["verify"]).args(args).run();
    let _ = verify(&["--daemon", "ssl", "--client", "ssl", "--client-mode", "tlsverify", "--daemon-mode", "tlsverify"])
        .exits(0)
        .says("each authenticates the other");
    // Two sides in one directory, and then one.
    let both = verify(&["ssl"]).exits(0).says("2 accepted");
    assert!(both.holds("accepted  daemon  ssl") && both.holds("accepted  client  ssl"), "{both}");
    for file in ["cert.pem", "key.pem"] {
        fs::remove_file(here.join(file)).unwrap();
    }
    let _ = verify(&["ssl"]).exits(0).says("accepted  daemon  ssl");
    // Without its key dockerd does not start, and docker's file of that name is no help.
    fs::rename(here.join("server-key.pem"), here.join("key.pem")).unwrap();
    assert!(start().is_err());
    let _ = verify(&["--daemon", "ssl"]).exits(1).says("server-key.pem");
    let _ = verify(&["ssl"]).exits(1).says("refused   daemon  ssl");
}
