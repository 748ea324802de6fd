//! Private keys: made with ring (RSA with the rsa crate, since ring makes none), read in every form that Docker's users
//! have, kept as PKCS#8 and zeroed when dropped.

use std::fmt;

use pkcs8::{
    EncryptedPrivateKeyInfoRef, ObjectIdentifier, PrivateKeyInfoRef,
    der::{
        Decode, Encode,
        asn1::{BitStringRef, OctetStringRef},
    },
    spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef},
};
use ring::{
    rand::{SecureRandom, SystemRandom},
    signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair},
};
use rsa::{pkcs8::EncodePrivateKey, rand_core};
use zeroize::Zeroizing;

use crate::{
    PublicKey, PublicKeyAlgorithm, SignatureScheme, Signer, SigningError, ecdsa_p521, foreign_key, legacy_pem, pem,
};

const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");

/// The kinds of key that Dockseal makes; Docker takes all of them on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyAlgorithm {
    /// ECDSA on P-256: small, fast and read by every stack.
    P256,
    /// ECDSA on P-384.
    P384,
    /// Ed25519.
    Ed25519,
    /// RSA with 2048 bits.
    Rsa2048,
    /// RSA with 3072 bits.
    Rsa3072,
    /// RSA with 4096 bits.
    Rsa4096,
}

impl KeyAlgorithm {
    /// All of them, in the order in which they are offered.
    pub const ALL: [Self; 6] = [Self::P256, Self::P384, Self::Ed25519, Self::Rsa2048, Self::Rsa3072, Self::Rsa4096];

    /// The kind to make where a key of this kind is to be replaced. `None` for kinds that are not made here.
    pub fn like(public: &PublicKeyAlgorithm) -> Option<Self> {
        match public {
            PublicKeyAlgorithm::P256 => Some(Self::P256),
            PublicKeyAlgorithm::P384 => Some(Self::P384),
            PublicKeyAlgorithm::Ed25519 => Some(Self::Ed25519),
            PublicKeyAlgorithm::Rsa { bits: 2048 } => Some(Self::Rsa2048),
            PublicKeyAlgorithm::Rsa { bits: 3072 } => Some(Self::Rsa3072),
            PublicKeyAlgorithm::Rsa { bits: 4096 } => Some(Self::Rsa4096),
            _ => None,
        }
    }

    /// The word for it on a command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::P256 => "p256",
            Self::P384 => "p384",
            Self::Ed25519 => "ed25519",
            Self::Rsa2048 => "rsa2048",
            Self::Rsa3072 => "rsa3072",
            Self::Rsa4096 => "rsa4096",
        }
    }
}

/// A passphrase: never shown, zeroed when dropped.
pub struct Passphrase(Zeroizing<Vec<u8>>);

impl Passphrase {
    /// Takes the bytes over. `None` when there are none: an empty passphrase protects nothing.
    pub fn new(bytes: Zeroizing<Vec<u8>>) -> Option<Self> {
        (!bytes.is_empty()).then_some(Self(bytes))
    }

    /// The bytes.
    pub fn secret_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase([elided])")
    }
}

/// How a private key stood in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyForm {
    /// RSAPrivateKey (RFC 8017 appendix A.1.2).
    Pkcs1,
    /// ECPrivateKey (RFC 5915).
    Sec1,
    /// PrivateKeyInfo (RFC 5958).
    Pkcs8,
    /// EncryptedPrivateKeyInfo (RFC 5958 section 3).
    EncryptedPkcs8,
    /// Encrypted with `DEK-Info` (RFC 1423).
    LegacyEncrypted,
}

