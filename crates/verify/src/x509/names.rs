//! Distinguished names, domain names and mailboxes as Go's crypto/x509 checks them.
//!
//! Source: Go src/crypto/x509/parser.go (`parseName`, `parseASN1String`, `domainNameValid` since 1.26, `readASN1Any` since 1.27) and verify.go
//! (`domainToReverseLabels`, `parseRFC2821Mailbox`).

use dockseal_docker::version::{Go, GoRelease};

use super::{Malformed, Parsed, clock};
use crate::der::{
    BIT_STRING, BOOLEAN, Element, GENERALIZED_TIME, INTEGER, OBJECT_IDENTIFIER, Reader, SEQUENCE, SET, UTC_TIME,
};

const NUMERIC_STRING: u8 = 18;
const PRINTABLE_STRING: u8 = 19;
const T61_STRING: u8 = 20;
const IA5_STRING: u8 = 22;
const UTF8_STRING: u8 = 12;
const BMP_STRING: u8 = 30;
/// id-at-commonName, 2.5.4.3.
const COMMON_NAME: &[u8] = &[0x55, 4, 3];

/// Checks a Name, given with its header, and returns its last common name.
pub(super) fn read_name(name: &[u8], go: Go) -> Parsed<Option<String>> {
    const BROKEN: Malformed = Malformed("a distinguished name is malformed");
    let mut sequence = Reader::new(name).enter(SEQUENCE).ok_or(BROKEN)?;
    let mut common_name = None;
    while !sequence.is_empty() {
        let mut set = sequence.enter(SET).ok_or(BROKEN)?;
        while !set.is_empty() {
            let mut attribute = set.enter(SEQUENCE).ok_or(BROKEN)?;
            let kind = attribute.object_identifier(go).ok_or(BROKEN)?;
            let value = attribute.any().ok_or(BROKEN)?;
            if !is_value(&value, go) {
                return Err(Malformed("a distinguished name has an attribute that is no valid string"));
            }
            // Go takes strings alone for a common name (pkix.go `FillFromRDNSequence`).
            if kind.as_ref() == COMMON_NAME && is_string(value.tag, value.contents, go) {
                common_name = Some(display(value.tag, value.contents));
            }
        }
    }
    Ok(common_name)
}

/// Since 1.27 an attribute may be of any type, and those that Go knows must be well formed (`readASN1Any`).
fn is_value(value: &Element<'_>, go: Go) -> bool {
    if !go.is_at_least(GoRelease::V1_27) {
        return is_string(value.tag, value.contents, go);
    }
    let mut reader = Reader::new(value.whole);
    match value.tag {
        T61_STRING | PRINTABLE_STRING | UTF8_STRING | BMP_STRING | IA5_STRING | NUMERIC_STRING => {
            is_string(value.tag, value.contents, go)
        }
        INTEGER => reader.int64().is_some(),
        BIT_STRING => reader.bit_string().is_some(),
        OBJECT_IDENTIFIER => reader.object_identifier(go).is_some(),
        UTC_TIME => clock::utc_time(value.contents, go).is_some(),
        GENERALIZED_TIME => clock::generalized_time(value.contents, go).is_some(),
        BOOLEAN => reader.boolean().is_some(),
        _ => true,
    }
}

fn is_string(tag: u8, value: &[u8], go: Go) -> bool {
    match tag {
        T61_STRING => true,
        PRINTABLE_STRING => value.iter().all(|byte| is_printable(*byte)),
        UTF8_STRING => std::str::from_utf8(value).is_ok(),
        BMP_STRING => is_bmp_string(value, go),
        IA5_STRING => value.is_ascii(),
        NUMERIC_STRING => value.iter().all(|byte| byte.is_ascii_digit() || *byte == b' '),
        _ => false,
    }
}

/// PrintableString with the asterisk and ampersand that Go tolerates.
fn is_printable(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'\''..=b')' | b'+'..=b'/' | b' ' | b':' | b'=' | b'?' | b'*' | b'&')
}

/// Go 1.26 refuses surrogates and non-characters.
fn is_bmp_string(value: &[u8], go: Go) -> bool {
    let value = match value {
        _ if !value.len().is_multiple_of(2) => return false,
        [shorter @ .., 0, 0] => shorter,
        _ => value,
    };
    !go.is_at_least(GoRelease::V1_26)
        || value.chunks_exact(2).all(|unit| match *unit {
            [high, low] => {
                !matches!(u16::from_be_bytes([high, low]), 0xfffe | 0xffff | 0xfdd0..=0xfdef | 0xd800..=0xdfff)
            }
            _ => false,
        })
}

fn display(tag: u8, value: &[u8]) -> String {
    match tag {
        T61_STRING => value.iter().map(|byte| char::from(*byte)).collect(),
        BMP_STRING => {
            let units =
                value.chunks_exact(2).map(|unit| unit.iter().fold(0_u16, |value, byte| value << 8 | u16::from(*byte)));
            char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
        }
        _ => String::from_utf8_lossy(value).into_owned(),
    }
}

/// Whether a text is a domain name to Go; with `constraint` it may begin with one dot. The empty text is one.
pub(crate) fn domain_is_valid(name: &[u8], constraint: bool, go: Go) -> bool {
    if name.is_empty() {
        return true;
    }
    if go.is_at_least(GoRelease::V1_26) && name.ends_with(b".") {
        return false;
    }
    let trimmed = if constraint { name.strip_prefix(b".").unwrap_or(name) } else { name };
    trimmed.is_empty() || domain_labels(trimmed, go).is_some()
}

