//! A bundle as one file: PKCS#12 (RFC 7292), under a passphrase.
//!
//! Encrypted with PBES2, AES-256-CBC and PBKDF2-HMAC-SHA256, and sealed with HMAC-SHA256: what OpenSSL 3, Java (8u301 on)
//! and NSS all read, and what they write by themselves. Each anchor is marked as trusted for Java (Oracle's attribute
//! 2.16.840.1.113894.746875.1.1), so that the file is a key store and a trust store; the others pass over the mark.
//!
//! The memory in which the crate below builds and reads files is not zeroed.

use std::fmt;

use p12_keystore::{
    Certificate as StoredCertificate, KeyStore, KeyStoreEntry, Pkcs12Archive, PrivateKey as StoredKey, PrivateKeyChain,
    error::Error,
};
use zeroize::Zeroizing;

use crate::{Bundle, Certificate, KeyError, Passphrase, PrivateKey, Signer};

/// How often the passphrase is hashed, for each of the keys that are made of it: more than the 2048 of OpenSSL and the 10 000
/// of Java, and still a blink for who opens the file.
const ITERATIONS: u32 = 100_000;

/// Why a bundle cannot be put into one file.
#[derive(Debug)]
pub enum Pkcs12Error {
    /// Its key is elsewhere.
    NoKey,
    /// The passphrase is not UTF-8, or has a character above U+FFFF: PKCS#12 hashes it as UCS-2 (RFC 7292 appendix B.1).
    Passphrase,
    /// The key, a certificate or the name was not taken.
    Refused(Error),
}

impl fmt::Display for Pkcs12Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoKey => f.write_str("the private key is not there"),
            Self::Passphrase => f.write_str("the passphrase has a character that PKCS#12 cannot hold"),
            Self::Refused(error) => write!(f, "PKCS#12 does not take it: {error}"),
        }
    }
}

impl std::error::Error for Pkcs12Error {}

impl Bundle {
    /// The key with its chain, by `name`, and every anchor, as PKCS#12. Without a passphrase everybody can open it.
    ///
    /// # Errors
    /// When the key is elsewhere, or something does not fit into PKCS#12.
    pub fn to_pkcs12(&self, name: &str, passphrase: Option<&Passphrase>) -> Result<Zeroizing<Vec<u8>>, Pkcs12Error> {
        let key = self.key.as_ref().ok_or(Pkcs12Error::NoKey)?;
        let leaf = self.leaf().ok_or(Pkcs12Error::NoKey)?;
        let passphrase = std::str::from_utf8(passphrase.map_or(&[], Passphrase::secret_bytes))
            .ok()
            .filter(|text| text.chars().all(is_basic))
            .ok_or(Pkcs12Error::Passphrase)?;
        let stored =
            |certificate: &Certificate| StoredCertificate::from_der(certificate.der()).map_err(Pkcs12Error::Refused);
        let chain = self.chain.iter().map(stored).collect::<Result<Vec<_>, _>>()?;
        let key = StoredKey::from_der(key.secret_pkcs8_der()).map_err(Pkcs12Error::Refused)?;
        let mut store = KeyStore::new();
        let entry = PrivateKeyChain::new(leaf.fingerprint().as_bytes().as_slice(), key, chain);
        store.add_entry(&basic(name), KeyStoreEntry::PrivateKeyChain(entry));
        for (number, anchor) in (1_u32..).zip(self.anchors.certificates()) {
            // By the number too: generations of one authority may have one name, and an entry's name is its own.
            let name = anchor.subject.common_name().unwrap_or_else(|| anchor.subject.to_string());
            let name = if number == 1 { format!("{name} (CA)") } else { format!("{name} (CA {number})") };
            store.add_entry(&basic(&name), KeyStoreEntry::Certificate(stored(anchor)?));
        }
        let writer = store.writer(passphrase).encryption_iterations(ITERATIONS).mac_iterations(ITERATIONS);
        writer.write().map(Zeroizing::new).map_err(Pkcs12Error::Refused)
    }
}

/// The first key of a PKCS#12 file, and all its certificates, that of the key first.
///
/// # Errors
/// When the passphrase does not open it, it has no key, or its ciphers or the key are of a kind that is not supported.
pub fn from_pkcs12(bytes: &[u8], passphrase: Option<&Passphrase>) -> Result<(PrivateKey, Vec<Certificate>), KeyError> {
    let passphrase = std::str::from_utf8(passphrase.map_or(&[], Passphrase::secret_bytes));
    let passphrase = passphrase.map_err(|_| KeyError::WrongPassphrase)?;
    let archive = Pkcs12Archive::from_pkcs12(bytes, passphrase).map_err(|error| match error {
        Error::MacError(_) | Error::UnpadError | Error::Pkcs5Error(_) => KeyError::WrongPassphrase,
        Error::UnsupportedEncryptionScheme | Error::UnsupportedMacAlgorithm => {
            KeyError::UnsupportedEncryption { algorithm: "PKCS#12's ciphers of before 2000".to_owned() }
        }
        _ => KeyError::Malformed,
    })?;
    let key = PrivateKey::from_pkcs8_der(archive.keys.first().ok_or(KeyError::NotFound)?.key.as_der())?;
    let certificates = archive.certs.iter().map(|bag| Certificate::from_der(bag.cert.as_der()));
    let mut certificates: Vec<Certificate> = certificates.collect::<Result<_, _>>().map_err(|_| KeyError::Malformed)?;
    certificates.sort_by_key(|certificate| certificate.public_key.spki() != key.public_key().spki());
    Ok((key, certificates))
}

/// What UCS-2 has.
fn is_basic(character: char) -> bool {
    u32::from(character) <= 0xffff
}

/// A name is only shown: what UCS-2 has no place for is left out.
fn basic(name: &str) -> String {
    name.chars().filter(|character| is_basic(*character)).collect()
}
