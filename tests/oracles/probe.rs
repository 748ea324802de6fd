//! `dockseal probe` against the real dockerd in every mode, held against what the real docker gets there; against other
//! real servers; and against peers that misbehave in every way we could think of.

mod environment;
mod fronted;
mod generations;
mod hints;
mod keys;
mod offered;
mod proxy;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use dockseal_tests::{Bundle, Dockerd, Pki, Program, Ran, Sandbox, pki, require, require_root};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// What a probe said, both ways.
struct Probed {
    human: Ran,
    json: Value,
}

impl Probed {
    fn outcome(&self) -> (&str, &str) {
        (self.text("/verdict/outcome"), self.text("/verdict/gate"))
    }

    fn text(&self, pointer: &str) -> &str {
        self.json.pointer(pointer).and_then(Value::as_str).unwrap_or("")
    }

    fn mode(&self, mode: &str) -> &str {
        let modes = self.json["modes"].as_array().unwrap();
        modes.iter().find(|row| row["mode"] == mode).unwrap()["answer"].as_str().unwrap()
    }

    fn attempt(&self, offer: &str) -> &Value {
        self.json["attempts"].as_array().unwrap().iter().find(|attempt| attempt["offer"] == offer).unwrap()
    }

    #[track_caller]
    fn is(self, code: i32, gate: &str, cause: &str) -> Self {
        assert_eq!((self.human.code, self.text("/verdict/gate")), (Some(code), gate), "{}", self.human);
        assert!(self.text("/verdict/cause").contains(cause), "{}", self.human);
        self
    }
}

/// Runs the probe for people and for programs: both must say the same, and a failure its cause and a hint.
#[track_caller]
fn probe(sandbox: &Sandbox, url: &str, args: &[&str]) -> Probed {
    probed(|| sandbox.dockseal(["probe", url]).args(args))
}

