//! Hosts that systemd does not run: the scripts of System V, and OpenRC. The dead-man switch is a process of its own there.

use std::{
    thread,
    time::{Duration, Instant},
};

use dockseal_tests::{Cable, HostOptions, Init, require_hosts};

use crate::far::{Far, Here, at_step, kill};

/// How long `--confirm-within 10s` and a restart of dockerd may take on a busy machine.
const RESTORED: Duration = Duration::from_secs(60);

#[test]
fn sysv() {
    require_hosts!(Init::SysV);
    story(Init::SysV, "SysV", "service docker restart");
}

#[test]
fn openrc() {
    require_hosts!(Init::OpenRc);
    story(Init::OpenRc, "OpenRC", "rc-service docker restart");
}

fn story(init: Init, word: &str, restart: &str) {
    let name = word.to_lowercase();
    let far = Far::boot(&HostOptions { init, ..HostOptions::named(&name) });
    let here = Here::new();
    let target = format!("root@{name}");

    let seen = here.dockseal(["host", "inspect", "--format", "json", &target]).run().success();
    let seen: serde_json::Value = serde_json::from_str(&seen.stdout).unwrap();
    assert_eq!(seen["hosts"][0]["init"], word, "{seen}");
    let planned = here.bootstrap(&target, &["--dry-run"]).run().success();
    assert!(planned.holds(&format!("run: {restart}")) && !planned.holds("systemctl"), "{planned}");
    far.assert_untouched(&planned);

    // No client would reach it by this name.
    let elsewhere = here
        .dockseal(["bootstrap", "127.0.0.1", "--ssh", &target, "--client", "alice", "--yes", "--no-passphrase"])
        .run()
        .exits(2)
        .says("what was there before is back");
    far.assert_untouched(&elsewhere);
    dockerd_that_ends(&far, &here, &target);
    nobody_confirms(&far, &here, &target);
    the_power_fails(&far, &here, &target);

    let done = here.bootstrap(&target, &[]).run().success();
    assert!(done.stdout.contains("made  daemon"), "{done}");
    here.assert_reaches(&far);
    assert!(here.bootstrap(&target, &[]).run().success().holds("Nothing to do"));
    let served = |far: &Far| far.sh("openssl x509 -in /etc/docker/tls/cert.pem -noout -serial").success().stdout;
    let first = served(&far);
    let _ = here.dockseal(["host", "rotate", &target]).run().success();
    assert_ne!(served(&far), first);
    here.assert_reaches(&far);
    let removed = here.dockseal(["host", "remove", &target, "--yes"]).run().success();
    far.assert_untouched(removed);
}

/// The init script does not say so: that nobody answers on the socket does.
fn dockerd_that_ends(far: &Far, here: &Here, target: &str) {
    let script = "#!/bin/sh\nif grep -q tlsverify /etc/docker/daemon.json; then echo 'the moon is wrong' >&2; exit 1; fi\n\
                  exec /usr/sbin/dockerd \"$@\"\n";
    far.put("/usr/local/sbin/dockerd-of-ours", script, 0o755);
    far.put("/etc/default/docker", "DOCKERD=/usr/local/sbin/dockerd-of-ours\n", 0o644);
    let before = far.state();
    let ran = here.bootstrap(target, &[]).run().exits(1).says("what was there before is back");
    assert!(ran.stderr.contains("does not answer on its socket") && ran.stderr.contains("the moon is wrong"), "{ran}");
    far.assert_as(&before, &ran);
    let _ = far.sh("tar -C / -xpf /root/fresh.tar && rm /usr/local/sbin/dockerd-of-ours").success();
    far.assert_untouched("made fresh");
}

/// The program dies, or its cable is cut: the host alone brings everything back.
fn nobody_confirms(far: &Far, here: &Here, target: &str) {
    let within = ["--confirm-within", "10s"];
    let began = Instant::now();
    let ran = at_step(here.bootstrap(target, &within), "restarting dockerd", kill);
    assert_eq!(ran.code, None, "{ran}");
    far.await_restored(RESTORED);
    assert!(began.elapsed() > Duration::from_secs(8), "it was not the switch: {ran}");
    far.assert_untouched(&ran);
    let began = Instant::now();
    let ran = at_step(here.bootstrap(target, &within), "proving mutual TLS", |_| far.cable(Cable::Out));
    assert!(ran.code.is_some_and(|code| code != 0), "{ran}");
    thread::sleep(Duration::from_secs(14).saturating_sub(began.elapsed()));
    far.cable(Cable::In);
    far.await_restored(RESTORED);
    far.assert_untouched(&ran);
}

/// A process does not outlive that: the next run that comes by brings the former state back first.
fn the_power_fails(far: &Far, here: &Here, target: &str) {
    let ran = at_step(here.bootstrap(target, &["--confirm-within", "20m"]), "proving mutual TLS", |pid| {
        kill(pid);
        far.power_cycle();
    });
    // Its number is another's now, who lives on.
    let _ = far.sh("pgrep -o sshd >/var/lib/dockseal/change/waiter").success();
    let planned = here.bootstrap(target, &["--dry-run"]).run().failure();
    assert!(planned.stderr.contains("another run is changing it"), "{planned}");
    let removed = here.dockseal(["host", "remove", target, "--yes"]).run().exits(1);
    far.assert_untouched(format!("{ran}{removed}"));
}
