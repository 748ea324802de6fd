//! `dockseal audit` on real hosts: every fault is made there, by hand as people make it, and must be found; a host
//! without it must be found in order. What is seen is the host's own: nothing of it comes from Dockseal.

use std::fs;

use dockseal_audit::{Facts, script};
use dockseal_tests::{Host, HostOptions, Operator, Ran, require, require_hosts, tool};
use serde_json::{Value, json};

/// A host with the binary on it, and what the operator made for it with openssl.
struct Audited {
    operator: Operator,
    host: Host,
}

impl Audited {
    fn boot() -> Self {
        let operator = Operator::new();
        let host = operator.boot(&HostOptions::named("box"));
        fs::copy(dockseal_tests::dockseal_binary(), host.file("/usr/local/bin/dockseal")).unwrap();
        Self { operator, host }
    }

    /// From afar, as operators do.
    fn audit(&self, args: &str) -> Ran {
        let words = ["--format", "json", "audit", "ssh://root@box"].into_iter().chain(args.split_whitespace());
        self.operator.dockseal(words).run()
    }

    /// The findings of this id: severity, subject and what was seen.
    fn found(&self, id: &str) -> Vec<(String, String, String)> {
        of(&self.audit("").stdout, id)
    }

    /// The one finding of this id whose subject ends so must be of this severity; what it saw.
    #[track_caller]
    fn expect(&self, id: &str, subject: &str, severity: &str) -> String {
        self.expect_all(&[(id, subject, severity)]).remove(0)
    }

    /// The same of several, in one look. The exit code must be that of the worst of all findings.
    #[track_caller]
    fn expect_all(&self, wanted: &[(&str, &str, &str)]) -> Vec<String> {
        let ran = self.audit("");
        let critical = ran.stdout.contains("\"severity\": \"critical\"");
        let ran = ran.exits(i32::from(critical));
        let one = |(id, subject, severity): &(&str, &str, &str)| {
            let mut found = of(&ran.stdout, id);
            found.retain(|(_, about, _)| about.ends_with(subject));
            let [(as_bad, _, seen)] = found.as_slice() else { panic!("{id} of {subject}: {found:?}") };
            assert_eq!(as_bad, severity, "{id} of {subject}: {seen}");
            seen.clone()
        };
        wanted.iter().map(one).collect()
    }

    #[track_caller]
    fn exits(&self, code: i32, args: &str) {
        let _ = self.audit(args).exits(code);
    }

    /// dockerd with this daemon.json and these hosts, restarted.
    #[track_caller]
    fn configure(&self, settings: &Value, hosts: &str) {
        let mut all = json!({"iptables": false, "bridge": "none", "storage-driver": "vfs"});
        all.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        fs::write(self.host.file("/etc/docker/daemon.json"), all.to_string()).unwrap();
        let drop_in = self.host.file("/etc/systemd/system/docker.service.d/hosts.conf");
        fs::create_dir_all(drop_in.parent().unwrap()).unwrap();
        fs::write(drop_in, format!("[Service]\nExecStart=\nExecStart=/usr/sbin/dockerd -H fd:// {hosts}\n")).unwrap();
        let _ = self
            .host
            .sh("systemctl daemon-reload && systemctl restart docker || journalctl -u docker | tail; docker version")
            .success();
    }

    /// A CA and a daemon's certificate in a directory of the host, by openssl.
    fn certificates(&self, directory: &str, days: u32, key: &str) {
        let here = self.operator.sandbox();
        let openssl = |args: &str| {
            let words = args.split(' ').map(|word| word.replace('~', " "));
            let _ = here.program("openssl").args(words).run().success();
        };
        openssl(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca-key.pem -out ca.pem -days 300 -subj /CN=audited -addext keyUsage=critical,keyCertSign",
        );
        openssl(&format!("req -newkey {key} -nodes -keyout key.pem -out csr.pem -subj /CN=box"));
        here.write("ext", "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth\n");
        openssl(&format!(
            "x509 -req -days {days} -in csr.pem -CA ca.pem -CAkey ca-key.pem -CAcreateserial -out cert.pem -extfile ext"
        ));
        let target = self.host.file(directory);
        fs::create_dir_all(&target).unwrap();
        for name in ["ca.pem", "cert.pem", "key.pem"] {
            let _ = fs::remove_file(target.join(name));
            fs::copy(here.path(name), target.join(name)).unwrap();
        }
        let quoted = format!("'{}'", directory.replace('\'', "'\\''"));
        let _ = self.host.sh(&format!("cd {quoted} && chmod 0444 ca.pem cert.pem && chmod 0400 key.pem")).success();
    }
}