#[track_caller]
fn probed(program: impl Fn() -> Program) -> Probed {
    let run = |more: &[&str]| program().args(more).run();
    let (human, machine) = (run(&[]), run(&["--format", "json"]));
    assert_eq!(human.code, machine.code, "{human}\n{machine}");
    assert!(!human.holds("\u{1b}") && !machine.holds("\u{1b}"), "{human}");
    let json: Value = serde_json::from_str(&machine.stdout).unwrap_or_else(|_| panic!("{machine}"));
    assert_eq!(json["schema"], 1);
    let expected = match human.code {
        Some(0) => "works",
        Some(1) => "refused",
        _ => "unknown",
    };
    assert_eq!(json["verdict"]["outcome"], expected, "{human}");
    if human.code != Some(0) {
        assert!(human.stderr.contains("  cause: ") && human.stderr.contains("  hint:  "), "{human}");
        assert!(json["verdict"]["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "{machine}");
    }
    Probed { human, json }
}

/// A probe that gets no connection, or may not even try.
#[track_caller]
fn cannot(sandbox: &Sandbox, args: &[&str], cause: &str) -> Ran {
    let ran = sandbox.dockseal(["probe"]).args(args).run();
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{ran}");
    assert!(ran.stderr.contains("  cause: ") && ran.stderr.contains("  hint:  "), "{ran}");
    assert!(ran.stderr.contains(cause), "{ran}");
    ran
}

fn utf8(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A directory with some of the files of others.
fn mixed(sandbox: &Sandbox, name: &str, ca: &Path, rest: Option<&Bundle>) -> String {
    let dir = sandbox.path(name);
    fs::create_dir(&dir).unwrap();
    fs::copy(ca, dir.join("ca.pem")).unwrap();
    if let Some(rest) = rest {
        fs::copy(rest.cert(), dir.join("cert.pem")).unwrap();
        fs::copy(rest.key(), dir.join("key.pem")).unwrap();
    }
    utf8(&dir).to_owned()
}

/// Every row of the mode table is what docker itself gets.
fn agrees_with_docker(daemon: &Dockerd, client: &Bundle, probed: &Probed) {
    let ca = format!("--tlscacert={}", client.ca().display());
    let pair = [format!("--tlscert={}", client.cert().display()), format!("--tlskey={}", client.key().display())];
    for (mode, flag, with_pair) in [
        ("none", None, false),
        ("tls", Some("--tls"), false),
        ("tls+cert", Some("--tls"), true),
        ("tlsverify", Some("--tlsverify"), false),
        ("tlsverify+cert", Some("--tlsverify"), true),
    ] {
        let mut args: Vec<String> = flag.map(|flag| vec![flag.to_owned(), ca.clone()]).unwrap_or_default();
        args.extend(pair.iter().filter(|_| with_pair).cloned());
        args.extend(["-H".to_owned(), daemon.url("127.0.0.1"), "version".to_owned()]);
        let docker = daemon.plain_docker(args).run();
        let expected = if docker.code == Some(0) { "connects" } else { "refused" };
        assert_eq!(probed.mode(mode), expected, "{mode}\n{}\n{docker}", probed.human);
    }
}

#[test]
fn dockerd_that_verifies() {
    require!("dockerd", "docker");
    require_root!();
    let pki = pki("p256", "p256");
    let sandbox = Sandbox::new();
    for flag in ["--tlsverify", "--tls"] {
        let mut flags = vec![flag.to_owned()];
        flags.extend(Dockerd::file_flags(&pki.daemon));
        let daemon = Dockerd::start_in_mode(&flags, true);
        let client = utf8(&pki.client.0);
        for host in ["127.0.0.1", "[::1]", "localhost"] {
            let probed = probe(&sandbox, &daemon.url(host), &["--client", client, "--daemon", utf8(&pki.daemon.0)]);
            assert_eq!(probed.outcome(), ("works", ""), "{}", probed.human);
            assert_eq!(probed.json["client_certificate"], "accepted");
            assert_eq!(probed.json["key_proof"], "verified");
            assert_eq!(probed.json["on_disk"]["certificate"], "served");
            assert_eq!(probed.json["on_disk"]["authorities_asked_for"], true);
            assert_eq!(probed.json["authorities"].as_array().unwrap().len(), 1);
            assert_eq!(probed.attempt("tls1.3")["tls_version"], "1.3");
            assert_eq!(probed.attempt("tls1.2")["tls_version"], "1.2");
            assert_eq!(probed.attempt("tls1.2")["client_certificate_asked_for"], true);
            assert!(probed.json["clock_skew_seconds"].as_i64().unwrap().abs() <= 1, "{}", probed.human);
            let version = daemon.docker("127.0.0.1", &pki.client.0, ["version", "--format", "{{.Server.Version}}"]);
            assert_eq!(probed.json["docker"]["version"], version.run().success().stdout.trim());
            agrees_with_docker(&daemon, &pki.client, &probed);
        }
        let _ = probe(&sandbox, &daemon.url("127.0.0.1"), &[]).is(2, "", "none was given");
    }
}

#[test]
fn dockerd_refuses_for_one_cause() {
    require!("dockerd", "docker", "openssl");
    require_root!();
    let (pki, stranger) = (pki("p256", "p256"), Pki::stranger());
    let mut flags = vec!["--tlsverify".to_owned()];
    flags.extend(Dockerd::file_flags(&pki.daemon));
    let daemon = Dockerd::start_in_mode(&flags, false);
    let url = daemon.url("127.0.0.1");
    let sandbox = Sandbox::new();
    let ours = &pki.client.ca();

    // Another authority on both sides: docker stops at the daemon's certificate.
    let probed = probe(&sandbox, &url, &["--client", utf8(&stranger.client.0)]).is(
        1,
        "client-accepts-daemon",
        "does not hold the authority",
    );
    agrees_with_docker(&daemon, &stranger.client, &probed);
    // The right ca.pem and the certificate of another authority: docker keeps it back.
    let dir = mixed(&sandbox, "withheld", ours, Some(&stranger.client));
    let probed = probe(&sandbox, &url, &["--client", &dir]).is(1, "client-offers-certificate", "does not send");
    assert_eq!(probed.json["client_certificate"], "withheld");
    agrees_with_docker(&daemon, &Bundle(dir.into()), &probed);
    // No certificate at all.
    let dir = mixed(&sandbox, "bare", ours, None);
    let probed = probe(&sandbox, &url, &["--client", &dir]).is(1, "client-offers-certificate", "has no cert.pem");
    assert_eq!(probed.json["client_certificate"], "none-to-send");
    // A daemon's certificate in the client's place is sent and refused.
    let dir = mixed(&sandbox, "usage", ours, Some(&pki.daemon));
    let probed = probe(&sandbox, &url, &["--client", &dir]).is(1, "daemon-accepts-client", "extendedKeyUsage");
    assert_eq!(probed.json["client_certificate"], "sent");
    agrees_with_docker(&daemon, &Bundle(dir.into()), &probed);
    // The key of another.
    let dir = mixed(&sandbox, "mismatch", ours, Some(&pki.client));
    fs::copy(stranger.client.key(), Path::new(&dir).join("key.pem")).unwrap();
    let probed = probe(&sandbox, &url, &["--client", &dir]).is(1, "client-loads", "is not the one for");
    agrees_with_docker(&daemon, &Bundle(dir.into()), &probed);
    // No ca.pem, which docker does not do without.
    let dir = mixed(&sandbox, "no-ca", ours, Some(&pki.client));
    fs::remove_file(Path::new(&dir).join("ca.pem")).unwrap();
    let _ = probe(&sandbox, &url, &["--client", &dir]).is(1, "client-loads", "ca.pem");
    // A plain directory with nothing in it is our own trouble.
    fs::create_dir(sandbox.path("empty")).unwrap();
    let _ = cannot(&sandbox, &[&url, "--client", "empty"], "no ca.pem, cert.pem or key.pem");
    let _ = cannot(&sandbox, &[&url, "--client", "nowhere"], "no such directory");
}

#[test]
fn dockerd_that_does_not_verify() {
    require!("dockerd", "docker");
    require_root!();
    let pki = pki("p256", "p256");
    let sandbox = Sandbox::new();
    let client = ["--client", utf8(&pki.client.0)];

    let mut flags = vec!["--tlsverify=false".to_owned()];
    flags.extend(Dockerd::file_flags(&pki.daemon));
    let daemon = Dockerd::start_in_mode(&flags, false);
    for args in [&client[..], &[]] {
        let probed =
            probe(&sandbox, &daemon.url("127.0.0.1"), args).is(1, "daemon-accepts-client", "asks for no client");
        assert_eq!(probed.json["authorities"], Value::Null);
        assert_eq!(probed.json["client_certificate"], "not-asked-for");
        if !args.is_empty() {
            agrees_with_docker(&daemon, &pki.client, &probed);
        }
    }
    drop(daemon);

    let daemon = Dockerd::start_in_mode(&[], false);
    let probed = probe(&sandbox, &daemon.url("127.0.0.1"), &client).is(1, "same-protocol", "plain HTTP");
    assert_eq!(probed.json["speaks"], "http");
    agrees_with_docker(&daemon, &pki.client, &probed);
}

#[test]
fn renewed_and_not_restarted() {
    require!("dockerd", "docker");
    require_root!();
    let sandbox = Sandbox::new();
    let dockseal = |args: &[&str]| sandbox.dockseal(args).run().success();
    let _ = dockseal(&["init", "--no-passphrase"]);
    let _ = dockseal(&["bootstrap", "127.0.0.1", "--client", "ada", "--no-passphrase", "--out", "h"]);
    let mut flags = vec!["--tlsverify".to_owned()];
    flags.extend(Dockerd::file_flags(&Bundle(sandbox.path("h/daemon"))));
    let daemon = Dockerd::start_in_mode(&flags, false);
    let url = daemon.url("127.0.0.1");
    let args = ["--client", "h/clients/ada", "--daemon", "new"];
    let _ = dockseal(&["issue", "daemon", "127.0.0.1", "--lifetime", "800d", "--out", "new", "--no-passphrase"]);

    let probed = probe(&sandbox, &url, &args);
    assert_eq!(probed.outcome(), ("works", ""), "{}", probed.human);
    assert_eq!(probed.json["on_disk"]["certificate"], "not-served");
    assert!(
        probed.human.stderr.contains("still serves") && probed.human.stderr.contains("restart"),
        "{}",
        probed.human
    );
    // Once the old one has expired, that is the cause.
    let date = sandbox.program("date").args(["-u", "-d", "+400 days", "+%Y-%m-%dT%H:%M:%SZ"]).run().success().stdout;
    let later = [&args[..], &["--at", date.trim()]].concat();
    let probed = probe(&sandbox, &url, &later).is(1, "client-accepts-daemon", "still serves");
    assert!(probed.text("/verdict/hint").starts_with("restart dockerd"), "{}", probed.human);
    // The control: with what is served on disk, the certificate itself is to be renewed.
    let later = ["--client", "h/clients/ada", "--daemon", "h/daemon", "--at", date.trim()];
    let probed = probe(&sandbox, &url, &later).is(1, "client-accepts-daemon", "expired");
    assert!(probed.text("/verdict/hint").starts_with("dockseal issue daemon 127.0.0.1"), "{}", probed.human);
}

/// The files of a running daemon are replaced in their place, as a renewal does it, and SIGHUP changes nothing.
#[test]
fn files_replaced_under_a_running_daemon() {
    require!("dockerd", "docker");
    require_root!();
    let sandbox = Sandbox::new();
    let dockseal = |args: &[&str]| sandbox.dockseal(args).run().success();
    let _ = dockseal(&["bootstrap", "127.0.0.1", "--client", "ada", "--no-passphrase", "--out", "h"]);
    let mut flags = vec!["--tlsverify".to_owned()];
    flags.extend(Dockerd::file_flags(&Bundle(sandbox.path("h/daemon"))));
    let daemon = Dockerd::start_in_mode(&flags, false);
    let url = daemon.url("127.0.0.1");
    let args = ["--client", "h/clients/ada", "--daemon", "h/daemon"];
    let probed = probe(&sandbox, &url, &args);
    assert_eq!((probed.outcome(), &probed.json["on_disk"]["certificate"]), (("works", ""), &Value::from("served")));

    // Another certificate of the same authority, and another authority beside the old one in ca.pem.
    let _ = dockseal(&["issue", "daemon", "127.0.0.1", "--out", "new", "--no-passphrase"]);
    for file in ["cert.pem", "key.pem"] {
        fs::copy(sandbox.path(format!("new/{file}")), sandbox.path("h/file")).unwrap();
        fs::rename(sandbox.path("h/file"), sandbox.path(format!("h/daemon/{file}"))).unwrap();
    }
    let (ours, other) = (sandbox.path("h/daemon/ca.pem"), Pki::stranger().client.ca());
    fs::write(sandbox.path("h/file"), [fs::read(&ours).unwrap(), fs::read(other).unwrap()].concat()).unwrap();
    fs::rename(sandbox.path("h/file"), ours).unwrap();
    daemon.hang_up();
    let probed = probe(&sandbox, &url, &args);
    assert_eq!(probed.outcome(), ("works", ""), "{}", probed.human);
    assert_eq!(probed.json["on_disk"]["certificate"], "not-served", "{}", probed.human);
    assert_eq!(probed.json["on_disk"]["authorities_asked_for"], false, "{}", probed.human);
    assert!(probed.human.stderr.matches("restart dockerd").count() >= 2, "{}", probed.human);
    drop(daemon);
    // After the restart that it asks for, all is well.
    let daemon = Dockerd::start_in_mode(&flags, false);
    let probed = probe(&sandbox, &daemon.url("127.0.0.1"), &args);
    assert_eq!((probed.outcome(), &probed.json["on_disk"]["certificate"]), (("works", ""), &Value::from("served")));
    assert_eq!(probed.json["on_disk"]["authorities_asked_for"], true, "{}", probed.human);
    assert!(!probed.human.stderr.contains("restart"), "{}", probed.human);
}

#[test]
fn an_authority_made_anew_under_the_same_name() {
    require!("dockerd", "docker", "openssl");
    require_root!();
    let sandbox = Sandbox::new();
    for which in ["old", "new"] {
        let dir = |name: &str| format!("{which}/{name}");
        fs::create_dir_all(sandbox.path(dir("client"))).unwrap();
        fs::create_dir_all(sandbox.path(dir("daemon"))).unwrap();
        let openssl = |line: String| sandbox.openssl(line.split_whitespace());
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
        openssl(format!("req -x509 {key} -keyout {which}/k -out {which}/ca.pem -days 30 -subj /CN=dind"));
        for (who, extensions) in [
            ("daemon", "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth\n"),
            ("client", "extendedKeyUsage=clientAuth\n"),
        ] {
            sandbox.write("ext", extensions);
            openssl(format!("req {key} -keyout {which}/{who}/key.pem -out csr -subj /CN={who}"));
            openssl(format!(
                "x509 -req -days 30 -in csr -CA {which}/ca.pem -CAkey {which}/k -CAcreateserial -out {which}/{who}/cert.pem -extfile ext"
            ));
            fs::copy(sandbox.path(dir("ca.pem")), sandbox.path(format!("{which}/{who}/ca.pem"))).unwrap();
        }
    }
    let mut flags = vec!["--tlsverify".to_owned()];
    flags.extend(Dockerd::file_flags(&Bundle(sandbox.path("old/daemon"))));
    let daemon = Dockerd::start_in_mode(&flags, false);
    let url = daemon.url("127.0.0.1");
    let probed = probe(&sandbox, &url, &["--client", "old/client"]);
    assert_eq!(probed.outcome(), ("works", ""), "{}", probed.human);
    let _ = probe(&sandbox, &url, &["--client", "new/client"]).is(1, "client-accepts-daemon", "made anew");
    // With both authorities in its ca.pem the client takes the daemon, and the daemon not the client.
    let both = [fs::read(sandbox.path("old/ca.pem")).unwrap(), fs::read(sandbox.path("new/ca.pem")).unwrap()].concat();
    fs::write(sandbox.path("new/client/ca.pem"), both).unwrap();
    let probed = probe(&sandbox, &url, &["--client", "new/client"]).is(1, "daemon-accepts-client", "same name");
    assert_eq!(probed.json["client_certificate"], "sent");
    agrees_with_docker(&daemon, &Bundle(sandbox.path("new/client")), &probed);
}

/// A program that serves until it goes.
struct Server {
    child: Child,
    port: u16,
    _sandbox: Sandbox,
}

impl Server {
    fn url(&self) -> String {
        format!("tcp://127.0.0.1:{}", self.port)
    }

    /// `openssl s_server` on a port of the kernel's choice.
    fn openssl(more: &[&str]) -> Self {
        Self::openssl_with(&pki("p256", "p256").daemon, more)
    }

    fn openssl_with(material: &Bundle, more: &[&str]) -> Self {
        let sandbox = Sandbox::new();
        let program = sandbox.program("openssl").args(["s_server", "-accept", "127.0.0.1:0"]);
        let program = program.arg("-cert").arg(material.cert()).arg("-key").arg(material.key());
        let mut child = program.arg("-CAfile").arg(material.ca()).args(more).start();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("ACCEPT ")?.rsplit(':').next()?.parse().ok())
            .expect("s_server says its port");
        // Or it stops when the pipe is full.
        thread::spawn(move || lines.for_each(drop));
        Self { child, port, _sandbox: sandbox }
    }

    /// A program that is given a port by number.
    fn on_a_port(program: impl Fn(&Sandbox, u16) -> Program) -> Self {
        for _ in 0..8 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let sandbox = Sandbox::new();
            let child = program(&sandbox, port).start_quietly();
            let mut server = Self { child, port, _sandbox: sandbox };
            let started = Instant::now();
            while started.elapsed() < Duration::from_secs(20) {
                if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                    return server;
                }
                if server.child.try_wait().unwrap().is_some() {
                    break;
                }
                thread::sleep(Duration::from_millis(20));
            }
        }
        panic!("it does not come up");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
    }
}

