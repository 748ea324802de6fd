//! dockerd itself is asked before anything is swapped: a daemon.json with which it would not start was perhaps never tried,
//! and bringing that back would not bring the daemon back.

use std::fs;

use dockseal_tests::{require_hosts, tools_dir};

use crate::far::{Far, Here};

/// A host with Docker 26 in the place of its own.
fn newer() -> Far {
    let far = Far::take();
    let _ = far.sh("mv /usr/sbin/dockerd /usr/sbin/dockerd.away").success();
    let _ = fs::copy(tools_dir().join("dockerd-newer/dockerd"), far.file("/usr/sbin/dockerd")).unwrap();
    let _ = far.sh("systemctl restart docker").success();
    assert_eq!(far.sh("docker version --format '{{.Server.Version}}'").success().stdout, "26.1.5+dfsg1\n");
    far
}

#[test]
fn asked_before_anything_is_swapped() {
    require_hosts!();
    let far = newer();
    let here = Here::new();
    let target = format!("root@{}", far.name());
    let running = pid(&far);
    let good = fs::read_to_string(far.file("/etc/docker/daemon.json")).unwrap();
    // Written since dockerd started, and never tried: each in dockerd's own words.
    for (key, word) in [(r#""log-level": "loud""#, "invalid logging level"), (r#""no-such-key": 1"#, "no-such-key")] {
        far.put("/etc/docker/daemon.json", &good.replacen('{', &format!("{{{key}, "), 1), 0o644);
        let before = far.state();
        let ran = here.bootstrap(&target, &[]).run().exits(1);
        assert!(ran.stderr.contains("dockerd refuses the new configuration") && ran.stderr.contains(word), "{ran}");
        assert!(!ran.stderr.contains("restarting"), "{ran}");
        far.assert_as(&before, &ran);
        assert_eq!(pid(&far), running, "{ran}");
    }
    far.put("/etc/docker/daemon.json", &good, 0o644);
    let before = far.state();
    let done = here.bootstrap(&target, &[]).run().success();
    assert!(done.stderr.contains("having dockerd check the configuration"), "{done}");
    let version = ["version", "--format", "{{.Server.Version}}"];
    let alice = here.alice(&far);
    assert_eq!(here.docker(far.address(), &alice, &version).success().stdout, "26.1.5+dfsg1\n");
    // What is there is checked too when only the certificate changes, and when all is taken out.
    for command in [["host", "rotate", &target].as_slice(), &["host", "remove", &target, "--yes"]] {
        let ran = here.dockseal(command).run().success();
        assert!(ran.stderr.contains("having dockerd check the configuration"), "{ran}");
    }
    far.assert_as(&before, done);
}

#[test]
fn asked_without_validate() {
    require_hosts!();
    let far = Far::take();
    let here = Here::new();
    let target = format!("root@{}", far.name());
    let good = fs::read_to_string(far.file("/etc/docker/daemon.json")).unwrap();
    let running = pid(&far);
    for (key, word) in [
        (r#""no-such-key": 1"#, "no-such-key"),
        (r#""log-level": "info", "containerd": "/other.sock""#, "containerd"),
        (r#""dns": ["nonsense"]"#, "nonsense is not an ip address"),
    ] {
        far.put("/etc/docker/daemon.json", &good.replacen('{', &format!("{{{key}, "), 1), 0o644);
        let before = far.state();
        let ran = here.bootstrap(&target, &[]).run().exits(1);
        assert!(ran.stderr.contains(word) && !ran.stderr.contains("restarting"), "{ran}");
        far.assert_as(&before, &ran);
        assert_eq!(pid(&far), running, "{ran}");
    }
    // What is wrong only once it starts nobody can know before.
    far.put("/etc/docker/daemon.json", &good.replacen('{', r#"{"storage-opts": ["nonsense"], "#, 1), 0o644);
    let ran = here.bootstrap(&target, &[]).run().exits(1).says("was written after dockerd started");
    assert!(
        ran.stderr.contains("dockerd did not come up: ") && ran.stderr.contains("failed to start daemon: "),
        "{ran}"
    );
    assert!(ran.stderr.contains("what was there before is back, and dockerd does not answer all the same"), "{ran}");
    // One that it accepts.
    far.put("/etc/docker/daemon.json", &good.replacen('{', r#"{"log-level": "warn", "#, 1), 0o644);
    let _ = far.sh("systemctl reset-failed docker; systemctl restart docker").success();
    let done = here.bootstrap(&target, &[]).run().success();
    assert!(!done.holds("was written after dockerd started"), "{done}");
    here.assert_reaches(&far);
    assert!(!here.bootstrap(&target, &["--dry-run"]).run().success().holds("was written after dockerd started"));
}

/// Of the dockerd that runs.
fn pid(far: &Far) -> String {
    far.sh("systemctl show -p MainPID docker").success().stdout
}
