//! What a client can show: its certificate, intermediates and key.

use std::{error::Error, fmt, sync::Arc};

use dockseal_pki::{Certificate, PrivateKey};
use rustls::{
    crypto::ring::sign::any_supported_type,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    sign::CertifiedKey,
};

/// A client's certificate chain, leaf first, and the key of the leaf.
#[derive(Clone, Debug)]
pub struct Identity {
    pub(crate) certified: Arc<CertifiedKey>,
    /// The DER of each certificate's issuer.
    pub(crate) issuers: Arc<[Vec<u8>]>,
}

/// A key of a kind that this program cannot sign with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnusableKey;

impl fmt::Display for UnusableKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the client's key is of a kind that this program cannot sign with")
    }
}

impl Error for UnusableKey {}

impl Identity {
    /// An identity to offer. Nothing is judged: whether key and certificate are a pair is seen by the peer.
    ///
    /// # Errors
    /// The key is neither P-256, P-384, Ed25519 nor RSA of 2048 to 8192 bits.
    pub fn new(chain: &[Certificate], key: &PrivateKey) -> Result<Self, UnusableKey> {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.secret_pkcs8_der()));
        let key = any_supported_type(&key).map_err(|_| UnusableKey)?;
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
