//! The judge against the real docker and dockerd, over a matrix of material that `matrix/make.py` mints anew for each
//! run: every scenario in every mode that it touches, with each docker client there is, gate by gate.
//!
//! What Docker did is read from both ends. A client refuses in its own words before the daemon hears of it. A daemon's
//! refusal reaches the client as one of many texts, or as a lost connection, because TLS 1.3 clients finish first; then
//! the daemon's log says which gate it was.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use dockseal_docker::gate::Gate;
use dockseal_docker::mode::{ClientMode, DaemonMode};
use dockseal_docker::version::Version;
use dockseal_tests::{Ran, Sandbox, require, require_root, tool, tools_dir};
use dockseal_verify::{Designation, FileKind, Material, MaterialFile, Outcome, Scenario, Verdict, judge};

/// The fewest scenarios that make a matrix.
const LEAST: usize = 150;

/// How many runs of a client one daemon serves at most, so that no worker is left with all of them.
const SHARE: usize = 60;

/// Known disagreements: scenario, docker's generation, and why they stand. One that has vanished fails the test.
const LISTED: [(&str, Version, &str); 0] = [];

#[derive(Clone, Debug)]
struct Case {
    scenario: String,
    host: String,
    clients: Vec<String>,
}

/// One daemon to start: its material and mode, and the scenarios that it serves.
#[derive(Debug)]
struct Group {
    daemon: PathBuf,
    mode: String,
    cases: Vec<Case>,
}

/// What is in a daemon's three files.
type Bytes = Vec<Option<Vec<u8>>>;

/// A docker client and its generation.
#[derive(Clone, Debug)]
struct Docker {
    program: PathBuf,
    version: Version,
}

/// What one side's refusal came to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Did {
    Connected,
    Refused(Gate),
    /// A text that this test does not know.
    Unknown,
}

#[test]
fn the_judge_agrees_with_docker() {
    require!("dockerd", "docker", "openssl", "python3", "unshare");
    require_root!();
    let python = tools_dir().join("maker/bin/python");
    if !python.is_file() {
        dockseal_tests::note_skip("no Python with cryptography; tests/setup makes it");
        return;
    }
    let sandbox = Sandbox::new();
    let material = sandbox.path("material");
    std::fs::create_dir(&material).unwrap();
    let script = dockseal_tests::repository().join("tests/oracles/matrix/make.py");
    let made = sandbox.program(&python).env("PYTHONDONTWRITEBYTECODE", "1").arg(script).arg(&material).run().success();
    println!("{}", made.stdout.trim());

    let matrix = Matrix::new(&material);
    let groups = matrix.groups();
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        // Twice as many as processors: a worker also waits, for daemons to come up and to fall silent.
        for _ in 0..2 * thread::available_parallelism().map_or(2, usize::from) {
            let _ = scope.spawn(|| {
                let home = Sandbox::new();
                write_resolver(&home);
                while let Some(group) = groups.get(next.fetch_add(1, Ordering::Relaxed)) {
                    matrix.run(group, &home);
                }
            });
        }
    });
    matrix.conclude(&groups);
}

/// The question, and the answers so far.
struct Matrix {
    material: PathBuf,
    dockers: Vec<Docker>,
    dockerd: Version,
    proxy: u16,
    compared: AtomicUsize,
    scenarios: Mutex<BTreeSet<String>>,
    disagreements: Mutex<Vec<(String, Option<Version>, String)>>,
    outcomes: Mutex<BTreeMap<String, usize>>,
}

impl Matrix {
    fn new(material: &Path) -> Self {
        let mut dockers: Vec<Docker> = Vec::new();
        for program in [tool("docker").unwrap(), PathBuf::from("/usr/bin/docker")] {
            let known = |docker: &Docker| docker.program.canonicalize().ok() == program.canonicalize().ok();
            if program.is_file() && !dockers.iter().any(known) {
                dockers.push(Docker { version: version_of(&program), program });
            }
        }
        let dockerd = version_of(&tool("dockerd").unwrap());
        println!("dockerd {dockerd}, docker {:?}", dockers.iter().map(|d| d.version.to_string()).collect::<Vec<_>>());
        Self {
            material: material.to_owned(),
            dockers,
            dockerd,
            proxy: proxy(),
            compared: AtomicUsize::new(0),
            scenarios: Mutex::default(),
            disagreements: Mutex::default(),
            outcomes: Mutex::default(),
        }
    }

