//! What a profile permits, and what comes out when the template is spent.
#![expect(clippy::unwrap_used, reason = "a test")]

use dockseal_ca::{
    Authority, AuthorityError, AuthorityRequest, Endpoint, Issuance, Note, PermittedName, Profile, ProfileConfig,
    Refusal, Request, certificate_request,
};
use dockseal_docker::Role;
use dockseal_pki::{
    Certificate, CertificateRequest, ExtendedKeyUsage, GeneralName, KeyAlgorithm, Lifetime, PrivateKey, PublicKey,
    RequestError, SerialNumber, Signer, SubjectAltName, UserName, pem,
};
use ring::rand::SystemRandom;
use time::{Duration, OffsetDateTime, macros::datetime};

const NOW: OffsetDateTime = datetime!(2026-11-23 12:00 UTC);

fn key(algorithm: KeyAlgorithm) -> PrivateKey {
    PrivateKey::generate(algorithm, &SystemRandom::new()).unwrap()
}

fn issuance(now: OffsetDateTime) -> Issuance {
    Issuance { now, serial: SerialNumber::random(&SystemRandom::new()).unwrap() }
}

fn authority_with(lifetime: &str, permitted: Vec<PermittedName>) -> Authority {
    let request = AuthorityRequest { name: "Test".to_owned(), lifetime: Lifetime::parse(lifetime).unwrap(), permitted };
    Authority::create(&request, Box::new(key(KeyAlgorithm::P256)), &issuance(NOW)).unwrap()
}

fn names(texts: &[&str]) -> Vec<SubjectAltName> {
    texts.iter().map(|text| SubjectAltName::parse(text).unwrap().name).collect()
}

fn daemon(texts: &[&str], public_key: &PublicKey, lifetime: Option<&str>) -> Request {
    Request {
        endpoint: Endpoint::Daemon { names: names(texts) },
        public_key: public_key.clone(),
        lifetime: lifetime.map(|text| Lifetime::parse(text).unwrap()),
    }
}

fn profile(role: Role, longest: Option<Lifetime>) -> Profile {
    Profile::new(ProfileConfig { role, usual_lifetime: Profile::USUAL_LIFETIME, longest_lifetime: longest }).unwrap()
}

#[test]
fn a_daemons_certificate_has_its_names_and_one_usage() {
    let authority = authority_with("10y", Vec::new());
    let key = key(KeyAlgorithm::P384);
    let request = daemon(&["build.example.com", "10.0.0.5", "::1"], key.public_key(), None);
    let template = profile(Role::Daemon, None).permit(request, authority.issuer(), issuance(NOW)).unwrap();
    assert!(template.notes.is_empty());
    let certificate = authority.sign(template).unwrap();
    assert_eq!(
        certificate.names,
        [
            GeneralName::Dns("build.example.com".into()),
            GeneralName::Ip("10.0.0.5".parse().unwrap()),
            GeneralName::Ip("::1".parse().unwrap()),
        ]
    );
    assert_eq!(certificate.extended_key_usage, Some(vec![ExtendedKeyUsage::ServerAuth]));
    assert_eq!(certificate.key_usage, Some(vec!["digitalSignature"]));
    assert_eq!(certificate.authority_key_id, authority.issuer().subject_key_id);
    assert_eq!(certificate.validity.not_before, NOW - Duration::minutes(5));
    assert_eq!(certificate.validity.not_after, NOW + Duration::days(365));
    assert!(certificate.is_signed_by(authority.issuer()));
    assert!(!certificate.is_ca());
}

#[test]
fn a_clients_common_name_is_its_user() {
    let authority = authority_with("10y", Vec::new());
    let key = key(KeyAlgorithm::Ed25519);
    let user = UserName::parse("alice").unwrap();
    let request = Request { endpoint: Endpoint::Client { user }, public_key: key.public_key().clone(), lifetime: None };
    let template = profile(Role::Client, None).permit(request, authority.issuer(), issuance(NOW)).unwrap();
    let certificate = authority.sign(template).unwrap();
    assert_eq!(certificate.subject.common_name().as_deref(), Some("alice"));
    assert_eq!(certificate.extended_key_usage, Some(vec![ExtendedKeyUsage::ClientAuth]));
    // Once more the subject, for verifiers that take no certificate without an alternative name; and nothing else.
    assert_eq!(certificate.names, [GeneralName::Directory(certificate.subject.clone())]);
    assert_eq!(certificate.further_names().count(), 0);
}

#[test]
fn names_too_long_for_a_common_name_stand_in_the_alternative_names_only() {
    let authority = authority_with("10y", Vec::new());
    let key = key(KeyAlgorithm::P256);
    let long = format!("{}.example.com", "a".repeat(60));
    let sign = |texts: &[&str]| {
        let request = daemon(texts, key.public_key(), None);
        let template = profile(Role::Daemon, None).permit(request, authority.issuer(), issuance(NOW)).unwrap();
        authority.sign(template).unwrap()
    };
    let certificate = sign(&[&long, "10.0.0.5"]);
    assert_eq!(certificate.subject.common_name().as_deref(), Some("10.0.0.5"));
    assert_eq!(certificate.names[0], GeneralName::Dns(long.clone()));
    let certificate = sign(&[&long]);
    assert_eq!(certificate.subject.common_name(), None);
    assert_eq!(certificate.subject.to_string(), "O=Docker daemon");
}