#[test]
fn one_version_of_tls_only() {
    require!("openssl");
    let pki = pki("p256", "p256");
    let sandbox = Sandbox::new();
    for (flag, yes, no, version) in [("-tls1_3", "tls1.3", "tls1.2", "1.3"), ("-tls1_2", "tls1.2", "tls1.3", "1.2")] {
        let server = Server::openssl(&[flag, "-www", "-Verify", "1", "-verify_return_error"]);
        let probed = probe(&sandbox, &server.url(), &["--client", utf8(&pki.client.0)]);
        // A web server, so no Docker; and the handshake is seen all the same.
        let probed = probed.is(2, "", "no Docker");
        assert_eq!(probed.attempt(yes)["tls_version"], version);
        assert_eq!(probed.attempt(no)["cipher_suite"], Value::Null);
        assert!(probed.attempt(no)["trouble"].as_str().unwrap().contains("protocol_version"), "{}", probed.human);
        assert_eq!(probed.attempt("with-certificate")["tls_version"], version);
        assert_eq!(probed.json["client_certificate"], "accepted", "{}", probed.human);
        assert_eq!(probed.json["authorities"].as_array().unwrap().len(), 1);
    }
}

#[test]
fn other_tls_servers() {
    require!("openssl");
    let (pki, stranger) = (pki("p256", "p256"), Pki::stranger());
    let sandbox = Sandbox::new();
    let client = ["--client", utf8(&pki.client.0)];
    // Another ALPN, which docker does not ask for, and it speaks no HTTP: the other end prints what it is sent.
    let server = Server::openssl(&["-alpn", "imap"]);
    let _ = probe(&sandbox, &server.url(), &["--timeout", "3s"]).is(2, "", "no answer");
    drop(server);
    // One connection at a time, and it never answers: the handshakes are seen one after the other.
    let server = Server::openssl(&["-alpn", "h2", "-www"]);
    let _ = probe(&sandbox, &server.url(), &client).is(2, "", "no Docker");
    drop(server);
    // Too old for docker.
    let server = Server::openssl(&["-tls1_1", "-www", "-cipher", "ALL:@SECLEVEL=0"]);
    let _ = probe(&sandbox, &server.url(), &client).is(1, "handshake", "neither TLS 1.3 nor TLS 1.2");
    drop(server);
    // The daemon's key is the client's neighbour: refused by docker before anything else.
    let server = Server::openssl_with(&stranger.daemon, &["-www"]);
    let _ = probe(&sandbox, &server.url(), &client).is(1, "client-accepts-daemon", "does not hold the authority");
    drop(server);
    // A client's certificate in a server's place; a host that is not in it.
    let server = Server::openssl_with(&pki.client, &["-www"]);
    let _ = probe(&sandbox, &server.url(), &client).is(1, "client-accepts-daemon", "");
    drop(server);
    let server = Server::openssl(&["-www"]);
    let port = server.port;
    let forward = Fake::on("127.0.0.2", move |client| forward(client, port, None));
    let probed = probe(&sandbox, &forward.url(), &client).is(1, "client-accepts-daemon", "not for 127.0.0.2, but for");
    assert!(
        probed.text("/verdict/hint").contains("issue daemon localhost 127.0.0.1 ::1 127.0.0.2"),
        "{}",
        probed.human
    );
}

