//! What a side's files put into a handshake, octet for octet: for those who dial themselves.
//!
//! Source: Go src/crypto/tls tls.go (`X509KeyPair`), common.go (`CertificateRequestInfo.SupportsCertificate`).

use dockseal_docker::version::{Go, Version};
use zeroize::Zeroizing;

use crate::load::{FirstKeyBlock, first_private_key, load_pair};
use crate::material::Material;
use crate::pem::{self, Block};
use crate::x509::Certificate;

/// The contents of every block labelled CERTIFICATE, in their order and whether or not they are certificates: what a
/// program of this Go sends of its certificate file.
pub fn certificates(text: &[u8], go: Go) -> impl Iterator<Item = Vec<u8>> {
    pem::blocks(text, go).filter(Block::is_certificate).map(|block| block.contents)
}

/// What docker offers of a client's files to a daemon that asks for a certificate.
#[derive(Clone)]
pub struct Offered {
    /// The Certificate message, leaf first; what is after the first may be no certificate. Of more than a message
    /// holds, as many as are already too many.
    pub chain: Vec<Vec<u8>>,
    /// The issuers, as DER, of the leaf and of what follows until one does not parse: docker looks no further for an
    /// authority that the daemon lists.
    pub issuers: Vec<Vec<u8>>,
    /// The key that proves the leaf: PKCS#1, PKCS#8 or SEC1, DER.
    pub key: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for Offered {
    /// Shows no key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Offered({} certificates, [elided])", self.chain.len())
    }
}

impl Offered {
    /// What docker of this version offers; none where it has no certificate with its key, or does not load them.
    #[must_use]
    pub fn by_docker(client: &Material, docker: Version) -> Option<Self> {
        let go = docker.docker_go();
        let (cert, key) = (client.cert.held()?, client.key.held()?);
        let first = FirstKeyBlock::NotEncrypted;
        let chain = load_pair(cert, key, first, go).ok()?;
        let key = first_private_key(key, first, go).ok()?.contents;
        let leaf = chain.leaf.as_ref().map(|leaf| leaf.issuer.clone());
        let after_leaf = certificates(cert, go).skip(1);
        let issuers = leaf.into_iter().chain(
            after_leaf
                .map_while(|der| Certificate::parse(&der, go).ok().map(|certificate| certificate.issuer.to_vec())),
        );
        Some(Self {
            issuers: issuers.collect(),
            key: Zeroizing::new(key),
            chain: chain.certificates.into_iter().map(|(der, _)| der).collect(),
        })
    }
}
