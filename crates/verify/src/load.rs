//! A certificate and its key as crypto/tls loads them.
//!
//! Source: Go src/crypto/tls/tls.go (`X509KeyPair`); docker/cli cli/context/docker/load.go (`tlsConfig`).

use dockseal_docker::version::Go;

use crate::check::Check;
use crate::der;
use crate::handshake;
use crate::key::{self, KeyMatch, Obstacle};
use crate::material::{Bytes, FileKind};
use crate::pem::{self, Block, Blocks};
use crate::x509::{Certificate, Curve, ExtendedKeyUsages, NO_CURVE, PublicKey, UNKNOWN_CURVE};

/// No Certificate message holds more (crypto/tls common.go `maxHandshakeCertificateMsg`).
const MOST_SENT: usize = 262_144;

/// Why a file of a pair is of no use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unusable {
    pub(crate) check: Check,
    pub(crate) file: FileKind,
    pub(crate) offset: Option<usize>,
    pub(crate) text: String,
    /// What to do, where the check's own remedy does not fit.
    pub(crate) remedy: Option<&'static str>,
}

impl Unusable {
    fn new(check: Check, file: FileKind, offset: Option<usize>, text: impl Into<String>) -> Self {
        Self { check, file, offset, text: text.into(), remedy: None }
    }

    fn with_remedy(self, remedy: &'static str) -> Self {
        Self { remedy: Some(remedy), ..self }
    }
}

/// The certificates that a side sends, leaf first, and where each is in its file.
#[derive(Debug)]
pub(crate) struct Chain {
    /// All, or as many as are already more than a message holds.
    pub(crate) certificates: Vec<(Vec<u8>, usize)>,
    /// The file, and where in it the others are.
    rest: Option<(Bytes, usize)>,
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
    pub(crate) key_is_ml_dsa: bool,
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
            key_is_ml_dsa: matches!(key, PublicKey::MlDsa { .. }),
            serial_is_negative: certificate.serial_is_negative,
            not_after: certificate.not_after,
            usages: certificate.extensions.extended_key_usages,
        }
    }
}

impl Chain {
    /// Every block labelled CERTIFICATE; empty where there is none.
    pub(crate) fn read(text: &Bytes, go: Go) -> Self {
        Self::of_blocks(text, pem::blocks(text, go), &mut Skipped::default())
    }

    fn of_blocks(text: &Bytes, mut blocks: Blocks<'_>, skipped: &mut Skipped) -> Self {
        let mut certificates = Vec::new();
        let mut size = 0;
        while let Some(block) = blocks.next() {
            if !block.is_certificate() {
                skipped.add(&block);
                continue;
            }
            size += block.length;
            certificates.push((block.contents, block.offset));
            if size > MOST_SENT {
                let rest = Some((text.clone(), blocks.position()));
                return Self { certificates, rest, leaf: None };
            }
        }
        Self { certificates, rest: None, leaf: None }
    }

    /// What the Certificate message would have, as far as it matters whether that fits.
    pub(crate) fn sent(&self) -> impl Iterator<Item = &[u8]> {
        self.certificates.iter().map(|(der, _)| der.as_slice())
    }

    /// The certificates that are in the file beyond what a message holds, read by this side's Go.
    pub(crate) fn rest(&self, go: Go) -> impl Iterator<Item = Block<'_>> {
        let rest = self.rest.as_ref().map(|(text, position)| pem::blocks_from(text, *position, go));
        rest.into_iter().flatten().filter(Block::is_certificate)
    }
}

/// What a program asks of the first block of a key file, whatever block the key is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum FirstKeyBlock {
    /// dockerd: nothing.
    Any,
    /// docker: that it is not encrypted by RFC 1423.
    NotEncrypted,
}