    /// The scenarios by what their daemon is given.
    fn groups(&self) -> Vec<Group> {
        let list = std::fs::read_to_string(self.material.join("scenarios.json")).unwrap();
        let list: serde_json::Value = serde_json::from_str(&list).unwrap();
        let words = |value: &serde_json::Value| -> Vec<String> {
            value.as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect()
        };
        // For a look at a part, which fails at the count in the end.
        let only = std::env::var("DOCKSEAL_MATRIX").unwrap_or_default();
        let mut groups: BTreeMap<(String, Bytes), Vec<Group>> = BTreeMap::new();
        for entry in list.as_array().unwrap() {
            let scenario = entry["name"].as_str().unwrap().to_owned();
            if !only.split(',').any(|part| scenario.contains(part)) {
                continue;
            }
            let daemon = self.material.join(&scenario).join("daemon");
            let bytes: Vec<_> =
                ["ca.pem", "cert.pem", "key.pem"].iter().map(|file| std::fs::read(daemon.join(file)).ok()).collect();
            let case =
                Case { scenario, host: entry["host"].as_str().unwrap().to_owned(), clients: words(&entry["clients"]) };
            for mode in words(&entry["daemons"]) {
                let bytes = if mode == "none" { Vec::new() } else { bytes.clone() };
                let shares = groups.entry((mode.clone(), bytes)).or_default();
                match shares.last_mut() {
                    Some(group) if group.runs() < SHARE => group.cases.push(case.clone()),
                    _ => shares.push(Group { daemon: daemon.clone(), mode, cases: vec![case.clone()] }),
                }
            }
        }
        let mut groups: Vec<Group> = groups.into_values().flatten().collect();
        groups.sort_by_key(|group| std::cmp::Reverse(group.runs()));
        groups
    }

    fn run(&self, group: &Group, home: &Sandbox) {
        let daemon = Daemon::start(&group.daemon, &group.mode);
        for case in &group.cases {
            let _ = self.scenarios.lock().unwrap().insert(case.scenario.clone());
            let Some(daemon) = &daemon.0 else {
                // It ended: no client is needed to see that.
                let verdict = self.judge(case, "verify+cert", &group.mode, self.dockers[0].version);
                self.compare(case, "-", &group.mode, None, &verdict, &Did::Refused(Gate::DaemonStarts), || {
                    daemon.1.clone()
                });
                continue;
            };
            for docker in &self.dockers {
                for client in &case.clients {
                    let before = daemon.log().len();
                    let ran = self.ask(daemon, docker, case, client, home);
                    let (did, log) = daemon.what_happened(&ran, before);
                    let verdict = self.judge(case, client, &group.mode, docker.version);
                    self.compare(case, client, &group.mode, Some(docker.version), &verdict, &did, || {
                        format!("{ran}{log}")
                    });
                }
            }
        }
    }

    fn ask(&self, daemon: &Daemon, docker: &Docker, case: &Case, mode: &str, home: &Sandbox) -> Ran {
        let folder = self.material.join(&case.scenario).join("client");
        let file = |flag: &str, name: &str| format!("{flag}={}", folder.join(name).display());
        let (ca, pair) = (file("--tlscacert", "ca.pem"), [file("--tlscert", "cert.pem"), file("--tlskey", "key.pem")]);
        let address = if case.host.contains(':') { format!("[{}]", case.host) } else { case.host.clone() };
        let inside = home.program("unshare").args(["--mount", "sh", "-c", WITH_RESOLVER, "sh"]).arg(home.path("etc"));
        let mut run = inside.arg(&docker.program).arg("-H").arg(format!("tcp://{address}:{}", daemon.port));
        if !is_loopback(&case.host) {
            run = run.env("HTTPS_PROXY", format!("http://127.0.0.1:{}", self.proxy));
        }
        run = match mode {
            "none" => run,
            "tls" => run.args(["--tls", &ca]),
            "tls+cert" => run.args(["--tls", &ca]).args(pair),
            "verify" => run.args(["--tlsverify", &ca]),
            "verify+cert" => run.args(["--tlsverify", &ca]).args(pair),
            "env-tls" => run.env("DOCKER_TLS", "1").env("DOCKER_CERT_PATH", &folder),
            "env-verify" => run.env("DOCKER_TLS_VERIFY", "1").env("DOCKER_CERT_PATH", &folder),
            _ => panic!("{mode}"),
        };
        run.args(["version", "--format", "{{.Server.Version}}"]).limit(Duration::from_secs(60)).run()
    }

