//! Revocation lists, read again by another reader than the one that checks them when they are made: openssl reads them in
//! the workspace's own tests.
#![expect(clippy::unwrap_used, reason = "a test")]

use dockseal_ca::{Authority, AuthorityRequest, CrlError, CrlRequest, Issuance};
use dockseal_pki::{KeyAlgorithm, Lifetime, PrivateKey, RevocationReason, Revoked, SerialNumber, ValidityError};
use ring::rand::SystemRandom;
use time::{Duration, OffsetDateTime, macros::datetime};

const NOW: OffsetDateTime = datetime!(2049-12-30 12:00 UTC);

fn authority(key: KeyAlgorithm) -> Authority {
    let request =
        AuthorityRequest { name: "Test".to_owned(), lifetime: Lifetime::parse("10y").unwrap(), permitted: Vec::new() };
    let signer = PrivateKey::generate(key, &SystemRandom::new()).unwrap();
    let issuance = Issuance { now: NOW, serial: SerialNumber::random(&SystemRandom::new()).unwrap() };
    Authority::create(&request, Box::new(signer), &issuance).unwrap()
}

fn request(revoked: Vec<Revoked>) -> CrlRequest {
    CrlRequest { number: 7, now: NOW, next_update: Lifetime::parse("7d").unwrap(), revoked }
}

#[test]
fn a_list_says_what_was_asked() {
    let serials = [&[0x40, 1][..], &[0, 0xff, 2], &[0x7f]].map(SerialNumber::from_der_content);
    for key in [KeyAlgorithm::P256, KeyAlgorithm::P384, KeyAlgorithm::Ed25519] {
        let authority = authority(key);
        let revoked: Vec<Revoked> = RevocationReason::ALL
            .iter()
            .zip(serials.iter().cycle())
            .map(|(reason, serial)| Revoked { serial: serial.clone(), at: NOW - Duration::days(3), reason: *reason })
            .collect();
        let list = authority.sign_crl(&request(revoked.clone())).unwrap();
        assert!(list.is_of(authority.issuer()));
        assert_eq!(list.revoked, revoked);
        assert_eq!(list.number, Some(7));
        assert_eq!(list.this_update, datetime!(2049-12-30 11:55 UTC));
        // Across the end of UTCTime.
        assert_eq!(list.next_update, Some(datetime!(2050-01-06 12:00 UTC)));
        let another = self::authority(key);
        assert!(!list.is_of(another.issuer()));
    }
}

#[test]
fn an_empty_list_is_one_too() {
    let list = authority(KeyAlgorithm::P256).sign_crl(&request(Vec::new())).unwrap();
    assert_eq!(list.revoked, []);
}

#[test]
fn what_cannot_be_written_is_refused() {
    let authority = authority(KeyAlgorithm::P256);
    // A negative number, as some tools gave out, would be written as another one.
    let negative =
        Revoked { serial: SerialNumber::from_der_content(&[0xff, 1]), at: NOW, reason: RevocationReason::Unspecified };
    assert_eq!(authority.sign_crl(&request(vec![negative])).unwrap_err(), CrlError::NotAsAsked);
    let late = CrlRequest { next_update: Lifetime::parse("9000y").unwrap(), ..request(Vec::new()) };
    assert_eq!(authority.sign_crl(&late).unwrap_err(), CrlError::Validity(ValidityError::BeyondYear9999));
}
