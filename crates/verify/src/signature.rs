//! Verifying one signature as Go does: with ring where it can, with RustCrypto where Go accepts more.
//!
//! Source: Go src/crypto/x509/x509.go (`checkSignature`), crypto/rsa (`VerifyPKCS1v15`, `VerifyPSS`, `checkKeySize`,
//! `checkPublicKey`), crypto/ecdsa (`VerifyASN1`).

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;

use crypto_bigint::modular::{BoxedMontyForm, BoxedMontyParams};
use crypto_bigint::{BoxedUint, Odd};
use dockseal_docker::version::{Go, GoRelease};
use ring::{digest, signature as with_ring};

use crate::x509::{Certificate, Curve, Digest, PublicKey, SignatureAlgorithm};

/// Beyond this modulus one verification costs seconds; Go takes them, the judge says that it cannot tell.
const MOST_RSA_BITS: usize = 16_384;

/// Why a signature does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SignatureError {
    /// MD5 or SHA-1.
    Insecure(&'static str),
    /// An algorithm that Go does not implement.
    Unsupported,
    /// The issuer's key is of another kind than the signature.
    WrongKind,
    /// The RSA key is smaller than the program allows.
    SmallKey { bits: usize },
    /// The RSA key is larger than the judge cares to compute with.
    HugeKey { bits: usize },
    /// The signature does not fit the key and the content.
    Invalid,
}

impl fmt::Display for SignatureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Insecure(name) => write!(f, "the signature algorithm {name} is insecure"),
            Self::Unsupported => f.write_str("the signature algorithm is not implemented"),
            Self::WrongKind => f.write_str("the signature is of another kind than the issuer's key"),
            Self::SmallKey { bits } => {
                write!(f, "an RSA key of {bits} bits is too small to verify with")
            }
            Self::HugeKey { bits } => write!(f, "an RSA key of {bits} bits is too large to verify with here"),
            Self::Invalid => f.write_str("the signature does not verify"),
        }
    }
}

/// What has been computed so far: no signature is computed with twice.
#[derive(Debug, Default)]
pub(crate) struct Signatures {
    known: RefCell<HashMap<(SignatureAlgorithm, Fingerprint), Result<(), SignatureError>>>,
}

/// SHA-256 of all that a signature's answer depends on.
type Fingerprint = [u8; 32];

impl Signatures {
    /// Verifies the signature of `child` with the key of `issuer`.
    pub(crate) fn verify(
        &self,
        child: &Certificate<'_>,
        issuer: &Certificate<'_>,
        go: Go,
    ) -> Result<(), SignatureError> {
        let (algorithm, key) = (child.signature_algorithm, &issuer.public_key);
        permit(algorithm, key, go)?;
        // All that the answer depends on; whatever else the versions of Go disagree about has been asked above.
        let mut everything = digest::Context::new(&digest::SHA256);
        for part in [issuer.key_info, child.to_be_signed, &child.signature] {
            everything.update(&part.len().to_be_bytes());
            everything.update(part);
        }
        let Ok(everything) = everything.finish().as_ref().try_into() else {
            return verify(algorithm, key, child.to_be_signed, &child.signature);
        };
        let place = (algorithm, everything);
        if let Some(known) = self.known.borrow().get(&place) {
            return known.clone();
        }
        let answer = verify(algorithm, key, child.to_be_signed, &child.signature);
        self.known.borrow_mut().insert(place, answer.clone());
        answer
    }
}

/// Whether a program computes with this key at all: the only part in which releases differ.
fn permit(algorithm: SignatureAlgorithm, key: &PublicKey<'_>, go: Go) -> Result<(), SignatureError> {
    match (algorithm, key) {
        (SignatureAlgorithm::RsaPkcs1(_) | SignatureAlgorithm::RsaPss(_), PublicKey::Rsa { modulus, exponent })
            if go.is_at_least(GoRelease::V1_24) =>
        {
            let bits = crate::x509::bit_length(modulus);
            if bits < go.least_rsa_bits() {
                return Err(SignatureError::SmallKey { bits });
            }
            valid(!exponent.is_multiple_of(2) && (2..1 << 31).contains(exponent))
        }
        _ => Ok(()),
    }
}

