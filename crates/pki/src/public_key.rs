//! Public keys as SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7).

use std::fmt;

use x509_parser::{
    oid_registry as oid, prelude::FromDer, public_key::PublicKey as ParsedKey, x509::SubjectPublicKeyInfo,
};

use crate::Fingerprint;

/// A public key: its DER and what kind it is.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    spki: Vec<u8>,
    algorithm: PublicKeyAlgorithm,
    bits: Vec<u8>,
}

/// The kind and size of a public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicKeyAlgorithm {
    /// ECDSA on P-256 (RFC 5480 secp256r1).
    P256,
    /// ECDSA on P-384 (RFC 5480 secp384r1).
    P384,
    /// ECDSA on P-521 (RFC 5480 secp521r1).
    P521,
    /// Ed25519 (RFC 8410).
    Ed25519,
    /// RSA (RFC 3279).
    Rsa {
        /// The length of the modulus in bits.
        bits: usize,
    },
    /// Something else.
    Other {
        /// Its object identifier, dotted; for another elliptic curve, the curve's.
        oid: String,
    },
}

impl fmt::Display for PublicKeyAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::P256 => f.write_str("ECDSA P-256"),
            Self::P384 => f.write_str("ECDSA P-384"),
            Self::P521 => f.write_str("ECDSA P-521"),
            Self::Ed25519 => f.write_str("Ed25519"),
            Self::Rsa { bits } => write!(f, "RSA {bits}"),
            Self::Other { oid } => f.write_str(oid),
        }
    }
}

impl PublicKey {
    /// Reads a DER SubjectPublicKeyInfo. `None` when it is not one, or bytes follow it.
    pub fn from_spki(der: &[u8]) -> Option<Self> {
        let (rest, parsed) = SubjectPublicKeyInfo::from_der(der).ok()?;
        rest.is_empty().then(|| Self::from_parsed(&parsed))
    }

    pub(crate) fn from_parsed(parsed: &SubjectPublicKeyInfo<'_>) -> Self {
        let kind = &parsed.algorithm.algorithm;
        let algorithm = if *kind == oid::OID_KEY_TYPE_EC_PUBLIC_KEY {
            match parsed.algorithm.parameters.as_ref().and_then(|any| any.as_oid().ok()) {
                Some(curve) if curve == oid::OID_EC_P256 => PublicKeyAlgorithm::P256,
                Some(curve) if curve == oid::OID_NIST_EC_P384 => PublicKeyAlgorithm::P384,
                Some(curve) if curve == oid::OID_NIST_EC_P521 => PublicKeyAlgorithm::P521,
                Some(curve) => PublicKeyAlgorithm::Other { oid: curve.to_id_string() },
                None => PublicKeyAlgorithm::Other { oid: kind.to_id_string() },
            }
        } else if *kind == oid::OID_SIG_ED25519 {
            PublicKeyAlgorithm::Ed25519
        } else {
            match parsed.parsed() {
                Ok(ParsedKey::RSA(rsa)) if *kind == oid::OID_PKCS1_RSAENCRYPTION => {
                    PublicKeyAlgorithm::Rsa { bits: bit_length(rsa.modulus) }
                }
                _ => PublicKeyAlgorithm::Other { oid: kind.to_id_string() },
            }
        };
        Self { spki: parsed.raw.to_vec(), algorithm, bits: parsed.subject_public_key.data.to_vec() }
    }

    /// The DER of the SubjectPublicKeyInfo.
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// The content of the key's BIT STRING: an EC point, an Ed25519 key or a DER RSAPublicKey.
    pub fn bits(&self) -> &[u8] {
        &self.bits
    }

    /// What kind of key it is.
    pub fn algorithm(&self) -> &PublicKeyAlgorithm {
        &self.algorithm
    }

    /// The SHA-256 of the SubjectPublicKeyInfo.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.spki)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({}, {})", self.algorithm, self.fingerprint())
    }
}

fn bit_length(big_endian: &[u8]) -> usize {
    let significant = &big_endian[big_endian.iter().take_while(|byte| **byte == 0).count()..];
    significant.first().map_or(0, |first| significant.len() * 8 - first.leading_zeros() as usize)
}