    fn judge(&self, case: &Case, client: &str, daemon: &str, docker: Version) -> Verdict {
        let (client_mode, designation) = match client {
            "none" => (ClientMode::None, Designation::Named),
            "tls" => (ClientMode::Tls, Designation::Named),
            "tls+cert" => (ClientMode::TlsCert, Designation::Named),
            "verify" => (ClientMode::TlsVerify, Designation::Named),
            "verify+cert" => (ClientMode::TlsVerifyCert, Designation::Named),
            "env-tls" => (ClientMode::TlsCert, Designation::Default),
            "env-verify" => (ClientMode::TlsVerifyCert, Designation::Default),
            _ => panic!("{client}"),
        };
        let daemon_mode = match daemon {
            "none" => DaemonMode::None,
            "tls" => DaemonMode::Tls,
            "verify" => DaemonMode::TlsVerify,
            "noverify" => DaemonMode::TlsVerifyFalse,
            _ => panic!("{daemon}"),
        };
        let side = |side: &str, designation| {
            let file = |kind: FileKind| {
                let path = self.material.join(&case.scenario).join(side).join(kind.default_name());
                match std::fs::read(&path) {
                    Ok(bytes) => MaterialFile::from_bytes(path, designation, bytes),
                    Err(_) => MaterialFile::missing(path, designation),
                }
            };
            Material { ca: file(FileKind::Ca), cert: file(FileKind::Cert), key: file(FileKind::Key) }
        };
        let scenario = Scenario::mutual(&case.host).in_modes(client_mode, daemon_mode).between(docker, self.dockerd);
        let now = time::OffsetDateTime::now_utc();
        judge(&side("daemon", Designation::Named), &side("client", designation), &scenario, now)
    }

    #[expect(clippy::too_many_arguments, reason = "a row of the matrix")]
    fn compare(
        &self,
        case: &Case,
        client: &str,
        daemon: &str,
        docker: Option<Version>,
        verdict: &Verdict,
        did: &Did,
        evidence: impl Fn() -> String,
    ) {
        let _ = self.compared.fetch_add(1, Ordering::Relaxed);
        let predicted = match verdict.outcome() {
            Outcome::Accepted => Some(Did::Connected),
            Outcome::Refused(gate) => Some(Did::Refused(gate)),
            Outcome::Undetermined(_) => None,
        };
        *self.outcomes.lock().unwrap().entry(format!("{did:?}")).or_default() += 1;
        if predicted.as_ref() == Some(did) {
            return;
        }
        let version = docker.map_or_else(|| "-".to_owned(), |version| version.to_string());
        let texts: Vec<_> = verdict.refusals().map(|finding| &finding.text).collect();
        let text = format!(
            "{} ({client} against {daemon}, docker {version}): Docker {did:?}, the judge {:?} {texts:?}\n{}",
            case.scenario,
            verdict.outcome(),
            evidence()
        );
        self.disagreements.lock().unwrap().push((case.scenario.clone(), docker, text));
    }

    fn conclude(&self, groups: &[Group]) {
        let scenarios = self.scenarios.lock().unwrap().len();
        let disagreements = self.disagreements.lock().unwrap();
        let is_listed = |scenario: &str, docker: Option<Version>| {
            LISTED
                .iter()
                .any(|(known, version, _)| *known == scenario && docker.is_none_or(|docker| docker == *version))
        };
        let new: Vec<_> = disagreements.iter().filter(|(scenario, docker, _)| !is_listed(scenario, *docker)).collect();
        println!(
            "{scenarios} scenarios on {} daemons, {} comparisons, {} disagreements, {} of them listed",
            groups.len(),
            self.compared.load(Ordering::Relaxed),
            disagreements.len(),
            disagreements.len() - new.len()
        );
        for (outcome, count) in self.outcomes.lock().unwrap().iter() {
            println!("  {outcome}: {count}");
        }
        let shown: Vec<&str> = new.iter().map(|(_, _, text)| text.as_str()).collect();
        assert!(new.is_empty(), "{} new disagreements:\n{}", new.len(), shown.join("\n"));
        for (known, version, reason) in LISTED {
            let stands = disagreements
                .iter()
                .any(|(scenario, docker, _)| scenario == known && docker.is_none_or(|docker| docker == version));
            assert!(stands, "{known} on {version} is listed ({reason}) and has vanished");
        }
        assert!(scenarios >= LEAST, "only {scenarios} scenarios");
    }
}

