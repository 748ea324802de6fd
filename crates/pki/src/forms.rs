//! The forms in which certificates are handed over, besides the PEM that Docker reads: DER, PKCS#7, other labels, and PEM that
//! an editor or a configuration has written in another way. For what people bring, never for what Docker is to read.

use std::fmt;

use pkcs8::{
    ObjectIdentifier,
    der::{
        Decode, Encode, Reader, SliceReader, Tag, TagNumber, Tagged,
        asn1::{AnyRef, UintRef},
    },
};

use crate::{Certificate, CertificateError, pem};

const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
const DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");

/// All certificates of a file in any of these forms, in the order in which they stand there; none where there is none that can
/// be read, and none where one of them cannot.
pub fn certificates_in(bytes: &[u8]) -> Vec<Certificate> {
    match bytes.first() {
        Some(0x30) => of_der(bytes).unwrap_or_default(),
        _ => of_text(&as_text(bytes)).unwrap_or_default(),
    }
}

/// Why a PEM text gives no certificates.
#[derive(Debug, PartialEq)]
#[non_exhaustive]
pub enum PemCertificatesError {
    /// A block is malformed.
    Pem(pem::PemError),
    /// A block is no certificate.
    Certificate(CertificateError),
    /// There is none.
    Missing,
}

impl fmt::Display for PemCertificatesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pem(error) => error.fmt(f),
            Self::Certificate(error) => error.fmt(f),
            Self::Missing => f.write_str("there is no certificate in it"),
        }
    }
}

impl std::error::Error for PemCertificatesError {}

/// The certificates of a PEM text as this program writes it, in order, at least one; blocks with another label are skipped.
///
/// # Errors
/// When a block is malformed, when one of the certificates is, or when there is none.
pub fn certificates_in_pem(text: &[u8]) -> Result<Vec<Certificate>, PemCertificatesError> {
    let blocks = pem::decode_all(text).map_err(PemCertificatesError::Pem)?;
    let certificates = blocks
        .iter()
        .filter(|block| block.tag() == "CERTIFICATE")
        .map(|block| Certificate::from_der(block.contents()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(PemCertificatesError::Certificate)?;
    if certificates.is_empty() { Err(PemCertificatesError::Missing) } else { Ok(certificates) }
}

/// Whether it is PKCS#12 (RFC 7292 section 4): version 3, then data or signed data.
pub fn is_pkcs12(bytes: &[u8]) -> bool {
    elements(bytes).is_some_and(|parts| {
        let version = parts.first().is_some_and(|part| part.tag() == Tag::Integer && part.value() == [3]);
        let content = parts.get(1).and_then(|part| SliceReader::new(part.value()).ok());
        let kind = content.and_then(|mut reader| ObjectIdentifier::decode(&mut reader).ok());
        version && kind.is_some_and(|kind| kind == DATA || kind == SIGNED_DATA)
    })
}

fn of_der(der: &[u8]) -> Option<Vec<Certificate>> {
    if let Ok(certificate) = Certificate::from_der(der) {
        return Some(vec![certificate]);
    }
    of_pkcs7(der)
}

fn of_text(text: &[u8]) -> Option<Vec<Certificate>> {
    let mut all = Vec::new();
    for block in pem::decode_all(text).ok()? {
        match block.tag() {
            // What openssl called it before 1995 (RFC 7468 section 5.1).
            "CERTIFICATE" | "X509 CERTIFICATE" => all.push(Certificate::from_der(block.contents()).ok()?),
            // openssl x509 -trustout: what the certificate is trusted for comes after it.
            "TRUSTED CERTIFICATE" => {
                let mut reader = SliceReader::new(block.contents()).ok()?;
                let first = AnyRef::decode(&mut reader).ok()?.to_der().ok()?;
                all.push(Certificate::from_der(&first).ok()?);
            }
            "PKCS7" | "CMS" | "PKCS #7 SIGNED DATA" => all.extend(of_pkcs7(block.contents())?),
            _ => {}
        }
    }
    Some(all)
}

/// The certificates of signed data, which is mostly signed by nobody (RFC 2315 section 9.1, RFC 5652 section 5.1).
fn of_pkcs7(der: &[u8]) -> Option<Vec<Certificate>> {
    let content = elements(der)?;
    let [kind, explicit] = content.as_slice() else { return None };
    if ObjectIdentifier::from_der(&kind.to_der().ok()?).ok()? != SIGNED_DATA {
        return None;
    }
    let signed = elements(explicit.value())?;
    UintRef::from_der(&signed.first()?.to_der().ok()?).ok()?;
    let is_set =
        |part: &&AnyRef<'_>| matches!(part.tag(), Tag::ContextSpecific { number, .. } if number == TagNumber(0));
    let set = signed.iter().find(is_set)?;
    let mut reader = SliceReader::new(set.value()).ok()?;
    let mut all = Vec::new();
    while !reader.is_finished() {
        let one = AnyRef::decode(&mut reader).ok()?.to_der().ok()?;
        all.push(Certificate::from_der(&one).ok()?);
    }
    Some(all)
}

/// What a SEQUENCE is made of, if it is one to its end.
fn elements(der: &[u8]) -> Option<Vec<AnyRef<'_>>> {
    let whole = AnyRef::from_der(der).ok().filter(|whole| whole.tag() == Tag::Sequence)?;
    let mut reader = SliceReader::new(whole.value()).ok()?;
    let mut parts = Vec::new();
    while !reader.is_finished() {
        parts.push(AnyRef::decode(&mut reader).ok()?);
    }
    Some(parts)
}

/// Text as UTF-8: Windows' editors write UTF-16, and configurations write the ends of lines as two characters.
fn as_text(bytes: &[u8]) -> Vec<u8> {
    let wide = |from: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes.chunks_exact(2).filter_map(|pair| pair.try_into().ok().map(from)).collect();
        String::from_utf16_lossy(&units).into_bytes()
    };
    let text = match bytes {
        [0xff, 0xfe, ..] | [b'-', 0, ..] => wide(u16::from_le_bytes),
        [0xfe, 0xff, ..] | [0, b'-', ..] => wide(u16::from_be_bytes),
        _ => bytes.to_vec(),
    };
    let is_escaped = text.windows(7).any(|window| window == b"-----\\n");
    if !is_escaped {
        return text;
    }
    String::from_utf8_lossy(&text).replace("\\r", "").replace("\\n", "\n").into_bytes()
}