/// Loads a pair as `X509KeyPair` does.
pub(crate) fn load_pair(cert: &Bytes, key: &Bytes, first: FirstKeyBlock, go: Go) -> Result<Chain, Unusable> {
    let mut skipped = Skipped::default();
    let mut chain = Chain::of_blocks(cert, pem::blocks(cert, go), &mut skipped);
    let Some((leaf, leaf_offset)) = chain.certificates.first() else {
        return Err(Unusable::new(Check::CertificateMissing, FileKind::Cert, None, skipped.describe("certificate")));
    };
    let key_block = first_private_key(key, first, go)?;
    let unusable = |check, file, offset, text: &str| Err(Unusable::new(check, file, Some(offset), text));
    let certificate = match Certificate::parse(leaf, go) {
        Ok(certificate) => certificate,
        Err(_) if is_too_large(leaf) => {
            let text = "the certificate is too large to be looked at here";
            return unusable(Check::BeyondTheJudge, FileKind::Cert, *leaf_offset, text);
        }
        Err(malformed) => {
            let unparsable =
                Unusable::new(Check::CertificateUnparsable, FileKind::Cert, Some(*leaf_offset), malformed.0);
            let is_key = malformed == NO_CURVE || malformed == UNKNOWN_CURVE;
            return Err(if is_key { unparsable.with_remedy(ANOTHER_KEY) } else { unparsable });
        }
    };
    if key_block.is_cut() && der::announced_length(&key_block.contents).is_some_and(|length| length <= key_block.length)
    {
        let text = "the key is too large to be looked at here";
        return unusable(Check::BeyondTheJudge, FileKind::Key, key_block.offset, text);
    }
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
        KeyMatch::WrongKind if matches!(certificate.public_key, PublicKey::Dsa | PublicKey::Unknown) => {
            let text = "the certificate's key is of a kind that TLS does not use, such as Ed448, RSA-PSS or DSA";
            return Err(
                Unusable::new(Check::KeyMismatch, FileKind::Cert, Some(*leaf_offset), text).with_remedy(ANOTHER_KEY)
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
            return Err(unparsable_key(&key_block));
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

/// For a key that cannot be used whatever its form.
const ANOTHER_KEY: &str = "Make another key, P-256, P-384, P-521, Ed25519 or RSA, and have a certificate issued for it; \
                           converting this one does not help.";

fn unparsable_key(block: &Block<'_>) -> Unusable {
    let unusable = |check, text: String| Unusable::new(check, FileKind::Key, Some(block.offset), text);
    if is_encrypted(block) {
        return unusable(Check::KeyEncrypted, "the private key is encrypted with a passphrase".to_owned());
    }
    let unparsable = |text: String| unusable(Check::KeyUnparsable, text);
    match key::obstacle(block.label, &block.contents) {
        Some(Obstacle::Kind(kind)) => {
            unparsable(format!("the private key is {kind}, which Docker's Go does not take")).with_remedy(ANOTHER_KEY)
        }
        Some(Obstacle::ExplicitCurve) => {
            unparsable("the private key has the parameters of its curve in place of the curve's name".to_owned())
                .with_remedy("Write it with the curve's name (openssl ec -param_enc named_curve), or make another key.")
        }
        Some(Obstacle::OpenSsh) => unparsable("the private key is in OpenSSH's own form".to_owned())
            .with_remedy("Convert a copy (ssh-keygen -p -m PEM; it leaves Ed25519 as it is), or make another key."),
        None => unparsable("the private key does not parse".to_owned()),
    }
}

/// Whether what was kept of a certificate is the beginning of a larger one.
pub(crate) fn is_too_large(certificate: &[u8]) -> bool {
    certificate.len() == pem::MOST_CONTENTS
        && der::announced_length(certificate).is_some_and(|length| length > certificate.len())
}

fn is_encrypted(block: &Block<'_>) -> bool {
    block.has_dek_info || block.label == b"ENCRYPTED PRIVATE KEY"
}

pub(crate) fn first_private_key(key: &[u8], first: FirstKeyBlock, go: Go) -> Result<Block<'_>, Unusable> {
    let mut skipped = Skipped::default();
    for (position, block) in pem::blocks(key, go).enumerate() {
        if position == 0 && first == FirstKeyBlock::NotEncrypted && block.has_dek_info {
            let text = "the private key is encrypted with a passphrase";
            return Err(Unusable::new(Check::KeyEncrypted, FileKind::Key, Some(block.offset), text));
        }
        if block.is_private_key() {
            return Ok(block);
        }
        skipped.add(&block);
    }
    Err(Unusable::new(Check::KeyMissing, FileKind::Key, None, skipped.describe("private key")))
}

/// The labels of the first blocks that are not what was looked for.
#[derive(Default)]
struct Skipped(Vec<String>);

impl Skipped {
    fn add(&mut self, block: &Block<'_>) {
        if self.0.len() < 4 {
            self.0.push(crate::shortened(&String::from_utf8_lossy(block.label.get(..256).unwrap_or(block.label))));
        }
    }

    fn describe(&self, wanted: &str) -> String {
        if self.0.is_empty() {
            return format!("there is no PEM block with a {wanted}");
        }
        format!("there is no PEM block with a {wanted}, only: {}", self.0.join(", "))
    }
}
