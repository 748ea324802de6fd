//! What bootstrap writes beside the certificates: daemon.json and the systemd drop-in,
//! installed as it says, on a Docker host in miniature (`installed-daemon.sh`).

use std::time::Duration;

use dockseal_tests::{Sandbox, require, require_root};

fn serves(names: &[&str], dialled: &[&str]) {
    let sandbox = Sandbox::new();
    let clients = ["--client", "alice", "--client", "bob", "--no-passphrase", "--out", "host"];
    let _ = sandbox.dockseal([&["bootstrap"], names, &clients[..]].concat()).run().success();
    let ran = sandbox
        .program("unshare")
        .args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"])
        .arg(dockseal_tests::repository().join("tests/oracles/installed-daemon.sh"))
        .arg(dockseal_tests::tool("busybox").unwrap())
        .arg(sandbox.path("host"))
        .arg(sandbox.root().join("tmp"))
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
