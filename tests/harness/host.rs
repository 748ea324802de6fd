//! Real remote Docker hosts: Debian with systemd (or SysV's init, or OpenRC), sshd and
//! dockerd, each in a network namespace of its own, booted by systemd-nspawn from the
//! trees that `tests/setup` builds. What makes and unmakes one is `host.sh`, which outlives a
//! killed test and clears up.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};

use crate::program::{Program, Ran};
use crate::sandbox::Sandbox;

/// Returns from the test, loudly, unless hosts can be booted here: with systemd, or with the init that is named.
#[macro_export]
macro_rules! require_hosts {
    () => {
        $crate::require_hosts!($crate::Init::Systemd)
    };
    ($init:expr) => {
        $crate::require_root!();
        $crate::require!("systemd-nspawn", "ip", "ssh", "ssh-keygen");
        if $crate::host_base($init).is_none() {
            $crate::note_skip("no system of the test hosts; tests/setup builds it");
            return;
        }
    };
}

/// What starts everything on a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Init {
    /// Debian's own.
    Systemd,
    /// The scripts of System V.
    SysV,
    /// OpenRC, which runs the same scripts.
    OpenRc,
}

/// The tree that hosts are booted from, when `tests/setup` has built it.
#[must_use]
pub fn host_base(init: Init) -> Option<PathBuf> {
    let name = match init {
        Init::Systemd => "host-base",
        Init::SysV => "host-sysv",
        Init::OpenRc => "host-openrc",
    };
    // Written last, so that a tree without it is not whole.
    let base = crate::tools_dir().join(name).canonicalize().ok()?;
    base.join("etc/dockseal-test-host").is_file().then_some(base)
}

/// What a host is like before it boots.
#[derive(Clone, Debug)]
pub struct HostOptions {
    /// Its name, and the alias that the operator's ssh knows it by.
    pub name: String,
    /// Its `/etc/docker/daemon.json`, if any.
    pub daemon_json: Option<String>,
    /// Commands run as root in its tree before it boots, with nothing running there yet.
    pub prepare: String,
    /// Whether docker.service is expected to come up.
    pub docker: DockerAtBoot,
    /// What boots it.
    pub init: Init,
}

/// Whether booting waits for docker.service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DockerAtBoot {
    /// Boot ends when it is active.
    Awaited,
    /// Boot ends when ssh answers.
    NotAwaited,
}

impl HostOptions {
    /// A host of this name with Debian's defaults, but for a Docker that needs no bridge.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            daemon_json: Some(r#"{"iptables": false, "bridge": "none", "storage-driver": "vfs"}"#.to_owned()),
            prepare: String::new(),
            docker: DockerAtBoot::Awaited,
            init: Init::Systemd,
        }
    }
}

/// Who reaches the hosts: a sandbox whose HOME holds an ssh key, a `config` and a
/// `known_hosts`, and an `ssh` on the PATH that uses them and nobody else's
/// (OpenSSH looks for its files in the passwd entry's home, whatever HOME says).
#[derive(Debug)]
pub struct Operator {
    sandbox: Sandbox,
}

