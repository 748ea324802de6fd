//! Three hosts that the tests share: each test takes one or two, and gets them in their fresh state.

use std::io::{BufRead, BufReader, Read};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use dockseal_tests::{Cable, Host, HostOptions, Operator, Program, Ran, Sandbox};

/// Everything on a host that a bootstrap could touch, and what may run on after one. One line for each file.
/// Units that run, wait or have failed count; how long systemd remembers one that ended well is its own affair (where its
/// control group cannot be removed at once, seen under load, it does so for minutes).
const STATE: &str = "cd /; trees='etc/docker etc/systemd/system etc/default var/lib/dockseal usr/local usr/sbin/dockerd'\n\
    find $trees -printf '%M %U:%G %s %p -> %l\\n' 2>/dev/null | sed 's/^\\(d.*\\) [0-9]* \\(.* -> \\)/\\1 \\2/' | sort\n\
    find $trees -type f -exec sha256sum {} + 2>/dev/null | sort\n\
    find / -xdev -name '.*.dockseal-*' 2>/dev/null; find /etc/docker -name '.*.dockseal-*' 2>/dev/null\n\
    systemctl list-units --plain --no-legend 'dockseal*'\n\
    systemctl is-active docker docker.socket\n\
    docker -H unix:///var/run/docker.sock version --format 'answers: {{.Server.Version}}' 2>&1\n";

/// Files that hold a private key, but for those of sshd.
const KEYS: &str = "grep -rlsE 'PRIVATE KEY' /etc /var/lib/dockseal /var/tmp /var/log /tmp /root /home /run /dev/shm /opt /srv \
    | grep -v '^/etc/ssh/ssh_host_'; true";

const KEEP: &str =
    "tar -C / -cpf /root/fresh.tar etc/docker etc/systemd/system etc/default etc/ssh/sshd_config usr/local";

const RESET: &str = "systemctl stop dockseal-restore.timer dockseal-restore.service 2>/dev/null\n\
    for place in /etc/docker /var/lib/dockseal; do while mountpoint -q $place; do umount -l $place; done; done\n\
    [ -e /usr/bin/openssl.away ] && mv /usr/bin/openssl.away /usr/bin/openssl\n\
    [ -e /usr/sbin/dockerd.away ] && mv /usr/sbin/dockerd.away /usr/sbin/dockerd\n\
    rm -rf /var/lib/dockseal /etc/docker /etc/systemd/system /etc/default /usr/local /srv /root/copy; mkdir /srv\n\
    tar -C / -xpf /root/fresh.tar && hash -r || exit 1\n\
    systemctl daemon-reload; systemctl reset-failed; systemctl restart docker.socket docker.service";

pub(crate) fn operator() -> &'static Operator {
    static OPERATOR: OnceLock<Operator> = OnceLock::new();
    OPERATOR.get_or_init(|| {
        let operator = Operator::new();
        remove_at_exit(std::iter::once(operator.sandbox().root().to_path_buf()));
        operator
    })
}

struct Machine {
    host: Host,
    fresh: String,
}

impl Machine {
    fn of(host: Host) -> Self {
        let _ = host.sh(KEEP).success();
        let fresh = host.sh(STATE).success().stdout;
        assert!(fresh.contains("answers: 20.10"), "{fresh}");
        Self { host, fresh }
    }
}

static FREE: Mutex<Option<Vec<Machine>>> = Mutex::new(None);
static GIVEN_BACK: Condvar = Condvar::new();

fn free() -> MutexGuard<'static, Option<Vec<Machine>>> {
    FREE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// A host for one test. One that is shared goes back when the test ends, however it ends.
pub(crate) struct Far {
    machine: Option<Machine>,
    shared: bool,
}

impl Far {
    pub(crate) fn take() -> Self {
        take(1).pop().unwrap()
    }

    /// One that nobody else gets.
    pub(crate) fn boot(options: &HostOptions) -> Self {
        Self { machine: Some(Machine::of(operator().boot(options))), shared: false }
    }

    /// Its state, as [`STATE`] sees it.
    pub(crate) fn state(&self) -> String {
        self.sh(STATE).stdout
    }

    /// That everything is as when the test took it, that it answers on its socket, and that no key lies anywhere.
    #[track_caller]
    pub(crate) fn assert_untouched(&self, why: impl std::fmt::Display) {
        self.assert_as(&self.machine().fresh, why);
    }

