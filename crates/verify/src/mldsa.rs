//! ML-DSA keys and signatures, which Go has since 1.27.
//!
//! Source: RFC 9881; Go src/crypto/x509/x509.go (`mldsaParametersFromOID`, `checkSignature`), parser.go
//! (`parsePublicKey`) and pkcs8.go (`ParsePKCS8PrivateKey`), src/crypto/mldsa.

use ml_dsa::signature::{Keypair as _, Verifier as _};
use ml_dsa::{EncodedVerifyingKey, MlDsa44, MlDsa65, MlDsa87, MlDsaParams, Signature, SigningKey, VerifyingKey};

/// A parameter set of FIPS 204.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Parameters {
    MlDsa44,
    MlDsa65,
    MlDsa87,
}

/// Runs a generic function with the types of a parameter set.
macro_rules! with {
    ($parameters:expr, $function:ident($($argument:expr),*)) => {
        match $parameters {
            Parameters::MlDsa44 => $function::<MlDsa44>($($argument),*),
            Parameters::MlDsa65 => $function::<MlDsa65>($($argument),*),
            Parameters::MlDsa87 => $function::<MlDsa87>($($argument),*),
        }
    };
}

impl Parameters {
    /// Those that an object identifier's contents name, id-ml-dsa-44 to 87.
    pub(crate) fn of(identifier: &[u8]) -> Option<Self> {
        match identifier {
            [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, 17] => Some(Self::MlDsa44),
            [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, 18] => Some(Self::MlDsa65),
            [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, 19] => Some(Self::MlDsa87),
            _ => None,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::MlDsa44 => "ML-DSA-44",
            Self::MlDsa65 => "ML-DSA-65",
            Self::MlDsa87 => "ML-DSA-87",
        }
    }

    /// The length of a public key in bytes, all that Go asks of one.
    pub(crate) const fn public_key_length(self) -> usize {
        match self {
            Self::MlDsa44 => 1312,
            Self::MlDsa65 => 1952,
            Self::MlDsa87 => 2592,
        }
    }

    /// Whether `key` signed `message`, with an empty context.
    pub(crate) fn verifies(self, key: &[u8], message: &[u8], signature: &[u8]) -> bool {
        with!(self, verifies(key, message, signature)).unwrap_or(false)
    }

    /// Whether the private key of this seed is the one for a public key.
    pub(crate) fn belongs_to(self, seed: &[u8; 32], key: &[u8]) -> bool {
        with!(self, belongs_to(seed, key))
    }
}

/// The seed in the privateKey of a PKCS#8 structure; Go takes no expanded key.
pub(crate) fn seed(private_key: &[u8]) -> Option<&[u8; 32]> {
    match private_key {
        [0x80, 32, seed @ ..] => seed.try_into().ok(),
        _ => None,
    }
}

fn verifies<P: MlDsaParams>(key: &[u8], message: &[u8], signature: &[u8]) -> Option<bool> {
    let key = VerifyingKey::<P>::decode(&EncodedVerifyingKey::<P>::try_from(key).ok()?);
    let signature = Signature::<P>::try_from(signature).ok()?;
    Some(key.verify(message, &signature).is_ok())
}

fn belongs_to<P: MlDsaParams>(seed: &[u8; 32], key: &[u8]) -> bool {
    SigningKey::<P>::from_seed(seed.into()).verifying_key().encode().as_slice() == key
}