impl Operator {
    /// One with a fresh key, who knows no host yet.
    ///
    /// # Panics
    /// When the files cannot be made.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "making one touches the disk")]
    pub fn new() -> Self {
        let operator = Self { sandbox: Sandbox::new() };
        let dir = operator.ssh_dir();
        fs::create_dir(&dir).expect("ssh directory");
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).expect("mode");
        let key = dir.join("id_ed25519");
        let _ = operator
            .sandbox
            .program("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(&key)
            .run()
            .success();
        fs::write(operator.known_hosts(), "").expect("known_hosts");
        let everywhere = format!(
            "IdentityFile {}\nIdentitiesOnly yes\nUserKnownHostsFile {}\nGlobalKnownHostsFile /dev/null\n\
             StrictHostKeyChecking yes\nUpdateHostKeys no\nConnectTimeout 10\n",
            key.display(),
            operator.known_hosts().display()
        );
        fs::write(operator.ssh_config(), everywhere).expect("ssh config");
        fs::create_dir(operator.bin()).expect("bin");
        for name in ["ssh", "scp"] {
            let Some(real) = crate::tool(name) else { continue };
            let wrapper = operator.bin().join(name);
            let script = format!("#!/bin/sh\nexec {} -F {} \"$@\"\n", real.display(), operator.ssh_config().display());
            fs::write(&wrapper, script).expect("wrapper");
            fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).expect("mode");
        }
        operator
    }

    /// The sandbox that the operator's programs run in.
    #[must_use]
    pub fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    /// A program run by the operator: it finds an ssh that reaches the hosts.
    #[must_use]
    pub fn program(&self, name: impl AsRef<std::ffi::OsStr>) -> Program {
        let path = std::env::var("PATH").unwrap_or_default();
        self.sandbox.program(name).env("PATH", format!("{}:{path}:/usr/sbin:/usr/bin:/sbin:/bin", self.bin().display()))
    }

    /// The binary under test, run by the operator.
    #[must_use]
    pub fn dockseal<S: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Program {
        self.program(crate::dockseal_binary()).args(args)
    }

    /// The operator's ssh configuration.
    #[must_use]
    pub fn ssh_config(&self) -> PathBuf {
        self.ssh_dir().join("config")
    }

    /// The host keys that the operator knows.
    #[must_use]
    pub fn known_hosts(&self) -> PathBuf {
        self.ssh_dir().join("known_hosts")
    }

    /// Where the operator's `ssh` is, for a PATH.
    #[must_use]
    pub fn bin(&self) -> PathBuf {
        self.sandbox.root().join("bin")
    }

    fn ssh_dir(&self) -> PathBuf {
        self.sandbox.root().join("home/.ssh")
    }

    /// Boots a host: see [`Operator::boot_all`].
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn boot(&self, options: &HostOptions) -> Host {
        self.boot_all(std::slice::from_ref(options)).pop().expect("one host")
    }

    /// Boots hosts side by side (about five seconds) and learns how to reach them.
    /// One call boots at a time, on this whole machine, for booting is what takes the
    /// processors; a test that needs two hosts asks for both at once.
    ///
    /// # Panics
    /// When they do not come up within two minutes.
    #[must_use]
    pub fn boot_all(&self, options: &[HostOptions]) -> Vec<Host> {
        let locks = Path::new("/run/lock/dockseal-test-hosts");
        fs::create_dir_all(locks).expect("lock directory");
        let gate = File::create(locks.join("gate")).expect("lock");
        flock(&gate, FlockOperation::LockExclusive).expect("lock");
        let hosts: Vec<Host> = options.iter().map(|options| Host::start(self, options)).collect();
        for (host, options) in hosts.iter().zip(options) {
            host.wait_until_up(options);
        }
        hosts
    }

    /// Lets the operator's ssh reach a host by its name and its address.
    fn learn(&self, host: &Host) {
        let key = fs::read_to_string(host.root().join("etc/ssh/ssh_host_ed25519_key.pub")).expect("host key");
        let known = format!("{},{} {key}", host.name, host.address);
        append(&self.known_hosts(), &known);
        let mut entry = String::new();
        let _ = writeln!(entry, "Host {}\n  HostName {}\n  User root", host.name, host.address);
        append(&self.ssh_config(), &entry);
    }
}

fn append(path: &Path, text: &str) {
    fs::OpenOptions::new()
        .append(true)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .expect("append");
}

/// A running machine; powered off and removed when it goes, however the test ends.
#[derive(Debug)]
pub struct Host {
    name: String,
    slot: u8,
    address: String,
    supervisor: Child,
    input: Option<ChildStdin>,
    /// Open until the end: the supervisor's next word to nobody would kill it.
    output: BufReader<std::process::ChildStdout>,
    sandbox: Sandbox,
    /// The operator's `ssh`.
    ssh: PathBuf,
}

