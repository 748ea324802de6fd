//! `dockseal bootstrap --ssh`: what it does to a host, that it does it once, and whom it lets do it.

use dockseal_tests::{require, require_hosts, tree};
use serde_json::Value;

use crate::far::{Far, Here, take};

#[test]
fn two_hosts_at_once_and_once_only() {
    require_hosts!();
    require!("docker");
    let hosts = take(2);
    let here = Here::new();
    let both = ["--ssh", "root@crate"];

    // A dry run shows the very change, and makes none.
    let shown = here.bootstrap("root@box", &both).arg("--dry-run").run().success();
    for line in [
        "+  \"hosts\": [\"fd://\", \"tcp://0.0.0.0:2376\"],",
        "+  \"tlsverify\": true,",
        "+ExecStart=/usr/sbin/dockerd --containerd=/run/containerd/containerd.sock $DOCKER_OPTS",
        "run: systemctl restart docker.service",
    ] {
        assert_eq!(shown.stdout.matches(line).count(), 2, "{line}: {shown}");
    }
    let plan = here.bootstrap("root@box", &both).args(["--dry-run", "--format", "json"]).run().success();
    let plan: Value = serde_json::from_str(&plan.stdout).unwrap();
    assert_eq!(plan["hosts"].as_array().unwrap().len(), 2);
    for far in &hosts {
        far.assert_untouched(&shown);
    }
    // Hosts that could be looked at count too.
    let nobody = ["--ssh", "ssh://root@127.0.0.1:1", "--ssh", "ssh://root@127.0.0.1:2", "--dry-run"];
    let _ = here.bootstrap("root@box", &nobody).run().exits(2).says("2 of 3 hosts failed");
    assert!(tree(&here.sandbox.work()).paths().is_empty(), "{}", tree(&here.sandbox.work()));
    assert!(!here.sandbox.root().join("home/.local").exists());

    let made = here.bootstrap("root@box", &both).run().success();
    for (at, far) in hosts.iter().enumerate() {
        // What the dry run said is what came.
        for file in plan["hosts"][at]["files"].as_array().unwrap() {
            let there = std::fs::read_to_string(far.file(file["path"].as_str().unwrap())).unwrap();
            assert_eq!(there, file["after"].as_str().unwrap(), "{made}");
        }
        let json: Value = serde_json::from_slice(&std::fs::read(far.file("/etc/docker/daemon.json")).unwrap()).unwrap();
        assert_eq!(json["storage-driver"], "vfs");
        assert_eq!(json["iptables"], false);
        assert_eq!(json["bridge"], "none");
        let tls = tree(&far.file("/etc/docker/tls")).to_string();
        assert_eq!(tls, "dir  0700 .\nfile 0444 ca.pem\nfile 0444 cert.pem\nfile 0400 key.pem\n");
        // Only mutual TLS from afar; the socket and its unit as before.
        let alice = here.sandbox.path(hosts[0].address()).join("clients/alice");
        let version = ["version", "--format", "{{.Server.Version}}"];
        let _ = here.docker(far.address(), &alice, &version).success().says("20.10");
        let stranger = here.sandbox.path("stranger");
        std::fs::create_dir_all(&stranger).unwrap();
        std::fs::copy(alice.join("ca.pem"), stranger.join("ca.pem")).unwrap();
        let _ = here.docker(far.address(), &stranger, &version).failure().says("certificate");
        let still =
            far.sh("docker version && systemctl is-active docker docker.socket && ls /var/lib/dockseal").success();
        assert!(still.stdout.ends_with("active\nactive\ninstalled.json\n"), "{still}");
        assert_eq!(far.sh("systemctl list-units --plain --no-legend 'dockseal*'").stdout, "");
        // systemd can start the whole from nothing, by the socket too.
        let _ = far
            .sh("systemctl stop docker docker.socket && systemctl start docker.socket && docker version && systemctl restart docker")
            .success();
        // The key never was on this side.
        let key = std::fs::read_to_string(far.file("/etc/docker/tls/key.pem")).unwrap();
        let secret = key.lines().nth(2).unwrap().to_owned();
        for (path, (_, _, entry)) in tree(here.sandbox.root()).0 {
            if let dockseal_tests::Entry::File(bytes) = entry {
                assert!(
                    !String::from_utf8_lossy(&bytes).contains(&secret),
                    "{} holds the daemon's key",
                    path.display()
                );
            }
        }
    }

    let before: Vec<String> = hosts.iter().map(|far| far.state() + &far.sh("pidof dockerd").stdout).collect();
    // Who holds the authority's lock is written into it.
    let ours = || {
        let mut tree = tree(here.sandbox.root());
        tree.0.retain(|path, _| !path.ends_with("dockseal/lock"));
        tree
    };
    let mine = ours();
    let again = here.bootstrap("root@box", &both).run().success().says("Nothing to do");
    for (far, before) in hosts.iter().zip(&before) {
        assert_eq!(&(far.state() + &far.sh("pidof dockerd").stdout), before, "{again}");
    }
    mine.assert_same(&ours(), &again);
    // Nor does a dry run find anything.
    let _ = here.bootstrap("root@box", &both).arg("--dry-run").run().success().says("nothing to do");

    // A host that fails stops no other; one more client needs no change of hosts.
    let mixed = here.bootstrap("root@box", &["--ssh", "ssh://root@127.0.0.1:1", "--client", "bob"]).run().exits(2);
    assert!(mixed.stderr.contains("cannot reach ssh://root@127.0.0.1:1"), "{mixed}");
    assert!(!mixed.stdout.contains("Nothing to do"), "{mixed}");
    let bob = here.sandbox.path(hosts[0].address()).join("clients/bob");
    let _ = here.docker(hosts[0].address(), &bob, &["version"]).success();
    assert_eq!(&(hosts[0].state() + &hosts[0].sh("pidof dockerd").stdout), &before[0]);
    // Each host's own row, in the order in which they were given.
    let rows: Vec<&str> = again.stdout.lines().filter(|line| line.contains("daemon")).collect();
    assert!(rows[0].contains("root@box:") && rows[1].contains("root@crate:"), "{again}");
}

