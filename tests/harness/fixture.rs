//! Authorities and material that many tests share: made once a run by the binary
//! under test, and one set by the openssl recipe of Docker's documentation as the
//! control that the oracles accept what is known to be good.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use crate::bundle::Bundle;
use crate::program::Program;

/// Every key type the binary makes.
pub const KEY_TYPES: [&str; 6] = ["p256", "p384", "ed25519", "rsa2048", "rsa3072", "rsa4096"];

/// Pairs of different CA and leaf key types that are tried as well.
pub const MIXED_PAIRS: [(&str, &str); 4] =
    [("rsa2048", "p256"), ("p256", "rsa2048"), ("ed25519", "p384"), ("p384", "ed25519")];

/// An authority, a daemon's material for localhost, 127.0.0.1 and ::1, and a client's.
#[derive(Debug)]
pub struct Pki {
    /// Where the authority's certificate is.
    pub ca: PathBuf,
    /// The daemon's three files (and its configuration).
    pub daemon: Bundle,
    /// The three files of the client `alice`.
    pub client: Bundle,
}

/// Material whose CA and leaf keys are of these types; made on first use.
///
/// # Panics
/// When the binary cannot make it.
#[must_use]
pub fn pki(ca: &str, leaf: &str) -> Arc<Pki> {
    made(&format!("{ca}-{leaf}"), |dir| dockseal_pki(dir, ca, leaf))
}

impl Pki {
    /// Material of another authority: everything about it is right but the issuer.
    ///
    /// # Panics
    /// When the binary cannot make it.
    #[must_use]
    pub fn stranger() -> Arc<Self> {
        made("stranger", |dir| dockseal_pki(dir, "p256", "p256"))
    }

    /// The control: made by openssl alone.
    ///
    /// # Panics
    /// When openssl cannot make it.
    #[must_use]
    pub fn by_openssl() -> Arc<Self> {
        made("openssl", openssl_pki)
    }

    /// Another authority made by openssl alone.
    ///
    /// # Panics
    /// When openssl cannot make it.
    #[must_use]
    pub fn stranger_by_openssl() -> Arc<Self> {
        made("openssl-stranger", openssl_pki)
    }
}

type Slots = Mutex<HashMap<String, Arc<OnceLock<Arc<Pki>>>>>;

fn made(name: &str, make: impl FnOnce(&Path) -> Pki) -> Arc<Pki> {
    static SLOTS: OnceLock<Slots> = OnceLock::new();
    let slots = SLOTS.get_or_init(Slots::default);
    let slot = {
        let mut slots = slots.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        Arc::clone(slots.entry(name.to_owned()).or_default())
    };
    Arc::clone(slot.get_or_init(|| {
        let dir = shared_root().join(name);
        fs::create_dir(&dir).expect("fixture directory");
        Arc::new(make(&dir))
    }))
}

/// A directory of this process. Statics are never dropped, so it outlives the
/// process; the next run sweeps it away, as `tests/run` does with all of them.
fn shared_root() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let temp = std::env::temp_dir();
        for entry in fs::read_dir(&temp).expect("temporary directory").flatten() {
            let name = entry.file_name();
            let owner = name.to_str().and_then(|name| name.strip_prefix("dockseal-fixture-"));
            if owner.is_some_and(|pid| pid.parse::<u32>().is_ok() && !Path::new("/proc").join(pid).exists()) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        let root = temp.join(format!("dockseal-fixture-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir(&root).expect("fixture directory");
        root
    })
}

fn dockseal_pki(dir: &Path, ca: &str, leaf: &str) -> Pki {
    let run = |args: &[&str]| {
        Program::new(crate::dockseal_binary())
            .env("HOME", dir)
            .env("DOCKSEAL_AUTHORITY", dir.join("authority"))
            .cwd(dir)
            .args(args)
            .run()
            .success()
    };
    let _ = run(&["init", "--key", ca, "--no-passphrase"]);
    let names = ["localhost", "127.0.0.1", "::1"];
    let rest = ["--client", "alice", "--key", leaf, "--no-passphrase", "--out", "host"];
    let _ = run(&[&["bootstrap"], &names[..], &rest[..]].concat());
    Pki {
        ca: dir.join("authority/ca.pem"),
        daemon: Bundle(dir.join("host/daemon")),
        client: Bundle(dir.join("host/clients/alice")),
    }
}

/// The recipe of Docker's documentation (engine/security/protect-access.md), with
/// P-256 keys and without passphrase so that it takes no time.
fn openssl_pki(dir: &Path) -> Pki {
    let openssl = |args: &str| Program::new("openssl").cwd(dir).args(args.split(' ')).run().success();
    fs::create_dir(dir.join("daemon")).expect("directory");
    fs::create_dir(dir.join("client")).expect("directory");
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    let unique = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let _ = openssl(&format!(
        "req -x509 {key} -keyout ca-key.pem -out ca.pem -days 30 -subj /CN={unique} -addext keyUsage=critical,keyCertSign,cRLSign"
    ));
    for (who, subject, extensions) in [
        ("daemon", "localhost", "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1\nextendedKeyUsage=serverAuth\n"),
        ("client", "alice", "extendedKeyUsage=clientAuth\n"),
    ] {
        let common = "basicConstraints=CA:FALSE\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\nkeyUsage=critical,digitalSignature\n";
        fs::write(dir.join("extfile"), format!("{extensions}{common}")).expect("extfile");
        let _ = openssl(&format!("req {key} -keyout {who}/key.pem -out csr.pem -subj /CN={subject}"));
        let _ = openssl(&format!(
            "x509 -req -days 30 -sha256 -in csr.pem -CA ca.pem -CAkey ca-key.pem -CAcreateserial -out {who}/cert.pem -extfile extfile"
        ));
        fs::copy(dir.join("ca.pem"), dir.join(who).join("ca.pem")).expect("copy");
    }
    Pki { ca: dir.join("ca.pem"), daemon: Bundle(dir.join("daemon")), client: Bundle(dir.join("client")) }
}
