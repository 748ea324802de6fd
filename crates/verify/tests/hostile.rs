//! Input made to cost: the judge answers, and soon.

use std::time::{Duration, Instant};

use dockseal_docker::version::Version;
use dockseal_verify::{Check, Material, Outcome, Purpose, Scenario, judge, judge_chain};
use time::OffsetDateTime;
use time::macros::datetime;

mod mint;

use mint::{Key, Recipe, extension, sequence, tlv};

const NOW: OffsetDateTime = datetime!(2026-11-23 12:00 UTC);

/// Generous for a debug build on a busy machine; quadratic work takes minutes.
const SOON: Duration = Duration::from_secs(30);

fn in_time<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    assert!(start.elapsed() < SOON, "{what} took {:?}", start.elapsed());
    result
}

fn judge_everywhere(bytes: &[u8]) {
    let material = Material::from_bytes("", bytes, bytes, bytes);
    for version in Version::ALL {
        let _ = judge(&material, &material, &Scenario::mutual("a.test").between(version, version), NOW);
    }
}

#[test]
fn garbage() {
    let patterns: [&[u8]; 8] = [
        b"\0",
        b"-----BEGIN ",
        b"-----BEGIN A-----\n",
        b"\n-----END ",
        b"\n-----END A-----",
        b"a: b\n",
        b"=\n",
        b"-----BEGIN CERTIFICATE-----\nMIIB\n",
    ];
    for pattern in patterns {
        let bytes = pattern.repeat(2_000_000 / pattern.len());
        in_time("garbage", || judge_everywhere(&bytes));
    }
}

#[test]
fn deep_and_wide_der() {
    let mut deep = vec![5, 0];
    while deep.len() < 60_000 {
        deep = sequence(&[&deep]);
    }
    in_time("deep nesting", || {
        judge_everywhere(mint::pem("CERTIFICATE", &deep).as_bytes());
    });
    let wide = tlv(0x30, &[&[0x30, 0].repeat(30_000)]);
    in_time("many elements", || {
        judge_everywhere(mint::pem("CERTIFICATE", &wide).as_bytes());
    });
    let key = Key::new();
    let many_extensions = (0..4000_u16).fold(Recipe::root(), |recipe, number| {
        let [high, low] = number.to_be_bytes();
        recipe.with(sequence(&[&[6, 4, 0x55, 0x1d, high & 0x7f | 0x40, low & 0x7f], &[4, 0]]))
    });
    let many_extensions = many_extensions.issue(&key, &key);
    in_time("many extensions", || {
        judge_everywhere(many_extensions.as_bytes());
    });
}

#[test]
fn twenty_thousand_anchors() {
    let key = Key::new();
    let one = Recipe::root().issue(&key, &key);
    let (head, tail) = one.split_at(40);
    let anchors: String = (0..20_000).map(|_| format!("{head}{tail}")).collect();
    let leaf = Recipe::server("Root").issue(&Key::new(), &key);
    let verdict = in_time("anchors", || {
        judge_chain(leaf.as_bytes(), anchors.as_bytes(), Purpose::Server, Some("a.test"), NOW, Version::V29)
    });
    assert!(verdict.is_accepted());
}

/// Docker takes anchors of any size (tests/oracles/matrix: `anchor-of-two-mebibytes`); the judge those of up to 8 MiB.
#[test]
fn anchors_of_mebibytes() {
    let key = Key::new();
    let leaf = Recipe::server("Root").issue(&Key::new(), &key);
    let ask = |what: &str, extension: Vec<u8>, version| {
        let anchor = Recipe::root().with(extension).issue(&key, &key);
        in_time(what, || judge_chain(leaf.as_bytes(), anchor.as_bytes(), Purpose::Server, Some("a.test"), NOW, version))
    };
    for version in Version::ALL {
        for mebibytes in [1, 2, 7] {
            let verdict = ask("one large anchor", extension(99, false, &vec![0; mebibytes << 20]), version);
            assert!(verdict.is_accepted(), "{mebibytes} MiB, {version}");
        }
    }
    let names = mint::alt_names(&[&[0x82, 0].repeat(3 << 20)]);
    assert!(ask("an anchor of names", names, Version::V29).is_accepted());
    let verdict = ask("too large an anchor", extension(99, false, &vec![0; 8 << 20]), Version::V29);
    assert!(matches!(verdict.outcome(), Outcome::Undetermined(_)));
    assert!(verdict.refusals().any(|finding| finding.check == Check::BeyondTheJudge));
}

#[test]
fn a_clique_of_cross_signed_namesakes() {
    // Every one could have issued every other: without a budget the paths are without number.
    let keys: Vec<Key> = (0..12).map(|_| Key::new()).collect();
    let mut sent = Recipe::server("Same").issue(&Key::new(), &keys[0]);
    for (number, key) in (0_u8..).zip(&keys) {
        for (other, signer) in (0_u8..).zip(&keys) {
            let recipe = Recipe { serial: vec![1, number, other], ..Recipe::new("Same", "Same", vec![mint::ca(None)]) };
            sent += &recipe.issue(key, signer);
        }
    }
    let anchors = Recipe::root().issue(&keys[0], &keys[0]);
    for version in Version::ALL {
        let verdict = in_time("clique", || {
            judge_chain(sent.as_bytes(), anchors.as_bytes(), Purpose::Server, Some("a.test"), NOW, version)
        });
        assert!(!verdict.is_accepted());
    }
}

#[test]
fn many_names_against_many_constraints() {
    let names: Vec<Vec<u8>> = (0..1500).map(|number| mint::dns(&format!("n{number}.a.test"))).collect();
    let names: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
    let bases: Vec<Vec<u8>> = (0..1500).map(|number| sequence(&[&mint::dns(&format!("x{number}.test"))])).collect();
    let bases: Vec<&[u8]> = bases.iter().map(Vec::as_slice).collect();
    let root = Recipe::root().with(extension(30, true, &sequence(&[&tlv(0xa1, &bases)])));
    let key = Key::new();
    let leaf = Recipe::new("x", "Root", vec![mint::alt_names(&names)]).issue(&Key::new(), &key);
    let anchors = root.issue(&key, &key);
    let answers = Version::ALL.map(|version| {
        in_time("constraints", || {
            judge_chain(leaf.as_bytes(), anchors.as_bytes(), Purpose::Server, Some("n7.a.test"), NOW, version)
        })
        .is_accepted()
    });
    // Up to 1.25 Go gives up after 250,000 comparisons.
    assert_eq!(answers, [false, false, true, true]);
}