/// Verifies `signature` over `message`.
fn verify(
    algorithm: SignatureAlgorithm,
    key: &PublicKey<'_>,
    message: &[u8],
    signature: &[u8],
) -> Result<(), SignatureError> {
    match (algorithm, key) {
        (SignatureAlgorithm::Insecure(name), _) => Err(SignatureError::Insecure(name)),
        (SignatureAlgorithm::Unsupported, _) | (_, PublicKey::Unknown | PublicKey::Dsa) => {
            Err(SignatureError::Unsupported)
        }
        (SignatureAlgorithm::RsaPkcs1(digest), PublicKey::Rsa { modulus, exponent }) => {
            Rsa { modulus, exponent: *exponent, digest, pss: false }.verify(message, signature)
        }
        (SignatureAlgorithm::RsaPss(digest), PublicKey::Rsa { modulus, exponent }) => {
            Rsa { modulus, exponent: *exponent, digest, pss: true }.verify(message, signature)
        }
        (SignatureAlgorithm::Ecdsa(digest), PublicKey::Ecdsa { curve, point }) => {
            valid(verify_ecdsa(*curve, digest, point, message, signature))
        }
        (SignatureAlgorithm::Ed25519, PublicKey::Ed25519(key)) => {
            valid(with_ring::UnparsedPublicKey::new(&with_ring::ED25519, key).verify(message, signature).is_ok())
        }
        (SignatureAlgorithm::MlDsa(signed), PublicKey::MlDsa { parameters, key }) if signed == *parameters => {
            valid(signed.verifies(key, message, signature))
        }
        _ => Err(SignatureError::WrongKind),
    }
}

fn valid(valid: bool) -> Result<(), SignatureError> {
    if valid { Ok(()) } else { Err(SignatureError::Invalid) }
}

fn hash(digest: Digest, message: &[u8]) -> digest::Digest {
    digest::digest(
        match digest {
            Digest::Sha256 => &digest::SHA256,
            Digest::Sha384 => &digest::SHA384,
            Digest::Sha512 => &digest::SHA512,
        },
        message,
    )
}

fn verify_ecdsa(curve: Curve, digest: Digest, point: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let algorithm = match (curve, digest) {
        (Curve::P256, Digest::Sha256) => &with_ring::ECDSA_P256_SHA256_ASN1,
        (Curve::P256, Digest::Sha384) => &with_ring::ECDSA_P256_SHA384_ASN1,
        (Curve::P384, Digest::Sha256) => &with_ring::ECDSA_P384_SHA256_ASN1,
        (Curve::P384, Digest::Sha384) => &with_ring::ECDSA_P384_SHA384_ASN1,
        _ => {
            return verify_ecdsa_without_ring(curve, point, hash(digest, message).as_ref(), signature);
        }
    };
    with_ring::UnparsedPublicKey::new(algorithm, point).verify(message, signature).is_ok()
}

fn verify_ecdsa_without_ring(curve: Curve, point: &[u8], digest: &[u8], signature: &[u8]) -> bool {
    macro_rules! verify_with {
        ($curve:ident) => {{
            use $curve::ecdsa::signature::hazmat::PrehashVerifier as _;
            // RustCrypto wants at least half a field of digest; what Go pads at the left is the same number.
            let mut padded = vec![0; curve.length().div_ceil(2).saturating_sub(digest.len())];
            padded.extend_from_slice(digest);
            match (
                $curve::ecdsa::VerifyingKey::from_sec1_bytes(point),
                $curve::ecdsa::DerSignature::try_from(signature),
            ) {
                (Ok(key), Ok(signature)) => key.verify_prehash(&padded, &signature).is_ok(),
                _ => false,
            }
        }};
    }
    match curve {
        Curve::P224 => verify_with!(p224),
        Curve::P256 => verify_with!(p256),
        Curve::P384 => verify_with!(p384),
        Curve::P521 => verify_with!(p521),
    }
}

struct Rsa<'a> {
    modulus: &'a [u8],
    exponent: u64,
    digest: Digest,
    pss: bool,
}