#[test]
fn nginx_with_mutual_tls() {
    require!("nginx");
    let (pki, stranger) = (pki("p256", "p256"), Pki::stranger());
    let sandbox = Sandbox::new();
    let config = |sandbox: &Sandbox, port: u16| {
        let root = sandbox.root().display();
        let (ca, cert, key) = (pki.daemon.ca(), pki.daemon.cert(), pki.daemon.key());
        let text = format!(
            "daemon off; master_process off; pid {root}/pid; error_log {root}/error.log;\n\
             events {{}}\n\
             http {{ access_log off; client_body_temp_path {root}/tmp; proxy_temp_path {root}/tmp; fastcgi_temp_path {root}/tmp;\n\
             uwsgi_temp_path {root}/tmp; scgi_temp_path {root}/tmp;\n\
             server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {}; ssl_certificate_key {};\n\
             ssl_client_certificate {}; ssl_verify_client on; location / {{ return 200 hello; }} }} }}\n",
            cert.display(),
            key.display(),
            ca.display()
        );
        let path = sandbox.write("nginx.conf", text);
        sandbox
            .program(dockseal_tests::tool("nginx").unwrap())
            .arg("-c")
            .arg(path)
            .arg("-e")
            .arg(sandbox.root().join("error.log"))
    };
    let server = Server::on_a_port(config);
    // The handshake is mutual, and what answers is no Docker.
    let probed = probe(&sandbox, &server.url(), &["--client", utf8(&pki.client.0)]).is(2, "", "nginx");
    assert_eq!(probed.json["client_certificate"], "accepted");
    // nginx finishes the handshake with anybody, and refuses in HTTP.
    let dir = mixed(&sandbox, "usage", &pki.client.ca(), Some(&pki.daemon));
    let _ = probe(&sandbox, &server.url(), &["--client", &dir]).is(1, "daemon-accepts-client", "");
    let dir = mixed(&sandbox, "withheld", &pki.client.ca(), Some(&stranger.client));
    let _ = probe(&sandbox, &server.url(), &["--client", &dir]).is(1, "client-offers-certificate", "does not send");
    let probed = probe(&sandbox, &server.url(), &[]).is(2, "", "none was given");
    assert!(probed.human.stdout.contains("No required SSL certificate was sent"), "{}", probed.human);
}

