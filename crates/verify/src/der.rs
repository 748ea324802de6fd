//! Reading DER as Go's golang.org/x/crypto/cryptobyte does: definite minimal lengths, low tag numbers, nothing else.
//!
//! Nothing here recurses, copies or panics. Source: cryptobyte/asn1.go, vendored in Go 1.19, 1.24 and 1.26.

use std::borrow::Cow;

use dockseal_docker::version::{Go, GoRelease};

pub(crate) const BOOLEAN: u8 = 0x01;
pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(crate) const UTC_TIME: u8 = 0x17;
pub(crate) const GENERALIZED_TIME: u8 = 0x18;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;
/// The encoding of NULL.
pub(crate) const NULL: [u8; 2] = [0x05, 0x00];

/// The context-specific primitive tag `number`.
pub(crate) const fn context(number: u8) -> u8 {
    0x80 | number
}

/// The context-specific constructed tag `number`.
pub(crate) const fn constructed(number: u8) -> u8 {
    0xa0 | number
}

/// One element: its tag, its contents, and both with the header.
#[derive(Clone, Copy)]
pub(crate) struct Element<'a> {
    pub(crate) tag: u8,
    pub(crate) contents: &'a [u8],
    pub(crate) whole: &'a [u8],
}

/// How long the SEQUENCE is with its header, of which the beginning is at hand.
pub(crate) fn announced_length(beginning: &[u8]) -> Option<usize> {
    let (header, length) = header(beginning).filter(|_| beginning.first() == Some(&SEQUENCE))?;
    header.checked_add(length)
}

/// The lengths of the header and of the contents.
fn header(bytes: &[u8]) -> Option<(usize, usize)> {
    let (&tag, after_tag) = bytes.split_first()?;
    let (&first, after_length) = after_tag.split_first()?;
    if tag & 0x1f == 0x1f {
        return None;
    }
    if first & 0x80 == 0 {
        return Some((2, usize::from(first)));
    }
    let octets = usize::from(first & 0x7f);
    if octets == 0 || octets > 4 {
        return None;
    }
    let digits = after_length.get(..octets)?;
    let length = digits.iter().fold(0_u32, |length, digit| length << 8 | u32::from(*digit));
    if length < 128 || digits.first() == Some(&0) {
        return None;
    }
    Some((2 + octets, usize::try_from(length).ok()?))
}

/// A position in a DER text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(der: &'a [u8]) -> Self {
        Self { rest: der }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn next_is(&self, tag: u8) -> bool {
        self.rest.first() == Some(&tag)
    }

    /// The next element whatever its tag (`readASN1`).
    pub(crate) fn any(&mut self) -> Option<Element<'a>> {
        let tag = *self.rest.first()?;
        let (header, length) = header(self.rest)?;
        let whole = self.rest.get(..header.checked_add(length)?)?;
        self.rest = self.rest.get(whole.len()..)?;
        Some(Element { tag, contents: whole.get(header..)?, whole })
    }

    /// The contents of the next element, which must have this tag (`ReadASN1`).
    pub(crate) fn read(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.any().filter(|element| element.tag == tag).map(|element| element.contents)
    }

    /// A reader of the contents of the next element, which must have this tag.
    pub(crate) fn enter(&mut self, tag: u8) -> Option<Self> {
        self.read(tag).map(Self::new)
    }

    /// The next element with its header, which must have this tag (`ReadASN1Element`).
    pub(crate) fn element(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.any().filter(|element| element.tag == tag).map(|element| element.whole)
    }

    /// The contents of the next element if it has this tag; `None` if that element is malformed (`ReadOptionalASN1`).
    #[expect(clippy::option_option, reason = "absent and malformed are different answers")]
    pub(crate) fn optional(&mut self, tag: u8) -> Option<Option<&'a [u8]>> {
        if self.next_is(tag) { self.read(tag).map(Some) } else { Some(None) }
    }

    /// A minimally encoded two's complement integer (`ReadASN1Integer` of a big.Int).
    pub(crate) fn integer(&mut self) -> Option<&'a [u8]> {
        self.read(INTEGER).filter(|bytes| is_minimal_integer(bytes))
    }

    /// A minimally encoded integer that fits into 64 bits with sign.
    pub(crate) fn int64(&mut self) -> Option<i64> {
        self.integer().and_then(signed)
    }

    /// An integer under another tag (`ReadASN1Int64WithTag`).
    pub(crate) fn int64_tagged(&mut self, tag: u8) -> Option<i64> {
        self.read(tag).filter(|bytes| is_minimal_integer(bytes)).and_then(signed)
    }

    pub(crate) fn boolean(&mut self) -> Option<bool> {
        match self.read(BOOLEAN)? {
            [0] => Some(false),
            [0xff] => Some(true),
            _ => None,
        }
    }

    /// A bit string, shifted so that its last bit is the last bit of the last byte (`ReadASN1BitString`).
    pub(crate) fn bit_string(&mut self) -> Option<BitString<'a>> {
        let contents = self.read(BIT_STRING).filter(|contents| is_bit_string(contents))?;
        contents.split_first().map(|(&padding, bytes)| BitString { bytes, padding })
    }

    /// An object identifier's contents in their shortest encoding (`ReadASN1ObjectIdentifier`).
    ///
    /// Before x/crypto v0.10 (Go 1.19) a component could begin with empty septets; they are dropped here.
    pub(crate) fn object_identifier(&mut self, go: Go) -> Option<Cow<'a, [u8]>> {
        object_identifier(self.read(OBJECT_IDENTIFIER)?, go)
    }
}

