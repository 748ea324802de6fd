//! Our contexts in the hands of the real docker, and docker's in ours.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use dockseal_tests::{Bundle, Dockerd, DockerdOptions, Program, Ran, Sandbox, require, require_root, tree};
use serde_json::Value;

use crate::docker::docker_clients;

fn bootstrapped() -> Sandbox {
    let sandbox = Sandbox::new();
    let words = ["bootstrap", "127.0.0.1", "localhost", "--client", "alice", "--no-passphrase", "--out", "host"];
    let _ = sandbox.dockseal(words).run().success();
    sandbox
}

/// What `docker context create --docker` takes for a directory's files.
fn endpoint(host: &str, directory: &Path) -> String {
    let file = |name: &str| directory.join(name).display().to_string();
    format!("host={host},ca={},cert={},key={}", file("ca.pem"), file("cert.pem"), file("key.pem"))
}

/// docker's own configuration directory, apart from ours.
fn theirs(sandbox: &Sandbox) -> PathBuf {
    sandbox.root().join("home/theirs")
}

fn docker(sandbox: &Sandbox, client: &Path, config: &Path) -> Program {
    sandbox.program(client).env("DOCKER_CONFIG", config)
}

fn ours(sandbox: &Sandbox) -> PathBuf {
    sandbox.root().join("home/.docker")
}

fn listed(sandbox: &Sandbox) -> Value {
    let ran = sandbox.dockseal(["context", "list", "--format", "json"]).run().success();
    serde_json::from_str(&ran.stdout).unwrap()
}

fn row<'l>(list: &'l Value, name: &str) -> &'l Value {
    let rows = list["contexts"].as_array().unwrap();
    rows.iter().find(|row| row["name"] == name).unwrap_or_else(|| panic!("no {name} in {list:#}"))
}

/// From the same material, docker's store and ours are the same: names, modes, bytes, and what docker says of them.
#[test]
fn the_store_is_as_docker_makes_it() {
    require!("docker");
    for client in docker_clients() {
        let sandbox = bootstrapped();
        let alice = sandbox.path("host/clients/alice");
        for (name, description) in [("prod", None), ("p.r+o_d-2", Some("a <b> & \"c\" \\ \u{2028}ä 🐋\t'$HOME`"))] {
            let created = docker(&sandbox, &client, &theirs(&sandbox)).args(["context", "create", name]);
            let created = match description {
                Some(description) => created.args(["--description", description]),
                None => created,
            };
            let _ = created.arg("--docker").arg(endpoint("tcp://127.0.0.1:2376", &alice)).run().success();
            let created =
                sandbox.dockseal(["context", "create", name, "--host", "tcp://127.0.0.1", "--from"]).arg(&alice);
            let created = match description {
                Some(description) => created.args(["--description", description]),
                None => created,
            };
            let _ = created.run().success();

            for reader in docker_clients() {
                let inspect = |config: &Path| {
                    let ran = docker(&sandbox, &reader, config).args(["context", "inspect", name]).run().success();
                    ran.stdout.replace(config.to_str().unwrap(), "CONFIG")
                };
                assert_eq!(inspect(&ours(&sandbox)), inspect(&theirs(&sandbox)));
                let list =
                    |config: &Path| docker(&sandbox, &reader, config).args(["context", "ls"]).run().success().stdout;
                assert_eq!(list(&ours(&sandbox)), list(&theirs(&sandbox)));
            }
        }
        let below = |config: PathBuf| tree(&config.join("contexts"));
        below(theirs(&sandbox)).assert_same(&below(ours(&sandbox)), "docker's, then ours");
    }
}