/// Why a private key could not be read or made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// There is no private key in the text.
    NotFound,
    /// It is damaged, or its public half does not belong to it.
    Malformed,
    /// It is encrypted and no passphrase was given.
    Encrypted,
    /// The passphrase does not open it.
    WrongPassphrase,
    /// It is encrypted in a way that is not supported.
    UnsupportedEncryption {
        /// The algorithm's name or object identifier.
        algorithm: String,
    },
    /// A kind or size of key that is not supported.
    UnsupportedAlgorithm {
        /// What it is.
        algorithm: String,
    },
    /// It is in OpenSSH's own format.
    OpenSsh,
    /// The random source failed.
    Random,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("there is no private key in it"),
            Self::Malformed => f.write_str("the private key is damaged"),
            Self::Encrypted => f.write_str("the private key is encrypted and no passphrase was given"),
            Self::WrongPassphrase => f.write_str("the passphrase does not open the private key"),
            Self::UnsupportedEncryption { algorithm } => {
                write!(f, "the private key is encrypted with {algorithm}, which is not supported")
            }
            Self::UnsupportedAlgorithm { algorithm } => {
                write!(f, "private keys of the kind {algorithm} are not supported")
            }
            Self::OpenSsh => f.write_str("the private key is in OpenSSH's own format"),
            Self::Random => f.write_str("the system's random source failed"),
        }
    }
}

impl std::error::Error for KeyError {}

/// A private key: PKCS#8 in memory that is zeroed when dropped, ready to sign.
pub struct PrivateKey {
    pkcs8: Zeroizing<Vec<u8>>,
    public: PublicKey,
    pair: Pair,
}

/// ring's view of the key. ring does not zero its copies; it drops them with the process at the latest.
enum Pair {
    Ecdsa(EcdsaKeyPair),
    P521(Box<ecdsa_p521::Key>),
    Ed25519(Ed25519KeyPair),
    Rsa(Box<RsaKeyPair>),
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({}, [elided])", self.public.algorithm())
    }
}

impl PrivateKey {
    /// A new key.
    ///
    /// # Errors
    /// When the random source fails.
    pub fn generate(algorithm: KeyAlgorithm, random: &dyn SecureRandom) -> Result<Self, KeyError> {
        let pkcs8 = match algorithm {
            KeyAlgorithm::P256 => generate_ecdsa(&signature::ECDSA_P256_SHA256_ASN1_SIGNING, random)?,
            KeyAlgorithm::P384 => generate_ecdsa(&signature::ECDSA_P384_SHA384_ASN1_SIGNING, random)?,
            KeyAlgorithm::Ed25519 => {
                let mut seed = Zeroizing::new([0; 32]);
                random.fill(&mut *seed).map_err(|_| KeyError::Random)?;
                ed25519_pkcs8(&seed)?
            }
            KeyAlgorithm::Rsa2048 => generate_rsa(2048, random)?,
            KeyAlgorithm::Rsa3072 => generate_rsa(3072, random)?,
            KeyAlgorithm::Rsa4096 => generate_rsa(4096, random)?,
        };
        Self::from_pkcs8_der(&pkcs8)
    }

    /// Reads the first private key in PEM text, in any of the forms of [`KeyForm`].
    ///
    /// # Errors
    /// When there is none, it is damaged, encrypted without a passphrase or with another one, or not supported.
    pub fn from_pem(text: &[u8], passphrase: Option<&Passphrase>) -> Result<(Self, KeyForm), KeyError> {
        let blocks = pem::decode_all(text).map_err(|_| KeyError::Malformed)?;
        let block = blocks
            .iter()
            .find(|block| block.tag() == "PRIVATE KEY" || block.tag().ends_with(" PRIVATE KEY"))
            .ok_or(KeyError::NotFound)?;
        if block.tag() == "OPENSSH PRIVATE KEY" {
            return Err(KeyError::OpenSsh);
        }
        if let Some(dek_info) = block.headers().get("DEK-Info") {
            let passphrase = passphrase.ok_or(KeyError::Encrypted)?;
            let der = legacy_pem::decrypt(dek_info, passphrase, block.contents())?;
            // Padding fits by chance once in 256; that no key is inside tells the same.
            let (key, _) = Self::from_der(&der).map_err(|error| match error {
                KeyError::Malformed => KeyError::WrongPassphrase,
                other => other,
            })?;
            return Ok((key, KeyForm::LegacyEncrypted));
        }
        if block.tag() == "ENCRYPTED PRIVATE KEY" {
            let passphrase = passphrase.ok_or(KeyError::Encrypted)?;
            let key = Self::from_pkcs8_der(&decrypt_pkcs8(block.contents(), passphrase)?)?;
            return Ok((key, KeyForm::EncryptedPkcs8));
        }
        Self::from_der(block.contents())
    }

