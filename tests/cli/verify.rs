//! `dockseal verify` and `explain`: what Docker will do, held against what it did.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use dockseal_tests::{Pki, Program, Ran, Sandbox, pki};
use serde_json::Value;

fn json(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}\n{ran}"))
}

/// The binary with a daemon's and a client's directory.
fn verify(sandbox: &Sandbox, daemon: &Path, client: &Path, more: &[&str]) -> Ran {
    let (daemon, client) = (daemon.to_str().unwrap(), client.to_str().unwrap());
    sandbox.dockseal(["verify", "--daemon", daemon, "--client", client]).args(more).run()
}

/// A copy of a side's three files that a test may break.
fn copy(sandbox: &Sandbox, name: &str, from: &Path) -> PathBuf {
    let to = sandbox.path(name);
    copy_some(from, &to, &["ca.pem", "cert.pem", "key.pem"]);
    to
}

fn copy_some(from: &Path, to: &Path, files: &[&str]) {
    fs::create_dir_all(to).unwrap();
    for file in files {
        let bytes = fs::read(from.join(file)).unwrap();
        let _ = fs::remove_file(to.join(file));
        fs::write(to.join(file), bytes).unwrap();
    }
}

/// The checks that refuse.
fn refusing(answer: &Value) -> Vec<&str> {
    answer["checks"].as_array().unwrap().iter().map(|check| check.as_str().unwrap()).collect()
}

fn checks(answer: &Value) -> Vec<&str> {
    answer["findings"].as_array().unwrap().iter().map(|finding| finding["check"].as_str().unwrap()).collect()
}

/// What a client and a daemon in these modes come to.
const TABLE: [(&str, [&str; 4]); 9] = [
    ("no TLS options", ["plain", "same-protocol", "same-protocol", "same-protocol"]),
    ("--tls", ["same-protocol", "client-offers-certificate", "client-offers-certificate", "encrypted"]),
    ("--tls, cert, key", ["same-protocol", "client", "client", "encrypted"]),
    ("--tlsverify, CA", ["same-protocol", "client-offers-certificate", "client-offers-certificate", "daemon"]),
    ("--tlsverify, CA, cert, key", ["same-protocol", "mutual", "mutual", "daemon"]),
    ("DOCKER_TLS, DOCKER_CERT_PATH", ["same-protocol", "client", "client", "encrypted"]),
    ("DOCKER_TLS_VERIFY, DOCKER_CERT_PATH", ["same-protocol", "mutual", "mutual", "daemon"]),
    ("context", ["same-protocol", "mutual", "mutual", "daemon"]),
    ("context, skip-tls-verify", ["same-protocol", "client", "client", "encrypted"]),
];

#[test]
fn good_material_has_dockers_table() {
    let sandbox = Sandbox::new();
    for (pki, more) in
        [(pki("p256", "p256"), &[][..]), (Pki::by_openssl(), &["--docker", "20.10", "--dockerd", "20.10"])]
    {
        let args = [&["--host", "localhost", "--format", "json"], more].concat();
        let ran = verify(&sandbox, &pki.daemon.0, &pki.client.0, &args).success();
        let answer = json(&ran);
        assert_eq!(answer["schema"], 1);
        let modes = answer["modes"].as_array().unwrap();
        let mut cells = modes.iter();
        for (client, row) in TABLE {
            for (expected, daemon) in row.into_iter().zip(["none", "tls", "tlsverify", "tlsverify=false"]) {
                let cell = cells.next().unwrap();
                assert_eq!((cell["client"].as_str(), cell["daemon_mode"].as_str()), (Some(client), Some(daemon)));
                let authenticated = (&cell["daemon_authenticated"], &cell["client_authenticated"]);
                let word = match cell["gate"].as_str() {
                    Some(gate) => gate,
                    None => match (authenticated.0.as_bool().unwrap(), authenticated.1.as_bool().unwrap()) {
                        (true, true) => "mutual",
                        (true, false) => "daemon",
                        (false, true) => "client",
                        (false, false) if cell["encrypted"] == true => "encrypted",
                        (false, false) => "plain",
                    },
                };
                assert_eq!(word, expected, "{client} with dockerd {daemon}");
            }
        }
        assert!(cells.next().is_none());
        // The six modes of Docker's documentation, of which three are taught wrongly.
        let taught = answer["taught"].as_array().unwrap();
        let wrong: Vec<&str> = taught
            .iter()
            .filter(|lesson| lesson["holds"] == false)
            .map(|lesson| lesson["check"].as_str().unwrap())
            .collect();
        assert_eq!(taught.len(), 6);
        assert_eq!(wrong, ["daemon-tls-verifies", "daemon-not-verified", "daemon-not-verified"]);
    }
}

#[test]
fn what_no_docker_has_answered_is_marked_in_text_and_json() {
    let sandbox = Sandbox::new();
    let pki = pki("p256", "p256");
    let ask = |more: &[&str]| verify(&sandbox, &pki.daemon.0, &pki.client.0, more);
    let _ = ask(&["--docker", "go1.27"]).exits(0).says("docker go1.27 (from Go, not yet from a docker) tlsverify");
    let _ = ask(&["--docker", "go1.27.3", "--dockerd", "go1.28"]).exits(2).says("and not go1.27");
    let answer = json(&ask(&["--docker", "go1.27", "--format", "json"]).exits(0));
    assert_eq!((answer["docker"].as_str(), answer["docker_is_from_go_alone"].as_bool()), (Some("go1.27"), Some(true)));
    assert_eq!((answer["dockerd"].as_str(), answer["dockerd_is_from_go_alone"].as_bool()), (Some("29"), Some(false)));
}

