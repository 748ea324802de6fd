//! The next generation: what it takes over, what is its own, and who is let in by its cross-certificate.
#![expect(clippy::unwrap_used, reason = "a test")]

use dockseal_ca::{Authority, AuthorityError, AuthorityRequest, Issuance, PermittedName, Successor, SuccessorRequest};
use dockseal_pki::{BasicConstraints, Certificate, KeyAlgorithm, Lifetime, PrivateKey, SerialNumber};
use ring::rand::SystemRandom;
use time::{OffsetDateTime, macros::datetime};

const NOW: OffsetDateTime = datetime!(2026-11-23 12:00 UTC);

fn key() -> Box<PrivateKey> {
    Box::new(PrivateKey::generate(KeyAlgorithm::P256, &SystemRandom::new()).unwrap())
}

fn serial() -> SerialNumber {
    SerialNumber::random(&SystemRandom::new()).unwrap()
}

fn first(lifetime: &str, permitted: &[&str]) -> Authority {
    let request = AuthorityRequest {
        name: "Test".to_owned(),
        lifetime: Lifetime::parse(lifetime).unwrap(),
        permitted: permitted.iter().map(|text| PermittedName::parse(text).unwrap()).collect(),
    };
    Authority::create(&request, key(), &Issuance { now: NOW, serial: serial() }).unwrap()
}

fn succeed(old: &Authority, now: OffsetDateTime) -> Result<Successor, AuthorityError> {
    let request = SuccessorRequest {
        name: "Test".to_owned(),
        lifetime: Lifetime::parse("10y").unwrap(),
        now,
        serial: serial(),
        cross_serial: serial(),
    };
    old.succeed(request, key())
}

fn extension(certificate: &Certificate, oid: &str) -> Option<(bool, Vec<u8>)> {
    let found = certificate.extensions.iter().find(|extension| extension.oid == oid);
    found.map(|extension| (extension.critical, extension.value.clone()))
}

#[test]
fn a_successor_is_its_own_and_vouched_for_by_the_one_before() {
    let old = first("10y", &["example.com", "10.0.0.0/8"]);
    let now = datetime!(2030-03-01 9:00 UTC);
    let Successor { authority: new, link } = succeed(&old, now).unwrap();
    let (before, after) = (old.issuer(), new.issuer());
    assert_ne!(after.subject, before.subject);
    assert_ne!(after.public_key.spki(), before.public_key.spki());
    assert!(after.is_self_issued() && after.is_signed_by(after));
    assert_eq!(after.validity.not_after, datetime!(2040-02-27 9:00 UTC), "3650 days");
    assert!(new.has_room_for_successor());
    let constraints = extension(before, "2.5.29.30");
    assert!(constraints.is_some());
    assert_eq!(extension(after, "2.5.29.30"), constraints);

    let [cross] = link.as_slice() else { panic!("one cross-certificate") };
    assert_eq!((&cross.subject, &cross.issuer), (&after.subject, &before.subject));
    assert_eq!(cross.public_key.spki(), after.public_key.spki());
    assert_eq!(cross.subject_key_id, after.subject_key_id);
    assert_eq!(cross.authority_key_id, before.subject_key_id);
    assert!(cross.authority_key_id.is_some() && cross.is_signed_by(before));
    let bc = BasicConstraints { ca: true, path_length: Some(0), critical: true };
    assert_eq!(cross.basic_constraints, Some(bc));
    assert_eq!(cross.key_usage.as_deref(), Some(["keyCertSign", "cRLSign"].as_slice()));
    assert_eq!(cross.validity.not_after, before.validity.not_after, "no longer than the one before");
    assert_eq!(cross.validity.not_before, after.validity.not_before);
    assert_eq!((cross.version, cross.extended_key_usage.clone()), (3, None));
}

#[test]
fn a_cross_certificate_ends_with_the_shorter_of_both() {
    let old = first("20y", &[]);
    let Successor { authority: new, link } = succeed(&old, NOW).unwrap();
    assert_eq!(link[0].validity, new.issuer().validity);
}

/// Go counts every certificate between a leaf and the one that limits them.
#[test]
fn room_for_a_successor_is_counted_upwards() {
    let old = first("10y", &[]);
    let signer = key();
    let copy = PrivateKey::from_pkcs8_der(signer.secret_pkcs8_der()).unwrap();
    let request = SuccessorRequest {
        name: "Test".to_owned(),
        lifetime: Lifetime::parse("10y").unwrap(),
        now: NOW,
        serial: serial(),
        cross_serial: serial(),
    };
    let Successor { authority, link } = old.succeed(request, signer).unwrap();
    assert!(old.has_room_for_successor() && authority.has_room_for_successor(), "path length 1");
    // The new key as an issuer below the old anchor, by a certificate of path length 0.
    let below = Authority::load([link, old.chain().to_vec()].concat(), Box::new(copy)).unwrap();
    assert!(!below.has_room_for_successor());
    let after = succeed(&below, NOW).unwrap();
    assert_eq!(after.link, []);
}

#[test]
fn an_authority_that_does_not_count_has_no_successor() {
    let old = first("30d", &[]);
    for now in [datetime!(2027-01-01 0:00 UTC), datetime!(2026-11-01 0:00 UTC)] {
        assert!(matches!(succeed(&old, now), Err(AuthorityError::NotValidNow { .. })), "{now}");
    }
}

#[test]
fn a_generation_stands_beside_another_only_with_a_link_to_it() {
    let (old, stranger) = (first("10y", &[]), first("10y", &[]));
    let anchor = |authority: &Authority| authority.anchors().certificates()[0].clone();
    let Successor { authority, link } = succeed(&old, NOW).unwrap();
    let own = anchor(&authority);
    let beside = authority.beside(vec![anchor(&old), own.clone()], link.clone()).unwrap();
    assert_eq!(beside.anchors().certificates(), [own, anchor(&old)]);
    assert_eq!(beside.intermediates(), link);

    let refused = |authority: Authority, others: Vec<Certificate>, link: Vec<Certificate>| {
        assert!(matches!(authority.beside(others, link), Err(AuthorityError::BrokenChain { .. })));
    };
    refused(succeed(&old, NOW).unwrap().authority, vec![anchor(&old)], link.clone());
    let Successor { authority, link } = succeed(&old, NOW).unwrap();
    refused(authority, vec![anchor(&stranger)], link);
}