fn findings(report: &str) -> Value {
    let report: Value = serde_json::from_str(report).unwrap_or_else(|_| panic!("{report}"));
    report["findings"].clone()
}

fn of(report: &str, id: &str) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let found = findings(report);
    found
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["id"] == id)
        .map(|finding| (text(&finding["severity"]), text(&finding["subject"]), text(&finding["seen"])))
        .collect()
}

/// How a fault is made, and the finding that it must give: id, end of the subject, severity.
type Fault = (&'static str, (&'static str, &'static str, &'static str));

const P256: &str = "ec -pkeyopt ec_paramgen_curve:P-256";

fn tls(directory: &str) -> Value {
    let path = |name: &str| format!("{directory}/{name}");
    json!({"tlsverify": true, "tlscacert": path("ca.pem"), "tlscert": path("cert.pem"), "tlskey": path("key.pem")})
}

#[test]
fn every_fault_of_a_host_is_found() {
    require_hosts!();
    require!("openssl");
    let it = Audited::boot();
    a_fresh_host(&it);
    it.host.sh("touch /tmp/before && sleep 1.1").success().code.unwrap();
    it.exits(0, "");
    let changed = it
        .host
        .sh("find / -xdev -newer /tmp/before -type f -not -path '/var/log/*' -not -path '/proc/*' -not -path '/sys/*'");
    assert_eq!(changed.success().stdout, "", "it changed something");
    sockets(&it);
    listeners(&it);
    files(&it);
    certificates(&it);
    user_namespaces(&it);
    other_listeners(&it);
}

fn a_fresh_host(it: &Audited) {
    let seen = it.expect_all(&[
        ("socket-mode", "/run/docker.sock", "ok"),
        ("socket-group", "/run/docker.sock", "ok"),
        ("listener-none", "dockerd", "ok"),
        ("userns-off", "userns-remap", "advice"),
        ("file-mode", "docker.service", "ok"),
        ("file-mode", "docker.socket", "ok"),
        ("file-mode", "/etc/docker/daemon.json", "ok"),
    ]);
    assert_eq!(seen[0], "root:docker, mode 0660");
    let human = it.host.sh("dockseal audit").success();
    assert!(human.stdout.contains("0 critical") && human.stdout.contains("[2.9]"), "{human}");
    // Who is not root sees less, and is told so.
    let blind = it.host.sh_as("wheel", "dockseal --format json audit").exits(2);
    assert_eq!(of(&blind.stdout, "unseen")[0].0, "warning");
    let blind = it.operator.dockseal(["--format", "json", "audit", "wheel@box"]).run().exits(2);
    assert_eq!(of(&blind.stdout, "unseen")[0].0, "warning");
    // Here, there, and through sudo: the same.
    let afar = findings(&it.audit("").success().stdout);
    assert_eq!(findings(&it.host.sh("dockseal --format json audit").success().stdout), afar);
    assert_eq!(
        findings(&it.operator.dockseal(["--format", "json", "audit", "deploy@box"]).run().success().stdout),
        afar
    );
    let _ = it.operator.dockseal(["audit", "root@10.99.250.250"]).run().exits(2);
    let _ = it.operator.dockseal(["audit", "tcp://box"]).run().exits(2);
    // Not even the binary is needed: the script alone in every shell, with that shell's tools, sees the same.
    let busybox = tool("busybox").unwrap();
    fs::copy(busybox, it.host.file("/usr/local/bin/busybox")).unwrap();
    let seen = |shell: &str| {
        let ssh = it.operator.program("ssh").arg(it.host.name()).arg(format!("{shell} -s")).input(script(&[]));
        let facts = Facts::read(ssh.run().success().stdout.as_bytes()).unwrap();
        format!("{facts:#?}")
    };
    let with_dash = seen("dash");
    assert!(with_dash.contains("daemon.json") && with_dash.contains("docker.sock"), "{with_dash}");
    for shell in ["bash", "bash --posix", "busybox sh"] {
        assert_eq!(seen(shell), with_dash, "{shell}");
    }
}