impl Host {
    fn start(operator: &Operator, options: &HostOptions) -> Self {
        let sandbox = Sandbox::new();
        let dir = sandbox.root().join("host");
        fs::create_dir(&dir).expect("directory");
        let mut supervisor = Command::new("sh")
            .arg(crate::repository().join("tests/harness/host.sh"))
            .arg(host_base(options.init).expect("the system of the test hosts"))
            .arg(&dir)
            .arg(&options.name)
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(sandbox.root().join("supervisor")).expect("log"))
            .spawn()
            .expect("the supervisor starts");
        let input = supervisor.stdin.take();
        let output = BufReader::new(supervisor.stdout.take().expect("piped"));
        let mut host = Self {
            name: options.name.clone(),
            slot: 0,
            address: String::new(),
            supervisor,
            input,
            output,
            sandbox,
            ssh: operator.bin().join("ssh"),
        };
        host.slot = host.hear("slot ").parse().expect("a slot");
        host.address = format!("10.99.{}.2", host.slot);
        host.furnish(operator, options);
        operator.learn(&host);
        let input = host.input.as_mut().expect("open until the end");
        input.write_all(b"boot\n").expect("the supervisor listens");
        let _ = host.hear("machine ");
        host
    }

    /// The supervisor's next word, which must start so; what follows it.
    fn hear(&mut self, start: &str) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("the supervisor speaks");
        let said = line.trim_end().strip_prefix(start);
        said.unwrap_or_else(|| panic!("no {start:?} but {line:?} from\n{}", self.log())).to_owned()
    }

    fn furnish(&self, operator: &Operator, options: &HostOptions) {
        let key = fs::read(operator.ssh_dir().join("id_ed25519.pub")).expect("public key");
        for home in ["root", "home/deploy", "home/wheel"] {
            let dir = self.root().join(home).join(".ssh");
            let owner = fs::metadata(self.root().join(home)).expect("home");
            fs::create_dir_all(&dir).expect("ssh directory");
            fs::write(dir.join("authorized_keys"), &key).expect("authorized_keys");
            for path in [dir.join("authorized_keys"), dir] {
                std::os::unix::fs::chown(&path, Some(owner.uid()), Some(owner.gid())).expect("owner");
            }
        }
        let docker = self.root().join("etc/docker");
        fs::create_dir_all(&docker).expect("/etc/docker");
        match &options.daemon_json {
            Some(text) => fs::write(docker.join("daemon.json"), text).expect("daemon.json"),
            None => drop(fs::remove_file(docker.join("daemon.json"))),
        }
        if !options.prepare.is_empty() {
            let _ = Program::new("chroot").arg(self.root()).args(["/bin/sh", "-ec", &options.prepare]).run().success();
        }
    }

    /// Cuts its power and boots it anew, as after a failure of the mains.
    ///
    /// # Panics
    /// When it does not come up again within two minutes.
    pub fn power_cycle(&self) {
        let began = || self.sh("cut -d ' ' -f 22 /proc/1/stat").stdout;
        let former = began();
        let mut input = self.input.as_ref().expect("open until the end");
        input.write_all(b"boot\n").expect("the supervisor listens");
        let asked = Instant::now();
        while [String::new(), former.clone()].contains(&began()) {
            assert!(asked.elapsed() < Duration::from_secs(120), "{} does not boot again:\n{}", self.name, self.log());
            thread::sleep(Duration::from_millis(100));
        }
    }

    fn wait_until_up(&self, options: &HostOptions) {
        let started = Instant::now();
        while TcpStream::connect_timeout(
            &format!("{}:22", self.address).parse().expect("address"),
            Duration::from_secs(1),
        )
        .is_err()
        {
            assert!(started.elapsed() < Duration::from_secs(120), "{} does not boot:\n{}", self.name, self.log());
            thread::sleep(Duration::from_millis(50));
        }
        // Starting over from a failure is not waited for: the test is to see it.
        let wait = match (options.docker, options.init) {
            (DockerAtBoot::Awaited, Init::SysV | Init::OpenRc) => {
                "for i in $(seq 1 600); do docker version && exit 0; sleep 0.1; done; cat /var/log/docker.log; exit 1"
            }
            (DockerAtBoot::Awaited, Init::Systemd) => {
                "for i in $(seq 1 600); do case $(systemctl is-active docker) in active) exit 0;; failed) break;; esac; \
                 sleep 0.1; done; journalctl --no-pager -u docker; exit 1"
            }
            (DockerAtBoot::NotAwaited, _) => "true",
        };
        let ran = self.sh(wait);
        assert_eq!(ran.code, Some(0), "docker does not come up on {}:\n{ran}\n{}", self.name, self.log());
    }

    /// What its supervisor and its console said.
    fn log(&self) -> String {
        ["supervisor", "host/console"]
            .iter()
            .map(|name| {
                String::from_utf8_lossy(&fs::read(self.sandbox.root().join(name)).unwrap_or_default()).into_owned()
            })
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// Its name, by which the operator's ssh reaches it as root.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its IPv4 address.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its whole file tree as this side sees it, without what it mounts (`/run`, `/tmp`, `/proc`).
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.sandbox.root().join("host/root")
    }

    /// A file of it, given by its absolute path there.
    #[must_use]
    pub fn file(&self, path: &str) -> PathBuf {
        self.root().join(path.trim_start_matches('/'))
    }

    /// Runs a shell script on it as root over ssh.
    #[must_use]
    pub fn sh(&self, script: &str) -> Ran {
        self.sh_as("root", script)
    }

    /// Runs a shell script on it over ssh as `root`, as `deploy`, who has password-less
    /// sudo, or as `wheel`, whom sudo asks for the password `correct horse`.
    #[must_use]
    pub fn sh_as(&self, user: &str, script: &str) -> Ran {
        Program::new(&self.ssh).args(["-o", "BatchMode=yes", "-l", user, &self.name, "--", script]).run()
    }

    /// Takes its network cable out, or puts it back in.
    ///
    /// # Panics
    /// When the link cannot be set.
    pub fn cable(&self, state: Cable) {
        let state = match state {
            Cable::In => "up",
            Cable::Out => "down",
        };
        let _ = Program::new("ip").args(["link", "set", &format!("dst{}", self.slot), state]).run().success();
    }
}

/// Whether a host's network cable is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cable {
    /// It is reachable.
    In,
    /// Nothing passes.
    Out,
}

impl Drop for Host {
    fn drop(&mut self) {
        // The end of its input is the supervisor's sign; see host.sh for how long it waits.
        drop(self.input.take());
        let asked = Instant::now();
        while matches!(self.supervisor.try_wait(), Ok(None)) {
            if asked.elapsed() > Duration::from_secs(60) {
                let _ = kill_process(Pid::from_child(&self.supervisor), Signal::KILL);
                let _ = self.supervisor.wait();
                break;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}