/// The labels of a domain name from the right (`domainToReverseLabels`), `None` if it is none.
///
/// Go 1.19 overlooks one empty label at the left.
pub(crate) fn domain_labels(name: &[u8], go: Go) -> Option<Vec<&[u8]>> {
    if name.is_empty() {
        return Some(Vec::new());
    }
    let mut labels: Vec<&[u8]> = name.rsplit(|byte| *byte == b'.').collect();
    if !go.is_at_least(GoRelease::V1_24) && labels.len() > 1 && labels.last().is_some_and(|label| label.is_empty()) {
        labels.pop();
    }
    labels.iter().all(|label| !label.is_empty() && label.iter().all(|byte| matches!(byte, 33..=126))).then_some(labels)
}

/// An e-mail address in its two parts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mailbox<'a> {
    pub(crate) local: Vec<u8>,
    pub(crate) domain: &'a [u8],
}

impl<'a> Mailbox<'a> {
    /// Reads an address as RFC 2821 has it (`parseRFC2821Mailbox`).
    pub(crate) fn parse(text: &'a [u8], go: Go) -> Option<Self> {
        let (local, rest) = match text.split_first()? {
            (b'"', rest) => quoted_local_part(rest)?,
            _ => plain_local_part(text)?,
        };
        let domain = rest.strip_prefix(b"@")?;
        domain_labels(domain, go)?;
        if go.is_at_least(GoRelease::V1_27) && domain.contains(&b'@') {
            return None;
        }
        Some(Self { local, domain })
    }
}

fn quoted_local_part(mut rest: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut local = Vec::new();
    loop {
        let (&byte, after) = rest.split_first()?;
        rest = after;
        match byte {
            b'"' => return Some((local, rest)),
            b'\\' => {
                let (&escaped, after) = rest.split_first()?;
                if !matches!(escaped, 11 | 12 | 1..=9 | 14..=127) {
                    return None;
                }
                local.push(escaped);
                rest = after;
            }
            11 | 12 | 32 | 33 | 127 | 1..=8 | 14..=31 | 35..=91 | 93..=126 => local.push(byte),
            _ => return None,
        }
    }
}

fn plain_local_part(mut rest: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut local = Vec::new();
    while let Some((&byte, after)) = rest.split_first() {
        match byte {
            b'\\' => {
                let (&escaped, after) = after.split_first()?;
                local.push(escaped);
                rest = after;
            }
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => {
                local.push(byte);
                rest = after;
            }
            _ if b"!#$%&'*+-/=?^_`{|}~.".contains(&byte) => {
                local.push(byte);
                rest = after;
            }
            _ => break,
        }
    }
    let dotted_wrongly = local.starts_with(b".") || local.ends_with(b".") || local.windows(2).any(|pair| pair == b"..");
    (!local.is_empty() && !dotted_wrongly).then_some((local, rest))
}

#[cfg(test)]
mod tests {
    use dockseal_docker::version::Version;

    use super::*;

    const GO_19: Go = Go::V1_19;
    const GO_24: Go = Version::V28.docker_go();
    const GO_26: Go = Version::V29.dockerd_go();

    #[test]
    fn domains() {
        for go in [GO_19, GO_24, GO_26] {
            assert!(domain_is_valid(b"", false, go));
            assert!(domain_is_valid(b"example.com", false, go));
            assert!(domain_is_valid(b"*.example.com", false, go));
            assert!(!domain_is_valid(b"example.com.", false, go));
            assert!(!domain_is_valid(b"a..b", false, go));
            assert!(!domain_is_valid(b"a b", false, go));
            assert!(!domain_is_valid("ä".as_bytes(), false, go));
            assert!(domain_is_valid(b".example.com", true, go));
        }
        assert!(domain_is_valid(b".example.com", false, GO_19));
        assert!(!domain_is_valid(b".example.com", false, GO_24));
        assert!(domain_is_valid(b".", true, GO_24));
        assert!(!domain_is_valid(b".", true, GO_26));
        assert!(!domain_is_valid(b"..com", false, GO_19));
    }

    #[test]
    fn mailboxes() {
        let parse = |text: &'static str| {
            Mailbox::parse(text.as_bytes(), GO_26)
                .map(|mailbox| (String::from_utf8_lossy(&mailbox.local).into_owned(), mailbox.domain))
        };
        assert_eq!(parse("a@b.c"), Some(("a".into(), &b"b.c"[..])));
        assert_eq!(parse("\"a b\"@c"), Some(("a b".into(), &b"c"[..])));
        assert_eq!(parse("\"a\\\"b\"@c"), Some(("a\"b".into(), &b"c"[..])));
        for bad in ["", "a", "@b", ".a@b", "a.@b", "a..b@c", "a b@c", "a@b.", "\"a@b", "a@b..c"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn strings() {
        assert!(is_string(PRINTABLE_STRING, b"A*&", GO_19));
        assert!(!is_string(PRINTABLE_STRING, b"A@", GO_19));
        assert!(!is_string(UTF8_STRING, &[0xff], GO_19));
        assert!(is_string(T61_STRING, &[0xff], GO_19));
        assert!(is_string(BMP_STRING, &[0xd8, 0, 0, 65], GO_24));
        assert!(!is_string(BMP_STRING, &[0xd8, 0, 0, 65], GO_26));
        assert!(!is_string(BMP_STRING, &[65], GO_19));
        assert!(!is_string(28, b"", GO_19), "UniversalString");
    }
}