/// Every name, and every host that docker refuses, is refused here too.
#[test]
fn the_same_names_and_hosts_are_refused() {
    require!("docker");
    let sandbox = bootstrapped();
    let alice = sandbox.path("host/clients/alice");
    let mut names: Vec<String> = (b' '..=b'~').map(|byte| format!("a{}", char::from(byte))).collect();
    names.extend((b' '..=b'~').map(|byte| format!("{}a", char::from(byte))));
    let long = "a".repeat(300);
    names.extend(
        ["", "a", "default", "Default", "ab\n", "ä1", "aä", "../x", "a/b", "a.", "..", &long].map(str::to_owned),
    );
    names.sort();
    names.dedup();
    let client = docker_clients().remove(0);
    let (mut yes, mut no) = (0, 0);
    for name in names {
        let by_docker = docker(&sandbox, &client, &theirs(&sandbox)).args(["context", "create", "--docker"]);
        let by_docker = by_docker.arg("host=tcp://h:1").arg("--").arg(&name).run();
        let by_us = sandbox.dockseal(["context", "create", "--host", "tcp://h:1", "--from"]).arg(&alice);
        let by_us = by_us.arg("--").arg(&name).run();
        assert_eq!(by_us.code == Some(0), by_docker.code == Some(0), "{name:?}\n{by_us}\n{by_docker}");
        *(if by_us.code == Some(0) { &mut yes } else { &mut no }) += 1;
    }
    println!("{yes} names accepted, {no} refused");
    assert!(yes > 100 && no > 50, "{yes} {no}");

    let mut agreed = 0;
    for (number, host) in [
        "tcp://h:1",
        "tcp://[::1]:2376",
        "tcp://h:1/prefix",
        "h",
        "tcp://",
        "://h",
        "tcp://h:x",
        "tcp://[::1",
        "tcp://a b",
        "tcp://h:1 ",
        "tcp://h%",
        "tcp://h%zz:1",
        "\u{1}tcp://h",
        "",
        "tcp://h:99999999",
        "foo",
    ]
    .iter()
    .enumerate()
    {
        let name = format!("h{number}");
        let by_docker = docker(&sandbox, &client, &theirs(&sandbox)).args(["context", "create", &name, "--docker"]);
        let by_docker = by_docker.arg(endpoint(host, &alice)).run();
        let by_us = sandbox.dockseal(["context", "create", &name, "--host", host, "--from"]).arg(&alice).run();
        if by_us.code == Some(0) {
            // What we complete is what docker takes.
            let stored = row(&listed(&sandbox), &name)["host"].as_str().unwrap().to_owned();
            let again = docker(&sandbox, &client, &theirs(&sandbox)).args([
                "context",
                "create",
                &format!("again{number}"),
                "--docker",
            ]);
            let _ = again.arg(endpoint(&stored, &alice)).run().success();
        }
        agreed += usize::from((by_us.code == Some(0)) == (by_docker.code == Some(0)));
        println!("{host:?}: docker {:?}, we {:?}", by_docker.code, by_us.code);
    }
    // Not those that we complete (h, foo), nor the two that docker stores and can never dial.
    assert_eq!(agreed, 12);
}