#[test]
fn an_ssh_server() {
    require!("sshd", "ssh-keygen", "unshare", "mount");
    require_root!();
    let server = Server::on_a_port(|sandbox, port| {
        let key = sandbox.path("key");
        let keygen = sandbox.program("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key);
        let _ = keygen.run().success();
        let text = format!("ListenAddress 127.0.0.1:{port}\nHostKey {}\nPidFile none\nUsePAM no\n", key.display());
        let config = sandbox.write("sshd_config", text);
        // sshd insists on a directory in /run, so it gets a /run of its own.
        let line = "mount -t tmpfs none /run && mkdir -m 0755 /run/sshd && exec \"$0\" -D -f \"$1\"";
        let sshd = dockseal_tests::tool("sshd").unwrap();
        sandbox.program("unshare").args(["--mount", "sh", "-c", line]).arg(sshd).arg(config)
    });
    let probed = probe(&Sandbox::new(), &server.url(), &[]).is(2, "", "SSH server");
    assert_eq!(probed.json["speaks"], "ssh");
    assert!(probed.text("/verdict/cause").contains("SSH-2.0-OpenSSH"), "{}", probed.human);
}

#[test]
fn an_http_proxy() {
    require!("tinyproxy");
    let server = Server::on_a_port(|sandbox, port| {
        let config = sandbox.write("conf", format!("Port {port}\nListen 127.0.0.1\nTimeout 60\nMaxClients 10\n"));
        sandbox.program("tinyproxy").args(["-d", "-c"]).arg(config)
    });
    let pki = pki("p256", "p256");
    let probed = probe(&Sandbox::new(), &server.url(), &["--client", utf8(&pki.client.0)]).is(2, "", "no Docker");
    assert_eq!(probed.json["speaks"], "http");
}

/// A peer of a few lines, in a thread for each connection.
struct Fake {
    address: SocketAddr,
    ended: Arc<AtomicBool>,
}

impl Fake {
    fn new(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        Self::on("127.0.0.1", serve)
    }

    fn on(address: &str, serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((address.parse::<IpAddr>().unwrap(), 0)).unwrap();
        let fake = Self { address: listener.local_addr().unwrap(), ended: Arc::default() };
        let ended = Arc::clone(&fake.ended);
        let serve = Arc::new(serve);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if ended.load(Ordering::Relaxed) {
                    break;
                }
                let serve = Arc::clone(&serve);
                thread::spawn(move || serve(stream));
            }
        });
        fake
    }

    fn url(&self) -> String {
        format!("tcp://{}", self.address)
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

/// Carries bytes to and from a real server; tears the client's connection down after so many bytes of the server's.
fn forward(client: TcpStream, port: u16, reset_after: Option<usize>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { return };
    let (mut from_client, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    thread::spawn(move || {
        let _ = std::io::copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(std::net::Shutdown::Write);
    });
    let (mut from_server, mut to_client) = (server, client);
    match reset_after {
        None => {
            let _ = std::io::copy(&mut from_server, &mut to_client);
            let _ = to_client.shutdown(std::net::Shutdown::Both);
        }
        Some(most) => {
            let _ = std::io::copy(&mut from_server.take(most as u64), &mut to_client);
            reset(&to_client);
        }
    }
}

/// RST instead of FIN when it is closed, now for every holder.
fn reset(stream: &TcpStream) {
    rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO)).unwrap();
    // Connecting a socket to nowhere ends it with RST at once, whoever else holds it (tcp_disconnect).
    let _ = rustix::net::connect_unspec(stream);
}