/// The contents of a BIT STRING.
#[derive(Clone, Copy)]
pub(crate) struct BitString<'a> {
    bytes: &'a [u8],
    padding: u8,
}

impl<'a> BitString<'a> {
    /// Bit `index` counted from the first (`asn1.BitString.At`).
    pub(crate) fn bit(&self, index: usize) -> bool {
        let length = self.bytes.len() * 8 - usize::from(self.padding);
        index < length && self.bytes.get(index / 8).is_some_and(|byte| byte >> (7 - index % 8) & 1 == 1)
    }

    /// The bits as a number, padding at the left (`asn1.BitString.RightAlign`).
    pub(crate) fn right_aligned(&self) -> Cow<'a, [u8]> {
        if self.padding == 0 || self.bytes.is_empty() {
            return Cow::Borrowed(self.bytes);
        }
        let mut carry = 0;
        let shifted = self.bytes.iter().map(|byte| {
            let out = carry | byte >> self.padding;
            carry = byte << (8 - self.padding);
            out
        });
        Cow::Owned(shifted.collect())
    }
}

/// Whether these are the contents of a BIT STRING: at most seven spare bits, and those zero.
pub(crate) fn is_bit_string(contents: &[u8]) -> bool {
    contents.split_first().is_some_and(|(&padding, bytes)| {
        let spare = bytes
            .last()
            .map_or(padding, |last| last & 1_u8.checked_shl(u32::from(padding)).unwrap_or(0).wrapping_sub(1));
        padding <= 7 && spare == 0
    })
}

/// The contents of an OBJECT IDENTIFIER in their shortest encoding.
pub(crate) fn object_identifier(contents: &[u8], go: Go) -> Option<Cow<'_, [u8]>> {
    canonical_identifier(contents, !go.is_at_least(GoRelease::V1_24))
}

pub(crate) fn is_minimal_integer(bytes: &[u8]) -> bool {
    match bytes {
        [] => false,
        [0, second, ..] => second & 0x80 != 0,
        [0xff, second, ..] => second & 0x80 == 0,
        _ => true,
    }
}

pub(crate) fn is_negative(integer: &[u8]) -> bool {
    integer.first().is_some_and(|byte| byte & 0x80 != 0)
}

/// The bytes of a positive integer without leading zeros; `None` for zero and below.
pub(crate) fn positive(integer: &[u8]) -> Option<&[u8]> {
    if is_negative(integer) {
        return None;
    }
    let zeros = integer.iter().take_while(|byte| **byte == 0).count();
    integer.get(zeros..).filter(|magnitude| !magnitude.is_empty())
}

/// The value of a two's complement integer of at most eight bytes.
pub(crate) fn signed(bytes: &[u8]) -> Option<i64> {
    if bytes.len() > 8 {
        return None;
    }
    let start = if is_negative(bytes) { -1_i64 } else { 0 };
    Some(bytes.iter().fold(start, |value, byte| value << 8 | i64::from(*byte)))
}

