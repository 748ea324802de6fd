//! Signature algorithms as Go's crypto/x509 knows them.
//!
//! Source: Go src/crypto/x509/x509.go (`signatureAlgorithmDetails`, `getSignatureAlgorithmFromAI`, `checkSignature`).

use dockseal_docker::version::{Go, GoRelease};

use crate::der::{self, Reader, SEQUENCE};
use crate::mldsa::Parameters;

/// A digest that Go still takes from a certificate's signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Digest {
    Sha256,
    Sha384,
    Sha512,
}

impl Digest {
    /// Length in bytes.
    pub(crate) const fn length(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

/// What a certificate says it is signed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum SignatureAlgorithm {
    RsaPkcs1(Digest),
    RsaPss(Digest),
    Ecdsa(Digest),
    Ed25519,
    /// Since Go 1.27.
    MlDsa(Parameters),
    /// MD5 or SHA-1, with the name to show.
    Insecure(&'static str),
    /// DSA, MD2, SHA-224 and everything else.
    Unsupported,
}

const MD5_WITH_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 4];
const SHA1_WITH_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 5];
const ISO_SHA1_WITH_RSA: &[u8] = &[0x2b, 0x0e, 3, 2, 0x1d];
const SHA256_WITH_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11];
const SHA384_WITH_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 12];
const SHA512_WITH_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 13];
const RSA_PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10];
const MGF1: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 8];
const ECDSA_WITH_SHA1: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1];
const ECDSA_WITH_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
const ECDSA_WITH_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3];
const ECDSA_WITH_SHA512: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 4];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
const SHA256: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1];
const SHA384: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 2];
const SHA512: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 3];

impl SignatureAlgorithm {
    /// Reads an AlgorithmIdentifier whose identifier was read already; `parameters` with their header.
    ///
    /// The parameters matter to PSS, Ed25519 and ML-DSA only: ECDSA with NULL and RSA without it are tolerated.
    pub(super) fn new(identifier: &[u8], parameters: &[u8], go: Go) -> Self {
        match identifier {
            MD5_WITH_RSA => Self::Insecure("MD5-RSA"),
            SHA1_WITH_RSA | ISO_SHA1_WITH_RSA => Self::Insecure("SHA1-RSA"),
            SHA256_WITH_RSA => Self::RsaPkcs1(Digest::Sha256),
            SHA384_WITH_RSA => Self::RsaPkcs1(Digest::Sha384),
            SHA512_WITH_RSA => Self::RsaPkcs1(Digest::Sha512),
            RSA_PSS => pss_digest(parameters, go).map_or(Self::Unsupported, Self::RsaPss),
            ECDSA_WITH_SHA1 => Self::Insecure("ECDSA-SHA1"),
            ECDSA_WITH_SHA256 => Self::Ecdsa(Digest::Sha256),
            ECDSA_WITH_SHA384 => Self::Ecdsa(Digest::Sha384),
            ECDSA_WITH_SHA512 => Self::Ecdsa(Digest::Sha512),
            ED25519 if parameters.is_empty() => Self::Ed25519,
            _ if parameters.is_empty() && go.is_at_least(GoRelease::V1_27) => {
                Parameters::of(identifier).map_or(Self::Unsupported, Self::MlDsa)
            }
            _ => Self::Unsupported,
        }
    }
}

/// The digest of RSASSA-PSS parameters that fit Go: SHA-2 for both digests, a salt as long, the usual trailer.
fn pss_digest(parameters: &[u8], go: Go) -> Option<Digest> {
    let mut fields = Reader::new(parameters).enter(SEQUENCE)?;
    let mut hash = Reader::new(fields.read(der::constructed(0))?).enter(SEQUENCE)?;
    let hash_identifier = hash.object_identifier(go)?;
    let mut mask = Reader::new(fields.read(der::constructed(1))?).enter(SEQUENCE)?;
    let mask_identifier = mask.object_identifier(go)?;
    let mut mask_hash = mask.enter(SEQUENCE)?;
    let mask_hash_identifier = mask_hash.object_identifier(go)?;
    let salt_length = Reader::new(fields.read(der::constructed(2))?).int64()?;
    let trailer = match fields.optional(der::constructed(3))? {
        Some(trailer) => Reader::new(trailer).int64()?,
        None => 1,
    };
    let fits = is_null_or_absent(hash)
        && mask_identifier.as_ref() == MGF1
        && mask_hash_identifier == hash_identifier
        && is_null_or_absent(mask_hash)
        && trailer == 1;
    match (hash_identifier.as_ref(), salt_length) {
        _ if !fits => None,
        (SHA256, 32) => Some(Digest::Sha256),
        (SHA384, 48) => Some(Digest::Sha384),
        (SHA512, 64) => Some(Digest::Sha512),
        _ => None,
    }
}

fn is_null_or_absent(mut rest: Reader<'_>) -> bool {
    rest.is_empty() || rest.any().is_some_and(|element| element.whole == der::NULL)
}