fn sockets(it: &Audited) {
    let _ = it.host.sh("gpasswd -a deploy docker && groupadd -f friends && gpasswd -a wheel friends").success();
    assert!(it.expect("socket-group", "/run/docker.sock", "warning").contains("deploy"));
    it.exits(1, "--fail-on warning");
    for (make, id, severity) in [
        ("chmod 0666 /run/docker.sock", "socket-open", "critical"),
        ("chmod 0670 /run/docker.sock", "socket-mode", "warning"),
        ("chown deploy /run/docker.sock", "socket-owner", "critical"),
        ("chgrp friends /run/docker.sock", "socket-owner", "advice"),
    ] {
        let _ = it.host.sh(make).success();
        let seen =
            it.expect_all(&[(id, "/run/docker.sock", severity), ("socket-group", "/run/docker.sock", "warning")]);
        assert!(seen[1].contains(if make.contains("friends") { "wheel" } else { "deploy" }), "{seen:?}");
        let _ = it.host.sh("chmod 0660 /run/docker.sock && chown root:docker /run/docker.sock").success();
    }
    let _ = it.host.sh("gpasswd -d deploy docker").success();
    it.expect("socket-group", "/run/docker.sock", "ok");
}

fn listeners(it: &Audited) {
    it.configure(&json!({}), "-H tcp://127.0.0.1:2375 -H tcp://[::1]:2377");
    let _ = it
        .expect_all(&[("listener-plain", "127.0.0.1:2375", "critical"), ("listener-plain", "[::1]:2377", "critical")]);
    it.certificates("/etc/docker/tls", 300, P256);
    it.configure(&tls("/etc/docker/tls"), "-H tcp://0.0.0.0:2376");
    let _ = it.expect_all(&[
        ("listener-mutual", ":2376", "ok"),
        ("served", ":2376", "ok"),
        ("authorization-none", "dockerd", "advice"),
    ]);
    assert!(it.audit("").success().stdout.contains("listener-mutual") && it.found("listener-none").is_empty());

    // What runs, not what the settings have become since.
    let mut open = tls("/etc/docker/tls");
    open["tlsverify"] = false.into();
    fs::write(it.host.file("/etc/docker/daemon.json"), open.to_string()).unwrap();
    it.expect("listener-differs", ":2376", "warning");
    it.configure(&open, "-H tcp://0.0.0.0:2376");
    it.expect("listener-unverified", ":2376", "critical");

    for ca in [Some(""), None] {
        let mut public = tls("/etc/docker/tls");
        match ca {
            Some(ca) => public["tlscacert"] = ca.into(),
            None => drop(public.as_object_mut().unwrap().remove("tlscacert")),
        }
        it.configure(&public, "-H tcp://0.0.0.0:2376");
        it.expect("listener-public-ca", ":2376", "critical");
    }
    // The variable alone turns nothing on.
    it.configure(&json!({}), "-H tcp://127.0.0.1:2376 --tlscacert=/etc/docker/tls/ca.pem --tlscert=/etc/docker/tls/cert.pem --tlskey=/etc/docker/tls/key.pem");
    it.expect("listener-plain", "127.0.0.1:2376", "critical");
    // A file that dockerd would not start with again.
    fs::write(it.host.file("/etc/docker/daemon.json"), "{\"hosts\": [\"fd://\"]}").unwrap();
    let _ = it
        .expect_all(&[("settings-broken", "daemon.json", "warning"), ("listener-plain", "127.0.0.1:2376", "critical")]);
}