    /// Reads PKCS#1, PKCS#8 or SEC1 DER, whichever it is, as Go does (crypto/tls tls.go parsePrivateKey).
    ///
    /// # Errors
    /// When it is none of these, or not supported.
    pub fn from_der(der: &[u8]) -> Result<(Self, KeyForm), KeyError> {
        if PrivateKeyInfoRef::from_der(der).is_ok() {
            return Ok((Self::from_pkcs8_der(der)?, KeyForm::Pkcs8));
        }
        if let Some(kind) = foreign_key::kind_of(der) {
            return Err(KeyError::UnsupportedAlgorithm { algorithm: kind.to_owned() });
        }
        if let Ok(sec1) = sec1::EcPrivateKey::from_der(der) {
            let curve = sec1.parameters.and_then(|parameters| parameters.named_curve()).ok_or(KeyError::Malformed)?;
            return Ok((Self::from_ec(curve, &sec1)?, KeyForm::Sec1));
        }
        let pkcs8 =
            wrap(AlgorithmIdentifierRef { oid: RSA_ENCRYPTION, parameters: Some(pkcs8::der::asn1::Null.into()) }, der)?;
        Ok((Self::from_rsa(pkcs8)?, KeyForm::Pkcs1))
    }

    /// Reads PKCS#8 DER.
    ///
    /// # Errors
    /// When it is damaged or of a kind that is not supported.
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, KeyError> {
        let info = PrivateKeyInfoRef::from_der(der).map_err(|_| KeyError::Malformed)?;
        let inner = info.private_key.as_bytes();
        match info.algorithm.oid {
            RSA_ENCRYPTION => {
                // Rewrapped, so that attributes and odd parameters that ring refuses do not matter.
                let parameters = Some(pkcs8::der::asn1::Null.into());
                Self::from_rsa(wrap(AlgorithmIdentifierRef { oid: RSA_ENCRYPTION, parameters }, inner)?)
            }
            EC_PUBLIC_KEY => {
                let curve = info.algorithm.parameters_oid().map_err(|_| KeyError::UnsupportedAlgorithm {
                    algorithm: "elliptic curve with explicit parameters".to_owned(),
                })?;
                Self::from_ec(curve, &sec1::EcPrivateKey::from_der(inner).map_err(|_| KeyError::Malformed)?)
            }
            ED25519 => {
                let seed = <&OctetStringRef>::from_der(inner).map_err(|_| KeyError::Malformed)?;
                let seed = <&[u8; 32]>::try_from(seed.as_bytes()).map_err(|_| KeyError::Malformed)?;
                let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| KeyError::Malformed)?;
                let public =
                    public_key(AlgorithmIdentifierRef { oid: ED25519, parameters: None }, pair.public_key().as_ref())?;
                Ok(Self { pkcs8: ed25519_pkcs8(seed)?, public, pair: Pair::Ed25519(pair) })
            }
            other => Err(KeyError::UnsupportedAlgorithm { algorithm: foreign_key::name_of(other) }),
        }
    }

    fn from_ec(curve: ObjectIdentifier, sec1: &sec1::EcPrivateKey<'_>) -> Result<Self, KeyError> {
        let (algorithm, length) = match curve {
            P256 => (Some(&signature::ECDSA_P256_SHA256_ASN1_SIGNING), 32_usize),
            P384 => (Some(&signature::ECDSA_P384_SHA384_ASN1_SIGNING), 48),
            P521 => (None, 66),
            other => {
                let name = foreign_key::name_of(other);
                let algorithm = if name.starts_with("ECDSA") { name } else { format!("elliptic curve {name}") };
                return Err(KeyError::UnsupportedAlgorithm { algorithm });
            }
        };
        // Some writers drop leading zeros of the scalar (Go before 1.8, old OpenSSL).
        let scalar = &sec1.private_key[sec1.private_key.iter().take_while(|byte| **byte == 0).count()..];
        let missing = length.checked_sub(scalar.len()).ok_or(KeyError::Malformed)?;
        let mut padded = Zeroizing::new(vec![0; missing]);
        padded.extend_from_slice(scalar);
        // Java and old Go leave the public half away (RFC 5915 section 3 lets them); it follows from the private one.
        let computed = match sec1.public_key {
            Some(_) => None,
            None => Some(public_half(curve, &padded).ok_or(KeyError::Malformed)?),
        };
        let point = sec1.public_key.or(computed.as_deref()).ok_or(KeyError::Malformed)?;
        let pair = match algorithm {
            Some(algorithm) => {
                EcdsaKeyPair::from_private_key_and_public_key(algorithm, &padded, point, &SystemRandom::new())
                    .map(Pair::Ecdsa)
                    .map_err(|_| KeyError::Malformed)?
            }
            None => Pair::P521(Box::new(ecdsa_p521::Key::of(&padded, point).ok_or(KeyError::Malformed)?)),
        };
        let parameters = AlgorithmIdentifierRef { oid: EC_PUBLIC_KEY, parameters: Some((&curve).into()) };
        let inner = sec1::EcPrivateKey { private_key: &padded, parameters: None, public_key: Some(point) };
        let inner = Zeroizing::new(inner.to_der().map_err(|_| KeyError::Malformed)?);
        Ok(Self { pkcs8: wrap(parameters, &inner)?, public: public_key(parameters, point)?, pair })
    }

    fn from_rsa(pkcs8: Zeroizing<Vec<u8>>) -> Result<Self, KeyError> {
        let info = PrivateKeyInfoRef::from_der(&pkcs8).map_err(|_| KeyError::Malformed)?;
        // ring signs with 2048 to 4096 bits and exponents from 65537.
        let pkcs1 = info.private_key.as_bytes();
        let pair = RsaKeyPair::from_der(pkcs1).map_err(|_| match foreign_key::kind_of_rsa(pkcs1) {
            Some(algorithm) => KeyError::UnsupportedAlgorithm { algorithm },
            None => KeyError::Malformed,
        })?;
        let parameters = Some(pkcs8::der::asn1::Null.into());
        let public =
            public_key(AlgorithmIdentifierRef { oid: RSA_ENCRYPTION, parameters }, pair.public_key().as_ref())?;
        Ok(Self { pkcs8, public, pair: Pair::Rsa(Box::new(pair)) })
    }

    /// The unencrypted PKCS#8 DER, as Docker's `key.pem` holds it.
    pub fn secret_pkcs8_der(&self) -> &[u8] {
        &self.pkcs8
    }

    /// The key as an encrypted PKCS#8 PEM text: PBES2 with scrypt and AES-256-CBC (RFC 8018, RFC 7914).
    ///
    /// scrypt's cost is N = 2^14, r = 8, p = 5: as strong as any of OWASP's choices, and within the 32 MiB that
    /// `openssl pkey` allows (crypto/evp/pbe_scrypt.c, SCRYPT_MAX_MEM), which N = 2^15 is not.
    ///
    /// # Errors
    /// When the random source fails.
    pub fn to_encrypted_pem(&self, passphrase: &Passphrase, random: &dyn SecureRandom) -> Result<String, KeyError> {
        let (mut salt, mut iv) = ([0; 16], [0; 16]);
        random.fill(&mut salt).map_err(|_| KeyError::Random)?;
        random.fill(&mut iv).map_err(|_| KeyError::Random)?;
        let cost = scrypt::Params::new(14, 8, 5).map_err(|_| KeyError::Malformed)?;
        let parameters =
            pkcs5::pbes2::Parameters::generate_scrypt_aes256cbc(cost, &salt, iv).map_err(|_| KeyError::Malformed)?;
        let info = PrivateKeyInfoRef::from_der(&self.pkcs8).map_err(|_| KeyError::Malformed)?;
        let encrypted =
            info.encrypt_with_params(parameters, passphrase.secret_bytes()).map_err(|_| KeyError::Malformed)?;
        Ok(pem::encode("ENCRYPTED PRIVATE KEY", encrypted.as_bytes()))
    }

    /// The key as an unencrypted PKCS#8 PEM text.
    pub fn to_pem(&self) -> Zeroizing<String> {
        pem::encode_secret("PRIVATE KEY", &self.pkcs8)
    }
}