/// What came first, or nothing in a second.
fn first_bytes(stream: &mut TcpStream) -> Vec<u8> {
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut buffer = [0; 4096];
    let count = stream.read(&mut buffer).unwrap_or(0);
    buffer[..count].to_vec()
}

/// Sends until nobody takes it any more.
fn flood(stream: &mut TcpStream, piece: &[u8]) {
    while stream.write_all(piece).is_ok() {}
}

fn trickle(stream: &mut TcpStream, bytes: impl Iterator<Item = u8>) {
    for byte in bytes {
        thread::sleep(Duration::from_millis(30));
        if stream.write_all(&[byte]).is_err() {
            break;
        }
    }
}

/// An answer comes within the timeout and a little, whatever the peer does, and it is that nothing can be told.
#[track_caller]
fn is_answered(fake: &Fake, what: &str) {
    let pki = pki("p256", "p256");
    let sandbox = Sandbox::new();
    let began = Instant::now();
    let ran = sandbox
        .dockseal(["probe", &fake.url(), "--timeout", "3s", "--client", utf8(&pki.client.0)])
        .limit(Duration::from_secs(60))
        .run();
    assert!(began.elapsed() < Duration::from_secs(20), "{what}: {:?}\n{ran}", began.elapsed());
    assert_eq!(ran.code, Some(2), "{what}: {ran}");
    assert!(ran.stderr.contains("  cause: ") && ran.stderr.contains("  hint:  "), "{what}: {ran}");
    assert!(!ran.holds("\u{1b}"), "{what}: {ran}");
    assert!(ran.stdout.len() < 20_000, "{what}: {ran}");
    println!("{what}: {:?}: {}", began.elapsed(), ran.stderr.lines().nth(1).unwrap_or_default());
}

#[test]
fn peers_that_end_it() {
    is_answered(&Fake::new(|_| {}), "closes at once");
    is_answered(&Fake::new(|stream| reset(&stream)), "resets at once");
    is_answered(
        &Fake::new(|mut stream| {
            first_bytes(&mut stream);
        }),
        "closes after the first bytes",
    );
    is_answered(
        &Fake::new(|mut stream| {
            first_bytes(&mut stream);
            reset(&stream);
        }),
        "resets after the first bytes",
    );
}

#[test]
fn resets_in_every_phase() {
    require!("openssl");
    let server = Arc::new(Server::openssl(&["-www"]));
    // From within the first record's header over the middle of the chain to within the answer.
    for most in [1, 5, 60, 127, 128, 300, 700, 900, 1000, 1100, 1400, 1800, 2200] {
        let server = Arc::clone(&server);
        let fake = Fake::new(move |client| forward(client, server.port, Some(most)));
        is_answered(&fake, &format!("resets after {most} bytes"));
    }
}

