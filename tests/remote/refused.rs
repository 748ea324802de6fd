//! Hosts that cannot be set up: said before anything is changed, with the cause and what to do.

use std::net::TcpListener;

use dockseal_tests::{Ran, require_hosts};

use crate::far::{Far, Here, take};

/// Refused with this code and these words, and nothing was changed there or here.
#[track_caller]
fn refused(far: &Far, more: &[&str], code: i32, words: &[&str]) -> Ran {
    let before = far.state();
    let here = Here::new();
    let ran = here.bootstrap(&format!("root@{}", far.name()), more).run().exits(code);
    for word in words.iter().chain(&["  cause:", "  hint:"]) {
        assert!(ran.stderr.contains(word), "{word:?} is not in\n{ran}");
    }
    assert!(!ran.holds("nothing to do"), "{ran}");
    far.assert_as(&before, &ran);
    assert!(!here.sandbox.root().join("home/.local").exists(), "{ran}");
    ran
}

#[test]
fn a_configuration_that_cannot_be_added_to() {
    require_hosts!();
    let far = Far::take();
    let daemon_json = far.file("/etc/docker/daemon.json");
    let whole = std::fs::read_to_string(&daemon_json).unwrap();
    for text in ["{\"iptables\": false,", "[]", "{\"iptables\": false} x", "{\"a\": 1, \"a\": 2, }"] {
        std::fs::write(&daemon_json, text).unwrap();
        let _ = refused(&far, &[], 1, &["/etc/docker/daemon.json", "nothing was changed"]);
        assert_eq!(std::fs::read_to_string(&daemon_json).unwrap(), text);
    }
    std::fs::write(&daemon_json, &whole).unwrap();

    // A link leads to where somebody else looks after it.
    let _ = far.sh("mkdir /srv/conf; mv /etc/docker/daemon.json /srv/conf/d.json; ln -s /srv/conf/d.json /etc/docker/daemon.json").success();
    let _ = refused(&far, &[], 1, &["no plain file"]);
    let _ = far
        .sh("rm -r /etc/docker/daemon.json && mv /srv/conf/d.json /etc/docker/daemon.json && rmdir /srv/conf")
        .success();

    // What an environment file adds to the command line is not the unit's.
    let _ = far.sh("echo DOCKER_OPTS=\\\"-H tcp://127.0.0.1:2375 --label x=y\\\" >/etc/default/docker; systemctl reset-failed docker; systemctl restart docker").success();
    let _ = refused(&far, &[], 1, &["-H tcp://127.0.0.1:2375", "/etc/default/docker"]);
    // Without sockets in it, it is no obstacle, and its flags stay.
    let _ = far.sh("echo DOCKER_OPTS=\\\"--label x=y\\\" >/etc/default/docker; systemctl reset-failed docker; systemctl restart docker").success();
    let here = Here::new();
    let _ = here.bootstrap(&format!("root@{}", far.name()), &[]).run().success();
    here.assert_reaches(&far);
    let _ = far.sh("docker info --format '{{.Labels}}'").success().says("[x=y]");
}