/// What docker made is read here, whatever it dials.
#[test]
fn dockers_contexts_are_read() {
    require!("docker");
    for client in docker_clients() {
        let sandbox = bootstrapped();
        let alice = sandbox.path("host/clients/alice");
        let create = |name: &str, endpoint: &str| {
            let words = ["context", "create", name, "--description", "Ä <1>", "--docker", endpoint];
            let _ = docker(&sandbox, &client, &ours(&sandbox)).args(words).run().success();
        };
        create("tls", &endpoint("tcp://h:2376", &alice));
        create("unverified", "host=tcp://h:2376,skip-tls-verify=true");
        create("plain", "host=tcp://h:2375");
        create("far", "host=ssh://me@h:22");
        create("near", "host=unix:///run/docker.sock");
        let list = listed(&sandbox);
        assert_eq!(list["contexts"].as_array().unwrap().len(), 5, "{list:#}");
        for (name, host, state) in [
            ("tls", "tcp://h:2376", "current"),
            ("unverified", "tcp://h:2376", "no certificate"),
            ("plain", "tcp://h:2375", "no certificate"),
            ("far", "ssh://me@h:22", "no certificate"),
            ("near", "unix:///run/docker.sock", "no certificate"),
        ] {
            let row = row(&list, name);
            assert_eq!((row["host"].as_str(), row["state"].as_str()), (Some(host), Some(state)), "{row:#}");
            assert_eq!(
                (&row["description"], &row["skip_tls_verify"]),
                (&Value::from("Ä <1>"), &Value::from(name == "unverified"))
            );
        }
        assert_eq!(
            (&row(&list, "tls")["who"], &row(&list, "tls")["recorded"]),
            (&Value::from("alice"), &Value::from(false))
        );

        // It is stale after a renewal, which update mends; from then on renewals go there.
        let _ = sandbox.dockseal(["renew", "alice"]).run().success();
        assert_eq!(row(&listed(&sandbox), "tls")["state"], "stale");
        let _ = sandbox.dockseal(["context", "update", "tls"]).run().success();
        assert_eq!(row(&listed(&sandbox), "tls")["state"], "current");
        let _ = sandbox.dockseal(["renew", "alice"]).run().success().says("context tls");
        assert_eq!(fs::read(alice.join("cert.pem")).unwrap(), fs::read(tls(&sandbox, "tls").join("cert.pem")).unwrap());
        // docker finds nothing of ours beside its own, and takes everything away.
        let inspect = docker(&sandbox, &client, &ours(&sandbox)).args([
            "context",
            "inspect",
            "tls",
            "--format",
            "{{json .TLSMaterial}}",
        ]);
        assert_eq!(inspect.run().success().stdout.trim(), r#"{"docker":["ca.pem","cert.pem","key.pem"]}"#);
        let _ = docker(&sandbox, &client, &ours(&sandbox)).args(["context", "rm", "tls"]).run().success();
        let paths = tree(&ours(&sandbox)).paths();
        assert!(!paths.iter().any(|path| path.ends_with(".pem")), "{paths:?}");
        let _ = sandbox.dockseal(["renew", "alice"]).run().exits(1).says("it is gone");
        let _ = sandbox.dockseal(["context", "remove", "tls"]).run().success();
        let _ = sandbox.dockseal(["renew", "alice"]).run().success();
    }
}

/// Where docker keeps a context's files, as docker says.
fn tls(sandbox: &Sandbox, name: &str) -> PathBuf {
    let ran = docker(sandbox, &docker_clients()[0], &ours(sandbox)).args([
        "context",
        "inspect",
        name,
        "--format",
        "{{.Storage.TLSPath}}",
    ]);
    Path::new(ran.run().success().stdout.trim()).join("docker")
}

/// Archives go both ways, and are the same to the byte.
#[test]
fn archives_are_exchanged() {
    require!("docker", "cmp");
    let allowed: String =
        (b'+'..=b'z').map(char::from).filter(|c| c.is_ascii_alphanumeric() || "+._-".contains(*c)).collect();
    let first_allowed = &format!("a{allowed}");
    for client in docker_clients() {
        let sandbox = bootstrapped();
        let alice = sandbox.path("host/clients/alice");
        for name in ["prod", "a.", "9_", first_allowed.as_str()] {
            let made = sandbox.dockseal(["context", "create", name, "--host", "h", "--description", "<ä>", "--from"]);
            let _ = made.arg(&alice).run().success();
            let _ = sandbox.dockseal(["context", "export", name, "ours.tar"]).run().success();
            let exported = docker(&sandbox, &client, &ours(&sandbox)).args(["context", "export", name, "theirs.tar"]);
            let _ = exported.run().success();
            let _ = sandbox.program("cmp").args(["ours.tar", "theirs.tar"]).run().success();
            let piped = "\"$0\" context export \"$1\" - | cmp - theirs.tar";
            let _ = sandbox
                .program("sh")
                .args(["-c", piped])
                .arg(dockseal_tests::dockseal_binary())
                .arg(name)
                .run()
                .success();

            let import = docker(&sandbox, &client, &theirs(&sandbox)).args(["context", "import", name, "ours.tar"]);
            let _ = import.run().success();
            let back = docker(&sandbox, &client, &theirs(&sandbox)).args(["context", "export", name, "back.tar"]);
            let _ = back.run().success();
            let _ = sandbox.program("cmp").args(["ours.tar", "back.tar"]).run().success();
            for file in ["ours.tar", "theirs.tar", "back.tar"] {
                fs::remove_file(sandbox.path(file)).unwrap();
            }
        }
        // What docker imported is what we had; and without TLS files it is the same as well.
        let below = |config: PathBuf| tree(&config.join("contexts"));
        below(theirs(&sandbox)).assert_same(&below(ours(&sandbox)), "docker's imports, then ours");
        let _ = docker(&sandbox, &client, &ours(&sandbox))
            .args(["context", "create", "far", "--docker", "host=ssh://h"])
            .run()
            .success();
        let _ =
            docker(&sandbox, &client, &ours(&sandbox)).args(["context", "export", "far", "theirs.tar"]).run().success();
        let _ = sandbox.dockseal(["context", "export", "far", "ours.tar"]).run().success();
        let _ = sandbox.program("cmp").args(["ours.tar", "theirs.tar"]).run().success();
    }
}

/// docker in use of a context, while its certificate is renewed.
#[test]
fn a_context_is_used_and_renewed() {
    require!("dockerd", "docker");
    require_root!();
    for client in docker_clients() {
        let sandbox = bootstrapped();
        let daemon = Dockerd::start(&DockerdOptions { material: Bundle(sandbox.path("host/daemon")), ipv6: false });
        let host = daemon.url("127.0.0.1");
        let _ = sandbox.dockseal(["context", "create", "prod", "--host", &host, "--client", "bob"]).run().success();
        let ask = || {
            let words = ["--context", "prod", "version", "--format", "{{.Server.Version}}"];
            docker(&sandbox, &client, &ours(&sandbox)).args(words).run()
        };
        let _ = ask().success();
        // With the same key, any certificate that docker reads goes with any key.
        let stop = AtomicBool::new(false);
        let (asked, failed) = thread::scope(|scope| {
            let asking = scope.spawn(|| {
                let (mut asked, mut failed) = (0, Vec::<Ran>::new());
                while !stop.load(Ordering::Relaxed) {
                    let ran = ask();
                    asked += 1;
                    failed.extend(Some(ran).filter(|ran| ran.code != Some(0)));
                }
                (asked, failed)
            });
            let started = Instant::now();
            for round in 1..=20 {
                let _ = sandbox.dockseal(["renew", "bob", "--reuse-key"]).run().success().says("context prod");
                thread::sleep((Duration::from_millis(200) * round).saturating_sub(started.elapsed()));
            }
            stop.store(true, Ordering::Relaxed);
            asking.join().unwrap()
        });
        println!("{} asked {asked} times", client.display());
        assert!(asked >= 10 && failed.is_empty(), "{} of {asked} failed, the first: {}", failed.len(), failed[0]);

        // With a new key; of another authority; rolled back.
        let _ = sandbox.dockseal(["renew", "bob"]).run().success();
        let _ = ask().success();
        let _ = sandbox.dockseal(["rollback", "bob"]).run().success().says("context prod");
        let _ = ask().success();
        let _ = sandbox.dockseal(["rollover", "begin"]).run().success().says("context prod");
        let _ = ask().success();
        let inspect = docker(&sandbox, &client, &ours(&sandbox)).args([
            "context",
            "inspect",
            "prod",
            "--format",
            "{{json .TLSMaterial}}",
        ]);
        assert_eq!(inspect.run().success().stdout.trim(), r#"{"docker":["ca.pem","cert.pem","key.pem"]}"#);
        assert_eq!(row(&listed(&sandbox), "prod")["state"], "current");

        // A stranger's is refused, so the success counts.
        let stranger = dockseal_tests::Pki::stranger();
        let made = sandbox.dockseal(["context", "create", "other", "--host", &host, "--from"]).arg(&stranger.client.0);
        let _ = made.run().success();
        assert_eq!(row(&listed(&sandbox), "other")["state"], "unknown issuer");
        let _ = docker(&sandbox, &client, &ours(&sandbox)).args(["--context", "other", "version"]).run().failure();
    }
}

/// Paths that shells and URLs would trip over.
#[test]
fn odd_configuration_directories() {
    require!("dockerd", "docker");
    require_root!();
    let sandbox = bootstrapped();
    let daemon = Dockerd::start(&DockerdOptions { material: Bundle(sandbox.path("host/daemon")), ipv6: false });
    let host = daemon.url("localhost");
    for name in ["with space", "with'quote\"s", "$HOME`x`", "ünï-код-🐋", "new\nline", "a%20b#c?d"] {
        let config = sandbox.path(name);
        let create = sandbox.dockseal(["context", "create", "prod", "--host", &host, "--from", "host/clients/alice"]);
        let _ = create.env("DOCKER_CONFIG", &config).run().success();
        for client in docker_clients() {
            let _ = docker(&sandbox, &client, &config).args(["--context", "prod", "version"]).run().success();
        }
    }
    let _ = sandbox.dockseal(["renew", "alice"]).run().success();
    for name in ["with space", "with'quote\"s", "$HOME`x`", "ünï-код-🐋", "new\nline", "a%20b#c?d"] {
        let _ = docker(&sandbox, &docker_clients()[0], &sandbox.path(name))
            .args(["--context", "prod", "version"])
            .run()
            .success();
        let list = sandbox.dockseal(["context", "list"]).env("DOCKER_CONFIG", sandbox.path(name)).run().success();
        let _ = list.says("current");
    }
}
