//! What a client can show: its certificate, intermediates and key.

use std::{error::Error, fmt, sync::Arc};

use dockseal_pki::{Certificate, KeyError, PrivateKey};
use rustls::{
    crypto::ring::sign::any_supported_type,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    sign::{CertifiedKey, SigningKey},
};

use crate::signing;

/// A client's certificate chain, leaf first, and the key of the leaf.
#[derive(Clone, Debug)]
pub struct Identity {
    pub(crate) certified: Arc<CertifiedKey>,
    /// The DER of each certificate's issuer.
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
    /// An identity to offer, with the first private key of the PEM text. Nothing is judged: whether key and certificate
    /// are a pair is seen by the peer.
    ///
    /// # Errors
    /// The key cannot be read, or is neither P-256, P-384, P-521, Ed25519 nor RSA.
    pub fn new(chain: &[Certificate], key: &[u8]) -> Result<Self, UnusableKey> {
        let key = signing_key(key)?;
        let issuers = chain.iter().map(|certificate| certificate.issuer.der().to_vec()).collect();
        let chain = chain.iter().map(|certificate| CertificateDer::from(certificate.der().to_vec())).collect();
        Ok(Self { certified: Arc::new(CertifiedKey::new(chain, key)), issuers })
    }

    /// Whether Go sends the certificate to a daemon that lists these names: some certificate of the chain was issued by
    /// one of them, or nothing is listed (crypto/tls common.go `CertificateRequestInfo.SupportsCertificate`).
    pub(crate) fn is_issued_by_one_of(&self, names: &[&[u8]]) -> bool {
        names.is_empty() || self.issuers.iter().any(|issuer| names.contains(&issuer.as_slice()))
    }
}

/// With ring where ring can.
fn signing_key(text: &[u8]) -> Result<Arc<dyn SigningKey>, UnusableKey> {
    let error = match PrivateKey::from_pem(text, None) {
        Ok((key, _)) => {
            let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.secret_pkcs8_der()));
            if let Ok(key) = any_supported_type(&key) {
                return Ok(key);
            }
            KeyError::Malformed
        }
        Err(error) => error,
    };
    signing::read(text).ok_or(UnusableKey(error))
}