#[test]
fn peers_that_never_end() {
    is_answered(&Fake::new(|_| thread::sleep(Duration::from_secs(20))), "silence");
    is_answered(
        &Fake::new(|mut stream| {
            first_bytes(&mut stream);
            trickle(
                &mut stream,
                (0..).map(|position: u64| b"\x16\x03\x03\x40\x00\x02\x00\x3f\xf0\x03\x03"[position as usize % 11]),
            );
        }),
        "an endless handshake, byte by byte",
    );
    is_answered(
        &Fake::new(|mut stream| {
            first_bytes(&mut stream);
            trickle(&mut stream, b"HTTP/1.1 200 OK\r\nX: ".iter().copied().chain(std::iter::repeat(b'a')));
        }),
        "an endless header, byte by byte",
    );
    let floods: [(&str, Vec<u8>, &[u8]); 11] = [
        ("empty handshake records", Vec::new(), b"\x16\x03\x03\x00\x00"),
        ("handshake fragments", b"\x16\x03\x03\x00\x04\x02\xff\xff\xff".to_vec(), b"\x16\x03\x03\x00\x01\x00"),
        ("warning alerts", Vec::new(), b"\x15\x03\x03\x00\x02\x01\x5a"),
        ("change cipher specs", Vec::new(), b"\x14\x03\x03\x00\x01\x01"),
        ("oversized records", Vec::new(), &[0x17; 65_000]),
        ("an oversized handshake record", b"\x16\x03\x03\xff\xff".to_vec(), &[0; 4096]),
        ("headers", b"HTTP/1.1 200 OK\r\n".to_vec(), b"X-Header: some text to fill a line with\r\n"),
        ("provisional answers", Vec::new(), b"HTTP/1.1 100 Continue\r\n\r\n"),
        ("chunks", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec(), b"5\r\nhello\r\n"),
        ("a body", b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\n".to_vec(), b"hello"),
        ("control characters", Vec::new(), b"\x1b[31m\x07\x00\r\n"),
    ];
    for (what, first, piece) in floods {
        let piece = piece.to_vec();
        let fake = Fake::new(move |mut stream| {
            first_bytes(&mut stream);
            if stream.write_all(&first).is_ok() {
                // A larger piece takes fewer calls.
                flood(&mut stream, &piece.repeat(1 + 4096 / piece.len()));
            }
        });
        is_answered(&fake, &format!("endless {what}"));
    }
}

#[test]
fn peers_that_talk_nonsense() {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed.to_le_bytes()
    };
    for (what, prefix) in [
        ("garbage", &b""[..]),
        ("a record of garbage", b"\x16\x03\x03\x10\x00"),
        ("a hello of garbage", b"\x16\x03\x03\x00\x5a\x02\x00\x00\x56\x03\x03"),
    ] {
        for round in 0..4 {
            let mut bytes = prefix.to_vec();
            bytes.extend((0..600).flat_map(|_| random()));
            let fake = Fake::new(move |mut stream| {
                first_bytes(&mut stream);
                let _ = stream.write_all(&bytes);
            });
            is_answered(&fake, &format!("{what}, {round}"));
        }
    }
    for banner in [
        "220 mail.example.com ESMTP\r\n",
        "+OK ready\r\n",
        "RFB 003.008\n",
        "HTTP/1.1 999999 X\r\n\r\n",
        "HTTP/1.1 200\r\n\r\n",
        "\u{1b}]0;title\u{7}\u{202e}\r\n",
    ] {
        is_answered(
            &Fake::new(move |mut stream| {
                let _ = stream.write_all(banner.as_bytes());
                first_bytes(&mut stream);
            }),
            &format!("banner {banner:?}"),
        );
    }
}

/// A daemon's answer in plain HTTP, whose clock is off.
#[test]
fn clocks_and_headers() {
    let answer = |date: &'static str| {
        Fake::new(move |mut stream| {
            if first_bytes(&mut stream).starts_with(b"GET /_ping") {
                let text = format!(
                    "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nServer: Docker/20.10.24 (linux)\r\nDate: {date}\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nOK\r\n0\r\n\r\n"
                );
                let _ = stream.write_all(text.as_bytes());
                first_bytes(&mut stream);
                let body = r#"{"Version":"20.10.24\u001b[31m","ApiVersion":"1.41","Os":"linux","Arch":"amd64"}"#;
                let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            }
        })
    };
    let sandbox = Sandbox::new();
    let probed =
        probe(&sandbox, &answer("Mon, 23 Nov 2015 12:00:00 GMT").url(), &[]).is(1, "same-protocol", "plain HTTP");
    assert!(probed.json["clock_skew_seconds"].as_i64().unwrap() < -300_000_000, "{}", probed.human);
    assert!(probed.human.stderr.contains("behind this machine's"), "{}", probed.human);
    assert_eq!(probed.json["docker"]["version"], "20.10.24\\u{1b}[31m");
    for date in ["yesterday", "Mon, 99 Nov 2015 12:00:00 GMT", "", "Mon, 23 Nov 99999 12:00:00 GMT"] {
        let probed = probe(&sandbox, &answer(date).url(), &[]).is(1, "same-protocol", "plain HTTP");
        assert_eq!(probed.json["clock_skew_seconds"], Value::Null, "{date}");
    }
}

