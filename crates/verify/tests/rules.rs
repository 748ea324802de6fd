//! Go's rules one at a time: certificates minted here, judged as every generation of Docker does.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

use dockseal_docker::version::Version;
use dockseal_verify::{Check, Outcome, Purpose, judge_chain};
use time::OffsetDateTime;
use time::macros::datetime;

mod mint;

use mint::{Key, Recipe, alt_names, ca, dns, extension, key_usage, name, sequence, tlv, usage};

const NOW: OffsetDateTime = datetime!(2026-11-23 12:00 UTC);

/// What each generation answers: `None` accepts.
fn answers(
    chain: &str,
    anchors: &str,
    purpose: Purpose,
    host: Option<&str>,
    now: OffsetDateTime,
) -> [Option<Check>; 3] {
    Version::RELEASED.map(|version| {
        let verdict = judge_chain(chain.as_bytes(), anchors.as_bytes(), purpose, host, now, version);
        match verdict.outcome() {
            Outcome::Accepted => None,
            _ => Some(verdict.refusals().next().unwrap().check),
        }
    })
}

/// A leaf right below a root.
fn pair(leaf: &Recipe, root: &Recipe) -> (String, String) {
    let (root_key, leaf_key) = (Key::new(), Key::new());
    (leaf.issue(&leaf_key, &root_key), root.issue(&root_key, &root_key))
}

fn server(leaf: &Recipe, root: &Recipe) -> [Option<Check>; 3] {
    let (leaf, root) = pair(leaf, root);
    answers(&leaf, &root, Purpose::Server, Some("a.test"), NOW)
}

fn client_recipe() -> Recipe {
    Recipe::new("client", "Root", vec![usage(2)])
}

fn client(leaf: &Recipe, root: &Recipe) -> [Option<Check>; 3] {
    let (leaf, root) = pair(leaf, root);
    answers(&leaf, &root, Purpose::Client, None, NOW)
}

const fn all(check: Check) -> [Option<Check>; 3] {
    [Some(check); 3]
}

const ACCEPTED: [Option<Check>; 3] = [None; 3];

#[test]
fn good_certificates_pass() {
    assert_eq!(server(&Recipe::server("Root"), &Recipe::root()), ACCEPTED);
    assert_eq!(client(&client_recipe(), &Recipe::root()), ACCEPTED);
}

/// Each answer is that of `VerifyHostname` of Go 1.26.6 and 1.27.3 for a certificate with the address fe80::1.
#[test]
fn since_go_1_27_a_zone_counts_for_nothing() {
    let address = tlv(0x87, &[&[0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]]);
    let (leaf, root) = pair(&Recipe::new("x", "Root", vec![usage(1), alt_names(&[&address])]), &Recipe::root());
    for (host, go_1_26, go_1_27) in [
        ("fe80::1", true, true),
        ("fe80::1%eth0", false, true),
        ("[fe80::1%eth0]", false, true),
        ("fe80::1%", false, false),
        ("fe80::2%eth0", false, false),
    ] {
        for (version, accepted) in [(Version::V29, go_1_26), (Version::Go1_27, go_1_27)] {
            let (leaf, root) = (leaf.as_bytes(), root.as_bytes());
            let verdict = judge_chain(leaf, root, Purpose::Server, Some(host), NOW, version);
            assert_eq!(verdict.is_accepted(), accepted, "{host} {version}");
        }
    }
}

#[test]
fn dates_count_for_leaf_and_root() {
    let expired = |recipe: Recipe| Recipe { not_after: "260101000000Z", ..recipe };
    let early = |recipe: Recipe| Recipe { not_before: "270101000000Z", ..recipe };
    assert_eq!(server(&expired(Recipe::server("Root")), &Recipe::root()), all(Check::Expired));
    assert_eq!(server(&early(Recipe::server("Root")), &Recipe::root()), all(Check::NotYetValid));
    assert_eq!(server(&Recipe::server("Root"), &expired(Recipe::root())), all(Check::Expired));
    assert_eq!(server(&Recipe::server("Root"), &early(Recipe::root())), all(Check::NotYetValid));
    // Both ends belong to the validity.
    let (leaf, root) = pair(&Recipe::server("Root"), &Recipe::root());
    for (now, answer) in [
        (datetime!(2025-01-01 00:00 UTC), None),
        (datetime!(2024-12-31 23:59:59 UTC), Some(Check::NotYetValid)),
        (datetime!(2035-01-01 00:00 UTC), None),
        (datetime!(2024-12-31 23:59:59.999999999 UTC), Some(Check::NotYetValid)),
        (datetime!(2035-01-01 00:00:00.000000001 UTC), Some(Check::Expired)),
        (datetime!(2035-01-01 00:00:01 UTC), Some(Check::Expired)),
    ] {
        assert_eq!(answers(&leaf, &root, Purpose::Server, Some("a.test"), now), [answer; 3], "{now}");
    }
}