#[test]
fn what_is_seen_of_a_host() {
    require_hosts!();
    let far = Far::take();
    let here = Here::new();
    let target = format!("ssh://root@{}:22", far.address());
    let text = here.dockseal(["host", "inspect", &target]).run().success();
    for word in ["Debian GNU/Linux 12", "systemd", "20.10.24", "no TLS", "-H fd://", far.address(), "login"] {
        assert!(text.stdout.contains(word), "{word}: {text}");
    }
    let json = here.dockseal(["host", "inspect", &target, "--format", "json"]).run().success();
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json["hosts"].as_array().unwrap().len(), 1);
    far.assert_untouched(&text);

    // systemd 219, as on CentOS 7, has no --value.
    let old = "#!/bin/sh\nfor word; do [ \"$word\" != --value ] || { echo \"systemctl: unrecognized option '--value'\" >&2; exit 1; }; done\n\
        exec /usr/bin/systemctl \"$@\"\n";
    far.put("/usr/local/bin/systemctl", old, 0o755);
    let json = here.dockseal(["host", "inspect", &target, "--format", "json"]).run().success();
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json["hosts"][0]["docker"]["service"], "active");
    let _ = far.sh("rm /usr/local/bin/systemctl").success();

    // What somebody else calls dockerd is not the machine's.
    let other = "cp /usr/bin/sleep /tmp/dockerd && chmod 755 /tmp/dockerd || exit 1; \
        setsid setpriv --reuid=65534 --regid=65534 --clear-groups /tmp/dockerd 600 </dev/null >/dev/null 2>&1 & \
        for i in $(seq 100); do pgrep -u 65534 -x dockerd >/run/other && exit 0; sleep 0.05; done; exit 1";
    let _ = far.sh(other).success();
    let text = here.dockseal(["host", "inspect", &target]).run().success();
    assert!(text.stdout.contains("-H fd://") && !text.stdout.contains(" 600"), "{text}");
    let _ = here.bootstrap(&target, &["--dry-run"]).run().success();
    let _ = far.sh("kill $(cat /run/other); rm /run/other /tmp/dockerd").success();

    let _ = here.bootstrap(&format!("root@{}", far.name()), &[]).run().success();
    let serial = far.sh("openssl x509 -in /etc/docker/tls/cert.pem -noout -issuer").success().stdout;
    let before = far.state();
    let text = here.dockseal(["host", "inspect", &target]).run().success().says("mutual TLS").says("2376 (");
    assert!(serial.contains("Docker CA") || text.stdout.contains("issued by"), "{serial}{text}");
    assert_eq!(far.state(), before);
    // Who may not become root sees some of it, and is told.
    let limited = here.dockseal(["host", "inspect", &format!("wheel@{}", far.name())]).run().success();
    assert!(limited.stdout.contains("20.10.24"), "{limited}");
    assert_eq!(far.state(), before);
}

#[test]
fn who_may_and_who_is_asked() {
    require_hosts!();
    let far = Far::take();
    let name = far.name();
    let here = Here::new();
    let _ = far.sh("useradd -m plain && mkdir -p /home/plain/.ssh && cp /root/.ssh/authorized_keys /home/plain/.ssh && chown -R plain /home/plain/.ssh");
    for (user, word) in [("wheel", "password is required"), ("plain", "password is required")] {
        let no = here.bootstrap(&format!("{user}@{name}"), &[]).run().exits(2).says(word).says("NOPASSWD");
        far.assert_untouched(&no);
        assert!(!here.sandbox.root().join("home/.local").exists(), "{no}");
    }

    // Nobody there to be asked.
    let words = ["bootstrap", "--client", "alice", "--no-passphrase", "--ssh"];
    let no = here.dockseal(words).arg(format!("deploy@{name}")).run().exits(2).says("--yes").says("no terminal");
    far.assert_untouched(&no);
    assert!(!here.sandbox.root().join("home/.local").exists(), "{no}");
    // Somebody there to be asked.
    let asked = |answer: &str| {
        let line = format!("{} {} deploy@{name}", dockseal_tests::dockseal_binary().display(), words.join(" "));
        here.program("script")
            .args(["-q", "-e", "-E", "never", "-c", &line, "/dev/null"])
            .input(format!("{answer}\n"))
            .run()
    };
    for answer in ["n", ""] {
        let no = asked(answer).exits(1).says("Change this host?");
        far.assert_untouched(&no);
        assert!(!here.sandbox.root().join("home/.local").exists(), "{no}");
    }
    // Debian's sudoers has use_pty.
    let _ = asked("y").exits(0);
    here.assert_reaches(&far);
    assert_eq!(far.sh("stat -c '%U %a' /etc/docker/tls/key.pem").stdout, "root 400\n");
}