/// Checks the components of an object identifier: at most 31 bits each (`readBase128Int`).
fn canonical_identifier(bytes: &[u8], lenient: bool) -> Option<Cow<'_, [u8]>> {
    if bytes.is_empty() {
        return None;
    }
    let mut canonical: Option<Vec<u8>> = None;
    let mut octets = 0;
    let mut value = 0_u32;
    for (position, &byte) in bytes.iter().enumerate() {
        if octets == 5 || value >= 1 << 24 {
            return None;
        }
        let leads_with_nothing = value == 0 && byte == 0x80;
        if leads_with_nothing && !(lenient || octets > 0) {
            return None;
        }
        value = value << 7 | u32::from(byte & 0x7f);
        octets += 1;
        if leads_with_nothing {
            canonical.get_or_insert_with(|| bytes.get(..position).unwrap_or_default().to_vec());
        } else if let Some(canonical) = &mut canonical {
            canonical.push(byte);
        }
        if byte & 0x80 == 0 {
            (octets, value) = (0, 0);
        }
    }
    if octets != 0 {
        return None;
    }
    Some(canonical.map_or(Cow::Borrowed(bytes), Cow::Owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_any(bytes: &[u8]) -> Option<Vec<u8>> {
        Reader::new(bytes).any().map(|element| element.contents.to_vec())
    }

    #[test]
    fn lengths_are_definite_and_minimal() {
        assert_eq!(read_any(&[4, 1, 9, 9]), Some(vec![9]));
        assert_eq!(read_any(&[4, 2, 9]), None);
        assert_eq!(read_any(&[4, 0x80, 0, 0]), None);
        assert_eq!(read_any(&[4, 0x81, 1, 9]), None, "long form for a short length");
        let mut long = vec![4, 0x81, 128];
        long.extend([7; 128]);
        assert_eq!(read_any(&long), Some(vec![7; 128]));
        let mut padded = vec![4, 0x82, 0, 128];
        padded.extend([7; 128]);
        assert_eq!(read_any(&padded), None);
        assert_eq!(read_any(&[4, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
        assert_eq!(read_any(&[4, 0x85, 1, 0, 0, 0, 0]), None);
        assert_eq!(read_any(&[0x1f, 1, 0]), None, "high tag number");
    }

    #[test]
    fn integers_are_minimal() {
        assert!(is_minimal_integer(&[0]));
        assert!(!is_minimal_integer(&[]));
        assert!(!is_minimal_integer(&[0, 1]));
        assert!(is_minimal_integer(&[0, 0x80]));
        assert!(!is_minimal_integer(&[0xff, 0x80]));
        assert_eq!(signed(&[0xff]), Some(-1));
        assert_eq!(signed(&[1, 0]), Some(256));
        assert_eq!(signed(&[0; 9]), None);
        assert_eq!(positive(&[0]), None);
        assert_eq!(positive(&[0, 0x80]), Some(&[0x80][..]));
    }

    #[test]
    fn bit_strings_have_zero_padding() {
        assert!(
            Reader::new(&[3, 2, 5, 0xa0]).bit_string().is_some_and(|bits| bits.bit(0) && !bits.bit(1) && bits.bit(2))
        );
        assert!(Reader::new(&[3, 2, 5, 0xa1]).bit_string().is_none());
        assert!(Reader::new(&[3, 2, 8, 0]).bit_string().is_none());
        assert!(Reader::new(&[3, 1, 1]).bit_string().is_none());
        assert!(Reader::new(&[3, 0]).bit_string().is_none());
        assert_eq!(
            Reader::new(&[3, 3, 4, 0xab, 0xc0]).bit_string().map(|bits| bits.right_aligned().into_owned()),
            Some(vec![0x0a, 0xbc])
        );
    }

    #[test]
    fn identifiers_may_begin_with_empty_septets_only_in_go_1_19() {
        let lenient = |bytes: &[u8]| canonical_identifier(bytes, true).map(Cow::into_owned);
        let strict = |bytes: &[u8]| canonical_identifier(bytes, false).map(Cow::into_owned);
        assert_eq!(strict(&[0x55, 0x1d, 0x11]), Some(vec![0x55, 0x1d, 0x11]));
        assert_eq!(strict(&[0x55, 0x1d, 0x80, 0x11]), None);
        assert_eq!(lenient(&[0x55, 0x1d, 0x80, 0x11]), Some(vec![0x55, 0x1d, 0x11]));
        assert_eq!(lenient(&[0x55, 0x81, 0x80, 0x01]), Some(vec![0x55, 0x81, 0x80, 0x01]));
        assert_eq!(strict(&[0x55, 0x81]), None, "truncated");
        assert_eq!(strict(&[0x55, 0x88, 0x80, 0x80, 0x80, 0x00]), None, "more than 31 bits");
        assert_eq!(strict(&[0x55, 0x87, 0xff, 0xff, 0xff, 0x7f]).map(|oid| oid.len()), Some(6));
        assert_eq!(strict(&[]), None);
    }
}
