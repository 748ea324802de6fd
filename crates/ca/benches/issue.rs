//! Issuing in memory beside a bare rcgen loop with the same key: the first is to be at least 80 % as fast.
#![expect(clippy::unwrap_used, reason = "a benchmark")]

use std::sync::OnceLock;

use dockseal_ca::{Authority, AuthorityRequest, Endpoint, Issuance, Profile, ProfileConfig, Request};
use dockseal_docker::Role;
use dockseal_pki::{KeyAlgorithm, PrivateKey, SerialNumber, Signer, SubjectAltName};
use ring::rand::SystemRandom;
use time::macros::datetime;

fn main() {
    divan::main();
}

const ALGORITHMS: [KeyAlgorithm; 4] =
    [KeyAlgorithm::P256, KeyAlgorithm::P384, KeyAlgorithm::Ed25519, KeyAlgorithm::Rsa2048];

/// One RSA key for both sides: generating it would hide everything else.
fn rsa_pkcs8() -> &'static [u8] {
    static KEY: OnceLock<Vec<u8>> = OnceLock::new();
    KEY.get_or_init(|| {
        let key = PrivateKey::generate(KeyAlgorithm::Rsa2048, &SystemRandom::new()).unwrap();
        key.secret_pkcs8_der().to_vec()
    })
}

fn new_key(algorithm: KeyAlgorithm) -> PrivateKey {
    match algorithm {
        KeyAlgorithm::Rsa2048 => PrivateKey::from_pkcs8_der(rsa_pkcs8()).unwrap(),
        other => PrivateKey::generate(other, &SystemRandom::new()).unwrap(),
    }
}

#[divan::bench(args = ALGORITHMS)]
fn dockseal(bencher: divan::Bencher, algorithm: KeyAlgorithm) {
    let now = datetime!(2026-11-23 12:00 UTC);
    let random = SystemRandom::new();
    let serial = || SerialNumber::random(&random).unwrap();
    let request =
        AuthorityRequest { name: "Bench".to_owned(), lifetime: Authority::USUAL_LIFETIME, permitted: Vec::new() };
    let authority =
        Authority::create(&request, Box::new(new_key(algorithm)), &Issuance { now, serial: serial() }).unwrap();
    let config = ProfileConfig { role: Role::Daemon, usual_lifetime: Profile::USUAL_LIFETIME, longest_lifetime: None };
    let profile = Profile::new(config).unwrap();
    let names: Vec<_> =
        ["build.example.com", "10.0.0.5"].iter().map(|name| SubjectAltName::parse(name).unwrap().name).collect();
    bencher.bench_local(|| {
        let key = new_key(algorithm);
        let request = Request {
            endpoint: Endpoint::Daemon { names: names.clone() },
            public_key: key.public_key().clone(),
            lifetime: None,
        };
        let template = profile.permit(request, authority.issuer(), Issuance { now, serial: serial() }).unwrap();
        authority.sign(template).unwrap()
    });
}

#[divan::bench(args = ALGORITHMS)]
fn bare_rcgen(bencher: divan::Bencher, algorithm: KeyAlgorithm) {
    let new_key = || match algorithm {
        KeyAlgorithm::P256 => rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap(),
        KeyAlgorithm::P384 => rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap(),
        KeyAlgorithm::Ed25519 => rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap(),
        _ => rcgen::KeyPair::try_from(rsa_pkcs8()).unwrap(),
    };
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Constrained(0));
    let issuer = rcgen::Issuer::new(params, new_key());
    bencher.bench_local(|| {
        let names = vec!["build.example.com".to_owned(), "10.0.0.5".to_owned()];
        let mut params = rcgen::CertificateParams::new(names).unwrap();
        params.is_ca = rcgen::IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
        params.signed_by(&new_key(), &issuer).unwrap()
    });
}