impl Group {
    fn runs(&self) -> usize {
        self.cases.iter().map(|case| case.clients.len()).sum()
    }
}

fn version_of(program: &Path) -> Version {
    let ran = dockseal_tests::Program::new(program).arg("--version").run().success();
    let words: Vec<&str> = ran.stdout.split([' ', ',']).collect();
    words[2].parse().unwrap_or_else(|unknown| panic!("{unknown}: {ran}"))
}

/// Whether a daemon's log has a refusal of its own, not just the client's alert.
fn says_why(log: &str) -> bool {
    log.lines().any(|line| line.contains("TLS handshake error") && !line.contains("remote error: tls: "))
}

/// Runs what follows with the files of a directory in the place of those of the same names in /etc.
const WITH_RESOLVER: &str = r#"
    for file in hosts nsswitch.conf resolv.conf; do
        ! test -e "/etc/$file" || mount --bind "$1/$file" "/etc/$file" || exit
    done
    shift
    exec "$@"
"#;

/// What a client's resolver goes by, for [`WITH_RESOLVER`]: it knows localhost, asks nobody, and is the same on every machine.
fn write_resolver(home: &Sandbox) {
    let _ = home.write("etc/hosts", "127.0.0.1 localhost\n");
    let _ = home.write("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n");
    let _ = home.write("etc/resolv.conf", "");
}

/// Whether a client reaches the host by itself; any other goes through the proxy.
fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.contains(':')
        || host.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

/// An HTTP proxy that takes every host for this machine: names need no resolver. It lives as long as the process.
fn proxy() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let _ = thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let _ = thread::spawn(move || tunnel(client));
        }
    });
    port
}

fn tunnel(mut client: TcpStream) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head);
    let authority = head.strip_prefix("CONNECT ")?.split(' ').next()?;
    let port: u16 = authority.rsplit(':').next()?.parse().ok()?;
    let mut daemon = TcpStream::connect(("127.0.0.1", port)).ok()?;
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").ok()?;
    let (mut from, mut to) = (client.try_clone().ok()?, daemon.try_clone().ok()?);
    let up = thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        to.shutdown(Shutdown::Write)
    });
    let _ = std::io::copy(&mut daemon, &mut client);
    let _ = client.shutdown(Shutdown::Write);
    let _ = up.join();
    Some(())
}

/// A dockerd on loopback with a world of its own; ended at once when it goes, for nothing in it is worth keeping.
struct Daemon {
    child: Child,
    sandbox: Sandbox,
    port: u16,
}

impl Daemon {
    /// The daemon, or none and what it said when it refused its files.
    fn start(material: &Path, mode: &str) -> (Option<Self>, String) {
        for _ in 0..8 {
            let mut daemon = Self::spawn(material, mode);
            let started = Instant::now();
            let log = loop {
                let log = daemon.log();
                if log.matches("API listen on").count() == 2 {
                    return (Some(daemon), String::new());
                }
                if daemon.child.try_wait().unwrap().is_some() {
                    break daemon.log();
                }
                assert!(started.elapsed() < Duration::from_secs(60), "dockerd does not come up:\n{log}");
                thread::sleep(Duration::from_millis(10));
            };
            if ["X509 key pair", "CA certificate", "append certificates"].iter().any(|text| log.contains(text)) {
                return (None, log);
            }
            assert!(log.contains("address already in use"), "dockerd ended:\n{log}");
        }
        panic!("no free port for dockerd in eight tries");
    }