#[test]
fn a_leaf_never_outlives_its_authority_and_that_is_said() {
    let authority = authority_with("30d", Vec::new());
    let key = key(KeyAlgorithm::P256);
    let request = daemon(&["host"], key.public_key(), Some("90d"));
    let template = profile(Role::Daemon, None).permit(request, authority.issuer(), issuance(NOW)).unwrap();
    let end = authority.issuer().validity.not_after;
    assert_eq!(template.notes, [Note::EndsWithIssuer { asked: NOW + Duration::days(90), given: end }]);
    assert_eq!(authority.sign(template).unwrap().validity.not_after, end);
}

#[test]
fn what_is_not_allowed_is_refused() {
    let authority = authority_with("10y", Vec::new());
    let p256 = key(KeyAlgorithm::P256);
    let limited = profile(Role::Daemon, Some(Profile::LONGEST_FOR_EVERY_PLATFORM));
    let permit = |request: Request, now| limited.permit(request, authority.issuer(), issuance(now)).map(drop);
    let usual = || daemon(&["host"], p256.public_key(), None);

    assert_eq!(permit(daemon(&[], p256.public_key(), None), NOW), Err(Refusal::NoNames));
    assert!(matches!(permit(daemon(&["host"], p256.public_key(), Some("826d")), NOW), Err(Refusal::TooLong { .. })));
    assert_eq!(permit(daemon(&["host"], p256.public_key(), Some("825d")), NOW), Ok(()));
    assert!(matches!(permit(usual(), NOW - Duration::minutes(6)), Err(Refusal::IssuerNotYetValid { .. })));
    assert!(matches!(permit(usual(), NOW + Duration::days(4000)), Err(Refusal::IssuerExpired { .. })));
    let user = UserName::parse("alice").unwrap();
    let client = Request { endpoint: Endpoint::Client { user }, public_key: p256.public_key().clone(), lifetime: None };
    assert_eq!(permit(client, NOW), Err(Refusal::Role { asked: Role::Client }));
    let unlimited = profile(Role::Daemon, None);
    let endless = daemon(&["host"], p256.public_key(), Some("9000y"));
    let refused = unlimited.permit(endless, authority.issuer(), issuance(NOW));
    assert!(matches!(refused, Err(Refusal::Validity(_))));
}

#[test]
fn a_constrained_authority_excludes_the_kinds_it_does_not_permit() {
    let dns_only = authority_with("10y", vec![PermittedName::parse("example.com").unwrap()]);
    assert_eq!(dns_only.issuer().permitted_names, ["DNS:example.com"]);
    assert_eq!(dns_only.issuer().excluded_names, ["IP:0.0.0.0/0", "IP:::/0"]);
    let addresses_only = authority_with("10y", vec![PermittedName::parse("10.0.0.0/8").unwrap()]);
    assert_eq!(addresses_only.issuer().permitted_names, ["IP:10.0.0.0/8"]);
    assert_eq!(addresses_only.issuer().excluded_names, ["DNS:(every name)"]);
}

#[test]
fn two_authorities_of_the_same_name_have_different_subjects() {
    let (one, other) = (authority_with("10y", Vec::new()), authority_with("10y", Vec::new()));
    assert_ne!(one.issuer().subject, other.issuer().subject);
    assert_eq!(one.issuer().subject.common_name(), other.issuer().subject.common_name());
}

#[test]
fn a_key_that_is_not_the_certificates_is_refused() {
    let authority = authority_with("10y", Vec::new());
    let wrong = Authority::load(authority.chain().to_vec(), Box::new(key(KeyAlgorithm::P256)));
    assert!(matches!(wrong, Err(AuthorityError::KeyMismatch { .. })));
}

#[test]
fn a_leaf_is_no_authority() {
    let authority = authority_with("10y", Vec::new());
    let key = key(KeyAlgorithm::P256);
    let request = daemon(&["host"], key.public_key(), None);
    let template = profile(Role::Daemon, None).permit(request, authority.issuer(), issuance(NOW)).unwrap();
    let leaf = authority.sign(template).unwrap();
    let wrong = Authority::load(vec![leaf], Box::new(key));
    assert!(matches!(wrong, Err(AuthorityError::NotAnAuthority { .. })));
}

#[test]
fn a_request_is_taken_only_with_its_own_signature() {
    let key = key(KeyAlgorithm::P256);
    let endpoint = Endpoint::Daemon { names: names(&["build.example.com", "10.0.0.5"]) };
    let text = certificate_request(&endpoint, &key).unwrap();
    let der = pem::decode_all(text.as_bytes()).unwrap().remove(0).into_contents();
    let request = CertificateRequest::from_der(&der).unwrap();
    assert_eq!(request.public_key.spki(), key.public_key().spki());
    assert_eq!(request.names.len(), 2);
    let mut forged = der.clone();
    let last = forged.len() - 1;
    forged[last] ^= 1;
    assert_eq!(CertificateRequest::from_der(&forged).unwrap_err(), RequestError::Signature);
    assert_eq!(CertificateRequest::from_der(&der[1..]).unwrap_err(), RequestError::Malformed);
    assert!(Certificate::from_der(&der).is_err());
}