impl Signer for PrivateKey {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn scheme(&self) -> SignatureScheme {
        match self.public.algorithm() {
            PublicKeyAlgorithm::P384 => SignatureScheme::EcdsaP384Sha384,
            PublicKeyAlgorithm::P521 => SignatureScheme::EcdsaP521Sha512,
            PublicKeyAlgorithm::Ed25519 => SignatureScheme::Ed25519,
            PublicKeyAlgorithm::Rsa { .. } => SignatureScheme::RsaPkcs1Sha256,
            _ => SignatureScheme::EcdsaP256Sha256,
        }
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SigningError> {
        match &self.pair {
            Pair::Ecdsa(pair) => pair
                .sign(&SystemRandom::new(), message)
                .map(|signature| signature.as_ref().to_vec())
                .map_err(|_| SigningError),
            Pair::P521(key) => key.sign(message).ok_or(SigningError),
            Pair::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&signature::RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
                    .map_err(|_| SigningError)?;
                Ok(signature)
            }
        }
    }
}

fn generate_ecdsa(
    algorithm: &'static signature::EcdsaSigningAlgorithm,
    random: &dyn SecureRandom,
) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let document = EcdsaKeyPair::generate_pkcs8(algorithm, random).map_err(|_| KeyError::Random)?;
    Ok(Zeroizing::new(document.as_ref().to_vec()))
}

