//! ECDSA on P-521, which ring does not have (RFC 5758 section 3.2).

use std::fmt;

use p521::ecdsa::{
    DerSignature, SigningKey, VerifyingKey,
    signature::hazmat::{PrehashSigner as _, PrehashVerifier as _},
};
use ring::digest::{self, Algorithm, digest};
use x509_parser::{
    error::X509Error,
    x509::{AlgorithmIdentifier, SubjectPublicKeyInfo},
};

/// A private key. The crate zeroes it when it is dropped.
pub(crate) struct Key(SigningKey);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key([elided])")
    }
}

impl Key {
    /// The key of 66 octets whose public half is `point`; `None` where they do not belong together.
    pub(crate) fn of(scalar: &[u8], point: &[u8]) -> Option<Self> {
        let key = SigningKey::from_slice(scalar).ok()?;
        let public = VerifyingKey::from_sec1_bytes(point).ok()?;
        (*key.verifying_key() == public).then_some(Self(key))
    }

    /// The signature over the message's SHA-512.
    pub(crate) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let signature: DerSignature = self.0.sign_prehash(digest(&digest::SHA512, message).as_ref()).ok()?;
        Some(signature.as_bytes().to_vec())
    }
}

/// Checks a signature of a certificate, list or request that a P-521 key is to have made, with any SHA-2 of RFC 5758.
pub(crate) fn verify_p521(
    message: &[u8],
    algorithm: &AlgorithmIdentifier<'_>,
    key: &SubjectPublicKeyInfo<'_>,
    signature: &[u8],
) -> Result<(), X509Error> {
    let hash = match algorithm.algorithm.to_id_string().as_str() {
        "1.2.840.10045.4.3.2" => &digest::SHA256,
        "1.2.840.10045.4.3.3" => &digest::SHA384,
        "1.2.840.10045.4.3.4" => &digest::SHA512,
        _ => return Err(X509Error::SignatureUnsupportedAlgorithm),
    };
    let is_right = is_signed_by_p521(message, hash, &key.subject_public_key.data, signature);
    is_right.then_some(()).ok_or(X509Error::SignatureVerificationError)
}

/// Whether the signature, in DER, was made over the message's digest with the key of this point.
pub fn is_signed_by_p521(message: &[u8], hash: &'static Algorithm, point: &[u8], signature: &[u8]) -> bool {
    let digest = digest(hash, message);
    // The crate wants half a field of digest at least, 33 octets; zeros at the left are the same number.
    let mut padded = vec![0; 33_usize.saturating_sub(digest.as_ref().len())];
    padded.extend_from_slice(digest.as_ref());
    match (VerifyingKey::from_sec1_bytes(point), DerSignature::try_from(signature)) {
        (Ok(key), Ok(signature)) => key.verify_prehash(&padded, &signature).is_ok(),
        _ => false,
    }
}
