//! Issuing and renewing many client bundles, beside a bare program that makes the same keys and certificates with rcgen on
//! the same cores and writes the same files, without inventory, judge or durability.
//!
//! The aim: at no less than half the bare program's rate. `cargo bench -p dockseal-cli --bench bulk`; BULK=100 for fewer
//! bundles than 10,000. They take turns in one directory, so that a busy machine or disk is busy for both.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a benchmark may fail, looks at the clock, writes files as carelessly as it likes, and prints"
)]

use std::{
    fs,
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

const ROUNDS: usize = 3;

fn main() {
    let count: usize = std::env::var("BULK").ok().and_then(|text| text.parse().ok()).unwrap_or(10_000);
    let place = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut rates: [Vec<f64>; 3] = Default::default();
    for round in 0..ROUNDS {
        let at = |what: &str| place.path().join(format!("{what}{round}"));
        rates[0].push(rate(count, || bare(&at("bare"), count)));
        settle();
        let home = at("home");
        dockseal(&home, &["init", "--no-passphrase"], None);
        let users: String = (0..count).map(|n| format!("user{n}\n")).collect();
        let out = at("clients");
        rates[1].push(rate(count, || {
            dockseal(&home, &["issue", "clients", "--from", "-", "--out", out.to_str().unwrap()], Some(users));
        }));
        settle();
        // The bundles before the first renewal are kept, so the second one is the usual case: it removes them.
        dockseal(&home, &["renew", "--all"], None);
        settle();
        rates[2].push(rate(count, || dockseal(&home, &["renew", "--all"], None)));
        settle();
    }
    let median = |mut rates: Vec<f64>| {
        rates.sort_by(f64::total_cmp);
        rates[rates.len() / 2]
    };
    let [bare, issue, renew] = rates.map(median);
    println!("{count} client bundles, medians of {ROUNDS} in turn, with {} cores", cores());
    println!("  bare rcgen  {bare:7.0} a second");
    for (what, rate) in [("issue", issue), ("renew", renew)] {
        println!("  {what:10}  {rate:7.0} a second, {:.0} % of it (aim: 50 %)", 100.0 * rate / bare);
    }
}

/// What the one before left for the kernel to write is not on the next one's account.
fn settle() {
    let _ = Command::new("sync").status();
    thread::sleep(Duration::from_secs(6));
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

fn rate(count: usize, work: impl FnOnce()) -> f64 {
    let started = Instant::now();
    work();
    f64::from(u32::try_from(count).unwrap()) / started.elapsed().as_secs_f64()
}

fn dockseal(home: &Path, args: &[&str], input: Option<String>) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_dockseal"))
        .arg("--authority")
        .arg(home)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    let _ = pipe.write_all(input.unwrap_or_default().as_bytes());
    drop(pipe);
    assert!(child.wait().unwrap().success(), "{args:?}");
}

fn pem(label: &str, der: &[u8]) -> String {
    pem::encode(&pem::Pem::new(label, der))
}

fn bare(out: &Path, count: usize) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "Bare authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca = pem("CERTIFICATE", params.self_signed(&key).unwrap().der());
    let issuer = Issuer::new(params, key);
    fs::create_dir(out).unwrap();
    let share = count.div_ceil(cores());
    thread::scope(|scope| {
        for first in (0..count).step_by(share) {
            let (ca, issuer) = (&ca, &issuer);
            let _ = scope.spawn(move || {
                for n in first..count.min(first + share) {
                    let key = KeyPair::generate().unwrap();
                    let mut params = CertificateParams::default();
                    params.distinguished_name = rcgen::DistinguishedName::new();
                    params.distinguished_name.push(DnType::CommonName, format!("user{n}"));
                    params.is_ca = IsCa::ExplicitNoCa;
                    params.use_authority_key_identifier_extension = true;
                    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
                    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
                    let certificate = params.signed_by(&key, issuer).unwrap();
                    let directory = out.join(format!("user{n}"));
                    fs::DirBuilder::new().mode(0o700).create(&directory).unwrap();
                    for (name, mode, text) in [
                        ("ca.pem", 0o444, ca.clone()),
                        ("cert.pem", 0o444, pem("CERTIFICATE", certificate.der())),
                        ("key.pem", 0o600, pem("PRIVATE KEY", key.serialized_der())),
                    ] {
                        let mut options = fs::OpenOptions::new();
                        let mut file =
                            options.write(true).create_new(true).mode(mode).open(directory.join(name)).unwrap();
                        file.write_all(text.as_bytes()).unwrap();
                    }
                }
            });
        }
    });
}