#[test]
fn issuer_and_signature_must_fit() {
    let other_case = Recipe { issuer: name("root"), ..Recipe::server("Root") };
    assert_eq!(server(&other_case, &Recipe::root()), all(Check::UnknownAuthority));
    let spoilt = Recipe { spoils_signature: true, ..Recipe::server("Root") };
    assert_eq!(server(&spoilt, &Recipe::root()), all(Check::UnknownAuthority));
    let spoilt_root = Recipe { spoils_signature: true, ..Recipe::root() };
    assert_eq!(
        server(&Recipe::server("Root"), &spoilt_root),
        ACCEPTED,
        "an anchor's own signature is nobody's business"
    );
}

#[test]
fn an_issuer_must_be_a_ca() {
    let root = |extensions| Recipe::new("Root", "Root", extensions);
    let not_ca = extension(19, true, &sequence(&[]));
    assert_eq!(server(&Recipe::server("Root"), &root(vec![not_ca])), all(Check::UnknownAuthority));
    assert_eq!(
        server(&Recipe::server("Root"), &root(vec![])),
        all(Check::UnknownAuthority),
        "version 3 without basicConstraints"
    );
    let version_1 = Recipe { version: 1, ..root(vec![]) };
    assert_eq!(server(&Recipe::server("Root"), &version_1), ACCEPTED);
    assert_eq!(server(&Recipe::server("Root"), &root(vec![ca(None), key_usage(0x80)])), all(Check::UnknownAuthority));
    assert_eq!(server(&Recipe::server("Root"), &root(vec![ca(None)])), ACCEPTED, "no keyUsage");
}

#[test]
fn usages_nest_up_to_the_root() {
    let with = |number| Recipe::root().with(usage(number));
    assert_eq!(server(&Recipe::server("Root"), &with(1)), ACCEPTED);
    assert_eq!(server(&Recipe::server("Root"), &with(2)), all(Check::UsageIncompatible));
    assert_eq!(client(&Recipe::server("Root"), &Recipe::root()), all(Check::UsageIncompatible));
    let none = Recipe::new("x", "Root", vec![alt_names(&[&dns("a.test")])]);
    assert_eq!(server(&none, &Recipe::root()), ACCEPTED);
    let empty = none.clone().with(extension(37, false, &sequence(&[])));
    assert_eq!(server(&empty, &Recipe::root()), ACCEPTED);
    let any = none.with(extension(37, false, &sequence(&[&[6, 4, 0x55, 0x1d, 0x25, 0]])));
    assert_eq!(server(&any, &Recipe::root()), ACCEPTED);
}

#[test]
fn names() {
    let named = |names: &[&[u8]]| Recipe::new("a.test", "Root", vec![alt_names(names)]);
    let ask = |leaf: &Recipe, host| {
        let (leaf, root) = pair(leaf, &Recipe::root());
        answers(&leaf, &root, Purpose::Server, Some(host), NOW)
    };
    let wrong = all(Check::HostMismatch);
    assert_eq!(ask(&named(&[&dns("A.Test")]), "a.test"), ACCEPTED);
    assert_eq!(ask(&named(&[&dns("*.test")]), "a.test"), ACCEPTED);
    assert_eq!(ask(&named(&[&dns("*.test")]), "b.a.test"), wrong);
    assert_eq!(ask(&named(&[&dns("*")]), "localhost"), [None, Some(Check::HostMismatch), Some(Check::HostMismatch)]);
    assert_eq!(ask(&named(&[&dns("a.test.")]), "a.test"), wrong);
    assert_eq!(ask(&named(&[&dns("a.test")]), "a.test."), ACCEPTED);
    assert_eq!(ask(&named(&[&dns("xn--bcher-kva.test")]), "bücher.test"), ACCEPTED);
    assert_eq!(ask(&Recipe::new("a.test", "Root", vec![]), "a.test"), wrong, "a common name is no name");
    let address = tlv(0x87, &[&[127, 0, 0, 1]]);
    assert_eq!(ask(&named(&[&address]), "127.0.0.1"), ACCEPTED);
    assert_eq!(ask(&named(&[&address]), "[::ffff:127.0.0.1]"), ACCEPTED);
    assert_eq!(ask(&named(&[&address]), "127.0.0.2"), wrong);
    assert_eq!(ask(&named(&[&dns("127.0.0.1")]), "127.0.0.1"), wrong);
}