#[test]
fn what_is_not_reached() {
    let sandbox = Sandbox::new();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let _ = cannot(&sandbox, &[&format!("tcp://127.0.0.1:{port}")], "refused");
    let _ = cannot(&sandbox, &["tcp://no-such-host.invalid:2376", "--timeout", "6s"], "no address");
    let _ = cannot(&sandbox, &["unix:///var/run/docker.sock"], "local socket");
    let _ = cannot(&sandbox, &["ssh://ada@host"], "no certificate");
    let _ = cannot(&sandbox, &["https://host:2376"], "no http://");
    let _ = cannot(&sandbox, &["tcp://127.0.0.1:2376", "--timeout", "0s"], "");
    // A port that docker would take, and most people would not.
    let ran = sandbox.dockseal(["probe", "tcp://127.0.0.3"]).run();
    assert!(ran.code != Some(0) && ran.stderr.contains("without a port docker dials 2375"), "{ran}");
}

/// A name with two addresses, of which one has a daemon.
#[test]
fn a_name_with_several_addresses() {
    let only_four = Fake::new(|mut stream| {
        first_bytes(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Length: 2\r\n\r\nOK");
        first_bytes(&mut stream);
    });
    let url = format!("tcp://localhost:{}", only_four.address.port());
    let probed = probe(&Sandbox::new(), &url, &[]).is(1, "same-protocol", "plain HTTP");
    assert_eq!(probed.json["address"], only_four.address.to_string());
    for other in probed.json["addresses"].as_array().unwrap() {
        let expected = if other["address"] == probed.json["address"] { "connected" } else { "failed" };
        assert_eq!(other["state"], expected, "{}", probed.human);
    }
}

/// The proof of the peer's key is checked for every kind of key that docker takes, in both versions.
#[test]
fn keys_of_every_kind() {
    require!("openssl");
    let sandbox = Sandbox::new();
    for kind in [
        "ec -pkeyopt ec_paramgen_curve:P-256",
        "ec -pkeyopt ec_paramgen_curve:P-384",
        "ec -pkeyopt ec_paramgen_curve:P-521",
        "ed25519",
        "rsa:2048",
        "rsa:4096",
    ] {
        let dir = kind.rsplit([':', ' ']).next().unwrap();
        fs::create_dir(sandbox.path(dir)).unwrap();
        let line = format!(
            "req -x509 -newkey {kind} -nodes -keyout {dir}/key.pem -out {dir}/cert.pem -days 30 -subj /CN={dir} \
             -addext subjectAltName=IP:127.0.0.1"
        );
        sandbox.openssl(line.split_whitespace());
        fs::copy(sandbox.path(dir).join("cert.pem"), sandbox.path(dir).join("ca.pem")).unwrap();
        for version in ["-tls1_3", "-tls1_2"] {
            let server = Server::openssl_with(&Bundle(sandbox.path(dir)), &["-www", version]);
            let probed = probe(&sandbox, &server.url(), &[]).is(2, "", "no Docker");
            assert_eq!(probed.json["key_proof"], "verified", "{kind} {version}\n{}", probed.human);
            assert_eq!(probed.json["chain"][0]["subject"], format!("CN={dir}"));
        }
    }
}

/// Certificates without end, and more than a client reads.
#[test]
fn servers_with_too_many_certificates() {
    require!("openssl", "docker");
    let pki = pki("p256", "p256");
    let sandbox = Sandbox::new();
    let ca = fs::read(pki.daemon.ca()).unwrap();
    // Some 100 KB and 400 KB.
    for copies in [250, 1000] {
        let many = sandbox.write("many.pem", ca.repeat(copies));
        let server = Server::openssl(&["-www", "-cert_chain", utf8(&many)]);
        let client = ["--client", utf8(&pki.client.0)];
        let _ = probe(&sandbox, &server.url(), &client).is(2, "", "more than 64 KiB of certificates");
        let old = [&client[..], &["--docker", "20.10.24"]].concat();
        let _ = probe(&sandbox, &server.url(), &old).is(1, "handshake", "more than 64 KiB of certificates");
    }
    // Just below.
    let many = sandbox.write("many.pem", ca.repeat(100));
    let server = Server::openssl(&["-www", "-cert_chain", utf8(&many)]);
    let probed = probe(&sandbox, &server.url(), &[]).is(2, "", "no Docker");
    assert_eq!(probed.json["chain"].as_array().unwrap().len(), 101);
}

/// A reset after the client's certificate gives no reason: neither yes nor no.
#[test]
fn resets_after_the_certificate() {
    require!("openssl");
    let pki = pki("p256", "p256");
    let server = Server::openssl(&["-www", "-Verify", "1", "-verify_return_error", "-num_tickets", "0"]);
    let port = server.port;
    let sandbox = Sandbox::new();
    // The server's flight is longer with a request for certificates; beyond it there is only the answer.
    let mut phases = std::collections::BTreeSet::new();
    for most in [100, 600, 1000, 1100, 1150, 1200, 1300, 1500] {
        let fake = Fake::new(move |client| forward(client, port, Some(most)));
        let probed = probe(&sandbox, &fake.url(), &["--client", utf8(&pki.client.0), "--timeout", "6s"]);
        assert_eq!(probed.human.code, Some(2), "{most}: {}", probed.human);
        phases.insert(probed.text("/client_certificate").to_owned());
    }
    assert!(phases.contains("sent"), "{phases:?}");
}
