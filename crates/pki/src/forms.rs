//! The forms in which certificates are handed over, besides the PEM that Docker reads: DER, PKCS#7, other labels, and PEM that
//! an editor or a configuration has written in another way. For what people bring, never for what Docker is to read.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use pkcs8::{
    ObjectIdentifier,
    der::{
        Decode, Encode, Reader, SliceReader, Tag, TagNumber, Tagged,
        asn1::{AnyRef, UintRef},
    },
};
use zeroize::Zeroizing;

use crate::{Certificate, CertificateError, pem};

const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
const DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const DASHES: &[u8] = b"-----";

/// A form in which a file holds certificates or keys that Docker does not see, because it reads PEM by the rules of Go's
/// encoding/pem (pem.go `Decode`): BEGIN and END lines of their own from the first column on, and line feeds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// Bare DER: a certificate, a key or something else.
    Der,
    /// PKCS#7, in DER or under its own PEM label (RFC 2315, RFC 5652).
    Pkcs7,
    /// PKCS#12 (RFC 7292).
    Pkcs12,
    /// UTF-16, with or without a byte order mark.
    Utf16,
    /// UTF-8 with a byte order mark before the first BEGIN.
    ByteOrderMark,
    /// Base64 without BEGIN and END lines, of DER or of PEM.
    Base64,
    /// Line ends as the two characters `\\n`.
    EscapedLineEnds,
    /// Line ends as carriage returns alone.
    CarriageReturns,
    /// END of one block and BEGIN of the next on one line.
    JoinedBlocks,
    /// A BEGIN or END line that goes on with the block's contents.
    OneLine,
    /// Something before a BEGIN or END on its line, blanks mostly.
    Indented,
    /// A PEM label that Docker passes over.
    OtherLabel(&'static str),
}

impl Form {
    /// The form of a file, and only one that Docker does not read or loses a part of. `None` says nothing about the rest.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        if let Some(0x30) = bytes.first() {
            return Some(match () {
                () if is_pkcs12(bytes) => Self::Pkcs12,
                () if of_pkcs7(bytes).is_some() => Self::Pkcs7,
                () => AnyRef::from_der(bytes).is_ok().then_some(Self::Der)?,
            });
        }
        if wide_units(bytes).is_some() {
            return Some(Self::Utf16);
        }
        if !contains(bytes, BEGIN) {
            return of_base64(bytes).map(|_| Self::Base64);
        }
        Self::of_pem(bytes)
    }

    fn of_pem(text: &[u8]) -> Option<Self> {
        if text.strip_prefix(BYTE_ORDER_MARK).is_some_and(|rest| rest.starts_with(BEGIN)) {
            return Some(Self::ByteOrderMark);
        }
        if is_escaped(text) {
            return Some(Self::EscapedLineEnds);
        }
        text.split(|byte| *byte == b'\n').find_map(Self::of_line)
    }

    /// What is wrong with a line that has a BEGIN or END.
    fn of_line(line: &[u8]) -> Option<Self> {
        let found = [BEGIN, END].into_iter().filter_map(|boundary| Some((position(line, boundary)?, boundary)));
        let (start, boundary) = found.min_by_key(|(start, _)| *start)?;
        let label = line.get(start + boundary.len()..)?;
        let length = position(label, DASHES)?;
        let (label, after) = (label.get(..length)?, label.get(length + DASHES.len()..)?);
        if after.starts_with(BEGIN) {
            return Some(Self::JoinedBlocks);
        }
        if !after.trim_ascii().is_empty() {
            return Some(if after.starts_with(b"\r") { Self::CarriageReturns } else { Self::OneLine });
        }
        if start > 0 {
            let is_contents = boundary == END && !line.get(..start)?.trim_ascii().is_empty();
            return Some(if is_contents { Self::OneLine } else { Self::Indented });
        }
        OTHER_LABELS.into_iter().find(|other| other.as_bytes() == label).map(|label| match label {
            PKCS7_LABEL | CMS_LABEL | SIGNED_DATA_LABEL => Self::Pkcs7,
            label => Self::OtherLabel(label),
        })
    }
}

