//! Public keys as Go's crypto/x509 parses them.
//!
//! Source: Go src/crypto/x509/parser.go (`parsePublicKey`) and x509.go (`namedCurveFromOID`).

use std::borrow::Cow;

use dockseal_docker::version::{Go, GoRelease};

use super::{Malformed, Parsed};
use crate::der::{self, Reader, SEQUENCE};
use crate::mldsa::Parameters;

/// A curve of crypto/elliptic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Curve {
    P224,
    P256,
    P384,
    P521,
}

impl Curve {
    /// The length of a coordinate and of a private key in bytes.
    pub(crate) const fn length(self) -> usize {
        match self {
            Self::P224 => 28,
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::P224 => "P-224",
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::P521 => "P-521",
        }
    }

    fn has_point(self, point: &[u8]) -> bool {
        point.len() == 1 + 2 * self.length()
            && point.first() == Some(&4)
            && match self {
                Self::P224 => p224::PublicKey::from_sec1_bytes(point).is_ok(),
                Self::P256 => p256::PublicKey::from_sec1_bytes(point).is_ok(),
                Self::P384 => p384::PublicKey::from_sec1_bytes(point).is_ok(),
                Self::P521 => p521::PublicKey::from_sec1_bytes(point).is_ok(),
            }
    }
}

/// The curve that an object identifier's contents name.
pub(crate) fn curve_of(identifier: &[u8]) -> Option<Curve> {
    match identifier {
        [0x2b, 0x81, 4, 0, 0x21] => Some(Curve::P224),
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7] => Some(Curve::P256),
        [0x2b, 0x81, 4, 0, 0x22] => Some(Curve::P384),
        [0x2b, 0x81, 4, 0, 0x23] => Some(Curve::P521),
        _ => None,
    }
}

/// Whether an EC point has to be held against its curve, which is most of the cost of parsing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PointCheck {
    OnCurve,
    /// It was before.
    Known,
}

/// The key in a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PublicKey<'a> {
    /// Modulus and exponent, both positive; the modulus without leading zeros.
    Rsa {
        modulus: Cow<'a, [u8]>,
        exponent: u64,
    },
    /// An uncompressed point on the curve.
    Ecdsa {
        curve: Curve,
        point: Cow<'a, [u8]>,
    },
    Ed25519(Cow<'a, [u8]>),
    /// Since Go 1.27; before, of an unknown algorithm.
    MlDsa {
        parameters: Parameters,
        key: Cow<'a, [u8]>,
    },
    /// Parsed, and of no use in TLS.
    Dsa,
    /// An algorithm that Go does not know: the certificate parses, the key is nothing.
    Unknown,
}

/// rsaEncryption.
pub(crate) const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
/// id-ecPublicKey.
pub(crate) const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
/// id-Ed25519.
pub(crate) const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
/// A public key with its curve's parameters in place of a name.
pub(crate) const NO_CURVE: Malformed = Malformed("an EC key names no curve");
/// A public key that no Go has the arithmetic for.
pub(crate) const UNKNOWN_CURVE: Malformed = Malformed("an EC key is on a curve that Go does not know");
const DSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x38, 4, 1];