#[test]
fn tls_of_somebody_else() {
    require_hosts!();
    let far = Far::take();
    let address = far.address();
    // A whole PKI of another hand: openssl on the host itself.
    let _ = far
        .sh(&format!(
            "mkdir -p /srv/tls && cd /srv/tls && openssl req -x509 -newkey rsa:2048 -nodes -keyout k.pem -out c.pem -days 9 \
             -subj /CN=other -addext subjectAltName=IP:{address} 2>/dev/null && \
             mkdir -p /etc/systemd/system/docker.service.d && printf '[Service]\\nExecStart=\\nExecStart=/usr/sbin/dockerd -H fd:// \
             -H tcp://0.0.0.0:2376 --tlsverify --tlscacert=/srv/tls/c.pem --tlscert /srv/tls/c.pem --tlskey=/srv/tls/k.pem\\n' \
             >/etc/systemd/system/docker.service.d/tls.conf && systemctl daemon-reload && systemctl restart docker"
        ))
        .success();
    let before = far.state();
    let words = ["TLS is set up there already", "--tlscert=/srv/tls/c.pem", "--replace"];
    let here = Here::new();
    let target = format!("root@{}", far.name());
    let no = here.bootstrap(&target, &[]).run().exits(1);
    for word in words {
        assert!(no.stderr.contains(word), "{no}");
    }
    assert_eq!(far.state(), before);
    let _ = here.bootstrap(&target, &["--replace"]).run().success();
    here.assert_reaches(&far);
    // Ours came after theirs, which stays as it is.
    assert!(far.file("/etc/systemd/system/docker.service.d/zz-dockseal.conf").exists());
    let argv = far.sh("tr '\\0' ' ' </proc/$(pidof dockerd)/cmdline").stdout;
    assert!(!argv.contains("tls") && !argv.contains("-H"), "{argv}");
    let again = here.bootstrap(&target, &[]).run().success();
    assert!(again.holds("nothing to do"), "{again}");
    let _ = far.sh("rm -rf /srv/tls");
    drop(far);

    // The same in daemon.json.
    let far = Far::take();
    let address = far.address();
    let _ = far
        .sh(&format!(
            "mkdir -p /etc/docker/theirs && cd /etc/docker/theirs && openssl req -x509 -newkey rsa:2048 -nodes -keyout k.pem -out c.pem -days 9 \
             -subj /CN=other -addext subjectAltName=IP:{address} 2>/dev/null && \
             printf '%s' '{{\"iptables\": false, \"bridge\": \"none\", \"storage-driver\": \"vfs\", \"tlsverify\": true, \"tlscacert\": \"/etc/docker/theirs/c.pem\", \"tlscert\": \"/etc/docker/theirs/c.pem\", \"tlskey\": \"/etc/docker/theirs/k.pem\"}}' \
             >/etc/docker/daemon.json && systemctl restart docker"
        ))
        .success();
    let before = far.state();
    let here = Here::new();
    let target = format!("root@{}", far.name());
    let no = here.bootstrap(&target, &[]).run().exits(1).says("/etc/docker/theirs/c.pem").says("--replace");
    assert_eq!(far.state(), before, "{no}");
    let _ = here.bootstrap(&target, &["--replace"]).run().success();
    here.assert_reaches(&far);
    assert!(far.file("/etc/docker/theirs/k.pem").exists());
    far.reset();

    // A key alone where ours would be.
    let _ = far.sh("mkdir /etc/docker/tls && echo theirs >/etc/docker/tls/key.pem").success();
    let _ = refused(&far, &[], 1, &["/etc/docker/tls/key.pem is there already", "--replace"]);
    let here = Here::new();
    let _ = here.bootstrap(&target, &["--replace"]).run().success();
    // One that is ours by our own record, after its certificate was lost.
    let _ = far.sh("rm /etc/docker/tls/cert.pem").success();
    let _ = here.bootstrap(&target, &[]).run().success();
    here.assert_reaches(&far);
}

#[test]
fn what_is_on_the_host() {
    require_hosts!();
    let far = Far::take();
    // Another program has the port.
    let _ = far.sh(
        "setsid perl -MIO::Socket::INET -e 'my $s = IO::Socket::INET->new(Listen => 1, LocalPort => 2376, ReuseAddr => 1) or die; \
         open(P, \">/run/taker\"); print P $$; close P; sleep 600' </dev/null >/dev/null 2>&1 & \
         for i in $(seq 100); do [ -s /run/taker ] && exit 0; sleep 0.05; done; exit 1",
    ).success();
    let _ = refused(&far, &[], 1, &["port 2376 is taken by perl", "ss -ltnp"]);
    let _ = far.sh("kill $(cat /run/taker); rm /run/taker").success();

    // No Docker at all.
    let _ = far.sh("systemctl stop docker docker.socket; mv /usr/sbin/dockerd /usr/sbin/dockerd.away").success();
    let _ = refused(&far, &[], 1, &["there is no dockerd", "docker.io"]);
    let _ = far.sh("mv /usr/sbin/dockerd.away /usr/sbin/dockerd; systemctl start docker.socket docker").success();

    // A clock two hours behind takes new certificates for not yet valid.
    let clock = |seconds: i32| {
        let script = format!(
            "#!/bin/sh\nfor w; do case $w in +%s) echo $(($(/bin/date +%s) + ({seconds}))); exit;; esac; done\nexec /bin/date \"$@\"\n"
        );
        far.put("/usr/local/bin/date", &script, 0o755);
    };
    clock(-7200);
    let no = refused(&far, &[], 1, &["behind this machine's", "timedatectl"]);
    assert!(no.stderr.contains("7200") || no.stderr.contains("7199"), "{no}");
    // Ahead: it works, and is said. The switch, which counts by that clock too, does not mind.
    clock(7200);
    let here = Here::new();
    let made = here.bootstrap(&format!("root@{}", far.name()), &[]).run().success();
    assert!(made.stderr.contains("seconds ahead"), "{made}");
    here.assert_reaches(&far);
    far.reset();
    // Ahead for dockerd as well: it is this side that works two hours ago.
    let here = Here::new();
    let ago = here.program("date").args(["-u", "-d", "-2 hours", "+%FT%TZ"]).run().success().stdout;
    let _ = here.bootstrap(&format!("root@{}", far.name()), &["--at", ago.trim()]).run().success();
    here.assert_reaches(&far);
}

