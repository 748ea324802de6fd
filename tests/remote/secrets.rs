//! That no private key is seen on its way: not in an argument list, an environment, a log, a file that others can read.
//! Processes of the hosts are this machine's too, so that both sides are watched from here.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use dockseal_tests::{Entry, require_hosts, tree};

use crate::far::{Far, Here};

/// What was seen while something ran.
#[derive(Default)]
struct Seen {
    /// Argument lists and environments.
    processes: BTreeSet<Vec<u8>>,
    /// Files with a private key in them that others than their owner can read.
    files: BTreeSet<String>,
    rounds: u32,
}

impl Seen {
    fn look(&mut self, roots: &[PathBuf]) {
        self.rounds += 1;
        for process in fs::read_dir("/proc").unwrap().flatten() {
            for name in ["cmdline", "environ"] {
                if let Ok(bytes) = fs::read(process.path().join(name)) {
                    self.processes.insert(bytes);
                }
            }
        }
        for root in roots {
            self.walk(root, 5);
        }
    }

    fn walk(&mut self, directory: &Path, depth: u32) {
        let Ok(entries) = fs::read_dir(directory) else { return };
        for entry in entries.flatten() {
            let Ok(meta) = entry.metadata() else { continue };
            if meta.is_dir() && depth > 0 {
                self.walk(&entry.path(), depth - 1);
            } else if meta.is_file() && meta.permissions().mode() & 0o077 != 0 && meta.len() < 100_000 {
                let bytes = fs::read(entry.path()).unwrap_or_default();
                if bytes.windows(11).any(|window| window == b"PRIVATE KEY") {
                    self.files.insert(format!("{} {:o}", entry.path().display(), meta.permissions().mode() & 0o7777));
                }
            }
        }
    }

    fn shows(&self, secret: &str) -> Option<String> {
        let found =
            self.processes.iter().find(|bytes| bytes.windows(secret.len()).any(|window| window == secret.as_bytes()));
        found.map(|bytes| String::from_utf8_lossy(bytes).replace('\0', " "))
    }
}

/// The host's first process, by whose root its own file systems can be seen.
fn init_of(far: &Far) -> PathBuf {
    let slot = far.address().split('.').nth(2).unwrap().to_owned();
    let network = fs::metadata(format!("/run/netns/dst{slot}")).unwrap().ino();
    let found = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path()).find(|path| {
        let status = fs::read_to_string(path.join("status")).unwrap_or_default();
        let first =
            status.lines().any(|line| line.starts_with("NSpid:") && line.split_whitespace().nth(2) == Some("1"));
        first && fs::metadata(path.join("ns/net")).is_ok_and(|meta| meta.ino() == network)
    });
    found.unwrap()
}

/// Watches both sides while `act` runs.
fn watched(far: &Far, here: &Here, act: impl FnOnce() + Send) -> Seen {
    let root = init_of(far).join("root");
    let mut roots: Vec<PathBuf> =
        ["etc/docker", "etc/systemd/system", "var/lib/dockseal", "tmp", "var/tmp", "root", "run", "home", "dev/shm"]
            .iter()
            .map(|name| root.join(name))
            .collect();
    assert!(roots[0].join("daemon.json").is_file(), "{}", root.display());
    roots.push(here.sandbox.root().to_path_buf());
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut seen = Seen::default();
            while !over.load(Ordering::Relaxed) {
                seen.look(&roots);
            }
            seen
        });
        act();
        over.store(true, Ordering::Relaxed);
        watch.join().unwrap()
    })
}

/// What only who has the key knows of it: the octets after what all such keys begin with.
fn secrets(pem: &str) -> Vec<String> {
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    assert!(body.len() > 100, "no key of P-256");
    // Inside a line, which is 64 long.
    vec![body[50..64].to_owned(), body[80..110].to_owned()]
}

#[test]
fn nobody_sees_a_key_on_its_way() {
    require_hosts!();
    for has_openssl in [true, false] {
        let far = Far::take();
        let here = Here::new();
        if !has_openssl {
            let _ = far.sh("mv /usr/bin/openssl /usr/bin/openssl.away").success();
        }
        let mut said = None;
        let seen = watched(&far, &here, || {
            said = Some(here.bootstrap(&format!("deploy@{}", far.name()), &[]).run().success());
        });
        let said = said.unwrap();
        assert!(said.holds(if has_openssl { "made on the host" } else { "sent through ssh" }), "{said}");
        here.assert_reaches(&far);
        assert!(seen.rounds > 20, "looked only {} times", seen.rounds);
        assert!(
            seen.processes.iter().any(|line| line.windows(9).any(|word| word == b"\0exec sh\0")),
            "no ssh was seen"
        );
        assert_eq!(seen.files, BTreeSet::new());

        let mut keys = vec![fs::read_to_string(far.file("/etc/docker/tls/key.pem")).unwrap()];
        for (path, (mode, _, entry)) in tree(here.sandbox.root()).0 {
            let Entry::File(bytes) = entry else { continue };
            let text = String::from_utf8_lossy(&bytes).into_owned();
            if text.contains("PRIVATE KEY") {
                assert!(matches!(mode, 0o400 | 0o600), "{} {mode:o}", path.display());
                keys.push(text);
            }
        }
        // The context has a copy of alice's.
        let different: BTreeSet<&String> = keys.iter().collect();
        assert_eq!(different.len(), 3, "the daemon's, alice's and the authority's");
        for (at, key) in keys.iter().enumerate() {
            for secret in secrets(key) {
                assert_eq!(seen.shows(&secret), None);
                assert!(!said.holds(&secret));
                let logged = far.sh(&format!("journalctl --no-pager -o export | grep -c -F '{secret}'; grep -rlF '{secret}' /etc /var/log /var/lib/dockseal /root /home /tmp /run /var/tmp 2>/dev/null")).stdout;
                assert_eq!(logged, if at == 0 { "0\n/etc/docker/tls/key.pem\n" } else { "0\n" }, "{}", far.name());
            }
        }
        assert_eq!(far.sh("stat -c '%a %U' /etc/docker/tls/key.pem").stdout, "400 root\n");
    }
}

/// The same watch over an openssl that is careless.
#[test]
fn a_key_that_is_shown_is_seen() {
    require_hosts!();
    let far = Far::take();
    let here = Here::new();
    far.put(
        "/usr/local/bin/openssl",
        "#!/bin/sh\n/usr/bin/openssl \"$@\"; status=$?\ncase $1 in genpkey) for word; do case $word in */key.pem)\n\
         cp \"$word\" /tmp/shown; chmod 644 /tmp/shown; sh -c 'sleep 1; :' sh \"$(cat \"$word\")\"; rm /tmp/shown;;\nesac; done;; esac\nexit $status\n",
        0o755,
    );
    let seen = watched(&far, &here, || drop(here.bootstrap(&format!("root@{}", far.name()), &[]).run().success()));
    let key = fs::read_to_string(far.file("/etc/docker/tls/key.pem")).unwrap();
    for secret in secrets(&key) {
        assert!(seen.shows(&secret).is_some());
    }
    assert!(seen.files.iter().any(|file| file.contains("/tmp/shown")), "{:?}", seen.files);
}