#[test]
fn critical_extensions_must_be_known() {
    let unknown = extension(99, true, &[5, 0]);
    let harmless = extension(99, false, &[5, 0]);
    assert_eq!(server(&Recipe::server("Root").with(unknown.clone()), &Recipe::root()), all(Check::CriticalExtension));
    assert_eq!(server(&Recipe::server("Root"), &Recipe::root().with(unknown)), all(Check::CriticalExtension));
    assert_eq!(server(&Recipe::server("Root").with(harmless), &Recipe::root()), ACCEPTED);
    // inhibitAnyPolicy is known since 1.24, a critical subjectKeyIdentifier is malformed since then.
    let inhibit = extension(54, true, &[2, 1, 0]);
    assert_eq!(
        server(&Recipe::server("Root"), &Recipe::root().with(inhibit)),
        [Some(Check::CriticalExtension), None, None]
    );
    let key_id = extension(14, true, &[4, 1, 7]);
    let broken = Some(Check::ChainUnreadable);
    assert_eq!(server(&Recipe::server("Root").with(key_id), &Recipe::root()), [None, broken, broken]);
}

#[test]
fn what_does_not_parse() {
    let twice = Recipe::server("Root").with(usage(1));
    assert_eq!(server(&twice, &Recipe::root()), all(Check::ChainUnreadable));
    let padded = Recipe { serial: vec![0, 1], ..Recipe::server("Root") };
    assert_eq!(server(&padded, &Recipe::root()), all(Check::ChainUnreadable));
    let negative = Recipe { serial: vec![0x80], ..Recipe::server("Root") };
    assert_eq!(server(&negative, &Recipe::root()), ACCEPTED, "by every client");
    let negative = Recipe { serial: vec![0x80], ..client_recipe() };
    assert_eq!(client(&negative, &Recipe::root()), [None, None, Some(Check::ChainUnreadable)]);
    let differing = Recipe { algorithms_differ: true, ..Recipe::server("Root") };
    assert_eq!(server(&differing, &Recipe::root()), all(Check::ChainUnreadable));
    let version_4 = Recipe { version: 4, ..Recipe::server("Root") };
    assert_eq!(server(&version_4, &Recipe::root()), all(Check::ChainUnreadable));
    let no_seconds = Recipe { not_before: "2501010000Z", ..Recipe::server("Root") };
    assert_eq!(server(&no_seconds, &Recipe::root()), ACCEPTED);
}

/// Root, intermediates and leaf, each signed by the one before.
fn chain(middle: &[Recipe], leaf: &Recipe, root: &Recipe) -> (Vec<String>, String) {
    let root_key = Key::new();
    let anchors = root.issue(&root_key, &root_key);
    let mut signer = root_key;
    let mut sent = Vec::new();
    for recipe in middle {
        let key = Key::new();
        sent.push(recipe.issue(&key, &signer));
        signer = key;
    }
    sent.push(leaf.issue(&Key::new(), &signer));
    sent.reverse();
    (sent, anchors)
}

fn through(middle: &[Recipe], root: &Recipe) -> [Option<Check>; 3] {
    let last = format!("Int{}", middle.len() - 1);
    let (sent, anchors) = chain(middle, &Recipe::server(&last), root);
    answers(&sent.concat(), &anchors, Purpose::Server, Some("a.test"), NOW)
}

#[test]
fn intermediates() {
    let int = |subject: &str, issuer: &str, extensions| Recipe::new(subject, issuer, extensions);
    let good = [int("Int0", "Root", vec![ca(None)]), int("Int1", "Int0", vec![ca(None)])];
    assert_eq!(through(&good, &Recipe::root()), ACCEPTED);
    let (sent, anchors) = chain(&good, &Recipe::server("Int1"), &Recipe::root());
    let ask = |sent: &[&str]| answers(&sent.concat(), &anchors, Purpose::Server, Some("a.test"), NOW);
    assert_eq!(ask(&[&sent[0], &sent[2], &sent[1]]), ACCEPTED, "the order does not matter");
    assert_eq!(ask(&[&sent[0], &sent[1]]), all(Check::UnknownAuthority));
    assert_eq!(ask(&[&sent[0], &sent[1], &sent[2], &mint::pem("CERTIFICATE", &[5, 0])]), all(Check::ChainUnreadable));
    assert_eq!(
        answers(&sent[0], &sent[1], Purpose::Server, Some("a.test"), NOW),
        ACCEPTED,
        "an intermediate alone is anchor enough"
    );
    let limited = Recipe::new("Root", "Root", vec![ca(Some(0))]);
    assert_eq!(through(&good, &limited), all(Check::PathTooLong));
    assert_eq!(through(&good, &Recipe::new("Root", "Root", vec![ca(Some(2))])), ACCEPTED);
    let version_1 = Recipe { version: 1, ..int("Int0", "Root", vec![]) };
    assert_eq!(through(&[version_1], &Recipe::root()), all(Check::NotACa));
}