fn generate_rsa(bits: usize, random: &dyn SecureRandom) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let key = rsa::PrivateKey::new(&mut RingRandom(random), bits).map_err(|_| KeyError::Random)?;
    let document = key.to_pkcs8_der().map_err(|_| KeyError::Malformed)?;
    Ok(Zeroizing::new(document.as_bytes().to_vec()))
}

/// Version 1 PKCS#8 (RFC 8410 section 7): ring's own version 2 is refused by OpenSSL 1.1, Java 17 and GnuTLS.
fn ed25519_pkcs8(seed: &[u8; 32]) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let octets = OctetStringRef::new(seed).map_err(|_| KeyError::Malformed)?;
    let inner = Zeroizing::new(octets.to_der().map_err(|_| KeyError::Malformed)?);
    wrap(AlgorithmIdentifierRef { oid: ED25519, parameters: None }, &inner)
}

fn wrap(algorithm: AlgorithmIdentifierRef<'_>, inner: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let inner = OctetStringRef::new(inner).map_err(|_| KeyError::Malformed)?;
    PrivateKeyInfoRef::new(algorithm, inner).to_der().map(Zeroizing::new).map_err(|_| KeyError::Malformed)
}

fn public_key(algorithm: AlgorithmIdentifierRef<'_>, bits: &[u8]) -> Result<PublicKey, KeyError> {
    let subject_public_key = BitStringRef::from_bytes(bits).map_err(|_| KeyError::Malformed)?;
    let spki = SubjectPublicKeyInfoRef { algorithm, subject_public_key }.to_der().map_err(|_| KeyError::Malformed)?;
    PublicKey::from_spki(&spki).ok_or(KeyError::Malformed)
}

fn decrypt_pkcs8(der: &[u8], passphrase: &Passphrase) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let unsupported = || match foreign_key::encryption_of(der) {
        Some(algorithm) => KeyError::UnsupportedEncryption { algorithm },
        None => KeyError::Malformed,
    };
    let info = EncryptedPrivateKeyInfoRef::try_from(der).map_err(|_| unsupported())?;
    match info.decrypt(passphrase.secret_bytes()) {
        Ok(document) => Ok(Zeroizing::new(document.as_bytes().to_vec())),
        Err(pkcs8::Error::EncryptedPrivateKey(
            pkcs5::Error::UnsupportedAlgorithm { .. } | pkcs5::Error::NoPbes1CryptSupport,
        )) => Err(unsupported()),
        Err(_) => Err(KeyError::WrongPassphrase),
    }
}