/// Where somebody else can exchange a directory on the way, root's files could be led anywhere.
#[test]
fn a_place_that_others_can_change() {
    require_hosts!();
    let far = Far::take();
    let led = |who: &str, directory: &str| format!("{who} can change {directory} there");
    for (make, who, mend) in [
        ("chown 1000 /etc/docker", led("the user 1000", "/etc/docker"), "chown 0 /etc/docker"),
        (
            "chmod 0775 /etc/docker; chgrp 1000 /etc/docker",
            led("the group 1000", "/etc/docker"),
            "chmod 0755 /etc/docker; chgrp 0 /etc/docker",
        ),
        ("chmod 1777 /etc/docker", led("everybody", "/etc/docker"), "chmod 0755 /etc/docker"),
        // A link of root's into somebody's directory.
        (
            "mkdir /srv/theirs; mv /etc/docker /srv/theirs/d; ln -s /srv/theirs/d /etc/docker; chown 1000 /srv/theirs",
            led("the user 1000", "/srv/theirs"),
            "rm /etc/docker; mv /srv/theirs/d /etc/docker; rmdir /srv/theirs",
        ),
        // A link of root's to a link in somebody's directory, which leads to a directory of root's.
        (
            "mkdir /srv/theirs; mv /etc/docker /srv/d; ln -s ../d /srv/theirs/link; ln -s /srv/theirs/link /etc/docker; \
             chown 1000 /srv/theirs",
            led("the user 1000", "/srv/theirs"),
            "rm -r /etc/docker /srv/theirs; mv /srv/d /etc/docker",
        ),
        // Root's own group, or the mask of an access control list: one cannot be told from the other by the mode (acl(5)).
        ("chmod 0775 /etc/docker", led("the group 0", "/etc/docker"), "chmod 0755 /etc/docker"),
    ] {
        let _ = far.sh(make).success();
        let _ = refused(&far, &[], 1, &[&who, "make it root's alone"]);
        let _ = far.sh(mend).success();
    }
    // The hint helps.
    let _ = far.sh("chown 1000 /etc/docker; chmod 0777 /etc/docker").success();
    let _ = refused(&far, &[], 1, &["make it root's alone"]);
    let _ = far.sh("chown root:root /etc/docker; chmod go-w /etc/docker").success();
    let here = Here::new();
    let _ = here.bootstrap(&format!("root@{}", far.name()), &[]).run().success();
    here.assert_reaches(&far);
    // What changes after the look is found by the step that writes: at the first directory that is looked at once more.
    let stat = "#!/bin/sh\ncase \" $* \" in *' -L '*) n=$(($(cat /run/looks 2>/dev/null || echo 0) + 1)); echo $n >/run/looks; \
                [ $n = \"$(cat /run/last-look 2>/dev/null)\" ] && chown 1000 /etc/docker ;; esac\nexec /usr/bin/stat \"$@\"\n";
    let before = far.state();
    far.put("/usr/local/bin/stat", stat, 0o755);
    let rotate = || here.dockseal(["host", "rotate"]).arg(format!("root@{}", far.name())).run();
    let _ = here.bootstrap(&format!("root@{}", far.name()), &["--dry-run"]).run().success();
    let _ = far.sh("echo $(($(cat /run/looks) + 1)) >/run/last-look; echo 0 >/run/looks").success();
    let ran = rotate().exits(1);
    assert!(ran.stderr.contains("the user 1000 can change /etc/docker"), "{ran}");
    assert!(ran.stderr.contains("make it root's alone"), "{ran}");
    let _ = far.sh("rm /usr/local/bin/stat /run/looks /run/last-look; chown 0 /etc/docker").success();
    assert_eq!(far.state(), before, "{ran}");
    let _ = far.sh("chown 1000 /etc/docker").success();
    let _ = rotate().exits(1).says("the user 1000 can change /etc/docker there");
    let _ = far.sh("chown 0 /etc/docker").success();
    let _ = rotate().success();
}