#[test]
fn exit_codes_follow_the_modes_asked_for() {
    let sandbox = Sandbox::new();
    let pki = pki("p256", "p256");
    let stranger = Pki::stranger();
    let ask = |client: &Path, more: &[&str]| verify(&sandbox, &pki.daemon.0, client, more).code.unwrap();
    let (own, other) = (&pki.client.0, &stranger.client.0);
    assert_eq!(ask(own, &[]), 0);
    assert_eq!(ask(own, &["--host", "elsewhere.test"]), 1);
    assert_eq!(ask(own, &["--host", "elsewhere.test", "--client-mode", "tls"]), 0, "--tls verifies nobody");
    assert_eq!(ask(other, &[]), 1);
    assert_eq!(ask(other, &["--client-mode", "tls"]), 1, "dockerd still wants a certificate of its CA");
    assert_eq!(ask(other, &["--client-mode", "tls", "--daemon-mode", "tlsverify=false"]), 0);
    assert_eq!(ask(own, &["--client-mode", "none", "--daemon-mode", "none"]), 0);
    assert_eq!(ask(own, &["--client-mode", "none"]), 1);
    assert_eq!(ask(own, &["--daemon-mode", "none"]), 1);
    assert_eq!(ask(own, &["--at", "2099-01-01T00:00:00Z"]), 1);
    assert_eq!(ask(own, &["--docker", "19.03"]), 2);
    let alone = |more: &[&str]| sandbox.dockseal(["verify"]).args(more).run();
    let _ = alone(&["--daemon", "nowhere"]).exits(2).says("hint:");
    let _ = alone(&["--client-mode", "tls", "--daemon", pki.daemon.0.to_str().unwrap()]).exits(2).says("--client");
    // Without TLS a side reads no file, so that none need be named: Docker's own answers of these modes.
    let (daemon, client) = (pki.daemon.0.to_str().unwrap(), own.to_str().unwrap());
    let _ = alone(&["--daemon", daemon, "--client-mode", "none"]).exits(1).says("protocols-differ");
    let _ = alone(&["--daemon", daemon, "--client-mode", "none", "--daemon-mode", "none"]).exits(0);
    let _ = alone(&["--client", client, "--daemon-mode", "none"]).exits(1).says("protocols-differ");
    let _ = alone(&["--client", client, "--daemon-mode", "none", "--client-mode", "none"]).exits(0);
    let flags = "-H tcp://localhost:2376 --tls --tlscacert= --tlscert= --tlskey=";
    let _ = alone(&["--docker-flags", flags, "--daemon-mode", "none"]).exits(1).says("protocols-differ");
    let _ = alone(&["--docker-flags", "-H tcp://localhost:2375", "--daemon-mode", "none"]).exits(0);
    let _ = alone(&["--client-mode", "none", "--daemon-mode", "none"]).exits(0);
    let _ = alone(&["--client-mode", "none", "--daemon-mode", "tls"]).exits(2).says("--daemon DIR");
    let _ = alone(&["--daemon", daemon, "--host", "::1"]).exits(0);
    let _ = alone(&["--daemon", pki.daemon.0.to_str().unwrap(), "--host", "::2"]).exits(1).says("host-mismatch");
    let _ = alone(&["--client", own.to_str().unwrap()]).exits(0);
}

#[test]
fn broken_material_is_refused_where_docker_refuses_it() {
    let sandbox = Sandbox::new();
    let pki = pki("p256", "p256");
    let stranger = Pki::stranger();
    // What is broken, how, the gate, and the check.
    type Break = fn(&Path, &Path);
    let cases: [(&str, Break, &str, &str); 9] = [
        ("daemon", |dir, _| fs::remove_file(dir.join("ca.pem")).unwrap(), "daemon-starts", "file-unavailable"),
        ("daemon", |dir, _| fs::remove_file(dir.join("key.pem")).unwrap(), "daemon-starts", "file-unavailable"),
        ("daemon", |dir, _| fs::write(dir.join("cert.pem"), "").unwrap(), "daemon-starts", "certificate-missing"),
        ("daemon", |dir, other| copy_some(other, dir, &["key.pem"]), "daemon-starts", "key-mismatch"),
        (
            "daemon",
            |dir, other| copy_some(other, dir, &["ca.pem"]),
            "client-offers-certificate",
            "client-certificate-withheld",
        ),
        ("client", |dir, _| fs::remove_file(dir.join("ca.pem")).unwrap(), "client-loads", "file-unavailable"),
        ("client", |dir, _| fs::write(dir.join("ca.pem"), "\u{1b}[2J garbage").unwrap(), "client-loads", "ca-unusable"),
        (
            "client",
            |dir, _| fs::remove_file(dir.join("cert.pem")).unwrap(),
            "client-offers-certificate",
            "client-certificate-missing",
        ),
        ("client", |dir, other| copy_some(other, dir, &["ca.pem"]), "client-accepts-daemon", "unknown-authority"),
    ];
    for (number, (side, break_it, gate, check)) in cases.into_iter().enumerate() {
        let daemon = copy(&sandbox, &format!("{number}/daemon"), &pki.daemon.0);
        let client = copy(&sandbox, &format!("{number}/client"), &pki.client.0);
        let (broken, other) =
            if side == "daemon" { (&daemon, &stranger.daemon.0) } else { (&client, &stranger.client.0) };
        break_it(broken, other);
        let ran = verify(&sandbox, &daemon, &client, &["--host", "localhost", "--format", "json"]).exits(1);
        let answer = json(&ran);
        assert_eq!((answer["gate"].as_str(), refusing(&answer)), (Some(gate), vec![check]), "case {number}\n{ran}");
        let text = verify(&sandbox, &daemon, &client, &["--host", "localhost"]).exits(1).says(check).says("do:");
        assert!(!text.stdout.contains('\u{1b}'), "{text}");
    }
}

