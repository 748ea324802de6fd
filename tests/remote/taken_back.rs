//! Changes that fail half-way: what was there before comes back, by this program where it can, by the host where it cannot.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use dockseal_tests::{Cable, Program, require_hosts};

use crate::far::{Far, Here, at_step, kill};

/// How long `--confirm-within 10s` and a restart of dockerd may take on a busy machine.
const RESTORED: Duration = Duration::from_secs(60);

/// A dockerd in whose place this script stands, which may `exec /usr/sbin/dockerd "$@"`.
fn wrapped(far: &Far, script: &str) {
    far.put("/usr/local/sbin/dockerd-of-ours", &format!("#!/bin/sh\n{script}\n"), 0o755);
    far.put(
        "/etc/systemd/system/docker.service.d/ours.conf",
        "[Service]\nExecStart=\nExecStart=/usr/local/sbin/dockerd-of-ours -H fd:// --containerd=/run/containerd/containerd.sock\n",
        0o644,
    );
    let _ = far.sh("systemctl daemon-reload; systemctl reset-failed docker; systemctl restart docker").success();
}

#[test]
fn a_daemon_that_does_not_come_up() {
    require_hosts!();
    let far = Far::take();
    let here = Here::new();
    let target = format!("root@{}", far.name());
    let new = "grep -q tlsverify /etc/docker/daemon.json";
    for (script, word, code) in [
        // It says why and ends.
        (
            format!(
                "if {new}; then echo 'failed to start daemon: the moon is wrong' >&2; exit 1; fi; exec /usr/sbin/dockerd \"$@\""
            ),
            "the moon is wrong",
            1,
        ),
        // It runs, and serves something else than it was told.
        (
            format!(
                "if {new}; then exec /usr/sbin/dockerd \"$@\" -H fd:// --config-file /etc/former.json; fi; exec /usr/sbin/dockerd \"$@\""
            ),
            "2376",
            2,
        ),
    ] {
        let _ = far.sh("cp /etc/docker/daemon.json /etc/former.json").success();
        wrapped(&far, &script);
        let before = far.state();
        let ran = here.bootstrap(&target, &[]).run().exits(code);
        assert!(ran.stderr.contains(word), "{word}: {ran}");
        assert!(ran.stderr.contains("what was there before is back") && ran.stderr.contains("  hint:"), "{ran}");
        assert!(!ran.holds("Nothing to do"), "{ran}");
        far.assert_as(&before, &ran);
    }
    // It never says that it is ready: the host does not wait for this side to lose patience.
    wrapped(&far, &format!("if {new}; then exec sleep 600; fi; exec /usr/sbin/dockerd \"$@\""));
    let before = far.state();
    let ran = here.bootstrap(&target, &["--confirm-within", "10s"]).run().failure();
    far.await_restored(RESTORED);
    far.assert_as(&before, &ran);
    // Mended, the next run works, with the drop-in of others before ours.
    let script = "exec /usr/sbin/dockerd \"$@\"";
    wrapped(&far, script);
    let _ = here.bootstrap(&target, &[]).run().success();
    here.assert_reaches(&far);
    assert!(far.file("/etc/systemd/system/docker.service.d/zz-dockseal.conf").exists());
    assert!(
        far.sh("tr '\\0' ' ' </proc/$(pidof dockerd)/cmdline; systemctl cat docker").success().holds("dockerd-of-ours")
    );
}

#[test]
fn a_name_that_leads_elsewhere() {
    require_hosts!();
    let far = Far::take();
    let here = Here::new();
    let target = format!("root@{}", far.name());
    for (name, code, word) in [("no-such-host.invalid", 2, "no-such-host.invalid"), ("127.0.0.1", 2, "127.0.0.1")] {
        let ran =
            here.dockseal(["bootstrap", name, "--ssh", &target, "--client", "alice", "--yes", "--no-passphrase"]).run();
        let ran = ran.exits(code).says(word).says("what was there before is back").says("  hint:");
        far.assert_untouched(&ran);
    }
    // A name of several is enough, and an address that is no name is refused by docker itself.
    let ran = here
        .dockseal([
            "bootstrap",
            "build.internal",
            far.address(),
            "--ssh",
            &target,
            "--client",
            "alice",
            "--yes",
            "--no-passphrase",
        ])
        .args(["--out", "out"])
        .run()
        .success();
    let alice = here.sandbox.path("out/clients/alice");
    let _ = here.docker(far.address(), &alice, &["version"]).success();
    assert!(
        far.sh("openssl x509 -in /etc/docker/tls/cert.pem -noout -ext subjectAltName")
            .success()
            .holds("DNS:build.internal"),
        "{ran}"
    );
    drop(far);
    let far = Far::take();
    let here = Here::new();
    // Only 127.0.0.1's own name would be in it.
    let ran = here
        .dockseal([
            "bootstrap",
            "build.internal",
            "--ssh",
            &format!("root@{}", far.name()),
            "--client",
            "alice",
            "--dry-run",
            "--no-passphrase",
        ])
        .run()
        .success();
    assert!(ran.holds(&format!("clients that dial {} (host0) are refused", far.address())), "{ran}");
}