#[test]
fn ssh_that_does_not_get_through() {
    require_hosts!();
    let far = Far::take();
    let target = format!("root@{}", far.name());
    let refused = |here: &Here, target: &str, words: &[&str]| {
        let ran = here.bootstrap(target, &[]).run().exits(2);
        for word in words.iter().chain(&["  cause:", "  hint:"]) {
            assert!(ran.stderr.contains(word), "{word:?} is not in\n{ran}");
        }
        assert!(!here.sandbox.root().join("home/.local").exists(), "{ran}");
        far.assert_untouched(&ran);
    };
    // Nobody is known.
    let here = Here::new();
    here.ssh_with("-o UserKnownHostsFile=/dev/null");
    refused(&here, &target, &["cannot reach", "Host key verification failed", "fingerprint"]);
    // Somebody else is known by that name.
    let known = here.sandbox.path("known");
    let _ = here
        .program("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(here.sandbox.path("k"))
        .run()
        .success();
    let key = std::fs::read_to_string(here.sandbox.path("k.pub")).unwrap();
    std::fs::write(&known, format!("{},{} {key}", far.name(), far.address())).unwrap();
    here.ssh_with(&format!("-o UserKnownHostsFile={}", known.display()));
    refused(&here, &target, &["IDENTIFICATION HAS CHANGED", "ssh-keygen -R", "in between"]);
    // No key opens the door.
    here.ssh_with("-o PubkeyAuthentication=no");
    refused(&here, &target, &["Permission denied", "BatchMode=yes"]);
    let here = Here::new();
    refused(&here, "root@nowhere.invalid", &["Could not resolve hostname", "spelling"]);
    refused(&here, "ssh://root@127.0.0.1:1", &["refused", "ssh -v"]);
    // A login shell that is none.
    let _ = far.sh("useradd -m -s /usr/sbin/nologin nobody2 && cp -r /root/.ssh /home/nobody2 && chown -R nobody2 /home/nobody2/.ssh");
    refused(&here, &format!("nobody2@{}", far.name()), &["not available", "shell"]);
    // It takes the call and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    refused(&here, &format!("ssh://root@127.0.0.1:{port}"), &["timed out", "ssh -v"]);
}

/// A dockerd that does not start, since its sockets stand in daemon.json and on its command line.
#[test]
fn hosts_in_both_places_is_what_bootstrap_mends() {
    require_hosts!();
    let far = Far::take();
    let here = Here::new();
    far.put(
        "/etc/docker/daemon.json",
        r#"{"iptables": false, "bridge": "none", "storage-driver": "vfs", "hosts": ["unix:///var/run/docker.sock"]}"#,
        0o644,
    );
    let _ = far.sh("systemctl restart docker").failure();
    let why = far.sh("journalctl -u docker --since -5min --no-pager -o cat").stdout;
    assert!(why.contains("specified both as a flag and in the configuration file: hosts"), "{why}");
    let _ = far.sh("systemctl stop docker docker.socket; systemctl reset-failed docker docker.socket");

    let inspect =
        here.dockseal(["host", "inspect", "--format", "json", &format!("root@{}", far.name())]).run().success();
    let wire: serde_json::Value = serde_json::from_str(&inspect.stdout).unwrap();
    let fault = wire["hosts"][0]["docker"]["fault"].as_str().unwrap();
    assert!(fault.contains("specified both as a flag and in the configuration file: hosts"), "{fault}");

    let _ = here.bootstrap(&format!("root@{}", far.name()), &[]).run().success();
    here.assert_reaches(&far);
    let flags = far.sh("tr '\\0' ' ' </proc/$(pidof dockerd)/cmdline").success().stdout;
    assert!(!flags.contains("-H"), "{flags}");
    assert!(far.sh("docker version --format '{{.Server.Version}}'").success().stdout.starts_with("20.10."));
}

/// Nobody waits for it for ever, and the other host does not wait at all.
#[test]
fn a_login_that_leads_nowhere() {
    require_hosts!();
    let hosts = take(2);
    let [stuck, well] = hosts.as_slice() else { panic!("two hosts") };
    let before = stuck.state();
    let here = Here::new();
    // Debian's bash reads it for what sshd runs.
    let bashrc = stuck.file("/root/.bashrc");
    let former = std::fs::read(&bashrc).ok();
    std::fs::write(&bashrc, "sleep 600\n").unwrap();
    let ran = here.bootstrap(&format!("root@{}", stuck.name()), &["--ssh", &format!("root@{}", well.name())]).run();
    match former {
        Some(former) => std::fs::write(&bashrc, former).unwrap(),
        None => std::fs::remove_file(&bashrc).unwrap(),
    }
    assert_eq!(ran.code, Some(2), "{ran}");
    assert!(ran.stderr.contains(&format!("cannot reach root@{}", stuck.name())), "{ran}");
    assert!(ran.stderr.contains("no answer within 35 seconds"), "{ran}");
    stuck.assert_as(&before, &ran);
    let _ = well.sh("docker version").success();
    assert!(well.file("/etc/docker/tls/cert.pem").exists(), "{ran}");
}