#[test]
fn odd_files_are_answered() {
    let sandbox = Sandbox::new();
    let pki = pki("p256", "p256");
    let client = copy(&sandbox, "client", &pki.client.0);
    let key = client.join("key.pem");
    let good = fs::read(&key).unwrap();
    let ask = || verify(&sandbox, &pki.daemon.0, &client, &["--host", "localhost", "--format", "json"]);
    let replace = |make: &dyn Fn()| {
        let _ = fs::remove_file(&key);
        let _ = fs::remove_dir(&key);
        make();
    };
    replace(&|| fs::create_dir(&key).unwrap());
    assert_eq!(refusing(&json(&ask().exits(1))), ["file-unavailable"]);
    replace(&|| drop(sandbox.program("mkfifo").arg(&key).run().success()));
    assert_eq!(refusing(&json(&ask().exits(1))), ["file-unavailable"]);
    replace(&|| std::os::unix::fs::symlink(&key, &key).unwrap());
    assert_eq!(refusing(&json(&ask().exits(1))), ["file-unavailable"]);
    replace(&|| std::os::unix::fs::symlink("/dev/zero", &key).unwrap());
    assert_eq!(refusing(&json(&ask().exits(1))), ["file-unavailable"]);
    replace(&|| fs::write(&key, vec![b'x'; 17 << 20]).unwrap());
    assert_eq!(refusing(&json(&ask().exits(1))), ["key-missing"]);
    replace(&|| fs::write(&key, &good).unwrap());
    assert!(checks(&json(&ask().exits(0))).contains(&"key-readable-by-others"));
}

#[test]
fn files_named_one_by_one_must_be_there() {
    let sandbox = Sandbox::new();
    let pki = pki("p256", "p256");
    let ask = |args: &[&str]| {
        let daemon = pki.daemon.0.to_str().unwrap();
        let file = |name: &str| pki.client.0.join(name).to_str().unwrap().to_owned();
        let args: Vec<String> = args
            .iter()
            .map(|arg| if ["ca.pem", "cert.pem", "key.pem"].contains(arg) { file(arg) } else { (*arg).to_owned() })
            .collect();
        let base = ["verify", "--daemon", daemon, "--host", "localhost", "--format", "json"];
        json(&sandbox.dockseal(base).args(args).run())
    };
    let all = ["--client-ca", "ca.pem", "--client-cert", "cert.pem", "--client-key", "key.pem"];
    assert_eq!(ask(&all)["outcome"], "accepted");
    // A default file that is missing is passed over, a named one is not.
    let without = ask(&all[..4]);
    assert_eq!(without["gate"], "client-offers-certificate");
    let missing = ask(&["--client-ca", "ca.pem", "--client-cert", "cert.pem", "--client-key", "nope.pem"]);
    assert_eq!(missing["gate"], "client-loads");
    let ca_only = ask(&["--client-ca", "ca.pem", "--client-mode", "tlsverify", "--daemon-mode", "tlsverify=false"]);
    assert_eq!(ca_only["outcome"], "accepted");
    assert_eq!(ca_only["client_mode"], "tlsverify");
    assert_eq!(ca_only["daemon_authenticated"], true);
}

