//! What a client can show: its certificate, intermediates and key.

use std::{error::Error, fmt, sync::Arc};

use dockseal_pki::{KeyError, PrivateKey};
use rustls::{
    crypto::ring::sign::any_supported_type,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    sign::{CertifiedKey, SigningKey},
};

use crate::signing;

/// What a client puts into its Certificate message, leaf first, and the key of the leaf.
#[derive(Clone, Debug)]
pub struct Identity {
    pub(crate) certified: Arc<CertifiedKey>,
    /// The issuers by which docker finds out whether the certificate is wanted.
    pub(crate) issuers: Arc<[Vec<u8>]>,
}

/// A key that this program cannot sign with, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnusableKey(KeyError);

impl fmt::Display for UnusableKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this program cannot sign with the client's key")
    }
}

impl Error for UnusableKey {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

impl Identity {
    /// An identity to offer: `chain` is sent as it is, octet for octet, to a daemon that lists one of the `issuers`, and
    /// proved with `key`, all DER. Nothing is judged: what is no certificate, or not of that key, is seen by the peer.
    ///
    /// # Errors
    /// The key cannot be read, or is neither P-256, P-384, P-521, Ed25519 nor RSA.
    pub fn new(chain: Vec<Vec<u8>>, issuers: Vec<Vec<u8>>, key: &[u8]) -> Result<Self, UnusableKey> {
        let key = signing_key(key)?;
        let chain = chain.into_iter().map(CertificateDer::from).collect();
        Ok(Self { certified: Arc::new(CertifiedKey::new(chain, key)), issuers: issuers.into() })
    }

    /// Whether Go sends the certificate to a daemon that lists these names: one of them is an issuer that counts, or nothing is listed (crypto/tls common.go `CertificateRequestInfo.SupportsCertificate`).
    pub(crate) fn is_issued_by_one_of(&self, names: &[&[u8]]) -> bool {
        names.is_empty() || self.issuers.iter().any(|issuer| names.contains(&issuer.as_slice()))
    }
}

/// With ring where ring can.
fn signing_key(der: &[u8]) -> Result<Arc<dyn SigningKey>, UnusableKey> {
    let error = match PrivateKey::from_der(der) {
        Ok((key, _)) => {
            let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.secret_pkcs8_der()));
            if let Ok(key) = any_supported_type(&key) {
                return Ok(key);
            }
            KeyError::Malformed
        }
        Err(error) => error,
    };
    signing::read(der).ok_or(UnusableKey(error))
}
