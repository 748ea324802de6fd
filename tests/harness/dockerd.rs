//! A real `dockerd --tlsverify` on loopback, with everything of its own: data root,
//! exec root, containerd, pid file, configuration. It never reads or writes
//! `/etc/docker` (20.10 would keep a trust key there) and never shares a socket
//! with a Docker that is running.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::bundle::Bundle;
use crate::program::Program;
use crate::sandbox::{Sandbox, unmount_below};

/// What a daemon is started with.
#[derive(Clone, Debug)]
pub struct DockerdOptions {
    /// Its ca.pem, cert.pem and key.pem.
    pub material: Bundle,
    /// Whether it also listens on `[::1]`.
    pub ipv6: bool,
}

/// A running daemon; ended, and its mounts and files removed, when it goes.
#[derive(Debug)]
pub struct Dockerd {
    child: Child,
    sandbox: Sandbox,
    port: u16,
}

impl Dockerd {
    /// Starts one and waits until it serves.
    ///
    /// # Panics
    /// When it does not come up within a minute.
    #[must_use]
    pub fn start(options: &DockerdOptions) -> Self {
        let mut flags = vec!["--tlsverify".to_owned()];
        flags.extend(Self::file_flags(&options.material));
        Self::start_in_mode(&flags, options.ipv6)
    }

    /// The flags that name the three files.
    #[must_use]
    pub fn file_flags(material: &Bundle) -> [String; 3] {
        [
            format!("--tlscacert={}", material.ca().display()),
            format!("--tlscert={}", material.cert().display()),
            format!("--tlskey={}", material.key().display()),
        ]
    }

    /// Starts one with these flags for TLS, or none, and waits until it serves.
    ///
    /// # Panics
    /// When it does not come up within a minute.
    #[must_use]
    pub fn start_in_mode(tls: &[String], ipv6: bool) -> Self {
        Self::try_in_mode(tls, ipv6).unwrap_or_else(|log| panic!("dockerd ended:\n{log}"))
    }

    /// The same, for flags with which it may not come up.
    ///
    /// # Errors
    /// It ends; its log.
    ///
    /// # Panics
    /// When it neither serves nor ends within a minute.
    pub fn try_in_mode(tls: &[String], ipv6: bool) -> Result<Self, String> {
        // A port can be taken between choosing it and dockerd's bind: then dockerd
        // says so and ends, and another port is tried.
        for _ in 0..8 {
            match Self::try_start(tls, ipv6, free_port()) {
                Err(log) if log.contains("address already in use") => {}
                other => return other,
            }
        }
        panic!("no free port for dockerd in eight tries");
    }

    fn try_start(tls: &[String], ipv6: bool, port: u16) -> Result<Self, String> {
        let sandbox = Sandbox::new();
        let root = sandbox.root().to_path_buf();
        let config = serde_json::json!({ "deprecated-key-path": root.join("trust.json") });
        fs::write(root.join("daemon.json"), config.to_string()).expect("daemon.json");
        let log = fs::File::create(root.join("log")).expect("log");
        let mut command = Command::new(crate::tool("dockerd").expect("dockerd"));
        command
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", root.join("home"))
            .env("DOCKER_CONFIG", root.join("home/.docker"))
            .env("TMPDIR", root.join("tmp"))
            .current_dir(&root)
            .arg("--config-file")
            .arg(root.join("daemon.json"))
            .args(tls)
            .arg(format!("--host=tcp://127.0.0.1:{port}"))
            .args(["--iptables=false", "--bridge=none", "--storage-driver=vfs"])
            .arg("--data-root")
            .arg(root.join("d"))
            .arg("--exec-root")
            .arg(root.join("e"))
            .arg("--pidfile")
            .arg(root.join("pid"));
        if ipv6 {
            command.arg(format!("--host=tcp://[::1]:{port}"));
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("log"))
            .stderr(log)
            .spawn()
            .expect("dockerd starts");
        let mut daemon = Self { child, sandbox, port };
        let wanted = if ipv6 { 2 } else { 1 };
        let started = Instant::now();
        loop {
            let log = daemon.log();
            if log.matches("API listen on").count() >= wanted {
                return Ok(daemon);
            }
            if daemon.child.try_wait().expect("wait").is_some() {
                return Err(daemon.log());
            }
            assert!(started.elapsed() < Duration::from_secs(60), "dockerd does not come up:\n{log}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Its TCP port, the same on every address.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `tcp://HOST:PORT`, as `DOCKER_HOST` wants it.
    #[must_use]
    pub fn url(&self, host: &str) -> String {
        format!("tcp://{host}:{}", self.port)
    }

    /// Sends SIGHUP, after which it reads daemon.json again, and waits until it has.
    ///
    /// # Panics
    /// When it does not say so within ten seconds.
    pub fn hang_up(&self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::HUP);
        let started = Instant::now();
        while !self.log().contains("Reloaded configuration") {
            assert!(started.elapsed() < Duration::from_secs(10), "no reload:\n{}", self.log());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Everything it has said.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.sandbox.root().join("log")).unwrap_or_default()).into_owned()
    }

    /// The docker client, pointed at this daemon by the three variables.
    #[must_use]
    pub fn docker<S: AsRef<std::ffi::OsStr>>(
        &self,
        host: &str,
        cert_path: &Path,
        args: impl IntoIterator<Item = S>,
    ) -> Program {
        self.plain_docker(args)
            .env("DOCKER_HOST", self.url(host))
            .env("DOCKER_TLS_VERIFY", "1")
            .env("DOCKER_CERT_PATH", cert_path)
    }

    /// The docker client with nothing of ours in its environment but where it keeps files.
    #[must_use]
    pub fn plain_docker<S: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Program {
        self.sandbox.program(crate::tool("docker").expect("docker")).args(args)
    }

    /// The daemon's own temporary world, for files of its clients.
    #[must_use]
    pub fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        // SIGTERM lets it stop its containers and its containerd, which dies with it
        // in any case (dockerd starts it with a parent-death signal).
        let pid = Pid::from_child(&self.child);
        let _ = kill_process(pid, Signal::TERM);
        let asked = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if asked.elapsed() > Duration::from_secs(20) {
                let _ = kill_process(pid, Signal::KILL);
                let _ = self.child.wait();
                break;
            }
            thread::sleep(Duration::from_millis(10));
        }
        unmount_below(self.sandbox.root());
    }
}

/// A port that was free on both loopback addresses a moment ago.
fn free_port() -> u16 {
    loop {
        let four = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let port = four.local_addr().expect("address").port();
        if TcpListener::bind(("::1", port)).is_ok() {
            return port;
        }
    }
}

/// A tar with a static busybox as `/bin/sh`: a whole image without a registry.
///
/// # Panics
/// When tar fails.
#[must_use]
pub fn busybox_image(sandbox: &Sandbox) -> PathBuf {
    let busybox = crate::tool("busybox").expect("busybox");
    let bin = sandbox.path("image/bin");
    fs::create_dir_all(&bin).expect("image");
    fs::copy(busybox, bin.join("sh")).expect("busybox");
    let image = sandbox.path("image.tar");
    let _ = sandbox.program("tar").arg("-C").arg(sandbox.path("image")).arg("-cf").arg(&image).arg(".").run().success();
    image
}
