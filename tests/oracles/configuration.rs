//! What bootstrap writes beside the certificates: daemon.json and the systemd drop-in,
//! installed as it says, on a Docker host in miniature (`installed-daemon.sh`).

use std::time::Duration;

use dockseal_tests::{Sandbox, require, require_root};

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
