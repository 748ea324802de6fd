//! The proof that the peer has the key of its certificate: a signature in the handshake.
//!
//! Checked with the key alone and not with a parser of certificates, since Go takes certificates that others do not.

use dockseal_pki::{Certificate, PublicKey, PublicKeyAlgorithm as Kind, is_signed_by_p521};
use ring::{digest, signature as with_ring};
use rustls::{DigitallySignedStruct, SignatureScheme as Scheme};

use crate::{Proof, signing};

/// Whether `signed` was made over `message` with the key of the certificate.
pub(crate) fn check(message: &[u8], certificate: &[u8], signed: &DigitallySignedStruct) -> Proof {
    let Ok(certificate) = Certificate::from_der(certificate) else {
        return Proof::NotChecked("its certificate cannot be read".to_owned());
    };
    let key = &certificate.public_key;
    match is_signed(message, key, signed.scheme, signed.signature()) {
        Some(true) => Proof::Verified,
        Some(false) => Proof::Wrong,
        None => Proof::NotChecked(format!(
            "there is no way here to check {} with a key of the kind {}",
            signed.scheme.as_str().unwrap_or("an unknown signature"),
            key.algorithm()
        )),
    }
}

/// `None` where nothing here knows the pair of scheme and key. In TLS 1.2 a scheme says nothing about the curve.
fn is_signed(message: &[u8], key: &PublicKey, scheme: Scheme, signature: &[u8]) -> Option<bool> {
    let by_p521 = |hash| Some(is_signed_by_p521(message, hash, key.bits(), signature));
    let algorithm: &dyn with_ring::VerificationAlgorithm = match (key.algorithm(), scheme) {
        (Kind::P256, Scheme::ECDSA_NISTP256_SHA256) => &with_ring::ECDSA_P256_SHA256_ASN1,
        (Kind::P256, Scheme::ECDSA_NISTP384_SHA384) => &with_ring::ECDSA_P256_SHA384_ASN1,
        (Kind::P384, Scheme::ECDSA_NISTP256_SHA256) => &with_ring::ECDSA_P384_SHA256_ASN1,
        (Kind::P384, Scheme::ECDSA_NISTP384_SHA384) => &with_ring::ECDSA_P384_SHA384_ASN1,
        (Kind::P521, Scheme::ECDSA_NISTP256_SHA256) => return by_p521(&digest::SHA256),
        (Kind::P521, Scheme::ECDSA_NISTP384_SHA384) => return by_p521(&digest::SHA384),
        (Kind::P521, Scheme::ECDSA_NISTP521_SHA512) => return by_p521(&digest::SHA512),
        (Kind::Ed25519, Scheme::ED25519) => &with_ring::ED25519,
        (Kind::Rsa { bits: 2048..=8192 }, Scheme::RSA_PSS_SHA256) => &with_ring::RSA_PSS_2048_8192_SHA256,
        (Kind::Rsa { bits: 2048..=8192 }, Scheme::RSA_PSS_SHA384) => &with_ring::RSA_PSS_2048_8192_SHA384,
        (Kind::Rsa { bits: 2048..=8192 }, Scheme::RSA_PSS_SHA512) => &with_ring::RSA_PSS_2048_8192_SHA512,
        (Kind::Rsa { bits: 2048..=8192 }, Scheme::RSA_PKCS1_SHA256) => &with_ring::RSA_PKCS1_2048_8192_SHA256,
        (Kind::Rsa { bits: 2048..=8192 }, Scheme::RSA_PKCS1_SHA384) => &with_ring::RSA_PKCS1_2048_8192_SHA384,
        (Kind::Rsa { bits: 2048..=8192 }, Scheme::RSA_PKCS1_SHA512) => &with_ring::RSA_PKCS1_2048_8192_SHA512,
        (Kind::Rsa { .. }, _) => return signing::is_signed_by_rsa(message, key.bits(), scheme, signature),
        _ => return None,
    };
    Some(with_ring::UnparsedPublicKey::new(algorithm, key.bits()).verify(message, signature).is_ok())
}
