//! What one endpoint needs: anchors, its chain and its key.

use crate::{Certificate, PrivateKey, pem};

/// Everything in one `ca.pem`: one certificate, or several while one authority takes over from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustAnchors(Vec<Certificate>);

impl TrustAnchors {
    /// Anchors in the order in which they stand in the file. `None` for none at all: an empty `ca.pem` trusts every
    /// public authority on the daemon's side (go-connections tlsconfig/config.go Server).
    pub fn new(certificates: Vec<Certificate>) -> Option<Self> {
        (!certificates.is_empty()).then_some(Self(certificates))
    }

    /// The anchors, never none.
    pub fn certificates(&self) -> &[Certificate] {
        &self.0
    }

    /// The text of `ca.pem`.
    pub fn to_pem(&self) -> String {
        self.0.iter().map(Certificate::to_pem).collect()
    }
}

/// What is written into one directory that Docker reads: `ca.pem`, `cert.pem` and, unless it stayed elsewhere, `key.pem`.
#[derive(Debug)]
pub struct Bundle {
    /// What the endpoint trusts.
    pub anchors: TrustAnchors,
    /// Its own certificate, then the intermediates up to, but without, the anchor.
    pub chain: Vec<Certificate>,
    /// Its key; `None` when the key stayed on the machine that made the request.
    pub key: Option<PrivateKey>,
}

impl Bundle {
    /// The endpoint's own certificate.
    pub fn leaf(&self) -> Option<&Certificate> {
        self.chain.first()
    }

    /// The text of `cert.pem`.
    pub fn chain_pem(&self) -> String {
        self.chain.iter().map(Certificate::to_pem).collect()
    }

    /// The text of `key.pem`: PKCS#8, unencrypted, since Docker reads no other (docker/cli cli/context/docker/load.go).
    pub fn key_pem(&self) -> Option<zeroize::Zeroizing<String>> {
        self.key.as_ref().map(|key| pem::encode_secret("PRIVATE KEY", key.secret_pkcs8_der()))
    }
}