fn files(it: &Audited) {
    it.configure(&tls("/etc/docker/tls"), "-H tcp://127.0.0.1:2376");
    let rounds: [&[Fault]; 4] = [
        &[
            ("chmod 0644 tls/key.pem", ("key-readable", "key.pem", "critical")),
            ("chmod 0666 tls/ca.pem", ("file-writable", "ca.pem", "critical")),
            ("chown deploy tls/cert.pem", ("file-owner", "cert.pem", "critical")),
            ("chmod 0666 daemon.json", ("file-writable", "daemon.json", "critical")),
            ("chmod 0777 tls", ("directory-open", "/etc/docker/tls", "critical")),
        ],
        &[
            ("chgrp docker tls/key.pem; chmod 0440 tls/key.pem", ("key-readable", "key.pem", "critical")),
            ("chmod 0646 /lib/systemd/system/docker.socket", ("file-writable", "docker.socket", "critical")),
            ("chmod 0664 $drop_in; chgrp docker $drop_in", ("file-writable", "hosts.conf", "critical")),
            ("chown deploy ../docker", ("directory-open", "/etc/docker", "critical")),
        ],
        &[("chown deploy tls/key.pem", ("file-owner", "key.pem", "critical"))],
        &[
            ("chmod 0600 tls/key.pem", ("file-mode", "key.pem", "advice")),
            ("chmod 0644 tls/cert.pem", ("file-mode", "cert.pem", "advice")),
            ("mv tls/ca.pem tls/old", ("file-missing", "ca.pem", "warning")),
        ],
    ];
    for round in rounds {
        let make: Vec<&str> = round.iter().map(|(make, _)| *make).collect();
        let place = "cd /etc/docker && drop_in=/etc/systemd/system/docker.service.d/hosts.conf";
        let _ = it.host.sh(&format!("{place}; {}", make.join("; "))).success();
        let wanted: Vec<_> = round.iter().map(|(_, wanted)| *wanted).collect();
        let _ = it.expect_all(&wanted);
        let _ = it
            .host
            .sh(&format!(
                "{place} && {{ [ ! -e tls/old ] || mv tls/old tls/ca.pem; }} && chown -R root:root . $drop_in && \
                 chmod 0755 . tls && chmod 0644 daemon.json /lib/systemd/system/docker.socket $drop_in && \
                 chmod 0444 tls/ca.pem tls/cert.pem && chmod 0400 tls/key.pem"
            ))
            .success();
        it.exits(0, "");
    }
    // Names that a shell would stumble over.
    let hostile = "/etc/docker/t l's \"$(touch x)\" `id`\n;é%s\\n";
    it.certificates(hostile, 300, P256);
    it.configure(&tls(hostile), "-H tcp://127.0.0.1:2376");
    let _ = it.expect_all(&[("served", "127.0.0.1:2376", "ok"), ("file-mode", "key.pem", "ok")]);
    let _ = fs::metadata(it.host.file(&format!("{hostile}/key.pem"))).unwrap();
    let _ = it.host.sh("test ! -e /root/x && test ! -e /x").success();
}

fn certificates(it: &Audited) {
    it.configure(&tls("/etc/docker/tls"), "-H tcp://127.0.0.1:2376");
    // New files, and a daemon that nobody restarted.
    it.certificates("/etc/docker/tls", 10, "rsa:1024");
    it.expect("served-differs", "127.0.0.1:2376", "warning");
    let _ = it.host.sh("systemctl restart docker").success();
    let seen = it.expect_all(&[
        ("key-strength", "/cert.pem", "warning"),
        ("certificate-expires", "/cert.pem", "warning"),
        ("served", "127.0.0.1:2376", "ok"),
    ]);
    assert_eq!(seen[0], "the key is RSA 1024");
    let date = it.host.sh("date -u -d '+20 days' +%FT%TZ").success().stdout;
    let later = it.operator.dockseal(["--format", "json", "--at", date.trim(), "audit", "box"]).run().exits(1);
    let expired = of(&later.stdout, "certificate-expired");
    assert!(expired.len() == 1 && expired[0].0 == "critical" && expired[0].1.ends_with("cert.pem"), "{expired:?}");
}

fn user_namespaces(it: &Audited) {
    let mut settings = tls("/etc/docker/tls");
    settings["userns-remap"] = "default".into();
    it.configure(&settings, "-H tcp://127.0.0.1:2376");
    // As the daemon itself has it.
    let root = it.host.sh("docker info --format '{{.DockerRootDir}}'").success().stdout;
    let ids = root.trim().rsplit('/').next().unwrap().replace('.', ":");
    assert!(it.expect("userns", "default", "ok").contains(&ids), "{ids}");
    let _ = it.host.sh("sed -i 's/^dockremap:.*/dockremap:0:65536/' /etc/subuid /etc/subgid").success();
    let found = it.found("userns-ranges");
    assert!(found.iter().any(|(severity, ..)| severity == "critical"), "{found:?}");
    let _ = it.host.sh("sed -i '/^dockremap/d' /etc/subuid").success();
    it.expect("userns-refused", "default", "warning");
}

/// What dockerd listens for besides the API is no way in.
fn other_listeners(it: &Audited) {
    let mut settings = tls("/etc/docker/tls");
    settings["experimental"] = true.into();
    settings["metrics-addr"] = "127.0.0.1:9323".into();
    it.configure(&settings, "-H tcp://127.0.0.1:2376");
    let _ = it.host.sh("docker swarm init --advertise-addr 127.0.0.1").success();
    let _ = it.expect_all(&[
        ("listener-mutual", "127.0.0.1:2376", "ok"),
        ("listener-swarm", ":2377", "ok"),
        ("listener-other", "127.0.0.1:9323", "advice"),
    ]);
    let _ = it.audit("").success();
    // The metrics alone are no API.
    it.configure(&json!({"experimental": true, "metrics-addr": "127.0.0.1:9323"}), "");
    it.expect("listener-none", "dockerd", "ok");
}
