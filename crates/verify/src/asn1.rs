//! Reading a private key's structure as Go's encoding/asn1 unmarshals into a struct.
//!
//! It is more lenient than `der`: further fields are ignored, the length of an explicit tag is not held against its
//! contents, and an optional field that does not match is simply absent. Source: Go src/encoding/asn1/asn1.go
//! (`parseField`, `parseTagAndLength`).

/// The fields of a SEQUENCE.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Header {
    /// Class, number and whether the encoding is constructed.
    tag: Tag,
    length: usize,
}

/// A tag of Go's asn1.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tag {
    class: u8,
    constructed: bool,
    number: u32,
}

impl Tag {
    pub(crate) const INTEGER: Self = Self::universal(2, false);
    pub(crate) const BIT_STRING: Self = Self::universal(3, false);
    pub(crate) const OCTET_STRING: Self = Self::universal(4, false);
    pub(crate) const OBJECT_IDENTIFIER: Self = Self::universal(6, false);
    pub(crate) const SEQUENCE: Self = Self::universal(16, true);

    const fn universal(number: u32, constructed: bool) -> Self {
        Self {
            class: 0,
            constructed,
            number,
        }
    }
}

impl<'a> Fields<'a> {
    /// The fields of the SEQUENCE that `der` begins with, and what follows it.
    pub(crate) fn of(der: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let mut outer = Self { rest: der };
        let fields = outer.sequence()?;
        Some((fields, outer.rest))
    }

    /// The elements of a SEQUENCE whose contents these are.
    pub(crate) const fn within(contents: &'a [u8]) -> Self {
        Self { rest: contents }
    }

    /// The one element that `der` begins with.
    pub(crate) fn only(der: &'a [u8], tag: Tag) -> Option<&'a [u8]> {
        Self { rest: der }.required(tag)
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// A field that must be there.
    pub(crate) fn required(&mut self, tag: Tag) -> Option<&'a [u8]> {
        self.optional(tag)?
    }

    /// A field that may be absent; `None` where what is there cannot be read.
    #[expect(
        clippy::option_option,
        reason = "absent and malformed are different answers"
    )]
    pub(crate) fn optional(&mut self, tag: Tag) -> Option<Option<&'a [u8]>> {
        if self.rest.is_empty() {
            return Some(None);
        }
        let (header, contents) = header(self.rest)?;
        if header.tag != tag {
            Some(None)
        } else {
            self.take(contents, header.length).map(Some)
        }
    }

    /// A field under an explicit context tag, or absent if either tag does not match.
    #[expect(
        clippy::option_option,
        reason = "absent and malformed are different answers"
    )]
    pub(crate) fn optional_explicit(&mut self, number: u32, tag: Tag) -> Option<Option<&'a [u8]>> {
        if self.rest.is_empty() {
            return Some(None);
        }
        let (outer, contents) = header(self.rest)?;
        if contents.is_empty() {
            return None;
        }
        let matches = outer.tag.class == 2
            && outer.tag.number == number
            && (outer.length == 0 || outer.tag.constructed);
        if !matches {
            return Some(None);
        }
        if outer.length == 0 {
            return None;
        }
        let (inner, contents) = header(contents)?;
        if inner.tag != tag {
            Some(None)
        } else {
            self.take(contents, inner.length).map(Some)
        }
    }

    pub(crate) fn sequence(&mut self) -> Option<Self> {
        self.required(Tag::SEQUENCE).map(|rest| Self { rest })
    }

    /// Any element with its header, or nothing at the end.
    #[expect(
        clippy::option_option,
        reason = "absent and malformed are different answers"
    )]
    pub(crate) fn raw(&mut self) -> Option<Option<&'a [u8]>> {
        if self.rest.is_empty() {
            return Some(None);
        }
        let start = self.rest;
        let (header, contents) = header(start)?;
        self.take(contents, header.length)?;
        Some(start.get(..start.len() - self.rest.len()))
    }

    fn take(&mut self, contents: &'a [u8], length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = contents.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }
}

fn header(bytes: &[u8]) -> Option<(Header, &[u8])> {
    let (&first, mut rest) = bytes.split_first()?;
    let mut number = u32::from(first & 0x1f);
    if number == 0x1f {
        (number, rest) = base_128(rest)?;
        if number < 0x1f {
            return None;
        }
    }
    let (&first_length, mut rest) = rest.split_first()?;
    let mut length = usize::from(first_length & 0x7f);
    if first_length & 0x80 != 0 {
        let octets = length;
        if octets == 0 {
            return None;
        }
        length = 0;
        for _ in 0..octets {
            let (&octet, after) = rest.split_first()?;
            if length >= 1 << 23 {
                return None;
            }
            length = length << 8 | usize::from(octet);
            if length == 0 {
                return None;
            }
            rest = after;
        }
        if length < 0x80 {
            return None;
        }
    }
    let tag = Tag {
        class: first >> 6,
        constructed: first & 0x20 != 0,
        number,
    };
    Some((Header { tag, length }, rest))
}

fn base_128(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let mut value = 0_u64;
    for (index, byte) in bytes.iter().enumerate().take(5) {
        if index == 0 && *byte == 0x80 {
            return None;
        }
        value = value << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            let value = u32::try_from(value)
                .ok()
                .filter(|value| i32::try_from(*value).is_ok())?;
            return Some((value, bytes.get(index + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn explicit_tags_are_taken_loosely() {
        // The outer length says five, the inner element has one byte.
        let mut fields = Fields {
            rest: &[0xa1, 5, 2, 1, 9],
        };
        assert_eq!(
            fields.optional_explicit(1, Tag::INTEGER),
            Some(Some(&[9][..]))
        );
        let mut other = Fields {
            rest: &[0xa1, 3, 4, 1, 9],
        };
        assert_eq!(other.optional_explicit(1, Tag::INTEGER), Some(None));
        assert_eq!(
            Fields {
                rest: &[0xa1, 0, 1]
            }
            .optional_explicit(1, Tag::INTEGER),
            None
        );
        assert_eq!(
            Fields { rest: &[] }.optional_explicit(1, Tag::INTEGER),
            Some(None)
        );
    }

    #[test]
    fn headers() {
        assert!(header(&[0x02, 0x81, 0x01]).is_none(), "not minimal");
        assert!(header(&[0x02, 0x82, 0x00, 0x80]).is_none(), "leading zero");
        assert!(header(&[0x02, 0x80]).is_none(), "indefinite");
        assert!(
            header(&[0x1f, 0x1e, 0]).is_none(),
            "low number in high form"
        );
        assert!(header(&[0x1f, 0x1f, 0]).is_some());
        assert!(
            header(&[0x02, 0x84, 0xff, 0xff, 0xff, 0xff]).is_none(),
            "too long"
        );
    }
}
