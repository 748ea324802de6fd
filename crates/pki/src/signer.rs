//! The key behind an authority, as something that signs: a file today, a token or a service tomorrow.

use std::fmt;

use crate::PublicKey;

/// How a signer signs; decides the signatureAlgorithm of what it issues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureScheme {
    /// ecdsa-with-SHA256 on P-256 (RFC 5758 section 3.2).
    EcdsaP256Sha256,
    /// ecdsa-with-SHA384 on P-384 (RFC 5758 section 3.2).
    EcdsaP384Sha384,
    /// ecdsa-with-SHA512 on P-521 (RFC 5758 section 3.2).
    EcdsaP521Sha512,
    /// Ed25519 (RFC 8410 section 3).
    Ed25519,
    /// sha256WithRSAEncryption (RFC 4055 section 5), which every stack reads.
    RsaPkcs1Sha256,
}

/// Signs with one private key, wherever that key lives.
pub trait Signer: Send + Sync {
    /// The public half.
    fn public_key(&self) -> &PublicKey;

    /// How it signs.
    fn scheme(&self) -> SignatureScheme;

    /// The signature over `message`, hashed by the scheme, in the form X.509 wants (ECDSA: DER).
    ///
    /// # Errors
    /// When the key or its home refuses.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SigningError>;
}

impl<S: Signer + ?Sized> Signer for &S {
    fn public_key(&self) -> &PublicKey {
        (**self).public_key()
    }

    fn scheme(&self) -> SignatureScheme {
        (**self).scheme()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SigningError> {
        (**self).sign(message)
    }
}

impl<S: Signer + ?Sized> Signer for Box<S> {
    fn public_key(&self) -> &PublicKey {
        (**self).public_key()
    }

    fn scheme(&self) -> SignatureScheme {
        (**self).scheme()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SigningError> {
        (**self).sign(message)
    }
}

/// The key did not sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SigningError;

impl fmt::Display for SigningError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the private key did not sign")
    }
}

impl std::error::Error for SigningError {}