    fn spawn(material: &Path, mode: &str) -> Self {
        let sandbox = Sandbox::new();
        let root = sandbox.root().to_path_buf();
        let config = serde_json::json!({ "deprecated-key-path": root.join("trust.json") });
        std::fs::write(root.join("daemon.json"), config.to_string()).unwrap();
        let log = File::create(root.join("log")).unwrap();
        let port = free_port();
        let mut command = Command::new(tool("dockerd").unwrap());
        let _ = command
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", root.join("home"))
            .env("DOCKER_CONFIG", root.join("home/.docker"))
            .env("TMPDIR", root.join("tmp"))
            .current_dir(&root)
            .args([format!("--host=tcp://127.0.0.1:{port}"), format!("--host=tcp://[::1]:{port}")])
            .args(["--iptables=false", "--bridge=none", "--storage-driver=vfs"]);
        for (flag, name) in [("config-file", "daemon.json"), ("data-root", "d"), ("exec-root", "e"), ("pidfile", "pid")]
        {
            let _ = command.arg(format!("--{flag}={}", root.join(name).display()));
        }
        match mode {
            "none" => {}
            "tls" => drop(command.arg("--tls")),
            "verify" => drop(command.arg("--tlsverify")),
            "noverify" => drop(command.arg("--tlsverify=false")),
            _ => panic!("{mode}"),
        }
        if mode != "none" {
            for (flag, name) in [("tlscacert", "ca.pem"), ("tlscert", "cert.pem"), ("tlskey", "key.pem")] {
                let _ = command.arg(format!("--{flag}={}", material.join(name).display()));
            }
        }
        let child =
            command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().expect("dockerd starts");
        Self { child, sandbox, port }
    }

    fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.sandbox.root().join("log")).unwrap_or_default()).into_owned()
    }

    /// The gate that refused, from what the client said and what the daemon wrote since `before`.
    fn what_happened(&self, ran: &Ran, before: usize) -> (Did, String) {
        if ran.code == Some(0) && !ran.stdout.trim().is_empty() {
            return (Did::Connected, String::new());
        }
        let lost = ["remote error: tls: ", "broken pipe", "connection reset by peer", "readLoopPeekFailLocked", "EOF"];
        let log = self.settled_log(before, lost.iter().any(|text| ran.stderr.contains(text)));
        let said = |texts: &[&str]| texts.iter().any(|text| ran.stderr.contains(text));
        let wrote = |texts: &[&str]| texts.iter().any(|text| log.contains(text));
        let gate = if said(&[
            "failed to retrieve context tls info",
            "unable to resolve docker endpoint",
            "could not get passphrase",
            "private key is encrypted",
            "no valid private key found",
        ]) {
            Gate::ClientLoads
        } else if said(&["Client sent an HTTP request to an HTTPS server", "server gave HTTP response to HTTPS client"])
            || said(&["first record does not look like a TLS handshake"])
        {
            Gate::SameProtocol
        } else if said(&["tls: failed to parse certificate from server", "containing RSA key larger than"]) {
            Gate::ClientReadsDaemon
        } else if said(&["x509: "]) {
            Gate::ClientAcceptsDaemon
        } else if said(&["tls: handshake message of length"]) {
            Gate::Handshake
        } else if wrote(&["client didn't provide a certificate"]) {
            Gate::ClientOffersCertificate
        } else if wrote(&[
            "failed to verify client",
            "failed to parse client certificate",
            "by the client certificate",
            "client certificate contains an unsupported public key",
            // Nothing else that a client sends is as long as its certificates.
            "tls: handshake message of length",
        ]) {
            Gate::DaemonAcceptsClient
        } else if says_why(&log) && said(&["remote error: tls: ", "EOF"]) {
            Gate::Handshake
        } else {
            return (Did::Unknown, log);
        };
        (Did::Refused(gate), log)
    }

    /// What the daemon wrote since `before`, once it writes no more: it may be slower than the client. One that has
    /// `refused` is given time to say so, in a line of its own and not in one about the client's alert.
    fn settled_log(&self, before: usize, refused: bool) -> String {
        let since = || self.log().get(before..).unwrap_or_default().to_owned();
        let mut log = since();
        let started = Instant::now();
        let mut quiet = 0;
        while (quiet < 3 || refused && !says_why(&log)) && started.elapsed() < Duration::from_secs(5) {
            thread::sleep(Duration::from_millis(8));
            let later = since();
            quiet = if later == log { quiet + 1 } else { 0 };
            log = later;
        }
        log
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Its containerd has a parent-death signal; a graceful end takes a second.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that was free on both loopback addresses a moment ago.
fn free_port() -> u16 {
    loop {
        let four = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = four.local_addr().unwrap().port();
        if TcpListener::bind(("::1", port)).is_ok() {
            return port;
        }
    }
}
