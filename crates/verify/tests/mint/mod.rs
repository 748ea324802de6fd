//! A maker of certificates that does what it is told, right or wrong.
#![allow(dead_code, reason = "each test binary uses its part")]
#![expect(clippy::unwrap_used, reason = "a test may fail")]

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};

/// One DER element.
pub(crate) fn tlv(tag: u8, contents: &[&[u8]]) -> Vec<u8> {
    let contents = contents.concat();
    let mut der = vec![tag];
    match contents.len() {
        short @ 0..128 => der.push(u8::try_from(short).unwrap()),
        long @ 0x1_0000.. => {
            der.push(0x84);
            der.extend(u32::try_from(long).unwrap().to_be_bytes());
            let zeros = der[2..].iter().take_while(|byte| **byte == 0).count();
            der.drain(2..2 + zeros);
            der[1] -= u8::try_from(zeros).unwrap();
        }
        long => {
            der.push(0x82);
            der.extend(u16::try_from(long).unwrap().to_be_bytes());
            if long < 256 {
                der.truncate(1);
                der.extend([0x81, u8::try_from(long).unwrap()]);
            }
        }
    }
    der.extend(contents);
    der
}

pub(crate) fn sequence(contents: &[&[u8]]) -> Vec<u8> {
    tlv(0x30, contents)
}

/// A P-256 key.
pub(crate) struct Key {
    pair: EcdsaKeyPair,
    pkcs8: Vec<u8>,
}

impl Key {
    pub(crate) fn new() -> Self {
        let random = SystemRandom::new();
        let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der.as_ref(), &random).unwrap();
        Self { pair, pkcs8: der.as_ref().to_vec() }
    }

    /// The PEM text of the private key.
    pub(crate) fn pem(&self) -> String {
        pem("PRIVATE KEY", &self.pkcs8)
    }

    fn info(&self) -> Vec<u8> {
        let algorithm =
            sequence(&[&[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1], &[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7]]);
        sequence(&[&algorithm, &tlv(3, &[&[0], self.pair.public_key().as_ref()])])
    }
}

/// The name with this common name.
pub(crate) fn name(text: &str) -> Vec<u8> {
    sequence(&[&tlv(0x31, &[&sequence(&[&[6, 3, 0x55, 4, 3], &tlv(0x0c, &[text.as_bytes()])])])])
}

/// An extension of id-ce, 2.5.29.`number`.
pub(crate) fn extension(number: u8, critical: bool, value: &[u8]) -> Vec<u8> {
    let flag: &[u8] = if critical { &[1, 1, 0xff] } else { &[] };
    sequence(&[&[6, 3, 0x55, 0x1d, number], flag, &tlv(4, &[value])])
}

pub(crate) fn dns(name: &str) -> Vec<u8> {
    tlv(0x82, &[name.as_bytes()])
}

pub(crate) fn alt_names(names: &[&[u8]]) -> Vec<u8> {
    extension(17, false, &sequence(names))
}

/// serverAuth is 1, clientAuth 2.
pub(crate) fn usage(number: u8) -> Vec<u8> {
    extension(37, false, &sequence(&[&[6, 8, 0x2b, 6, 1, 5, 5, 7, 3, number]]))
}

pub(crate) fn ca(path_length: Option<u8>) -> Vec<u8> {
    let length = path_length.map_or(vec![], |length| vec![2, 1, length]);
    extension(19, true, &sequence(&[&[1, 1, 0xff], &length]))
}

pub(crate) fn key_usage(bits: u8) -> Vec<u8> {
    extension(15, true, &[3, 2, bits.trailing_zeros().try_into().unwrap(), bits])
}

/// What goes into a certificate; change what a test is about.
#[derive(Clone)]
pub(crate) struct Recipe {
    pub(crate) version: u8,
    pub(crate) serial: Vec<u8>,
    pub(crate) issuer: Vec<u8>,
    pub(crate) subject: Vec<u8>,
    pub(crate) not_before: &'static str,
    pub(crate) not_after: &'static str,
    pub(crate) extensions: Vec<Vec<u8>>,
    pub(crate) spoils_signature: bool,
    /// Whether the certificate names another algorithm than its signed part.
    pub(crate) algorithms_differ: bool,
}

impl Recipe {
    pub(crate) fn new(subject: &str, issuer: &str, extensions: Vec<Vec<u8>>) -> Self {
        Self {
            version: 3,
            serial: vec![42],
            issuer: name(issuer),
            subject: name(subject),
            not_before: "250101000000Z",
            not_after: "350101000000Z",
            extensions,
            spoils_signature: false,
            algorithms_differ: false,
        }
    }

    /// A root that signs itself.
    pub(crate) fn root() -> Self {
        Self::new("Root", "Root", vec![ca(None), key_usage(0x06)])
    }

    pub(crate) fn server(issuer: &str) -> Self {
        Self::new("daemon", issuer, vec![alt_names(&[&dns("a.test")]), usage(1)])
    }

    pub(crate) fn with(mut self, extension: Vec<u8>) -> Self {
        self.extensions.push(extension);
        self
    }

    /// The PEM text of the certificate for `key`, signed by `signer`.
    pub(crate) fn issue(&self, key: &Key, signer: &Key) -> String {
        let algorithm = sequence(&[&[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2]]);
        let version: &[u8] = &[0xa0, 3, 2, 1, self.version - 1];
        let validity = sequence(&[&tlv(0x17, &[self.not_before.as_bytes()]), &tlv(0x17, &[self.not_after.as_bytes()])]);
        let list = sequence(&self.extensions.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let extensions = if self.extensions.is_empty() { vec![] } else { tlv(0xa3, &[&list]) };
        let to_be_signed = sequence(&[
            if self.version == 1 { &[] } else { version },
            &tlv(2, &[&self.serial]),
            &algorithm,
            &self.issuer,
            &validity,
            &self.subject,
            &key.info(),
            &extensions,
        ]);
        let mut signature = signer.pair.sign(&SystemRandom::new(), &to_be_signed).unwrap().as_ref().to_vec();
        if self.spoils_signature {
            *signature.last_mut().unwrap() ^= 1;
        }
        let outer = if self.algorithms_differ {
            sequence(&[&[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3]])
        } else {
            algorithm
        };
        pem("CERTIFICATE", &sequence(&[&to_be_signed, &outer, &tlv(3, &[&[0], &signature])]))
    }
}

/// A PEM block.
pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = format!("-----BEGIN {label}-----\n");
    for (index, chunk) in der.chunks(3).enumerate() {
        let bits = chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for position in 0..4 {
            let sextet = usize::try_from(bits >> (18 - 6 * position) & 0x3f).unwrap();
            text.push(if position > chunk.len() { '=' } else { char::from(ALPHABET[sextet]) });
        }
        if index % 16 == 15 {
            text.push('\n');
        }
    }
    text + &format!("\n-----END {label}-----\n")
}
