//! Revocation that is obeyed: nginx in front of a real dockerd's unix socket, with our revocation list.

use std::net::TcpListener;
use std::path::Path;
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use dockseal_tests::{Bundle, Dockerd, Pki, Program, Ran, Sandbox, pki, require, tool};
use rustix::process::{Pid, Signal, kill_process};

/// An nginx that asks clients for certificates and looks them up in a list, and hands on to a socket.
struct Nginx {
    master: Child,
    port: u16,
}

impl Nginx {
    fn program(sandbox: &Sandbox) -> Program {
        let program = sandbox.program(tool("nginx").unwrap()).arg("-c").arg(sandbox.path("nginx.conf"));
        program.arg("-e").arg(sandbox.path("error.log"))
    }

    fn start(sandbox: &Sandbox, daemon: &Bundle, socket: &Path, crl: &Path) -> Self {
        for _ in 0..8 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let root = sandbox.root().display();
            let text = format!(
                "daemon off; user root; worker_processes 1; pid {root}/pid; events {{}}\n\
                 http {{ access_log off; client_body_temp_path {root}/tmp; proxy_temp_path {root}/tmp; fastcgi_temp_path {root}/tmp;\n\
                 uwsgi_temp_path {root}/tmp; scgi_temp_path {root}/tmp;\n\
                 server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {}; ssl_certificate_key {};\n\
                 ssl_client_certificate {}; ssl_verify_client on; ssl_crl {};\n\
                 location / {{ proxy_pass http://unix:{}:; proxy_http_version 1.1; }} }} }}\n",
                daemon.cert().display(),
                daemon.key().display(),
                daemon.ca().display(),
                crl.display(),
                socket.display(),
            );
            sandbox.write("nginx.conf", text);
            let mut nginx = Self { master: Self::program(sandbox).start_quietly(), port };
            let started = Instant::now();
            // One that ended found the port taken.
            while started.elapsed() < Duration::from_secs(20) && nginx.master.try_wait().unwrap().is_none() {
                if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                    return nginx;
                }
                thread::sleep(Duration::from_millis(20));
            }
        }
        panic!("nginx does not come up: {}", std::fs::read_to_string(sandbox.path("error.log")).unwrap_or_default());
    }

    fn docker(&self, sandbox: &Sandbox, client: &Path) -> Ran {
        sandbox
            .program(tool("docker").unwrap())
            .args(["version", "--format", "{{.Server.Version}}"])
            .env("DOCKER_HOST", format!("tcp://127.0.0.1:{}", self.port))
            .env("DOCKER_TLS_VERIFY", "1")
            .env("DOCKER_CERT_PATH", client)
            .run()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        if matches!(self.master.try_wait(), Ok(None)) {
            let _ = kill_process(Pid::from_child(&self.master), Signal::TERM);
        }
        let _ = self.master.wait();
    }
}

#[test]
fn nginx_in_front_of_the_docker_socket_refuses_the_revoked() {
    require!("dockerd", "docker", "nginx");
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
    while std::os::unix::net::UnixStream::connect(&socket).is_err() {
        assert!(started.elapsed() < Duration::from_secs(30), "no socket\n{}", daemon.log());
        thread::sleep(Duration::from_millis(20));
    }
    let crl = sandbox.path("crl.pem");
    let nginx = Nginx::start(&sandbox, &Bundle(sandbox.path("host/daemon")), &socket, &crl);
    let (alice, bob) = (sandbox.path("host/clients/alice"), sandbox.path("host/clients/bob"));
    // With an empty list both are served; without our authority's certificate nobody is.
    for client in [&alice, &bob] {
        assert!(!nginx.docker(&sandbox, client).success().stdout.trim().is_empty());
    }
    let stranger = Pki::stranger();
    std::fs::create_dir(sandbox.path("stranger")).unwrap();
    std::fs::copy(bob.join("ca.pem"), sandbox.path("stranger/ca.pem")).unwrap();
    std::fs::copy(stranger.client.cert(), sandbox.path("stranger/cert.pem")).unwrap();
    std::fs::copy(stranger.client.key(), sandbox.path("stranger/key.pem")).unwrap();
    let _ = nginx.docker(&sandbox, &sandbox.path("stranger")).failure();
    // Revoked; nginx knows after it has the new list and was reloaded.
    let _ = run("revoke alice --reason keyCompromise");
    let _ = run("crl --out crl.pem");
    let _ = nginx.docker(&sandbox, &alice).success();
    let _ = Nginx::program(&sandbox).args(["-s", "reload"]).run().success();
    let started = Instant::now();
    let refused = loop {
        let ran = nginx.docker(&sandbox, &alice);
        if ran.code != Some(0) {
            break ran;
        }
        assert!(started.elapsed() < Duration::from_secs(20), "still served after the reload\n{ran}");
        thread::sleep(Duration::from_millis(50));
    };
    let _ = refused.says("400");
    let _ = nginx.docker(&sandbox, &bob).success();
    // A new certificate for the same person is another one.
    let _ = run("issue client alice --out alice2");
    let _ = nginx.docker(&sandbox, &sandbox.path("alice2")).success();
    let _ = nginx.docker(&sandbox, &alice).failure();
}
