//! What TLS 1.3 asks of keys and messages: every pair of Dockers that we judge speaks it.
//!
//! Source: Go src/crypto/tls/auth.go (`signatureSchemesForPublicKey`, `selectSignatureScheme`), common.go
//! (`maxHandshake`, `maxHandshakeCertificateMsg`), conn.go (`readHandshake`), handshake_messages.go
//! (`certificateMsgTLS13`, `certificateRequestMsgTLS13`), handshake_client.go (`checkKeySize`).

use dockseal_docker::version::{Go, GoRelease};

use crate::pool::Anchors;
use crate::x509::{Curve, PublicKey};

/// The largest RSA key in bits that a peer's chain may have since 1.20 (`tlsmaxrsasize`).
const MOST_RSA_BITS: usize = 8192;

/// RSASSA-PSS with SHA-256, the least scheme, needs two digests and two bytes (`rsaSignatureSchemes`).
const LEAST_PSS_BYTES: usize = 2 * 32 + 2;

/// Whether a program with this key can prove it in TLS 1.3.
pub(crate) fn can_sign(key: &PublicKey<'_>, go: Go) -> bool {
    match key {
        PublicKey::Rsa { .. } => {
            key.rsa_bits().is_some_and(|bits| (bits - 1).div_ceil(8) >= LEAST_PSS_BYTES && bits >= go.least_rsa_bits())
        }
        PublicKey::Ecdsa { curve, .. } => *curve != Curve::P224,
        PublicKey::Ed25519(_) | PublicKey::MlDsa { .. } => true,
        PublicKey::Dsa | PublicKey::Unknown => false,
    }
}

/// Whether a program verifies the proof made with this key.
pub(crate) fn can_verify(key: &PublicKey<'_>, go: Go) -> bool {
    can_sign(key, go)
}

/// Whether a program offers a signature scheme of ML-DSA (common.go `defaultSupportedSignatureAlgorithms`).
pub(crate) fn knows_ml_dsa(go: Go) -> bool {
    go.is_at_least(GoRelease::V1_27)
}

/// Whether a program takes an RSA key of this size in a peer's chain at all.
pub(crate) fn takes_rsa_size(bits: usize, go: Go) -> bool {
    bits <= MOST_RSA_BITS || !go.is_at_least(GoRelease::V1_24)
}

/// Whether the Certificate message fits what the receiver reads.
pub(crate) fn certificate_message_fits<'c>(certificates: impl Iterator<Item = &'c [u8]>, receiver: Go) -> bool {
    let limit = if receiver.is_at_least(GoRelease::V1_24) { 262_144 } else { 65_536 };
    // Request context and list length, then for each its length and its extensions' length.
    let size = certificates.fold(4_usize, |size, certificate| size.saturating_add(certificate.len() + 5));
    size <= limit
}

/// Whether the names of the CAs fit the CertificateRequest, whose extensions have a length of sixteen bits.
pub(crate) fn certificate_request_fits(anchors: &Anchors, dockerd_go: Go) -> bool {
    /// status_request, signed_certificate_timestamp, signature_algorithms, signature_algorithms_cert and the header.
    const OTHER_EXTENSIONS: usize = 4 + 4 + 30 + 30 + 6;
    // Three schemes in each of the two lists.
    let ml_dsa = if knows_ml_dsa(dockerd_go) { 2 * 3 * 2 } else { 0 };
    anchors.names_length() + OTHER_EXTENSIONS + ml_dsa <= 65_535
}

#[cfg(test)]
mod tests {
    use dockseal_docker::version::Version;

    use super::*;

    #[test]
    fn rsa_sizes() {
        assert!(takes_rsa_size(9216, Go::V1_19));
        assert!(!takes_rsa_size(9216, Version::V28.docker_go()));
        assert!(takes_rsa_size(8192, Version::V28.docker_go()));
        let rsa = |bytes: usize| PublicKey::Rsa { modulus: vec![0xff; bytes].into(), exponent: 65537 };
        assert!(!can_sign(&rsa(64), Go::V1_19), "too small for PSS");
        assert!(can_sign(&rsa(96), Version::V29.docker_go()));
        assert!(!can_sign(&rsa(96), Version::V29.dockerd_go()));
    }
}
