//! Revocation that is obeyed: haproxy in front of a real dockerd's unix socket, with our revocation list and the configuration
//! that our help prints.

use std::fs;
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use dockseal_tests::{Dockerd, Pki, Program, Sandbox, busybox_image, pki, require, tool};
use rustix::process::{Pid, Signal, kill_process};

/// A haproxy that asks clients for certificates and looks them up in a list, and hands on to a socket.
struct Haproxy {
    master: Child,
    port: u16,
}

impl Haproxy {
    /// `files` has the daemon's bundle; the list is `crl.pem` in the sandbox.
    fn start(sandbox: &Sandbox, files: &Path, socket: &Path) -> Self {
        let daemon = ["cert.pem", "key.pem"].map(|name| fs::read(files.join(name)).unwrap()).concat();
        sandbox.write("proxy/daemon.pem", daemon);
        sandbox.write("proxy/ca.pem", fs::read(files.join("ca.pem")).unwrap());
        for _ in 0..8 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let at = |name: &str| sandbox.path(name).display().to_string();
            let text = advised(sandbox)
                .replace("bind :2376 ", &format!("bind 127.0.0.1:{port} "))
                .replace("crt daemon.pem", &format!("crt {}", at("proxy/daemon.pem")))
                .replace("ca-file ca.pem", &format!("ca-file {}", at("proxy/ca.pem")))
                .replace("crl-file crl.pem", &format!("crl-file {}", at("crl.pem")))
                .replace("unix@/var/run/docker.sock", &format!("unix@{}", socket.display()));
            let file = sandbox.write("haproxy.cfg", text);
            let mut haproxy = Self {
                master: sandbox.program(tool("haproxy").unwrap()).arg("-W").arg("-f").arg(file).start_quietly(),
                port,
            };
            let started = Instant::now();
            // One that ended found the port taken.
            while started.elapsed() < Duration::from_secs(20) && haproxy.master.try_wait().unwrap().is_none() {
                if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                    return haproxy;
                }
                thread::sleep(Duration::from_millis(20));
            }
        }
        let checked =
            sandbox.program(tool("haproxy").unwrap()).args(["-c", "-f"]).arg(sandbox.path("haproxy.cfg")).run();
        panic!("haproxy does not come up: {checked}");
    }

    fn reload(&self) {
        kill_process(Pid::from_child(&self.master), Signal::USR2).unwrap();
    }

    fn docker<'w>(&self, sandbox: &Sandbox, client: &Path, words: impl IntoIterator<Item = &'w str>) -> Program {
        sandbox
            .program(tool("docker").unwrap())
            .args(words)
            .env("DOCKER_HOST", format!("tcp://127.0.0.1:{}", self.port))
            .env("DOCKER_TLS_VERIFY", "1")
            .env("DOCKER_CERT_PATH", client)
            .env("DOCKER_BUILDKIT", "0")
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        if matches!(self.master.try_wait(), Ok(None)) {
            let _ = kill_process(Pid::from_child(&self.master), Signal::TERM);
        }
        let _ = self.master.wait();
    }
}

/// What `dockseal crl --help` says to write.
fn advised(sandbox: &Sandbox) -> String {
    let help = sandbox.dockseal(["crl", "--help"]).run().success().stdout;
    let lines = help.lines().skip_while(|line| line.trim() != "defaults").take_while(|line| !line.is_empty());
    lines.map(|line| format!("{}\n", line.strip_prefix("  ").unwrap())).collect()
}

const VERSION: [&str; 3] = ["version", "--format", "{{.Server.Version}}"];