#[test]
fn the_cable_is_cut() {
    require_hosts!();
    let far = Far::take();
    let target = format!("root@{}", far.name());
    for step in ["restarting dockerd", "proving mutual TLS"] {
        let here = Here::new();
        let began = Instant::now();
        let ran = at_step(here.bootstrap(&target, &["--confirm-within", "12s"]), step, |_| far.cable(Cable::Out));
        assert!(ran.code.is_some_and(|code| code != 0), "{ran}");
        assert!(ran.stderr.contains("the host itself brings back") || ran.stderr.contains("cannot reach"), "{ran}");
        // Nobody told it to.
        thread::sleep(Duration::from_secs(14).saturating_sub(began.elapsed()));
        far.cable(Cable::In);
        far.await_restored(RESTORED);
        far.assert_untouched(&ran);
        let again = here.bootstrap(&target, &[]).run().success();
        here.assert_reaches(&far);
        assert!(again.stdout.contains("made  daemon"), "{again}");
        let serials = here.sandbox.inventory("SELECT count(*) FROM destination WHERE pending IS NOT NULL");
        assert_eq!(serials, ["0"], "{again}");
        far.reset();
    }
}

#[test]
fn killed_at_every_step() {
    require_hosts!();
    let far = Far::take();
    let target = format!("root@{}", far.name());
    let here = Here::new();
    // The first waits for the host's own timer; for the others its unit is started by hand.
    let steps = [
        ("restarting dockerd", 400, true),
        ("arming the dead-man switch", 0, false),
        ("making the daemon's key", 0, false),
        ("making the daemon's key", 30, false),
        ("laying the new files", 0, false),
        ("laying the new files", 30, false),
        ("laying the new files", 60, false),
        ("restarting dockerd", 30, false),
        ("proving mutual TLS", 0, false),
    ];
    for (step, delay, by_itself) in steps {
        let ran = at_step(here.bootstrap(&target, &["--confirm-within", "10s"]), step, |pid| {
            thread::sleep(Duration::from_millis(delay));
            kill(pid);
        });
        assert_eq!(ran.code, None, "{ran}");
        if !by_itself {
            // ssh's other end has to see that nobody is there any more.
            let _ = far.sh("for i in $(seq 40); do pgrep -f 'sshd: root@notty' | wc -l | grep -qx 1 && break; sleep 0.05; done; \
                systemctl -q is-active dockseal-restore.timer && systemctl start dockseal-restore.service; systemctl stop dockseal-restore.timer; true");
        }
        far.await_restored(RESTORED);
        far.assert_untouched(format!("{step} + {delay} ms: {ran}"));
    }
    // What stood in the books as on its way is settled.
    let _ = here.bootstrap(&target, &[]).run().success();
    here.assert_reaches(&far);
    assert_eq!(here.sandbox.inventory("SELECT count(*) FROM destination WHERE pending IS NOT NULL"), ["0"]);
}

#[test]
fn the_host_loses_its_power_while_armed() {
    require_hosts!();
    let far = Far::take();
    let target = format!("root@{}", far.name());
    let here = Here::new();
    // Long before the timer would go off, which does not outlive it.
    let ran = at_step(here.bootstrap(&target, &["--confirm-within", "20m"]), "proving mutual TLS", |pid| {
        kill(pid);
        far.power_cycle();
    });
    far.await_restored(RESTORED);
    far.await_docker();
    far.assert_untouched(&ran);
    let _ = here.bootstrap(&target, &[]).run().success();
    here.assert_reaches(&far);
}

#[test]
fn a_full_disk() {
    require_hosts!();
    let far = Far::take();
    let target = format!("root@{}", far.name());
    for place in ["/etc/docker", "/var/lib/dockseal", "/etc/systemd/system"] {
        // A file system of its own with next to nothing free, after what is there.
        let _ = far
            .sh(&format!(
                "mkdir -p {place}; cp -a {place} /root/copy && mount -t tmpfs -o size=192k,mode=0755 tmpfs {place} && cp -a /root/copy/. {place}/ && \
                 rm -r /root/copy; cat /dev/zero >{place}/filler 2>/dev/null; truncate -s -0 {place}/filler; systemctl daemon-reload; true"
            ))
            .success();
        let before = far.state();
        let here = Here::new();
        let ran = here.bootstrap(&target, &[]).run().failure();
        assert!(ran.stderr.contains("No space left on device") && ran.stderr.contains("make room"), "{place}: {ran}");
        far.assert_as(&before, format!("{place}: {ran}"));
        let _ = far.sh(&format!(
            "umount {place}; [ {place} = /var/lib/dockseal ] && rmdir {place}; systemctl daemon-reload; true"
        ));
        let _ = here.bootstrap(&target, &[]).run().success();
        here.assert_reaches(&far);
        far.reset();
    }
}