#[test]
fn a_leaf_among_the_anchors_needs_no_issuer() {
    let spoilt = Recipe { spoils_signature: true, ..Recipe::server("Nobody") };
    let leaf = spoilt.issue(&Key::new(), &Key::new());
    assert_eq!(answers(&leaf, &leaf, Purpose::Server, Some("a.test"), NOW), ACCEPTED);
    assert_eq!(answers(&leaf, &leaf, Purpose::Server, Some("b.test"), NOW), all(Check::HostMismatch));
    assert_eq!(answers(&leaf, &leaf, Purpose::Client, None, NOW), all(Check::UsageIncompatible));
}

const PERMITTED: u8 = 0xa0;
const EXCLUDED: u8 = 0xa1;

fn constrained(tag: u8, base: &[u8]) -> Recipe {
    Recipe::root().with(extension(30, true, &sequence(&[&tlv(tag, &[&sequence(&[base])])])))
}

/// dockerd 20.10, tried with each: to Go 1.19 the second dot is not there; to later ones it is no name at all.
#[test]
fn a_constraint_with_two_dots() {
    for (name, below) in [
        ("d1.example.test", true),
        ("a.b.example.test", true),
        ("example.test", false),
        ("badexample.test", false),
        ("other.test", false),
    ] {
        let leaf = Recipe::new("client", "Root", vec![usage(2), alt_names(&[&dns(name)])]);
        let with = |subtrees| client(&leaf, &constrained(subtrees, &dns("..example.test")))[0];
        let refused = Some(Check::NameConstrained);
        assert_eq!(with(PERMITTED), if below { None } else { refused }, "permitted, {name}");
        assert_eq!(with(EXCLUDED), if below { refused } else { None }, "excluded, {name}");
    }
}

#[test]
fn name_constraints() {
    let leaf = Recipe::server("Root");
    let refused = all(Check::NameConstrained);
    assert_eq!(server(&leaf, &constrained(PERMITTED, &dns("test"))), ACCEPTED);
    assert_eq!(server(&leaf, &constrained(PERMITTED, &dns("other"))), refused);
    assert_eq!(server(&leaf, &constrained(PERMITTED, &dns(".a.test"))), refused);
    assert_eq!(server(&leaf, &constrained(EXCLUDED, &dns("a.test"))), refused);
    assert_eq!(server(&leaf, &constrained(EXCLUDED, &dns("b.test"))), ACCEPTED);
    assert_eq!(
        server(&leaf, &constrained(PERMITTED, &tlv(0x87, &[&[10, 0, 0, 0, 255, 0, 0, 0]]))),
        ACCEPTED,
        "no address, no constraint"
    );
    let wildcard = Recipe::new("x", "Root", vec![alt_names(&[&dns("*.test")])]);
    let excluded_child = server(&wildcard, &constrained(EXCLUDED, &dns("a.test")));
    assert_eq!(excluded_child, [None, None, Some(Check::NameConstrained)]);
    let directory = constrained(PERMITTED, &tlv(0xa4, &[&name("x")]));
    assert_eq!(server(&leaf, &directory), all(Check::CriticalExtension));
}

#[test]
fn an_explicit_policy_can_be_required() {
    let requires = extension(36, false, &sequence(&[&[0x80, 1, 0]]));
    let missing = Some(Check::PolicyMissing);
    let int = Recipe::new("Int0", "Root", vec![ca(None), requires.clone()]);
    assert_eq!(through(std::slice::from_ref(&int), &Recipe::root()), [None, missing, missing]);
    let policy = extension(32, false, &sequence(&[&sequence(&[&[6, 2, 0x2a, 3]])]));
    let with_policy = int.with(policy.clone());
    let (sent, anchors) = chain(&[with_policy], &Recipe::server("Int0").with(policy), &Recipe::root());
    assert_eq!(answers(&sent.concat(), &anchors, Purpose::Server, Some("a.test"), NOW), ACCEPTED);
}

#[test]
fn a_thousand_namesakes_end_the_search() {
    let (root_key, other) = (Key::new(), Key::new());
    let leaf = Recipe::server("Root").issue(&Key::new(), &root_key);
    let namesakes: String =
        (0..=255).map(|serial| Recipe { serial: vec![1, serial], ..Recipe::root() }.issue(&other, &other)).collect();
    let anchors = namesakes + &Recipe::root().issue(&root_key, &root_key);
    assert_eq!(answers(&leaf, &anchors, Purpose::Server, Some("a.test"), NOW), all(Check::SearchTooLong));
}