/// The uncompressed point of a private scalar (SEC 1 section 3.2.1).
fn public_half(curve: ObjectIdentifier, scalar: &[u8]) -> Option<Box<[u8]>> {
    Some(match curve {
        P256 => p256::SecretKey::from_slice(scalar).ok()?.public_key().to_sec1_bytes(),
        P384 => p384::SecretKey::from_slice(scalar).ok()?.public_key().to_sec1_bytes(),
        _ => p521::SecretKey::from_slice(scalar).ok()?.public_key().to_sec1_bytes(),
    })
}

/// ring's random source, as the rsa crate wants it.
struct RingRandom<'a>(&'a dyn SecureRandom);

impl rand_core::TryRng for RingRandom<'_> {
    type Error = ring::error::Unspecified;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        self.0.fill(bytes)
    }
}

impl rand_core::TryCryptoRng for RingRandom<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    fn passphrase(text: &str) -> Passphrase {
        Passphrase::new(Zeroizing::new(text.as_bytes().to_vec())).unwrap()
    }

    #[test]
    fn every_kind_survives_pkcs8_encryption_and_signs() {
        let random = SystemRandom::new();
        for algorithm in [KeyAlgorithm::P256, KeyAlgorithm::P384, KeyAlgorithm::Ed25519, KeyAlgorithm::Rsa2048] {
            let key = PrivateKey::generate(algorithm, &random).unwrap();
            let secret = passphrase("öpen sesame");
            let text = key.to_encrypted_pem(&secret, &random).unwrap();
            let (again, form) = PrivateKey::from_pem(text.as_bytes(), Some(&secret)).unwrap();
            assert_eq!(form, KeyForm::EncryptedPkcs8);
            assert_eq!(again.secret_pkcs8_der(), key.secret_pkcs8_der());
            assert_eq!(PrivateKey::from_pem(text.as_bytes(), None).unwrap_err(), KeyError::Encrypted);
            let wrong = PrivateKey::from_pem(text.as_bytes(), Some(&passphrase("other")));
            assert_eq!(wrong.unwrap_err(), KeyError::WrongPassphrase);
            let signature = again.sign(b"message").unwrap();
            let verification: &dyn signature::VerificationAlgorithm = match again.scheme() {
                SignatureScheme::EcdsaP256Sha256 => &signature::ECDSA_P256_SHA256_ASN1,
                SignatureScheme::EcdsaP384Sha384 => &signature::ECDSA_P384_SHA384_ASN1,
                SignatureScheme::EcdsaP521Sha512 => unreachable!("none is made"),
                SignatureScheme::Ed25519 => &signature::ED25519,
                SignatureScheme::RsaPkcs1Sha256 => &signature::RSA_PKCS1_2048_8192_SHA256,
            };
            signature::UnparsedPublicKey::new(verification, key.public_key().bits())
                .verify(b"message", &signature)
                .unwrap();
        }
    }

    #[test]
    fn nothing_of_a_key_is_shown() {
        let key = PrivateKey::generate(KeyAlgorithm::P256, &SystemRandom::new()).unwrap();
        assert_eq!(format!("{key:?}"), "PrivateKey(ECDSA P-256, [elided])");
        assert_eq!(format!("{:?}", passphrase("secret")), "Passphrase([elided])");
    }

    #[test]
    fn what_is_no_key_is_said_to_be_none() {
        for (text, error) in [
            ("", KeyError::NotFound),
            ("hello", KeyError::NotFound),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", KeyError::NotFound),
            ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", KeyError::Malformed),
            ("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n", KeyError::OpenSsh),
        ] {
            assert_eq!(PrivateKey::from_pem(text.as_bytes(), None).unwrap_err(), error, "{text:?}");
        }
    }
}