impl fmt::Display for Form {
    /// The rest of a sentence that begins with the file: "it …".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Der => "is DER, not PEM",
            Self::Pkcs7 => "is PKCS#7 (.p7b), not PEM certificates",
            Self::Pkcs12 => "is PKCS#12 (.p12, .pfx), not PEM",
            Self::Utf16 => "is PEM in UTF-16, not in ASCII or UTF-8",
            Self::ByteOrderMark => "begins with a byte order mark (BOM), which hides its first PEM block",
            Self::Base64 => "is base64 without BEGIN and END lines",
            Self::EscapedLineEnds => "has its line ends as the two characters \\n: PEM on one line",
            Self::CarriageReturns => "has carriage returns (CR) alone as line ends",
            Self::JoinedBlocks => {
                "has the END of one PEM block and the BEGIN of the next on one line, which hides both"
            }
            Self::OneLine => "has lost the line ends of its PEM: contents stand on the line of BEGIN or END",
            Self::Indented => "has blanks or other characters before a BEGIN or END, which must start its line",
            Self::OtherLabel(label) => {
                return write!(f, "has the PEM label {label} in place of CERTIFICATE");
            }
        })
    }
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
const PKCS7_LABEL: &str = "PKCS7";
const CMS_LABEL: &str = "CMS";
const SIGNED_DATA_LABEL: &str = "PKCS #7 SIGNED DATA";
/// What openssl called a certificate before 1995 (RFC 7468 section 5.1).
const X509_LABEL: &str = "X509 CERTIFICATE";
/// `openssl x509 -trustout`.
const TRUSTED_LABEL: &str = "TRUSTED CERTIFICATE";
const OTHER_LABELS: [&str; 5] = [PKCS7_LABEL, CMS_LABEL, SIGNED_DATA_LABEL, X509_LABEL, TRUSTED_LABEL];

/// All certificates of a file in any of these forms, in the order in which they stand there; none where there is none that can
/// be read, and none where one of them cannot.
pub fn certificates_in(bytes: &[u8]) -> Vec<Certificate> {
    let bytes = pem_or_der(bytes);
    match bytes.first() {
        Some(0x30) => of_der(&bytes).unwrap_or_default(),
        _ => of_text(&bytes).unwrap_or_default(),
    }
}

