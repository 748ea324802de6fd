//! What goes on after bootstrap: new certificates, a new authority, and everything taken back out.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use dockseal_tests::{Host, HostOptions, Operator, Ran, require_hosts};

/// Two hosts and the client that may use them.
struct Fleet {
    // The hosts go before the operator's files do.
    hosts: Vec<Host>,
    operator: Operator,
}

impl Fleet {
    fn boot() -> Self {
        let operator = Operator::new();
        let hosts = operator.boot_all(&[HostOptions::named("box"), HostOptions::named("crate")]);
        Self { hosts, operator }
    }

    fn bootstrapped() -> Self {
        let fleet = Self::boot();
        let _ = fleet
            .dockseal(["bootstrap", "--ssh", "root@box", "--ssh", "root@crate", "--client", "alice", "--out", "out"])
            .args(["--no-passphrase", "--yes"])
            .run()
            .success();
        fleet
    }

    fn dockseal<const N: usize>(&self, args: [&str; N]) -> dockseal_tests::Program {
        self.operator.dockseal(args)
    }

    fn client(&self) -> PathBuf {
        self.operator.sandbox().work().join("out/clients/alice")
    }

    fn docker(&self, host: &Host) -> Ran {
        self.operator
            .program("docker")
            .env("DOCKER_HOST", format!("tcp://{}:2376", host.address()))
            .env("DOCKER_TLS_VERIFY", "1")
            .env("DOCKER_CERT_PATH", self.client())
            .args(["version", "--format", "{{.Server.Version}}"])
            .run()
    }

    fn all_work(&self, when: &str) {
        for host in &self.hosts {
            let ran = self.docker(host);
            assert!(ran.stdout.starts_with("20.10."), "{when}: {}: {}", host.name(), ran.stderr);
            assert!(host.sh("docker version --format '{{.Server.Version}}'").success().stdout.starts_with("20.10."));
        }
    }
}

