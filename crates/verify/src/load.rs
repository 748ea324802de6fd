//! A certificate and its key as crypto/tls loads them.
//!
//! Source: Go src/crypto/tls/tls.go (`X509KeyPair`); docker/cli cli/context/docker/load.go (`tlsConfig`).

use dockseal_docker::version::Go;

use crate::check::Check;
use crate::handshake;
use crate::key::{self, KeyMatch};
use crate::material::FileKind;
use crate::pem::{self, Block};
use crate::x509::{Certificate, Curve, ExtendedKeyUsages, PublicKey};

/// Why a file of a pair is of no use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unusable {
    pub(crate) check: Check,
    pub(crate) file: FileKind,
    pub(crate) offset: Option<usize>,
    pub(crate) text: String,
}

impl Unusable {
    fn new(check: Check, file: FileKind, offset: Option<usize>, text: impl Into<String>) -> Self {
        Self { check, file, offset, text: text.into() }
    }
}

/// The certificates that a side sends, leaf first, and where each is in its file.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) certificates: Vec<(Vec<u8>, usize)>,
    /// What loading the pair already found out about the leaf.
    pub(crate) leaf: Option<Leaf>,
}

/// A leaf that parses in the Go of its own side.
#[derive(Debug)]
pub(crate) struct Leaf {
    /// With header.
    pub(crate) issuer: Vec<u8>,
    pub(crate) key: String,
    pub(crate) key_can_sign: bool,
    pub(crate) key_is_weak: bool,
    pub(crate) serial_is_negative: bool,
    /// Seconds since 1970-01-01T00:00:00Z.
    pub(crate) not_after: i64,
    pub(crate) usages: ExtendedKeyUsages,
}

impl Leaf {
    fn of(certificate: &Certificate<'_>, go: Go) -> Self {
        let key = &certificate.public_key;
        let key_is_weak = match key {
            PublicKey::Ecdsa { curve, .. } => *curve == Curve::P224,
            key => key.rsa_bits().is_some_and(|bits| bits < 2048),
        };
        Self {
            issuer: certificate.issuer.to_vec(),
            key: key.describe(),
            key_can_sign: handshake::can_sign(key, go),
            key_is_weak,
            serial_is_negative: certificate.serial_is_negative,
            not_after: certificate.not_after,
            usages: certificate.extensions.extended_key_usages,
        }
    }
}

impl Chain {
    /// Every block labelled CERTIFICATE; empty where there is none.
    pub(crate) fn read(text: &[u8], go: Go) -> Self {
        Self::of_blocks(pem::blocks(text, go), &mut Vec::new())
    }

    fn of_blocks<'t>(blocks: impl Iterator<Item = Block<'t>>, skipped: &mut Vec<Vec<u8>>) -> Self {
        let mut certificates = Vec::new();
        for block in blocks {
            if block.is_certificate() {
                certificates.push((block.contents, block.offset));
            } else if skipped.len() < 4 {
                skipped.push(block.label.to_vec());
            }
        }
        Self { certificates, leaf: None }
    }
}

/// What a program asks of the first block of a key file, whatever block the key is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FirstKeyBlock {
    /// dockerd: nothing.
    Any,
    /// docker: that it is not encrypted by RFC 1423.
    NotEncrypted,
}

/// Loads a pair as `X509KeyPair` does.
pub(crate) fn load_pair(cert: &[u8], key: &[u8], first: FirstKeyBlock, go: Go) -> Result<Chain, Unusable> {
    let mut skipped = Vec::new();
    let mut chain = Chain::of_blocks(pem::blocks(cert, go), &mut skipped);
    let Some((leaf, leaf_offset)) = chain.certificates.first() else {
        return Err(Unusable::new(
            Check::CertificateMissing,
            FileKind::Cert,
            None,
            describe_skipped("certificate", &skipped),
        ));
    };
    let key_block = first_private_key(key, first, go)?;
    let unusable = |check, file, offset, text: &str| Err(Unusable::new(check, file, Some(offset), text));
    let certificate = match Certificate::parse(leaf, go) {
        Ok(certificate) => certificate,
        Err(malformed) => {
            return unusable(Check::CertificateUnparsable, FileKind::Cert, *leaf_offset, malformed.0);
        }
    };
    match key::compare(&key_block.contents, &certificate.public_key, go) {
        KeyMatch::Matches => {}
        KeyMatch::Differs => {
            return unusable(
                Check::KeyMismatch,
                FileKind::Key,
                key_block.offset,
                "the private key is not the one for the certificate",
            );
        }
        KeyMatch::WrongKind => {
            return unusable(
                Check::KeyMismatch,
                FileKind::Key,
                key_block.offset,
                "the private key and the certificate's key are of different kinds, or of one that TLS does not use",
            );
        }
        KeyMatch::Unparsable => {
            let check = if is_encrypted(&key_block) { Check::KeyEncrypted } else { Check::KeyUnparsable };
            return unusable(check, FileKind::Key, key_block.offset, "the private key does not parse");
        }
        KeyMatch::TooLarge => {
            return unusable(
                Check::BeyondTheJudge,
                FileKind::Key,
                key_block.offset,
                "the RSA key is too large to be checked here",
            );
        }
    }
    chain.leaf = Some(Leaf::of(&certificate, go));
    Ok(chain)
}

fn is_encrypted(block: &Block<'_>) -> bool {
    block.has_dek_info || block.label == b"ENCRYPTED PRIVATE KEY"
}

fn first_private_key(key: &[u8], first: FirstKeyBlock, go: Go) -> Result<Block<'_>, Unusable> {
    let mut skipped = Vec::new();
    for (position, block) in pem::blocks(key, go).enumerate() {
        if position == 0 && first == FirstKeyBlock::NotEncrypted && block.has_dek_info {
            let text = "the private key is encrypted with a passphrase";
            return Err(Unusable::new(Check::KeyEncrypted, FileKind::Key, Some(block.offset), text));
        }
        if block.is_private_key() {
            return Ok(block);
        }
        if skipped.len() < 4 {
            skipped.push(block.label.to_vec());
        }
    }
    Err(Unusable::new(Check::KeyMissing, FileKind::Key, None, describe_skipped("private key", &skipped)))
}

fn describe_skipped(wanted: &str, skipped: &[Vec<u8>]) -> String {
    if skipped.is_empty() {
        return format!("there is no PEM block with a {wanted}");
    }
    let labels: Vec<String> = skipped.iter().map(|label| String::from_utf8_lossy(label).into_owned()).collect();
    format!("there is no PEM block with a {wanted}, only: {}", labels.join(", "))
}
