//! The everyday commands on an inventory of 100 certificates and on one of 100,000: the aim is a ratio of at most 2.
//!
//! Whole processes, which take turns on the two authorities; medians. `cargo bench -p dockseal-cli --bench scale`.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a benchmark may fail, looks at the clock, and prints"
)]

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use dockseal_docker::Role;
use dockseal_inventory::{Access, Delivered, Inventory, KeyHolder, Reservation, Run, Signed};
use dockseal_pki::{Certificate, SerialNumber, pem};
use time::{Duration, OffsetDateTime};

const SIZES: [usize; 2] = [100, 100_000];
const ROUNDS: usize = 15;

fn main() {
    let place = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let homes = SIZES.map(|size| {
        let home = place.path().join(format!("authority-of-{size}"));
        dockseal(&home, place.path(), &["init", "--no-passphrase"]);
        let bundle = format!("bundle-{size}");
        dockseal(&home, place.path(), &["issue", "client", "real", "--out", &bundle]);
        fill(&home, &place.path().join(bundle), size);
        home
    });
    let mut times: Vec<[Vec<f64>; 2]> = vec![Default::default(); 5];
    for round in 0..ROUNDS {
        let out = format!("new-{round}");
        let commands: [&[&str]; 5] = [
            &["list", "--within", "30d"],
            &["status"],
            &["issue", "client", "new", "--replace", "--out", &out],
            &["renew", "real"],
            &["renew", "--due"],
        ];
        for (command, times) in commands.iter().zip(&mut times) {
            for (home, times) in homes.iter().zip(times) {
                let started = Instant::now();
                dockseal(home, place.path(), command);
                times.push(started.elapsed().as_secs_f64() * 1000.0);
            }
        }
    }
    println!(
        "medians of {ROUNDS} in turn, in ms: {} certificates, {} certificates, ratio (aim: 2)",
        SIZES[0], SIZES[1]
    );
    for (name, [few, many]) in ["list --within", "status", "issue", "renew NAME", "renew --due"].iter().zip(times) {
        let (few, many) = (median(few), median(many));
        println!("  {name:14} {few:7.1} {many:7.1} {:6.2}", many / few);
    }
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// `status` answers 1 where something is due; nothing here may answer 2.
fn dockseal(home: &Path, within: &Path, args: &[&str]) {
    let status = Command::new(env!("CARGO_BIN_EXE_dockseal"))
        .arg("--authority")
        .arg(home)
        .args(args)
        .current_dir(within)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(status.code().is_some_and(|code| code < 2), "{args:?}: {status}");
}

/// Certificates that differ in their serial numbers alone: nobody verifies them here.
fn fill(home: &Path, bundle: &Path, size: usize) {
    let text = std::fs::read(bundle.join("cert.pem")).unwrap();
    let der = pem::decode_all(&text).unwrap().remove(0).into_contents();
    let serial = Certificate::from_der(&der).unwrap().serial;
    let at = der.windows(16).position(|window| window == serial.der_content()).unwrap();
    let run = Run {
        // Long ago, so that no clock seems to have gone back.
        at: OffsetDateTime::now_utc() - Duration::DAY,
        user: "bench".to_owned(),
        machine: "bench".to_owned(),
        machine_name: "bench".to_owned(),
        command: "bench".to_owned(),
        time_is_given: false,
    };
    let mut inventory = Inventory::open(&PathBuf::from(home).join(Inventory::FILE), Access::Write).unwrap();
    let generation = inventory.generations().unwrap().remove(0).id;
    let mut recorder = inventory.as_run(&run);
    for first in (0..size).step_by(1000) {
        let certificates: Vec<Certificate> = (first..size.min(first + 1000))
            .map(|n| {
                let mut der = der.clone();
                der[at..at + 16]
                    .copy_from_slice(&(0x4000_0000_0000_0000_0000_0000_0000_0000_u128 + n as u128).to_be_bytes());
                Certificate::from_der(&der).unwrap()
            })
            .collect();
        let reservations: Vec<Reservation> = certificates
            .iter()
            .zip(first..)
            .map(|(certificate, n)| Reservation {
                generation,
                serial: SerialNumber::from_der_content(certificate.serial.der_content()),
                role: Role::Client,
                name: format!("user{n}"),
                predecessor: None,
            })
            .collect();
        let ids = recorder.reserve(&reservations).unwrap();
        let signed: Vec<Signed<'_>> = ids
            .iter()
            .zip(&certificates)
            .map(|(id, certificate)| Signed {
                id: *id,
                certificate,
                key_holder: KeyHolder::Elsewhere,
                places: &[],
                command_follows: false,
            })
            .collect();
        recorder.signed(&signed).unwrap();
        let delivered: Vec<Delivered> =
            ids.iter().map(|id| Delivered { id: *id, keeps_previous: false, command_due: false }).collect();
        recorder.delivered(&delivered).unwrap();
    }
}