/// What the daemon serves, by openssl.
fn served(host: &Host) -> String {
    let script = format!(
        "openssl s_client -connect {}:2376 </dev/null 2>/dev/null | openssl x509 -noout -fingerprint -sha256",
        host.address()
    );
    let output = Command::new("sh").arg("-c").arg(script).stderr(Stdio::null()).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn on_disk(host: &Host) -> String {
    host.sh("openssl x509 -in /etc/docker/tls/cert.pem -noout -fingerprint -sha256").success().stdout
}

fn key(host: &Host) -> String {
    host.sh("openssl pkey -in /etc/docker/tls/key.pem -pubout").success().stdout
}

fn certified_key(host: &Host) -> String {
    host.sh("openssl x509 -in /etc/docker/tls/cert.pem -noout -pubkey").success().stdout
}

/// What of ours is on the host, and what of Docker's configuration.
fn state(host: &Host) -> String {
    host.sh("find /etc/docker /etc/systemd/system/docker.service.d /var/lib/dockseal ! -name key.json -printf '%p %m %u\\n' 2>/dev/null | sort; \
             cat /etc/docker/daemon.json; systemctl cat docker.service; systemctl list-units --no-legend 'dockseal*'")
        .stdout
}

#[test]
fn rotated_renewed_when_due_and_removed() {
    require_hosts!();
    let fleet = Fleet::boot();
    let fresh: Vec<String> = fleet.hosts.iter().map(state).collect();
    let _ = fleet
        .dockseal(["bootstrap", "--ssh", "root@box", "--ssh", "root@crate", "--client", "alice", "--out", "out"])
        .args(["--no-passphrase", "--yes"])
        .run()
        .success();
    let [one, other] = fleet.hosts.as_slice() else { panic!("two hosts") };

    // One alone, with a new key made there.
    let (before, old_key, untouched) = (served(one), key(one), served(other));
    assert!(before.contains("Fingerprint="), "{before}");
    let ran = fleet.dockseal(["host", "rotate", "root@box"]).run().success();
    assert!(ran.stdout.contains("renewed daemon") && ran.stdout.contains("root@box:/etc/docker/tls"), "{}", ran.stdout);
    assert_ne!(served(one), before);
    assert_eq!(served(one), on_disk(one));
    assert_ne!(key(one), old_key);
    assert_eq!(key(one), certified_key(one));
    assert_eq!(served(other), untouched);
    fleet.all_work("rotated");

    // All, with the keys that they have.
    let keys = (key(one), key(other));
    let _ = fleet.dockseal(["host", "rotate", "--all", "--reuse-key"]).run().success();
    assert_eq!((key(one), key(other)), keys);
    assert_ne!(served(other), untouched);
    fleet.all_work("rotated with the same keys");

    // Nothing is due; in nine months everything is, and the daemons are among it.
    let before = served(other);
    let ran = fleet.dockseal(["renew", "--due"]).run().success();
    assert_eq!(ran.stdout, "");
    assert_eq!(served(other), before);
    let ran = fleet.dockseal(["renew", "--within", "400d", "--role", "daemon", "--dry-run"]).run().success();
    assert_eq!(ran.stdout.matches("would renew daemon").count(), 2, "{}", ran.stdout);
    assert_eq!(served(other), before);
    let ran = fleet.dockseal(["renew", "--within", "400d", "--format", "json"]).run().success();
    let wire: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let renewed = wire["results"].as_array().unwrap();
    assert_eq!(renewed.iter().filter(|one| one["role"] == "daemon" && one["state"] == "renewed").count(), 2, "{wire}");
    assert_ne!(served(other), before);
    fleet.all_work("renewed");
    let rows = fleet.operator.sandbox().inventory(
        "SELECT count(*) FROM destination d JOIN certificate c ON c.id = d.certificate WHERE d.kind = 'ssh' AND c.state = 'issued' AND d.pending IS NULL",
    );
    assert_eq!(rows, ["2"]);

    // And back out.
    for (host, fresh) in fleet.hosts.iter().zip(&fresh) {
        let target = format!("root@{}", host.name());
        let dry = fleet.dockseal(["host", "remove", &target, "--dry-run"]).run().success();
        assert!(dry.stdout.contains("-  \"tlsverify\": true"), "{}", dry.stdout);
        assert!(fleet.docker(host).stdout.starts_with("20.10."));
        let _ = fleet.dockseal(["host", "remove", &target, "--yes"]).run().success();
        assert_eq!(state(host), *fresh);
        let _ = fleet.docker(host).failure();
        assert!(host.sh("docker version --format '{{.Server.Version}}'").success().stdout.starts_with("20.10."));
    }
    let _ =
        fleet.dockseal(["host", "remove", "root@box", "--yes"]).run().exits(1).says("nothing that dockseal installed");
    let _ = fleet.dockseal(["host", "rotate", "root@box"]).run().exits(1).says("no host was bootstrapped");
}

#[test]
fn a_roll_over_reaches_hosts_and_what_fails_leaves_them_as_they_were() {
    require_hosts!();
    let fleet = Fleet::bootstrapped();
    let [one, other] = fleet.hosts.as_slice() else { panic!("two hosts") };
    let anchors = |host: &Host| host.sh("grep -c BEGIN /etc/docker/tls/ca.pem").stdout.trim().to_owned();

    let _ = fleet.dockseal(["rollover", "begin"]).run().success();
    assert_eq!((anchors(one), anchors(other)), ("2".into(), "2".into()));
    fleet.all_work("begun");
    // One host is down meanwhile.
    other.cable(dockseal_tests::Cable::Out);
    let ran = fleet.dockseal(["rollover", "advance"]).run().exits(1);
    assert!(ran.stderr.contains("root@crate"), "{}", ran.stderr);
    other.cable(dockseal_tests::Cable::In);
    fleet.all_work("half advanced");
    let status = fleet.dockseal(["rollover", "status"]).run();
    assert!(status.stdout.contains("root@crate:/etc/docker/tls: trust both"), "{}", status.stdout);
    let _ = fleet.dockseal(["rollover", "finish"]).run().exits(1).says("locked out");
    fleet.all_work("not finished");
    let _ = fleet.dockseal(["rollover", "advance"]).run().success();
    fleet.all_work("advanced");
    let _ = fleet.dockseal(["rollover", "finish"]).run().success();
    assert_eq!((anchors(one), anchors(other)), ("1".into(), "1".into()));
    fleet.all_work("finished");

    // The authority's certificate once more: the anchor alone is another.
    let anchor = |host: &Host| host.sh("sha256sum </etc/docker/tls/ca.pem").success().stdout;
    let (before, leaves) = ([anchor(one), anchor(other)], [served(one), served(other)]);
    let _ = fleet.dockseal(["renew-ca", "--early"]).run().success().says("root@box").says("root@crate");
    assert!(before[0] == before[1] && anchor(one) == anchor(other) && anchor(one) != before[0]);
    assert_eq!([served(one), served(other)], leaves);
    fleet.all_work("the authority renewed");

    // A dockerd that does not start with what is new: the old comes back, and the books say so.
    let before = (served(one), state(one));
    let _ = one.sh(
        "mkdir -p /etc/systemd/system/docker.service.d && printf '[Service]\\nExecStartPre=/bin/sh -c \"cmp -s /etc/docker/tls/cert.pem /root/kept.pem\"\\n' \
         >/etc/systemd/system/docker.service.d/00-test.conf && cp /etc/docker/tls/cert.pem /root/kept.pem && systemctl daemon-reload",
    ).success();
    let with_test = state(one);
    let ran = fleet.dockseal(["host", "rotate", "root@box"]).run().exits(1);
    assert!(ran.stderr.contains("what was there before is back"), "{}", ran.stderr);
    assert_eq!(served(one), before.0);
    assert_eq!(state(one), with_test);
    fleet.all_work("a rotation that failed");
    let _ = one.sh("rm /etc/systemd/system/docker.service.d/00-test.conf && systemctl daemon-reload").success();

    // Killed while dockerd restarts: the host takes it back by itself, and the next run finds the books in order.
    let mut rotate = fleet.dockseal(["host", "rotate", "root@box"]).start_quietly();
    await_that("the swap", || one.sh("test -e /var/lib/dockseal/change/swapped").code == Some(0));
    rotate.kill().unwrap();
    let _ = rotate.wait();
    let busy = fleet.dockseal(["host", "rotate", "root@box"]).run();
    assert!(busy.stderr.contains("another run is changing it"), "{}", busy.stderr);
    // The deadline, now.
    let _ = one.sh("systemctl start dockseal-restore.service").success();
    await_that("the former state", || one.sh("test ! -e /var/lib/dockseal/change").code == Some(0));
    assert_eq!(served(one), before.0);
    assert_eq!(state(one), before.1);
    fleet.all_work("killed");
    let _ = fleet.dockseal(["host", "rotate", "root@box"]).run().success();
    assert_ne!(served(one), before.0);
    fleet.all_work("after the kill");
    let pending = fleet.operator.sandbox().inventory("SELECT count(*) FROM destination WHERE pending IS NOT NULL");
    assert_eq!(pending, ["0"]);

    // Another machine answers at that name.
    let config = fs::read_to_string(fleet.operator.ssh_config()).unwrap();
    let known = fs::read_to_string(fleet.operator.known_hosts()).unwrap();
    fs::write(fleet.operator.ssh_config(), config.replace(one.address(), other.address())).unwrap();
    let all: String = known.lines().map(|line| line.replace(one.address(), other.address()) + "\n").collect();
    fs::write(fleet.operator.known_hosts(), all + &known).unwrap();
    let before = (served(one), served(other));
    let ran = fleet.dockseal(["host", "rotate", "root@box"]).run().exits(1);
    assert!(ran.stderr.contains("another machine answers there"), "{}", ran.stderr);
    assert_eq!((served(one), served(other)), before);
}

fn await_that(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < until, "{what} did not come");
        std::thread::sleep(Duration::from_millis(50));
    }
}