/// The certificates of one PEM block under any label that has some; `None` for other labels and where one cannot be read.
pub fn certificates_of_block(label: &str, der: &[u8]) -> Option<Vec<Certificate>> {
    match label {
        "CERTIFICATE" | X509_LABEL => Some(vec![Certificate::from_der(der).ok()?]),
        // What the certificate is trusted for comes after it.
        TRUSTED_LABEL => {
            let mut reader = SliceReader::new(der).ok()?;
            let first = AnyRef::decode(&mut reader).ok()?.to_der().ok()?;
            Some(vec![Certificate::from_der(&first).ok()?])
        }
        PKCS7_LABEL | CMS_LABEL | SIGNED_DATA_LABEL => of_pkcs7(der),
        _ => None,
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
        if block.tag() == "CERTIFICATE" || OTHER_LABELS.contains(&block.tag()) {
            all.extend(certificates_of_block(block.tag(), block.contents())?);
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

/// PEM in UTF-8, or DER: Windows' editors write UTF-16, configurations write line ends as two characters, and what holds
/// secrets keeps them as base64.
pub fn pem_or_der(bytes: &[u8]) -> Zeroizing<Vec<u8>> {
    let text = match wide_units(bytes) {
        Some(units) => Zeroizing::new(String::from_utf16_lossy(&units).into_bytes()),
        None => Zeroizing::new(bytes.to_vec()),
    };
    if is_escaped(&text) {
        let lines = Zeroizing::new(String::from_utf8_lossy(&text).replace("\\r", ""));
        return Zeroizing::new(lines.replace("\\n", "\n").into_bytes());
    }
    of_base64(&text).unwrap_or(text)
}

/// The units of UTF-16, as a byte order mark or the first dash tells.
fn wide_units(bytes: &[u8]) -> Option<Zeroizing<Vec<u16>>> {
    let unit: fn([u8; 2]) -> u16 = match bytes {
        [0xff, 0xfe, ..] | [b'-', 0, ..] => u16::from_le_bytes,
        [0xfe, 0xff, ..] | [0, b'-', ..] => u16::from_be_bytes,
        _ => return None,
    };
    Some(Zeroizing::new(bytes.chunks_exact(2).filter_map(|pair| pair.try_into().ok().map(unit)).collect()))
}

fn is_escaped(text: &[u8]) -> bool {
    contains(text, BEGIN) && (contains(text, b"-----\\n") || contains(text, b"-----\\r\\n"))
}

/// What bare base64 is of: DER or PEM.
fn of_base64(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    if contains(text, BEGIN) {
        return None;
    }
    let text: Zeroizing<Vec<u8>> =
        Zeroizing::new(text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect());
    let decoded = Zeroizing::new(BASE64.decode(&*text).ok()?);
    let is_der = || AnyRef::from_der(&decoded).is_ok_and(|whole| whole.tag() == Tag::Sequence);
    (contains(&decoded, BEGIN) || is_der()).then_some(decoded)
}

fn contains(text: &[u8], wanted: &[u8]) -> bool {
    position(text, wanted).is_some()
}

fn position(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n";

    fn wide(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(bytes).collect()
    }

    /// What Go's encoding/pem finds (pem_test.go, and `dockseal-verify`'s pem.rs) has no form of its own.
    #[test]
    fn what_docker_reads_has_no_form() {
        for text in [
            ONE.to_owned(),
            ONE.repeat(2),
            ONE.replace('\n', "\r\n"),
            ONE.replace("-----\n", "----- \t\n"),
            format!("text\n{ONE}text"),
            format!("\u{feff}text\n{ONE}"),
            ONE.trim_end().to_owned(),
            "no PEM at all".to_owned(),
            "AQID".to_owned(),
            String::new(),
        ] {
            assert_eq!(Form::of(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn every_form_is_told() {
        let joined = format!("{}{ONE}", ONE.trim_end());
        let x509 = ONE.replace("CERTIFICATE", "X509 CERTIFICATE");
        for (text, form) in [
            (format!("\u{feff}{ONE}"), Form::ByteOrderMark),
            (ONE.replace('\n', "\\n"), Form::EscapedLineEnds),
            (format!("\"{}\"", ONE.replace('\n', "\\r\\n")), Form::EscapedLineEnds),
            (ONE.replace('\n', "\r"), Form::CarriageReturns),
            (ONE.replace('\n', "\r") + "\n", Form::CarriageReturns),
            (joined.clone(), Form::JoinedBlocks),
            (format!("{ONE}{joined}"), Form::JoinedBlocks),
            (ONE.replace('\n', ""), Form::OneLine),
            (ONE.replace('\n', " "), Form::OneLine),
            (ONE.replace("AQID\n", "AQID"), Form::OneLine),
            (ONE.replace('-', "  -").replace("-  ", "-"), Form::Indented),
            (ONE.replace("-----END", "\t-----END"), Form::Indented),
            (format!("\"{ONE}"), Form::Indented),
            (x509, Form::OtherLabel("X509 CERTIFICATE")),
            (ONE.replace("CERTIFICATE", "PKCS7"), Form::Pkcs7),
            (BASE64.encode(ONE), Form::Base64),
            (BASE64.encode([0x30, 0]), Form::Base64),
        ] {
            assert_eq!(Form::of(text.as_bytes()), Some(form), "{text:?}");
        }
        for bytes in [wide(ONE, u16::to_le_bytes), wide(&format!("\u{feff}{ONE}"), u16::to_be_bytes)] {
            assert_eq!(Form::of(&bytes), Some(Form::Utf16));
        }
        assert_eq!(Form::of(&[0x30, 0]), Some(Form::Der));
    }
}