impl<'a> PublicKey<'a> {
    /// Parses a key from the parts of its SubjectPublicKeyInfo; `parameters` with their header.
    pub(super) fn parse(
        identifier: &[u8],
        parameters: &'a [u8],
        key: Cow<'a, [u8]>,
        go: Go,
        point_check: PointCheck,
    ) -> Parsed<Self> {
        match identifier {
            RSA if parameters != der::NULL => Err(Malformed("an RSA key has no NULL parameters")),
            RSA => rsa(key),
            EC => {
                let curve = Reader::new(parameters).object_identifier(go).ok_or(NO_CURVE)?;
                let curve = curve_of(&curve).ok_or(UNKNOWN_CURVE)?;
                if point_check == PointCheck::OnCurve && !curve.has_point(&key) {
                    return Err(Malformed("an EC key is no uncompressed point of its curve"));
                }
                Ok(Self::Ecdsa { curve, point: key })
            }
            ED25519 if !parameters.is_empty() => Err(Malformed("an Ed25519 key has parameters")),
            ED25519 if key.len() != 32 => Err(Malformed("an Ed25519 key is not 32 bytes long")),
            ED25519 => Ok(Self::Ed25519(key)),
            DSA => dsa(parameters, &key),
            _ => match Parameters::of(identifier).filter(|_| go.is_at_least(GoRelease::V1_27)) {
                None => Ok(Self::Unknown),
                Some(_) if !parameters.is_empty() => Err(Malformed("an ML-DSA key has parameters")),
                Some(set) if key.len() != set.public_key_length() => {
                    Err(Malformed("an ML-DSA key is not as long as its kind is"))
                }
                Some(parameters) => Ok(Self::MlDsa { parameters, key }),
            },
        }
    }

    /// The size of an RSA modulus in bits.
    pub(crate) fn rsa_bits(&self) -> Option<usize> {
        match self {
            Self::Rsa { modulus, .. } => Some(bit_length(modulus)),
            _ => None,
        }
    }

    /// What [`Self::describe`] calls a key of Ed25519.
    pub(crate) const ED25519_NAME: &'static str = "Ed25519";

    /// What to call the key in a message.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Rsa { modulus, .. } => format!("RSA {}", bit_length(modulus)),
            Self::Ecdsa { curve, .. } => (*curve).name().to_owned(),
            Self::Ed25519(_) => Self::ED25519_NAME.to_owned(),
            Self::MlDsa { parameters, .. } => parameters.name().to_owned(),
            Self::Dsa => "DSA".to_owned(),
            Self::Unknown => "an unknown algorithm".to_owned(),
        }
    }
}

/// The bits of a number without leading zero bytes.
pub(crate) fn bit_length(number: &[u8]) -> usize {
    number.first().map_or(0, |first| number.len() * 8 - first.leading_zeros() as usize)
}

fn rsa(key: Cow<'_, [u8]>) -> Parsed<PublicKey<'_>> {
    match key {
        Cow::Borrowed(key) => {
            let (modulus, exponent) = rsa_numbers(key)?;
            Ok(PublicKey::Rsa { modulus: Cow::Borrowed(modulus), exponent })
        }
        Cow::Owned(key) => {
            let (modulus, exponent) = rsa_numbers(&key)?;
            Ok(PublicKey::Rsa { modulus: Cow::Owned(modulus.to_vec()), exponent })
        }
    }
}

fn rsa_numbers(key: &[u8]) -> Parsed<(&[u8], u64)> {
    const BROKEN: Malformed = Malformed("an RSA key is malformed");
    const NOT_POSITIVE: Malformed = Malformed("an RSA key is zero or negative");
    let mut fields = Reader::new(key).enter(SEQUENCE).ok_or(BROKEN)?;
    let modulus = fields.integer().ok_or(BROKEN)?;
    let exponent = fields.int64().ok_or(BROKEN)?;
    let modulus = der::positive(modulus).ok_or(NOT_POSITIVE)?;
    let exponent = u64::try_from(exponent).ok().filter(|exponent| *exponent > 0).ok_or(NOT_POSITIVE)?;
    Ok((modulus, exponent))
}

fn dsa<'a>(parameters: &[u8], key: &[u8]) -> Parsed<PublicKey<'a>> {
    const BROKEN: Malformed = Malformed("a DSA key is malformed");
    let mut fields = Reader::new(parameters).enter(SEQUENCE).ok_or(BROKEN)?;
    let mut numbers = vec![Reader::new(key).integer().ok_or(BROKEN)?];
    for _ in 0..3 {
        numbers.push(fields.integer().ok_or(BROKEN)?);
    }
    if numbers.into_iter().any(|number| der::positive(number).is_none()) {
        return Err(BROKEN);
    }
    Ok(PublicKey::Dsa)
}