#[test]
fn two_at_once() {
    require_hosts!();
    let far = Far::take();
    let target = format!("root@{}", far.name());
    let here = Here::new();
    let there = Here::new();
    let (one, other) = thread::scope(|scope| {
        let one = scope.spawn(|| here.bootstrap(&target, &[]).run());
        let other = scope.spawn(|| there.bootstrap(&target, &[]).run());
        (one.join().unwrap(), other.join().unwrap())
    });
    let (winner, loser, lost) = match (one.code, other.code) {
        (Some(0), Some(code)) if code != 0 => (&here, &other, &there),
        (Some(code), Some(0)) if code != 0 => (&there, &one, &here),
        _ => panic!("{one}{other}"),
    };
    assert!(
        loser.holds("another run is changing it")
            || loser.holds("another authority")
            || loser.holds("changed meanwhile"),
        "{loser}"
    );
    winner.assert_reaches(&far);
    assert_eq!(
        far.sh("ls -A /var/lib/dockseal; systemctl list-units --plain --no-legend 'dockseal*'").stdout,
        "installed.json\n"
    );
    // The other is told whose it is now, and harms nothing.
    let no = lost.bootstrap(&target, &[]).run().exits(1).says("another authority").says("--replace");
    winner.assert_reaches(&far);
    drop(no);
    let leftovers = fs::read_dir(far.file("/etc/docker")).unwrap().flatten().count();
    assert_eq!(leftovers, 3, "daemon.json, key.json and tls");
}

#[test]
fn what_others_have_in_the_directory_stays() {
    require_hosts!();
    let far = Far::take();
    let target = format!("root@{}", far.name());
    let here = Here::new();
    let _ = far
        .sh("mkdir -p '/etc/docker/tls/sub dir' && echo mine >'/etc/docker/tls/sub dir/it'\"'\"'s \\$HOME' && echo x >/etc/docker/tls/notes.txt && \
             chmod 640 /etc/docker/tls/notes.txt && chgrp docker /etc/docker/tls/notes.txt && ln -s notes.txt /etc/docker/tls/link && chmod 750 /etc/docker/tls")
        .success();
    let list = "cd /etc/docker/tls && find . -mindepth 1 ! -name '*.pem' -printf '%M %U:%G %y %p %l\\n' | sort && cat notes.txt sub*/*";
    let theirs = far.sh(list).success().stdout;
    let before = far.state();
    // Taken back, and then done.
    let ran = here
        .dockseal(["bootstrap", "127.0.0.1", "--ssh", &target, "--client", "alice", "--yes", "--no-passphrase"])
        .run()
        .failure();
    far.assert_as(&before, &ran);
    let _ = here.bootstrap(&target, &[]).run().success();
    here.assert_reaches(&far);
    assert_eq!(far.sh(list).success().stdout, theirs);
    let ran = here.dockseal(["host", "remove", &target, "--yes"]).run().success();
    far.assert_as(&before, &ran);
}

/// A program of the host in whose place this script stands; it goes when the host is made fresh.
fn in_place_of(far: &Far, program: &str, script: &str) {
    let real = far.sh(&format!("command -v {program}")).success().stdout;
    far.put(
        &format!("/usr/local/bin/{program}"),
        &format!("#!/bin/sh\n{script}\nexec {} \"$@\"\n", real.trim()),
        0o755,
    );
    assert_eq!(far.sh(&format!("command -v {program}")).stdout.trim(), format!("/usr/local/bin/{program}"));
}

#[test]
fn a_host_that_is_slower_than_its_switch() {
    require_hosts!();
    let far = Far::take();
    let target = format!("root@{}", far.name());
    // While the key is made there, and while one is on its way there.
    for (program, without, words) in
        [("openssl", "true", "genpkey"), ("mkdir", "mv /usr/bin/openssl /usr/bin/openssl.away", "dockseal-new")]
    {
        let _ = far.sh(without).success();
        in_place_of(&far, program, &format!("case \"$*\" in *{words}*) sleep 12 ;; esac"));
        let before = far.state();
        let here = Here::new();
        let ran = here.bootstrap(&target, &["--confirm-within", "10s"]).run().exits(1);
        assert!(ran.stderr.contains("the dead-man switch went off meanwhile"), "{ran}");
        assert!(ran.stderr.contains("what was there before is back"), "{ran}");
        far.await_restored(RESTORED);
        far.assert_as(&before, &ran);
        far.reset();
    }
}

