//! What bootstrap writes beside the certificates: daemon.json and the systemd drop-in,
//! installed as it says, on a Docker host in miniature (`installed-daemon.sh`).

use std::time::Duration;

use dockseal_tests::{Sandbox, require, require_root, tools_dir};

fn serves(names: &[&str], dialled: &[&str]) {
    let sandbox = Sandbox::new();
    let clients = ["--client", "alice", "--client", "bob", "--no-passphrase", "--out", "host"];
    let made = sandbox.dockseal(["--format", "json", "bootstrap"]).args(names).args(clients).run().success();
    let made: serde_json::Value = serde_json::from_str(&made.stdout).unwrap();
    let next: Vec<&str> = made["next"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    assert!(next.len() >= 2 && next.iter().all(|line| !line.contains('\n')), "{next:?}");
    let commands = sandbox.write("next", next.join("\n") + "\n");
    let ran = sandbox
        .program("unshare")
        .args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"])
        .arg(dockseal_tests::repository().join("tests/oracles/installed-daemon.sh"))
        .arg(dockseal_tests::tool("busybox").unwrap())
        .arg(sandbox.path("host"))
        .arg(sandbox.root().join("tmp"))
        .arg(commands)
        .args(dialled)
        .limit(Duration::from_secs(300))
        .run();
    assert!(ran.code == Some(0) && ran.stdout.ends_with("done\n"), "{ran}");
}

#[test]
fn an_installed_daemon_serves() {
    require!(
        "dockerd",
        "containerd",
        "docker",
        "busybox",
        "unshare",
        "systemd-analyze",
        "systemd-socket-activate",
        "python3"
    );
    require_root!();
    serves(&["localhost", "127.0.0.1"], &["127.0.0.1", "localhost"]);
}

/// Another machine's name, so that the commands go through ssh.
#[test]
fn an_installed_daemon_serves_from_afar() {
    require!(
        "dockerd",
        "containerd",
        "docker",
        "busybox",
        "unshare",
        "systemd-analyze",
        "systemd-socket-activate",
        "python3"
    );
    require_root!();
    serves(&["docker.test", "10.0.0.5"], &["docker.test"]);
}

/// Names that are IPv6 addresses are of use only if the daemon listens there.
#[test]
fn an_installed_daemon_serves_ipv6() {
    require!(
        "dockerd",
        "containerd",
        "docker",
        "busybox",
        "unshare",
        "systemd-analyze",
        "systemd-socket-activate",
        "python3"
    );
    require_root!();
    serves(&["::1"], &["[::1]"]);
}

/// Keys of daemon.json, and the one that was meant where dockerd does not start for them.
const KEYS: [(&str, &str, Option<&str>); 18] = [
    ("tlscert", "\"x\"", None),
    ("tlscert ", "\"x\"", Some("tlscert")),
    (" tls", "true", Some("tls")),
    ("TLSCert", "\"x\"", Some("tlscert")),
    ("tlscret", "\"x\"", Some("tlscert")),
    ("tls-verify", "true", Some("tlsverify")),
    ("tls_ca_cert", "\"x\"", Some("tlscacert")),
    ("HOSTS", "[]", Some("hosts")),
    ("Debug", "true", Some("debug")),
    ("hosst", "[]", Some("hosts")),
    ("log_driver", "\"json-file\"", Some("log-driver")),
    ("insecure_registries", "[]", Some("insecure-registries")),
    ("containerd-plugin-namespace", "\"x\"", Some("containerd-plugins-namespace")),
    ("host", "[\"unix:///nowhere\"]", None),
    ("label", "[\"a=b\"]", None),
    ("add-runtime", "[]", None),
    ("version", "true", None),
    ("features", "{\"nonsense\": true}", None),
];

/// What dockerd 20.10 and a newer one take is what the judge takes; what they do not take is mended by the advice.
#[test]
fn keys_that_dockerd_takes() {
    require!("dockerd");
    require_root!();
    let sandbox = Sandbox::new();
    let newer = tools_dir().join("dockerd-newer/dockerd");
    let refusal = "the following directives don't match any configuration option: ";
    // 20.10 cannot only validate: it gets to its pid file, and no further.
    let real = |path: &std::path::Path, of_20_10: bool| {
        let program = if of_20_10 { sandbox.program("dockerd") } else { sandbox.program(&newer).arg("--validate") };
        let ran = program.args(["--pidfile", "/proc/nowhere/pid", "--config-file"]).arg(path).run();
        // Files of TLS are read after the keys.
        let passed = ["mkdir /proc/nowhere", "configuration OK", "invalid TLS configuration"];
        assert!(ran.stderr.contains(refusal) != passed.iter().any(|text| ran.stderr.contains(text)), "{ran}");
        ran.stderr.split_once(refusal).map(|(_, keys)| keys.lines().next().unwrap().to_owned())
    };
    let judge = |path: &std::path::Path, version: &str| {
        let ran =
            sandbox.dockseal(["--format", "json", "verify", "--dockerd", version, "--daemon-json"]).arg(path).run();
        let answer: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        let findings = answer["findings"].as_array().unwrap().clone();
        let find = |check: &str| findings.iter().find(|finding| finding["check"] == check).cloned();
        (find("settings-refused"), find("setting-passed-over"))
    };
    for of_20_10 in [true, false] {
        if !of_20_10 && !newer.exists() {
            dockseal_tests::note_skip("no newer dockerd");
            continue;
        }
        let version = if of_20_10 { "20.10" } else { "28" };
        for (key, value, meant) in KEYS {
            let path = sandbox.write("daemon.json", format!("{{{key:?}: {value}}}"));
            let refused = real(&path, of_20_10);
            assert_eq!(refused.as_deref(), meant.map(|_| key), "{version} {key:?}");
            let (judged, passed_over) = judge(&path, version);
            assert_eq!(judged.is_some(), refused.is_some(), "{version} {key:?}");
            let by_flag = ["host", "label", "add-runtime"].contains(&key);
            assert!(!by_flag || passed_over.is_some(), "{version} {key:?}: {passed_over:?}");
            let (Some(judged), Some(meant)) = (judged, meant) else { continue };
            assert!(judged["text"].as_str().unwrap().ends_with(&format!("{refusal}{key}")), "{judged}");
            let remedy = judged["remedy"].as_str().unwrap();
            assert!(
                remedy.contains(&format!("write {meant:?} in place of {key:?} (did you mean {meant}?)")),
                "{remedy}"
            );
            let path = sandbox.write("daemon.json", format!("{{{meant:?}: {value}}}"));
            assert_eq!(real(&path, of_20_10), None, "{version} {meant:?}");
            assert!(judge(&path, version).0.is_none(), "{version} {meant:?}");
        }
    }
}