impl Rsa<'_> {
    fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
        let bits = crate::x509::bit_length(self.modulus);
        if signature.len() != self.modulus.len() {
            return Err(SignatureError::Invalid);
        }
        if let Some(parameters) = self.ring_parameters(bits) {
            let exponent = self.exponent.to_be_bytes();
            let key = with_ring::RsaPublicKeyComponents { n: self.modulus, e: without_leading_zeros(&exponent) };
            return valid(key.verify(parameters, message, signature).is_ok());
        }
        if bits > MOST_RSA_BITS {
            return Err(SignatureError::HugeKey { bits });
        }
        let Some(encoded) = self.public_operation(signature) else {
            return Err(SignatureError::Invalid);
        };
        let digest = hash(self.digest, message);
        valid(if self.pss {
            self.is_pss(&encoded, bits, digest.as_ref())
        } else {
            self.is_pkcs1(&encoded, digest.as_ref())
        })
    }

    fn ring_parameters(&self, bits: usize) -> Option<&'static with_ring::RsaParameters> {
        if !(2048..=8192).contains(&bits) || self.exponent.is_multiple_of(2) || !(3..1 << 33).contains(&self.exponent) {
            return None;
        }
        Some(match (self.pss, self.digest) {
            (false, Digest::Sha256) => &with_ring::RSA_PKCS1_2048_8192_SHA256,
            (false, Digest::Sha384) => &with_ring::RSA_PKCS1_2048_8192_SHA384,
            (false, Digest::Sha512) => &with_ring::RSA_PKCS1_2048_8192_SHA512,
            (true, Digest::Sha256) => &with_ring::RSA_PSS_2048_8192_SHA256,
            (true, Digest::Sha384) => &with_ring::RSA_PSS_2048_8192_SHA384,
            (true, Digest::Sha512) => &with_ring::RSA_PSS_2048_8192_SHA512,
        })
    }

    /// signature ^ exponent mod modulus, as long as the modulus; `None` for an even modulus.
    fn public_operation(&self, signature: &[u8]) -> Option<Vec<u8>> {
        let precision = u32::try_from(self.modulus.len() * 8).ok()?;
        let modulus: Odd<BoxedUint> = Option::from(BoxedUint::from_be_slice(self.modulus, precision).ok()?.to_odd())?;
        let signature = BoxedUint::from_be_slice(signature, precision).ok()?;
        if go_reduces_first(&signature, &modulus) {
            return None;
        }
        let parameters = BoxedMontyParams::new_vartime(modulus);
        let exponent = BoxedUint::from(self.exponent);
        let power = BoxedMontyForm::new(signature, &parameters).pow(&exponent).retrieve();
        let bytes = power.to_be_bytes();
        let spare = bytes.len().checked_sub(self.modulus.len())?;
        bytes.get(spare..).map(<[u8]>::to_vec)
    }

    fn is_pkcs1(&self, encoded: &[u8], digest: &[u8]) -> bool {
        const SHA_2_PREFIX: [u8; 19] = [0x30, 0, 0x30, 0x0d, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 0, 5, 0, 4, 0];
        let mut prefix = SHA_2_PREFIX;
        let (total, kind, length) = match self.digest {
            Digest::Sha256 => (0x31, 1, 0x20),
            Digest::Sha384 => (0x41, 2, 0x30),
            Digest::Sha512 => (0x51, 3, 0x40),
        };
        (prefix[1], prefix[14], prefix[18]) = (total, kind, length);
        let tail = prefix.len() + digest.len();
        let Some(padding) = encoded.len().checked_sub(tail + 3).filter(|padding| *padding >= 8) else {
            return false;
        };
        let expected = [&[0, 1][..], &vec![0xff; padding], &[0], &prefix, digest].concat();
        encoded == expected
    }

    /// EMSA-PSS-VERIFY of RFC 8017, section 9.1.2, with a salt as long as the digest.
    fn is_pss(&self, encoded: &[u8], modulus_bits: usize, digest: &[u8]) -> bool {
        let encoded_bits = modulus_bits - 1;
        let length = encoded_bits.div_ceil(8);
        let (leading, encoded) = encoded.split_at(encoded.len().saturating_sub(length));
        let hash_length = self.digest.length();
        if leading.iter().any(|byte| *byte != 0) || length < 2 * hash_length + 2 {
            return false;
        }
        let (masked, rest) = encoded.split_at(length - hash_length - 1);
        let [hashed @ .., 0xbc] = rest else {
            return false;
        };
        let top_mask = 0xff_u8 >> (8 * length - encoded_bits);
        if masked.first().is_some_and(|first| first & !top_mask != 0) {
            return false;
        }
        let mut block = self.unmask(masked, hashed);
        if let Some(first) = block.first_mut() {
            *first &= top_mask;
        }
        let (padding, salt) = block.split_at(block.len() - hash_length);
        let [zeros @ .., 1] = padding else {
            return false;
        };
        zeros.iter().all(|byte| *byte == 0) && hash(self.digest, &[&[0; 8], digest, salt].concat()).as_ref() == hashed
    }

    fn unmask(&self, masked: &[u8], seed: &[u8]) -> Vec<u8> {
        let mask =
            (0_u32..).flat_map(|counter| hash(self.digest, &[seed, &counter.to_be_bytes()].concat()).as_ref().to_vec());
        masked.iter().zip(mask).map(|(byte, mask)| byte ^ mask).collect()
    }
}

/// Newer releases refuse a signature that is no residue, 1.19 would reduce it; no honest signer makes one.
fn go_reduces_first(signature: &BoxedUint, modulus: &Odd<BoxedUint>) -> bool {
    signature >= modulus.as_ref()
}

fn without_leading_zeros(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.get(zeros..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use dockseal_docker::version::Version;

    use super::*;

    #[test]
    fn small_rsa_keys_are_not_computed_with_by_dockerd_29() {
        let key = PublicKey::Rsa { modulus: vec![0xff; 96].into(), exponent: 65537 };
        let algorithm = SignatureAlgorithm::RsaPkcs1(Digest::Sha256);
        let ask = |go| permit(algorithm, &key, go).and_then(|()| verify(algorithm, &key, b"", &[1; 96]));
        assert_eq!(ask(Version::V29.dockerd_go()), Err(SignatureError::SmallKey { bits: 768 }));
        assert_eq!(ask(Version::V29.docker_go()), Err(SignatureError::Invalid));
    }
}