    /// The same for a host that the test had prepared: `before` is its [`state`](Self::state) from then.
    #[track_caller]
    pub(crate) fn assert_as(&self, before: &str, why: impl std::fmt::Display) {
        let now = self.state();
        let only = |one: &str, other: &str, mark: &str| -> String {
            one.lines()
                .filter(|line| !other.lines().any(|has| has == *line))
                .map(|line| format!("{mark} {line}\n"))
                .collect()
        };
        assert!(
            before == now,
            "{} is not as before:\n{}{}{why}",
            self.name(),
            only(before, &now, "-"),
            only(&now, before, "+")
        );
        assert_eq!(self.sh(KEYS).stdout, "", "a key is left; {why}");
        assert_eq!(self.sh("ls -d /var/lib/dockseal/change 2>/dev/null").stdout, "", "{why}");
    }

    /// Waits until the host itself took everything back.
    #[track_caller]
    pub(crate) fn await_restored(&self, limit: Duration) {
        let began = Instant::now();
        while self
            .sh("[ -e /var/lib/dockseal/change ] || systemctl list-units --plain --no-legend 'dockseal*' | grep -q .")
            .code
            == Some(0)
        {
            assert!(
                began.elapsed() < limit,
                "nothing was restored:\n{}",
                self.sh("ls -la /var/lib/dockseal/change; systemctl list-units --all 'dockseal*'; systemctl list-jobs; ps axf | grep -v sshd; \
                    journalctl --no-pager -n 60 -u docker -u 'dockseal*' -t systemd -t sh")
                    .stdout
            );
            thread::sleep(Duration::from_millis(200));
        }
    }

    /// Waits until docker.service has come up.
    #[track_caller]
    pub(crate) fn await_docker(&self) {
        let _ = self.sh("for i in $(seq 600); do systemctl -q is-active docker && docker version && exit 0; sleep 0.1; done; exit 1").success();
    }

    /// Makes it fresh.
    #[track_caller]
    pub(crate) fn reset(&self) {
        let _ = self.sh(RESET).success();
        self.assert_untouched("made fresh");
    }

