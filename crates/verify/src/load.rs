//! A certificate and its key as crypto/tls loads them.
//!
//! Source: Go src/crypto/tls/tls.go (`X509KeyPair`); docker/cli cli/context/docker/load.go (`tlsConfig`).

use dockseal_docker::version::Go;

use crate::check::Check;
use crate::key::{self, KeyMatch};
use crate::material::FileKind;
use crate::pem::{self, Block};
use crate::x509::Certificate;

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
        Self {
            check,
            file,
            offset,
            text: text.into(),
        }
    }
}

/// The certificates that a side sends, leaf first, and where each is in its file.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) certificates: Vec<(Vec<u8>, usize)>,
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
        Self { certificates }
    }

    pub(crate) fn leaf<'c>(&'c self, go: Go) -> Option<Certificate<'c>> {
        Certificate::parse(&self.certificates.first()?.0, go).ok()
    }
}

/// Loads a pair as `X509KeyPair` does.
pub(crate) fn load_pair(cert: &[u8], key: &[u8], go: Go) -> Result<Chain, Unusable> {
    let mut skipped = Vec::new();
    let chain = Chain::of_blocks(pem::blocks(cert, go), &mut skipped);
    let Some((leaf, leaf_offset)) = chain.certificates.first() else {
        return Err(Unusable::new(
            Check::CertificateMissing,
            FileKind::Cert,
            None,
            describe_skipped("certificate", &skipped),
        ));
    };
    let key_block = first_private_key(key, go)?;
    let unusable =
        |check, file, offset, text: &str| Err(Unusable::new(check, file, Some(offset), text));
    let certificate = match Certificate::parse(leaf, go) {
        Ok(certificate) => certificate,
        Err(malformed) => {
            return unusable(
                Check::CertificateUnparsable,
                FileKind::Cert,
                *leaf_offset,
                malformed.0,
            );
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
            let check = if is_encrypted(&key_block) {
                Check::KeyEncrypted
            } else {
                Check::KeyUnparsable
            };
            return unusable(
                check,
                FileKind::Key,
                key_block.offset,
                "the private key does not parse",
            );
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
    Ok(chain)
}

fn is_encrypted(block: &Block<'_>) -> bool {
    block.has_dek_info || block.label == b"ENCRYPTED PRIVATE KEY"
}

fn first_private_key(key: &[u8], go: Go) -> Result<Block<'_>, Unusable> {
    let mut skipped = Vec::new();
    for block in pem::blocks(key, go) {
        if block.is_private_key() {
            return Ok(block);
        }
        if skipped.len() < 4 {
            skipped.push(block.label.to_vec());
        }
    }
    Err(Unusable::new(
        Check::KeyMissing,
        FileKind::Key,
        None,
        describe_skipped("private key", &skipped),
    ))
}

/// What the docker client asks of a key file before it loads the pair: a first block, and that not encrypted.
pub(crate) fn check_first_key_block(key: &[u8], go: Go) -> Result<(), Unusable> {
    match pem::blocks(key, go).next() {
        None => Err(Unusable::new(
            Check::KeyMissing,
            FileKind::Key,
            None,
            describe_skipped("private key", &[]),
        )),
        Some(block) if block.has_dek_info => Err(Unusable::new(
            Check::KeyEncrypted,
            FileKind::Key,
            Some(block.offset),
            "the private key is encrypted with a passphrase",
        )),
        Some(_) => Ok(()),
    }
}

fn describe_skipped(wanted: &str, skipped: &[Vec<u8>]) -> String {
    if skipped.is_empty() {
        return format!("there is no PEM block with a {wanted}");
    }
    let labels: Vec<String> = skipped
        .iter()
        .map(|label| String::from_utf8_lossy(label).into_owned())
        .collect();
    format!(
        "there is no PEM block with a {wanted}, only: {}",
        labels.join(", ")
    )
}
