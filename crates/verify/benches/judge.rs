//! Judging a pair of directories, against the bare signature verifications that it cannot do without.
//!
//! The judge may cost one and a half times as much: `cargo bench -p dockseal-verify`.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a benchmark may fail")]

use std::collections::HashMap;
use std::io::Read as _;

use divan::{Bencher, black_box};
use dockseal_verify::{Material, Scenario, judge, judge_generations};
use ring::signature::{ECDSA_P256_SHA256_ASN1, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm};
use time::macros::datetime;

const NOW: time::OffsetDateTime = datetime!(2026-11-23 18:00 UTC);

/// Recorded scenarios that mutual TLS accepts: all keys P-256, all keys RSA 4096.
const SCENARIOS: [&str; 2] = ["client-ext-unknown", "key-rsa4096"];

fn main() {
    divan::main();
}

#[divan::bench(args = SCENARIOS)]
fn judge_a_pair(bencher: Bencher<'_, '_>, scenario: &str) {
    let files = files();
    let (daemon, client) = (side(&files, scenario, "daemon"), side(&files, scenario, "client"));
    let question = Scenario::mutual("127.0.0.1");
    assert!(judge(&daemon, &client, &question, NOW).is_accepted());
    bencher.bench(|| judge(black_box(&daemon), black_box(&client), &question, NOW));
}

/// Nine verdicts on the same files: a judge who remembers verifies no signature twice.
#[divan::bench(args = SCENARIOS)]
fn judge_a_pair_in_every_generation(bencher: Bencher<'_, '_>, scenario: &str) {
    let files = files();
    let (daemon, client) = (side(&files, scenario, "daemon"), side(&files, scenario, "client"));
    let question = Scenario::mutual("127.0.0.1");
    bencher.bench(|| judge_generations(black_box(&daemon), black_box(&client), &question, NOW));
}

/// What the judge cannot save: the daemon's leaf and the client's leaf, each by its CA.
#[divan::bench(args = SCENARIOS)]
fn bare_signatures(bencher: Bencher<'_, '_>, scenario: &str) {
    let files = files();
    let der = |side: &str, name: &str| decode(&files[&format!("materials/{scenario}/{side}/{name}.pem")]);
    let algorithm: &dyn VerificationAlgorithm =
        if scenario.contains("rsa") { &RSA_PKCS1_2048_8192_SHA256 } else { &ECDSA_P256_SHA256_ASN1 };
    let jobs = [
        Job::new(&der("daemon", "cert"), &der("client", "ca")),
        Job::new(&der("client", "cert"), &der("daemon", "ca")),
    ];
    bencher.bench(|| {
        for job in &jobs {
            let key = UnparsedPublicKey::new(algorithm, black_box(&job.key));
            key.verify(&job.message, &job.signature).unwrap();
        }
    });
}

fn side(files: &HashMap<String, Vec<u8>>, scenario: &str, side: &str) -> Material {
    let file = |name: &str| files[&format!("materials/{scenario}/{side}/{name}.pem")].clone();
    Material::from_bytes(side, file("ca"), file("cert"), file("key"))
}

struct Job {
    key: Vec<u8>,
    message: Vec<u8>,
    signature: Vec<u8>,
}

impl Job {
    fn new(child: &[u8], issuer: &[u8]) -> Self {
        let [tbs, _, signature] = children(child)[..] else { panic!("no certificate") };
        // Version, serial, algorithm, issuer, validity, subject, key.
        let key_info = children(children(issuer)[0])[6];
        let bits = |element| contents(element)[1..].to_vec();
        Self { key: bits(children(key_info)[1]), message: tbs.to_vec(), signature: bits(signature) }
    }
}

fn files() -> HashMap<String, Vec<u8>> {
    let archive = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/docker-truth/materials.tar.gz");
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(std::fs::File::open(archive).unwrap()));
    let mut files = HashMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_str().unwrap().to_owned();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        files.insert(path, bytes);
    }
    files
}

fn decode(pem: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(pem).unwrap();
    let body: Vec<u8> = text.lines().filter(|line| !line.starts_with('-')).flat_map(str::bytes).collect();
    let value = |byte: &u8| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => 0,
    };
    let quanta = body.chunks(4).map(|chunk| chunk.iter().fold(0_u32, |bits, byte| bits << 6 | u32::from(value(byte))));
    quanta.flat_map(|bits| bits.to_be_bytes()[1..].to_vec()).collect()
}

fn split(der: &[u8]) -> (usize, usize) {
    match der[1] {
        short @ 0..0x80 => (2, usize::from(short)),
        long => {
            let octets = usize::from(long & 0x7f);
            (2 + octets, der[2..2 + octets].iter().fold(0, |length, byte| length << 8 | usize::from(*byte)))
        }
    }
}

fn contents(der: &[u8]) -> &[u8] {
    let (header, length) = split(der);
    &der[header..header + length]
}

fn children(der: &[u8]) -> Vec<&[u8]> {
    let mut rest = contents(der);
    let mut children = Vec::new();
    while !rest.is_empty() {
        let (header, length) = split(rest);
        let (child, after) = rest.split_at(header + length);
        children.push(child);
        rest = after;
    }
    children
}