#[test]
fn alone_it_judges_what_docker_would_use() {
    let sandbox = Sandbox::new();
    let pki = pki("p256", "p256");
    let config = sandbox.root().join("home/.docker");
    let alone = |variables: &[(&str, &str)]| {
        let mut program = sandbox.dockseal(["verify", "--format", "json"]);
        for (name, value) in variables {
            program = program.env(name, value);
        }
        program.run()
    };
    let endpoint = |answer: &Value| answer["client_settings"]["endpoints"][0].as_str().unwrap().to_owned();
    let nothing = json(&alone(&[]).exits(0));
    assert_eq!(endpoint(&nothing), "unix:///var/run/docker.sock");
    let client = pki.client.0.to_str().unwrap();
    let mutual = [("DOCKER_HOST", "tcp://localhost:2376"), ("DOCKER_TLS_VERIFY", "1"), ("DOCKER_CERT_PATH", client)];
    assert_eq!(json(&alone(&mutual).exits(0))["client_mode"], "tlsverify+cert");
    // DOCKER_CERT_PATH turns nothing on, and DOCKER_TLS verifies nobody.
    let plain = json(&alone(&[mutual[0], mutual[2]]).exits(1));
    assert!(checks(&plain).contains(&"not-mutual") && checks(&plain).contains(&"setting-passed-over"));
    let _ = alone(&[mutual[0], ("DOCKER_TLS", "1"), mutual[2]]).exits(1).says("does not verify");
    assert_eq!(json(&alone(&[mutual[0], mutual[1]]).exits(1))["gate"], "client-loads", "~/.docker has no ca.pem");
    assert!(
        checks(&json(&alone(&[("DOCKER_HOST", "tcp://localhost"), mutual[1], mutual[2]]))).contains(&"default-port")
    );
    assert!(checks(&json(&alone(&[("DOCKER_HOST", "ssh://h"), mutual[1], mutual[2]]))).contains(&"tls-unused"));
    let _ = alone(&[("DOCKER_HOST", "https://h")]).exits(1).says("invalid bind address format");
    let with_user = json(&alone(&[("DOCKER_HOST", "tcp://me:pw@localhost:2376"), mutual[1], mutual[2]]).exits(0));
    assert_eq!(endpoint(&with_user), "tcp://localhost:2376", "docker 28.2.2 connects and drops the user");

    // The current context passes over all of it, once there is no DOCKER_HOST.
    fs::create_dir_all(&config).unwrap();
    fs::write(config.join("config.json"), r#"{"currentContext":"far"}"#).unwrap();
    let _ = alone(&mutual[1..]).exits(1).says("context not found");
    let meta = r#"{"Name":"far","Endpoints":{"docker":{"Host":"tcp://far.test:2376","SkipTLSVerify":false}}}"#;
    let digest = sha256(&sandbox, "far");
    let stored = config.join("contexts/meta").join(&digest);
    fs::create_dir_all(&stored).unwrap();
    fs::write(stored.join("meta.json"), meta).unwrap();
    let without = json(&alone(&mutual[1..]).exits(1));
    assert_eq!((endpoint(&without).as_str(), without["client_mode"].as_str()), ("tcp://far.test:2376", Some("none")));
    copy_some(
        &pki.client.0,
        &config.join("contexts/tls").join(&digest).join("docker"),
        &["ca.pem", "cert.pem", "key.pem"],
    );
    let with = json(&alone(&mutual[1..]).exits(0));
    let passed_over = with["client_settings"]["passed_over"].as_array().unwrap();
    assert_eq!(passed_over.len(), 2, "{with}");
    assert_eq!(endpoint(&json(&alone(&mutual).exits(0))), "tcp://localhost:2376", "DOCKER_HOST is stronger");
    fs::write(config.join("config.json"), "{").unwrap();
    let _ = alone(&[]).exits(0).says("config.json");
}

fn sha256(sandbox: &Sandbox, text: &str) -> String {
    let printed = sandbox.program("sha256sum").input(text).run().success().stdout;
    printed.split(' ').next().unwrap().to_owned()
}

#[test]
fn a_daemons_own_configuration() {
    let sandbox = Sandbox::new();
    let pki = pki("p256", "p256");
    let directory = pki.daemon.0.to_str().unwrap();
    let client = pki.client.0.to_str().unwrap();
    let json_file = |text: &str| sandbox.write("daemon.json", text.replace("DIR", directory));
    let ask = |file: Option<&Path>, flags: Option<&str>| {
        let mut program = sandbox.dockseal(["verify", "--host", "localhost", "--format", "json", "--client", client]);
        if let Some(file) = file {
            program = program.arg("--daemon-json").arg(file);
        }
        if let Some(flags) = flags {
            program = program.arg("--dockerd-flags").arg(flags.replace("DIR", directory));
        }
        program.run()
    };
    let files = r#""tlscacert":"DIR/ca.pem","tlscert":"DIR/cert.pem","tlskey":"DIR/key.pem""#;
    let good = json_file(&format!(r#"{{"tlsverify":true,{files}}}"#));
    assert_eq!(json(&ask(Some(&good), None).exits(0))["daemon_mode"], "tlsverify");
    // systemd's -H fd:// beside hosts.
    let hosts = json_file(&format!(r#"{{"hosts":["tcp://0.0.0.0:2376"],"tlsverify":true,{files}}}"#));
    let _ = ask(Some(&hosts), Some("-H fd://"))
        .exits(1)
        .says("hosts: (from flag: [fd://], from file: [tcp://0.0.0.0:2376])");
    // No CA: the system's roots decide, and they did not issue this.
    let no_ca = json_file(r#"{"tlsverify":true,"tlscert":"DIR/cert.pem","tlskey":"DIR/key.pem"}"#);
    let answer = json(&ask(Some(&no_ca), None).exits(1));
    assert!(checks(&answer).contains(&"system-roots-trusted"), "{answer}");
    let plain = json(&ask(None, Some("DOCKER_TLS_VERIFY=1 -H tcp://0.0.0.0:2376")).exits(1));
    assert_eq!((plain["daemon_mode"].as_str(), plain["gate"].as_str()), (Some("none"), Some("same-protocol")));
    let flags = "--tlsverify --tlscacert='DIR/ca.pem' --tlscert DIR/cert.pem --tlskey \"DIR/key.pem\"";
    let _ = ask(None, Some(flags)).exits(0);
    let _ = ask(None, Some("--tls --tlscacert 'open")).exits(2).says("has no end");
    // What bootstrap wrote for /etc/docker, before it is there.
    let _ = sandbox
        .dockseal(["verify", "--host", "localhost", "--client", client, "--daemon", directory, "--daemon-json"])
        .arg(pki.daemon.0.join("daemon.json"))
        .run()
        .exits(0);
    // The daemon alone, without a CA: what it does with clients is said, what clients do with it cannot be.
    let alone = sandbox.dockseal(["verify", "--format", "json", "--daemon-json"]).arg(&no_ca).run().exits(0);
    assert!(checks(&json(&alone)).contains(&"system-roots-trusted"), "{alone}");
    // Two files that would become one.
    let clash = json_file(r#"{"tlsverify":true,"tlscacert":"/a/x.pem","tlscert":"/b/x.pem","tlskey":"/c/key.pem"}"#);
    let _ = sandbox
        .dockseal(["verify", "--daemon", directory, "--daemon-json"])
        .arg(&clash)
        .run()
        .exits(2)
        .says("two of them have the same name");
}

#[test]
fn an_answer_that_depends_on_the_release_says_so() {
    let sandbox = Sandbox::new();
    let pki = Pki::by_openssl();
    let daemon = copy(&sandbox, "daemon", &pki.daemon.0);
    let authority = pki.ca.parent().unwrap();
    let mut args: Vec<String> = "req -x509 -days 30 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=any \
        -addext extendedKeyUsage=serverAuth -addext basicConstraints=CA:FALSE -addext subjectAltName=DNS:*"
        .split_whitespace()
        .map(str::to_owned)
        .collect();
    for (option, file) in [
        ("-CA", pki.ca.clone()),
        ("-CAkey", authority.join("ca-key.pem")),
        ("-keyout", daemon.join("key.pem")),
        ("-out", daemon.join("cert.pem")),
    ] {
        args.extend([option.to_owned(), file.to_str().unwrap().to_owned()]);
    }
    let _ = sandbox.openssl(args);
    // A bare star fits any name for the Go of docker 20.10, and none for later ones.
    let ask = |docker: &str| {
        let args = ["--host", "single", "--format", "json", "--docker", docker, "--client-mode", "tlsverify"];
        json(&verify(&sandbox, &daemon, &pki.client.0, &args))
    };
    let (old, new) = (ask("20.10.24"), ask("29.7.2"));
    assert_eq!((old["outcome"].as_str(), new["outcome"].as_str()), (Some("accepted"), Some("refused")));
    for (answer, others) in [(&old, &["28", "29", "go1.27"][..]), (&new, &["20.10"])] {
        assert!(checks(answer).contains(&"version-dependent"), "{answer}");
        let versions: Vec<&str> =
            answer["versions"].as_array().unwrap().iter().map(|other| other["docker"].as_str().unwrap()).collect();
        assert_eq!(versions, others);
    }
}

#[test]
fn hostile_names_stay_text() {
    let sandbox = Sandbox::new();
    let pki = pki("p256", "p256");
    let client = copy(&sandbox, "\u{1b}[31mred\u{202e}", &pki.client.0);
    fs::write(client.join("cert.pem"), "-----BEGIN \u{1b}]0;x\u{7}-----\n-----END \u{1b}]0;x\u{7}-----\n").unwrap();
    for ran in [
        verify(&sandbox, &pki.daemon.0, &client, &[]).exits(1),
        sandbox.dockseal(["verify"]).arg(&client).run().exits(1),
        sandbox.dockseal(["verify"]).env("DOCKER_HOST", "tcp://\u{1b}[31m").env("DOCKER_TLS", "1").run().exits(1),
        sandbox.dockseal(["verify", "--daemon", "\u{1b}[31m"]).run().exits(2),
    ] {
        assert!(!format!("{}{}", ran.stdout, ran.stderr).contains(['\u{1b}', '\u{202e}', '\u{7}']), "{ran}");
    }
}

/// What people read, looked at by a person and kept.
#[test]
fn what_people_read() {
    crate::snapshots::story(
        "verify",
        &[
            "bootstrap build.example.com 10.0.0.5 --client alice --no-passphrase",
            "verify --daemon build.example.com/daemon --client build.example.com/clients/alice",
            "verify --daemon build.example.com/daemon --client build.example.com/clients/alice --host h.test --client-mode tlsverify",
            "verify --daemon build.example.com/daemon --client build.example.com/clients/alice --daemon-mode tls",
            "verify --daemon build.example.com/daemon --host 10.0.0.6",
            "verify --client build.example.com/daemon",
            "verify build.example.com",
            "verify",
            "verify --docker-flags --tlsverify",
            "verify --daemon-json build.example.com/daemon/daemon.json --dockerd-flags --tlsverify",
            "verify --chain build.example.com/daemon/cert.pem --ca build.example.com/daemon/ca.pem --purpose client",
            "verify --daemon nowhere",
            "explain daemon-not-verified",
        ],
    );
}

#[test]
fn a_bare_chain() {
    let sandbox = Sandbox::new();
    let pki = pki("p256", "p256");
    let ask = |purpose: &str, more: &[&str]| {
        sandbox
            .dockseal(["verify", "--format", "json", "--purpose", purpose, "--chain"])
            .arg(pki.daemon.cert())
            .arg("--ca")
            .arg(&pki.ca)
            .args(more)
            .run()
    };
    let _ = ask("server", &[]).exits(0);
    let _ = ask("server", &["--host", "::1"]).exits(0);
    assert_eq!(refusing(&json(&ask("server", &["--host", "h"]).exits(1))), ["host-mismatch"]);
    assert_eq!(refusing(&json(&ask("client", &[]).exits(1))), ["usage-incompatible"]);
    let _ = sandbox.dockseal(["verify", "--chain", "nope", "--ca", "nope", "--purpose", "server"]).run().exits(2);
    let _ = sandbox.dockseal(["verify", "--chain", "nope"]).run().exits(2);
}

#[test]
fn many_directories() {
    let sandbox = Sandbox::new();
    let pki = pki("p256", "p256");
    let stranger = Pki::stranger();
    let mut directories = Vec::new();
    for number in 0..40 {
        let from = if number % 2 == 0 { &pki.daemon.0 } else { &pki.client.0 };
        directories.push(copy(&sandbox, &format!("many/{number:02}"), from));
    }
    let ran = sandbox.dockseal(["verify", "--format", "json"]).args(&directories).run().success();
    let answer = json(&ran);
    let judged = answer["directories"].as_array().unwrap();
    assert_eq!((judged.len(), &answer["accepted"]), (40, &Value::from(40)));
    for (number, (one, directory)) in judged.iter().zip(&directories).enumerate() {
        assert_eq!(one["directory"], directory.to_str().unwrap());
        assert_eq!(one["role"], if number % 2 == 0 { "daemon" } else { "client" });
    }
    fs::remove_file(directories[7].join("ca.pem")).unwrap();
    let ran = sandbox.dockseal(["verify"]).args(&directories).run().exits(1);
    assert!(ran.says("39 accepted, 1 refused").stdout.contains("file-unavailable"));
    // Against the other side: a stranger's clients.
    let against = sandbox.dockseal(["verify", "--daemon"]).arg(&pki.daemon.0).args([&pki.client.0, &stranger.client.0]);
    let _ = against.run().exits(1).says("1 accepted, 1 refused");
    // What bootstrap made is opened.
    let _ = sandbox.dockseal(["verify"]).arg(pki.daemon.0.parent().unwrap()).run().exits(0).says("2 accepted");
}

#[test]
fn every_check_is_explained() {
    let sandbox = Sandbox::new();
    let all = json(&sandbox.dockseal(["explain", "--format", "json"]).run().success());
    let checks = all["checks"].as_array().unwrap();
    assert!(checks.len() > 40);
    for check in checks {
        let id = check["id"].as_str().unwrap();
        let _ = sandbox.dockseal(["explain", id]).run().success().says(id).says("source");
        for field in ["means", "remedy", "source", "severity"] {
            assert!(check[field].as_str().is_some_and(|text| !text.is_empty()), "{id} has no {field}");
        }
    }
    crate::refused_with_hint(&sandbox.dockseal(["explain", "nothing-of-this"]).run(), &[2]);
}

/// Quotes a word for `--dockerd-flags`.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// The 21 configurations, through the binary: files, flags, variables and daemon.json as they were recorded.
#[test]
fn agrees_with_the_recorded_configurations() {
    let sandbox = Sandbox::new();
    let pki = pki("p256", "p256");
    let place = sandbox.root().to_str().unwrap().to_owned();
    let material = sandbox.root().join("config-material");
    let all = ["ca.pem", "cert.pem", "key.pem"];
    copy_some(&pki.daemon.0, &material.join("daemon"), &all);
    for (name, files) in [
        ("client", &all[..]),
        ("dir-full", &all),
        ("dir-noca", &all[1..]),
        ("dir-nocert", &["ca.pem", "key.pem"]),
        ("dir-nokey", &all[..2]),
        ("dir-caonly", &all[..1]),
        ("dir-certonly", &all[1..2]),
        ("dir-keyonly", &all[2..]),
        ("dir-empty", &[]),
    ] {
        copy_some(&pki.client.0, &material.join(name), files);
    }
    fs::copy(&Pki::stranger().ca, material.join("other-ca.pem")).unwrap();
    let home = sandbox.root().join("run/home");

    let recorded = dockseal_tests::repository().join("crates/docker/tests/docker-truth/configs.jsonl");
    let recorded = fs::read_to_string(recorded).unwrap().replace("{W}", &place);
    let lines: Vec<Value> = recorded.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let configs: HashMap<&str, &Value> =
        lines.iter().filter(|line| line["kind"] == "config").map(|line| (line["id"].as_str().unwrap(), line)).collect();
    let outcomes: Vec<&Value> = lines.iter().filter(|line| line["kind"] != "config").collect();
    assert_eq!((configs.len(), outcomes.len()), (21, 707));
    let words = |value: &Value| -> Vec<String> {
        value.as_array().unwrap().iter().map(|word| quoted(word.as_str().unwrap())).collect()
    };
    let mut disagreements = Vec::new();
    for (turn, outcome) in outcomes.into_iter().enumerate() {
        let text = |key: &str| outcome[key].as_str().unwrap();
        let config = configs[text("config")];
        let daemon = &config["daemon"];
        let mut program: Program = sandbox
            .dockseal(["verify", "--format", "json", "--dockerd", text("dockerd")])
            .env("HOME", &home)
            .env_remove("DOCKER_CONFIG");
        let variables = |given: &Value| -> String {
            let set = given.as_object().unwrap().iter();
            set.map(|(name, value)| format!("{name}={} ", quoted(value.as_str().unwrap()))).collect()
        };
        program = program.arg("--dockerd-flags").arg(format!(
            "HOME={} {}{}",
            quoted(home.to_str().unwrap()),
            variables(&daemon["env"]),
            words(&daemon["args"]).join(" ")
        ));
        if let Some(json) = daemon["json"].as_str() {
            program = program.arg("--daemon-json").arg(sandbox.write("daemon.json", json));
        }
        if text("client") != "-" {
            let given = config["clients"].as_array().unwrap();
            let given = given.iter().find(|given| given["id"] == outcome["client"]).unwrap();
            // A client's environment may be that of whoever asks, or be said.
            let mut before = String::new();
            if turn % 2 == 0 {
                for (name, value) in given["env"].as_object().unwrap() {
                    program = program.env(name, value.as_str().unwrap());
                }
            } else {
                before = variables(&given["env"]);
            }
            program = program
                .args(["--docker", text("docker"), "--docker-flags"])
                .arg(before + &words(&given["args"]).join(" "));
        }
        let ran = program.run();
        let answer = json(&ran);
        let says_tls = answer["client_mode"] != "none" && !checks(&answer).contains(&"client-without-tls");
        let predicted = match answer["gate"].as_str() {
            None => "ok",
            Some("daemon-starts") => "daemon-start",
            Some("client-loads") => "client-config",
            Some("same-protocol") if says_tls => "tls-to-plain-http",
            Some("same-protocol") => "plain-http-to-tls",
            Some("client-reads-daemon" | "client-accepts-daemon") => "client-verify",
            Some("client-offers-certificate" | "daemon-accepts-client") => "daemon-verify",
            Some(gate) => gate,
        };
        if predicted != text("outcome") {
            disagreements.push(format!("{outcome}: predicted {predicted}"));
        }
        assert_eq!(ran.code, Some(i32::from(predicted != "ok")), "{ran}");
    }
    assert!(disagreements.is_empty(), "{} disagree:\n{}", disagreements.len(), disagreements.join("\n"));
}

/// Whose environment names the system's roots: dockerd 20.10 and docker, tried with SSL_CERT_FILE and SSL_CERT_DIR each.
#[test]
fn the_systems_roots_are_those_of_each_sides_environment() {
    let sandbox = Sandbox::new();
    let (own, other) = (pki("p256", "p256"), Pki::stranger());
    let (daemon, client) = (own.daemon.0.to_str().unwrap(), own.client.0.to_str().unwrap());
    let directory = |name: &str, ca: &Path| {
        let directory = sandbox.path(name);
        fs::create_dir_all(&directory).unwrap();
        fs::copy(ca, directory.join("root.pem")).unwrap();
        directory.to_str().unwrap().to_owned()
    };
    let (own_dir, other_dir) = (directory("own", &own.ca), directory("other", &other.ca));
    let (own_file, other_file) = (format!("{own_dir}/root.pem"), format!("{other_dir}/root.pem"));
    let json_file = format!(r#"{{"tlsverify":true,"tlscert":"{daemon}/cert.pem","tlskey":"{daemon}/key.pem"}}"#);
    let json_file = sandbox.write("roots.json", json_file);
    let pair = |folder: &str| format!("--tlscert {folder}/cert.pem --tlskey {folder}/key.pem");
    for (variable, right, wrong) in [("FILE", &own_file, &other_file), ("DIR", &own_dir, &other_dir)] {
        let name = format!("SSL_CERT_{variable}");
        let both = format!("{name}={wrong} {name}={right}");
        let (right_said, wrong_said) = (format!("{name}={right}"), format!("{name}={wrong}"));
        for (said, around, code) in [
            ("", "", 1),
            ("", right, 1),
            (&right_said, "", 0),
            (&right_said, wrong, 0),
            (&wrong_said, right, 1),
            (&both, "", 0),
        ] {
            let ran = sandbox
                .dockseal(["verify", "--client", client, "--host", "localhost", "--daemon-json"])
                .arg(&json_file)
                .arg("--dockerd-flags")
                .arg(said)
                .env(&name, around)
                .run();
            assert_eq!(ran.code, Some(code), "dockerd: {said:?} around {around:?}\n{ran}");
        }
        for (said, around, code) in
            [("", "", 1), ("", right, 0), (&right_said, wrong, 0), (&wrong_said, right, 1), (&both, "", 0)]
        {
            let ran = sandbox
                .dockseal(["verify", "--daemon", daemon, "--host", "localhost", "--docker-flags"])
                .arg(format!("{said} -H tcp://localhost:2376 --tlsverify --tlscacert= {}", pair(client)))
                .env(&name, around)
                .run();
            assert_eq!(ran.code, Some(code), "docker: {said:?} around {around:?}\n{ran}");
        }
    }
}

/// Go's `now.After(NotAfter)` counts what a certificate's whole seconds do not (crypto/x509 verify.go `isValid`).
#[test]
fn the_last_second_ends_where_it_begins() {
    let sandbox = Sandbox::new();
    let bootstrap = ["bootstrap", "localhost", "--client", "ada", "--no-passphrase", "--out", "host"];
    let _ = sandbox.dockseal(bootstrap).args(["--at", "2026-01-01T00:00:00Z"]).run().success();
    let shown = sandbox.program("openssl").args(["x509", "-noout", "-enddate", "-dateopt", "iso_8601", "-in"]);
    let shown = shown.arg(sandbox.path("host/daemon/cert.pem")).run().success();
    let end = shown.stdout.trim().strip_prefix("notAfter=").unwrap().replace(' ', "T");
    let second = end.strip_suffix('Z').unwrap();
    let (daemon, client) = (sandbox.path("host/daemon"), sandbox.path("host/clients/ada"));
    for (at, code) in [(format!("{second}Z"), 0), (format!("{second}.000000001Z"), 1), (format!("{second}.5Z"), 1)] {
        let args = ["--host", "localhost", "--client-mode", "tlsverify", "--daemon-mode", "tlsverify", "--at", &at];
        let _ = verify(&sandbox, &daemon, &client, &args).exits(code);
    }
}

/// docker 28.2.2 on a unix socket, tried with each: it reads the files, and what is in them does not matter.
#[test]
fn files_that_docker_does_not_use_may_be_anything() {
    let sandbox = Sandbox::new();
    let (own, other) = (pki("p256", "p256"), Pki::stranger());
    let client = own.client.0.to_str().unwrap();
    let junk = sandbox.write("junk", "junk\n");
    let (junk, foreign) = (junk.to_str().unwrap(), other.client.0.join("key.pem"));
    let foreign = foreign.to_str().unwrap();
    let [ca, cert, key] = ["ca.pem", "cert.pem", "key.pem"].map(|file| format!("{client}/{file}"));
    let ask = |host: &str, docker: &str, flag: &str, [ca, cert, key]: [&str; 3]| {
        let flags = format!("-H {host} {flag} --tlscacert={ca} --tlscert={cert} --tlskey={key}");
        sandbox.dockseal(["verify", "--format", "json", "--docker", docker, "--docker-flags", &flags]).run()
    };
    for flag in ["--tls", "--tlsverify"] {
        for (files, code) in [
            ([ca.as_str(), &cert, &key], 0),
            ([&ca, &cert, foreign], 0),
            ([&ca, &cert, junk], 0),
            ([&ca, junk, &key], 0),
            ([junk, &cert, &key], 0),
            (["", &cert, foreign], 0),
            (["/nowhere", &cert, &key], 1),
            ([&ca, &cert, "/nowhere"], 1),
        ] {
            for docker in ["28", "29"] {
                let ran = ask("unix:///run/docker.sock", docker, flag, files).exits(code);
                let answer = json(&ran);
                let others: Vec<&str> = answer["versions"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .filter_map(|other| other["docker"].as_str())
                    .collect();
                assert!(!others.contains(&"28") && !others.contains(&"29"), "{ran}");
            }
            assert_eq!(ask("unix:///run/docker.sock", "20.10", flag, files).code, Some(1), "{flag} {files:?}");
        }
    }
    assert_eq!(ask("tcp://localhost:2376", "28", "--tls", [&ca, &cert, foreign]).code, Some(1));
    // `docker version` 28.2.2 crashes there, other commands say this.
    for host in ["fd://", "fd://3"] {
        let _ = ask(host, "28", "--tls", [&ca, &cert, &key]).exits(1).says(&format!("docker host `{host}`"));
    }
}

/// In docker 28.2.2's and dockerd 20.10's own words; both end with 125.
#[test]
fn flags_that_docker_does_not_take_are_refused() {
    let sandbox = Sandbox::new();
    for (flags, said) in [
        (
            "--tls=maybe",
            r#"invalid argument "maybe" for "--tls" flag: strconv.ParseBool: parsing "maybe": invalid syntax"#,
        ),
        ("--tls=", r#"invalid argument "" for "--tls" flag: strconv.ParseBool: parsing "": invalid syntax"#),
        (
            "--tlsverify=yes",
            r#"invalid argument "yes" for "--tlsverify" flag: strconv.ParseBool: parsing "yes": invalid syntax"#,
        ),
        ("--tlscacert", "flag needs an argument: --tlscacert"),
    ] {
        for (option, gate) in [("--docker-flags", "client-loads"), ("--dockerd-flags", "daemon-starts")] {
            let ran = sandbox.dockseal(["verify", "--format", "json", option, flags]).run().exits(1);
            let answer = json(&ran);
            assert_eq!((answer["gate"].as_str(), refusing(&answer)), (Some(gate), vec!["settings-refused"]), "{ran}");
            let texts = answer["findings"].as_array().unwrap();
            assert!(texts.iter().any(|finding| finding["text"] == said), "{ran}");
        }
    }
}

/// What Go's encoding/pem loses (pem.go `Decode`), and what is advised against it where `dockseal repair DIR` alone does
/// not do.
#[test]
fn a_form_that_docker_does_not_read_has_a_hint_that_works() {
    let sandbox = Sandbox::new();
    let (own, other) = (pki("p256", "p256"), Pki::stranger());
    let (own_ca, other_ca) = (fs::read_to_string(&own.ca).unwrap(), fs::read_to_string(&other.ca).unwrap());
    let advised = |ran: &Ran| {
        let start = ran.stdout.find("Docker reads them").unwrap_or_else(|| panic!("{ran}"));
        ran.stdout[start..].lines().next().unwrap().split_once(": ").unwrap().1.to_owned()
    };
    let carry_out = |command: &str| {
        let binary = dockseal_tests::dockseal_binary().to_str().unwrap();
        let command = command.replace("dockseal repair", &format!("{binary} repair"));
        sandbox.program("sh").args(["-ec", &command]).run().success()
    };

    // In the directory itself.
    let here = copy(&sandbox, "here", &own.client.0);
    fs::write(here.join("ca.pem"), format!("\u{feff}{own_ca}")).unwrap();
    let ran = sandbox.dockseal(["verify", "."]).cwd(&here).run().exits(1);
    let _ = carry_out(&advised(&ran));
    let _ = sandbox.dockseal(["verify", "here"]).run().success();

    // Under other names.
    let daemon = copy(&sandbox, "daemon", &own.daemon.0);
    fs::write(daemon.join("ca.pem"), own_ca.replace('\n', "\r")).unwrap();
    for name in ["cert.pem", "key.pem"] {
        fs::rename(daemon.join(name), daemon.join(format!("server-{name}"))).unwrap();
    }
    let mut permissions = fs::metadata(daemon.join("server-key.pem")).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o644);
    fs::set_permissions(daemon.join("server-key.pem"), permissions).unwrap();
    let ran = sandbox.dockseal(["verify", "daemon"]).run().exits(1).says("carriage returns (CR) alone");
    assert!(ran.stdout.contains("key-readable-by-others (server-key.pem)"), "{ran}");
    let _ = carry_out(&advised(&ran));
    let _ = sandbox.dockseal(["verify", "NEW"]).run().success();

    // Beside files of others, as Docker's manual has it.
    let both = copy(&sandbox, "both", &own.client.0);
    fs::write(both.join("ca.pem"), format!("\u{feff}{own_ca}")).unwrap();
    fs::write(both.join("server-key.txt"), "other").unwrap();
    let ran = sandbox.dockseal(["verify", "both"]).run().exits(1);
    fs::rename(sandbox.path("NEW"), sandbox.path("OLD")).unwrap();
    let _ = carry_out(&advised(&ran));
    let _ = sandbox.dockseal(["verify", "NEW"]).run().success();

    // A certificate that is not needed is overlooked.
    let two = copy(&sandbox, "two", &own.client.0);
    fs::write(two.join("ca.pem"), format!("\u{feff}{other_ca}{own_ca}")).unwrap();
    let ran = sandbox.dockseal(["verify", "two"]).run().success();
    assert!(ran.stdout.contains("warning certificate-overlooked (ca.pem): it begins with a byte order mark"), "{ran}");

    // repair has no use for these keys, and docker has.
    let large = copy(&sandbox, "large", &own.client.0);
    let _ = sandbox.openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-521 -out large/key.pem".split(' '));
    fs::write(large.join("cert.pem"), format!("\u{feff}{own_ca}")).unwrap();
    let ran = sandbox.dockseal(["verify", "large"]).run().exits(1).says("byte order mark");
    assert!(!ran.stdout.contains("dockseal repair") && ran.stdout.contains("do: Write the file as PEM"), "{ran}");
}