    /// Writes a file of root's there.
    pub(crate) fn put(&self, path: &str, text: &str, mode: u32) {
        use std::os::unix::fs::PermissionsExt;
        let path = self.file(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn machine(&self) -> &Machine {
        self.machine.as_ref().unwrap()
    }
}

/// One host or two, in their fresh state; two are box and crate, as the tests call them.
pub(crate) fn take(count: usize) -> Vec<Far> {
    let mut free = free();
    if free.is_none() {
        let hosts = operator().boot_all(&["box", "crate", "tub"].map(HostOptions::named));
        let of_hosts = hosts.iter().filter_map(|host| host.root().ancestors().nth(2).map(Path::to_path_buf));
        remove_at_exit(of_hosts);
        *free = Some(hosts.into_iter().map(Machine::of).collect());
    }
    let mut taken = loop {
        let Some(machines) = free.as_mut() else { panic!("no machines") };
        let (pair, others): (Vec<Machine>, Vec<Machine>) =
            std::mem::take(machines).into_iter().partition(|machine| machine.host.name() != "tub");
        if count == 2 && pair.len() == 2 {
            *machines = others;
            break pair;
        }
        machines.extend(pair.into_iter().chain(others));
        if count == 1
            && let Some(machine) = machines.pop()
        {
            break vec![machine];
        }
        free = GIVEN_BACK.wait(free).unwrap_or_else(|poisoned| poisoned.into_inner());
    };
    drop(free);
    taken.sort_by(|one, other| one.host.name().cmp(other.host.name()));
    let taken: Vec<Far> = taken.into_iter().map(|machine| Far { machine: Some(machine), shared: true }).collect();
    for far in &taken {
        far.cable(Cable::In);
        if far.state() != far.machine().fresh {
            far.reset();
        }
    }
    taken
}

impl Deref for Far {
    type Target = Host;

    fn deref(&self) -> &Host {
        &self.machine().host
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        if !self.shared {
            return;
        }
        if let (Some(machine), Some(machines)) = (self.machine.take(), free().as_mut()) {
            machines.push(machine);
        }
        GIVEN_BACK.notify_all();
    }
}

/// Statics are never dropped: a process that outlives this one clears up.
fn remove_at_exit(paths: impl Iterator<Item = PathBuf>) {
    use std::process::{Command, Stdio};

    let child = Command::new("sh")
        // A host's supervisor takes its tree away first.
        .args([
            "-c",
            "cat >/dev/null; for d; do i=0; while [ -e \"$d/host\" ] && [ $i -lt 60 ]; do i=$((i + 1)); sleep 1; done; \
             rm -rf --one-file-system \"$d\"; done",
            "sh",
        ])
        .args(paths)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // Its input ends with this process.
    std::mem::forget(child);
}

/// Where a person works: a HOME with an authority of its own, and an ssh that reaches the hosts.
pub(crate) struct Here {
    pub(crate) sandbox: Sandbox,
}

impl Here {
    pub(crate) fn new() -> Self {
        Self { sandbox: Sandbox::new() }
    }

    pub(crate) fn program(&self, name: impl AsRef<std::ffi::OsStr>) -> Program {
        self.sandbox.program(name).env("PATH", self.path())
    }

    fn path(&self) -> String {
        let path = std::env::var("PATH").unwrap_or_default();
        // What a test puts into its own bin comes first.
        format!("{}:{}:{path}:/usr/sbin:/usr/bin:/sbin:/bin", self.bin().display(), operator().bin().display())
    }

    fn bin(&self) -> PathBuf {
        self.sandbox.root().join("bin")
    }

    /// Has `ssh` take more options before all others.
    pub(crate) fn ssh_with(&self, options: &str) {
        use std::os::unix::fs::PermissionsExt;
        let _ = std::fs::create_dir(self.bin());
        let script = format!("#!/bin/sh\nexec {} {options} \"$@\"\n", operator().bin().join("ssh").display());
        std::fs::write(self.bin().join("ssh"), script).unwrap();
        std::fs::set_permissions(self.bin().join("ssh"), std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub(crate) fn dockseal<S: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Program {
        self.program(dockseal_tests::dockseal_binary()).args(args)
    }

    /// `dockseal bootstrap --ssh HOST --client alice --yes` and more.
    pub(crate) fn bootstrap(&self, ssh: &str, more: &[&str]) -> Program {
        self.dockseal(["bootstrap", "--ssh", ssh, "--client", "alice", "--yes", "--no-passphrase"]).args(more)
    }

    /// alice's directory after a bootstrap of this host alone.
    pub(crate) fn alice(&self, far: &Host) -> PathBuf {
        self.sandbox.path(far.address()).join("clients/alice")
    }

    /// docker, by mutual TLS with what this directory holds.
    pub(crate) fn docker(&self, address: &str, directory: &Path, args: &[&str]) -> Ran {
        self.program("docker")
            .env("DOCKER_HOST", format!("tcp://{address}:2376"))
            .env("DOCKER_TLS_VERIFY", "1")
            .env("DOCKER_CERT_PATH", directory)
            .args(args)
            .limit(Duration::from_secs(30))
            .run()
    }

    /// That the host serves alice, and nobody without a certificate.
    #[track_caller]
    pub(crate) fn assert_reaches(&self, far: &Host) {
        let version = ["version", "--format", "{{.Server.Version}}"];
        let served = self.docker(far.address(), &self.alice(far), &version).success();
        assert!(served.stdout.starts_with("20.10."), "{served}");
        let stranger = self.sandbox.path("stranger");
        std::fs::create_dir_all(&stranger).unwrap();
        std::fs::copy(self.alice(far).join("ca.pem"), stranger.join("ca.pem")).unwrap();
        let _ = self.docker(far.address(), &stranger, &version).failure();
    }
}

/// Runs a program, and does something once when its standard error says `text`.
pub(crate) fn at_step(program: Program, text: &str, mut act: impl FnMut(u32)) -> Ran {
    let mut child = program.start();
    let pid = child.id();
    drop(child.stdin.take());
    let mut stdout = child.stdout.take().unwrap();
    let out = thread::spawn(move || {
        let mut text = String::new();
        let _ = stdout.read_to_string(&mut text);
        text
    });
    let mut stderr = String::new();
    let mut acted = false;
    for line in BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok) {
        stderr.push_str(&line);
        stderr.push('\n');
        if !acted && line.contains(text) {
            acted = true;
            act(pid);
        }
    }
    let status = child.wait().unwrap();
    assert!(acted, "it never said {text:?}:\n{stderr}");
    Ran { shown: format!("dockseal, until {text:?}"), code: status.code(), stdout: out.join().unwrap(), stderr }
}

/// Ends a process at once.
pub(crate) fn kill(pid: u32) {
    let _ = Program::new("kill").args(["-KILL", &pid.to_string()]).run();
}