#[test]
fn haproxy_in_front_of_the_docker_socket_refuses_the_revoked() {
    require!("dockerd", "docker", "haproxy", "busybox");
    dockseal_tests::require_root!();
    let sandbox = Sandbox::new();
    let run = |line: &str| sandbox.dockseal(line.split(' ')).run().success();
    let _ = run("bootstrap localhost 127.0.0.1 --client alice --client bob --no-passphrase --out host");
    let _ = run("crl --out crl.pem");
    let material = pki("p256", "p256");
    let socket = sandbox.root().join("docker.sock");
    let mut flags = vec!["--tlsverify".to_owned(), format!("--host=unix://{}", socket.display())];
    flags.extend(Dockerd::file_flags(&material.daemon));
    let daemon = Dockerd::start_in_mode(&flags, false);
    let started = Instant::now();
    while UnixStream::connect(&socket).is_err() {
        assert!(started.elapsed() < Duration::from_secs(30), "no socket\n{}", daemon.log());
        thread::sleep(Duration::from_millis(20));
    }
    let haproxy = Haproxy::start(&sandbox, &sandbox.path("host/daemon"), &socket);
    let (alice, bob) = (sandbox.path("host/clients/alice"), sandbox.path("host/clients/bob"));
    let version = |client: &Path| haproxy.docker(&sandbox, client, VERSION).run();
    // With an empty list both are served; without our authority's certificate nobody is.
    for client in [&alice, &bob] {
        assert!(!version(client).success().stdout.trim().is_empty());
    }
    let stranger = Pki::stranger();
    fs::create_dir(sandbox.path("stranger")).unwrap();
    fs::copy(bob.join("ca.pem"), sandbox.path("stranger/ca.pem")).unwrap();
    fs::copy(stranger.client.cert(), sandbox.path("stranger/cert.pem")).unwrap();
    fs::copy(stranger.client.key(), sandbox.path("stranger/key.pem")).unwrap();
    let _ = version(&sandbox.path("stranger")).failure();
    all_of_docker_works(&sandbox, &haproxy, &bob);
    // Revoked; haproxy knows after it has the new list and was reloaded.
    let _ = run("revoke alice --reason keyCompromise");
    let _ = run("crl --out crl.pem");
    let _ = version(&alice).success();
    haproxy.reload();
    let started = Instant::now();
    let refused = loop {
        let ran = version(&alice);
        if ran.code != Some(0) {
            break ran;
        }
        assert!(started.elapsed() < Duration::from_secs(20), "still served after the reload\n{ran}");
        thread::sleep(Duration::from_millis(50));
    };
    let _ = refused.says("revoked certificate");
    let _ = version(&bob).success();
    // A new certificate for the same person is another one.
    let _ = run("issue client alice --out alice2");
    let _ = version(&sandbox.path("alice2")).success();
    let _ = version(&alice).failure();
}

/// What proxies in HTTP mode break: whatever the containers print, what is typed into them, and how they end.
fn all_of_docker_works(sandbox: &Sandbox, haproxy: &Haproxy, client: &Path) {
    let docker = |line: &str| haproxy.docker(sandbox, client, line.split(' ')).limit(Duration::from_secs(120));
    let image = busybox_image(sandbox);
    let _ = haproxy.docker(sandbox, client, ["import"]).arg(image).arg("box:1").run().success();
    let container = ["run", "--rm", "--network", "host", "box:1", "/bin/sh", "-c", "echo hello; exit 7"];
    let ran = haproxy.docker(sandbox, client, container).run();
    assert!(ran.code == Some(7) && ran.stdout == "hello\n", "{ran}\n");
    let typed = ["run", "--rm", "-i", "--network", "host", "box:1", "/bin/sh", "-c", "read a; echo got $a"];
    let ran = haproxy.docker(sandbox, client, typed).input("this\n").run().success();
    assert_eq!(ran.stdout, "got this\n", "{ran}");
    let _ = haproxy
        .docker(sandbox, client, ["run", "-d", "-i", "--name", "stays", "--network", "host", "box:1", "/bin/sh"])
        .run()
        .success();
    let exec = ["exec", "-i", "stays", "/bin/sh", "-c", "read a; echo got $a; exit 3"];
    let ran = haproxy.docker(sandbox, client, exec).input("that\n").run();
    assert!(ran.code == Some(3) && ran.stdout == "got that\n", "{ran}");
    let _ = docker("rm -f stays").run().success();
    sandbox.write("context/Dockerfile", "FROM box:1\nRUN [\"/bin/sh\", \"-c\", \"echo built >/made\"]\n");
    let _ = docker("build --network host -t made:1 context").run().success();
    let shown = ["run", "--rm", "--network", "host", "made:1", "/bin/sh", "-c", "read a </made; echo $a"];
    assert_eq!(haproxy.docker(sandbox, client, shown).run().success().stdout, "built\n");
}