#[test]
fn confirmed_too_late() {
    require_hosts!();
    let far = Far::take();
    let target = format!("root@{}", far.name());
    let here = Here::new();
    let paused = |within: &str, meanwhile: &dyn Fn()| {
        at_step(here.bootstrap(&target, &["--confirm-within", within]), "proving mutual TLS", |pid| {
            let signal = |name: &str| drop(Program::new("kill").args([name, &pid.to_string()]).run().success());
            signal("-STOP");
            meanwhile();
            signal("-CONT");
        })
    };
    // The switch is through with it.
    let ran = paused("10s", &|| far.await_restored(RESTORED));
    assert!(ran.code.is_some_and(|code| code != 0) && ran.stderr.contains("what was there before is back"), "{ran}");
    far.assert_untouched(&ran);
    // It has just begun: the new dockerd answers still, and that is no success.
    let ran = paused("2m", &|| {
        let _ = far.sh("cd /var/lib/dockseal/change && mv armed restoring").success();
    });
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(ran.stderr.contains("cannot disarm the dead-man switch: the dead-man switch went off meanwhile"), "{ran}");
    assert!(ran.stderr.contains("what was there before is back"), "{ran}");
    far.assert_untouched(&ran);
    assert_eq!(here.sandbox.inventory("SELECT count(*) FROM destination WHERE pending IS NOT NULL"), ["0"], "{ran}");
}

#[test]
fn what_others_write_meanwhile_stays() {
    require_hosts!();
    let far = Far::take();
    let target = format!("root@{}", far.name());
    for (file, text) in [("/etc/docker/daemon.json", "{\"debug\": true}"), ("/etc/docker/tls/ca.pem", "theirs")] {
        let _ = far.sh("rm -f /etc/docker/daemon.json").success();
        let write = format!("mkdir -p {}; printf '%s' '{text}' >{file}", file.rsplit_once('/').unwrap().0);
        in_place_of(
            &far,
            "sync",
            &format!("[ -e /var/lib/dockseal/change/armed ] && {{ rm /usr/local/bin/sync; {write}; }}"),
        );
        let here = Here::new();
        let ran = here.bootstrap(&target, &[]).run().exits(1);
        assert!(ran.stderr.contains(&format!("{file} was changed meanwhile")), "{ran}");
        assert_eq!(far.sh(&format!("cat {file}")).stdout, text, "{ran}");
        assert_eq!(far.sh("ls -A /var/lib/dockseal 2>/dev/null; find /etc -name '.*.dockseal-*'").stdout, "", "{ran}");
        far.reset();
    }
}

#[test]
fn a_socket_elsewhere_and_an_old_systemd() {
    require_hosts!();
    let far = Far::take();
    let target = format!("root@{}", far.name());
    let here = Here::new();
    // Before 230 it had no --value.
    in_place_of(
        &far,
        "systemctl",
        "case \" $* \" in *' --value '*) echo \"systemctl: unrecognized option '--value'\" >&2; exit 1 ;; esac",
    );
    far.put("/etc/docker/daemon.json", r#"{"iptables": false, "bridge": "none", "storage-driver": "vfs", "hosts": ["unix:///srv/its own/docker.sock"]}"#, 0o644);
    // Debian's own wants the socket unit.
    let unit = "[Service]\nType=notify\nExecStart=/usr/sbin/dockerd\n[Install]\nWantedBy=multi-user.target\n";
    far.put("/etc/systemd/system/docker.service", unit, 0o644);
    let _ = far
        .sh("mkdir -p '/srv/its own'; systemctl stop docker docker.socket; systemctl daemon-reload; systemctl start docker")
        .success();
    let before = far.state();
    let ran = here
        .dockseal(["bootstrap", "127.0.0.1", "--ssh", &target, "--client", "alice", "--yes", "--no-passphrase"])
        .run()
        .exits(2)
        .says("what was there before is back");
    far.assert_as(&before, &ran);
    assert!(!ran.holds("does not answer all the same"), "{ran}");
    let _ = here.bootstrap(&target, &[]).run().success();
    here.assert_reaches(&far);
    let ran = here.dockseal(["host", "remove", &target, "--yes"]).run().success();
    far.assert_as(&before, &ran);
    let _ = far.sh("docker -H 'unix:///srv/its own/docker.sock' version").success();
}
