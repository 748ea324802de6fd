//! Serial numbers (RFC 5280 section 4.1.2.2).

use std::fmt;

use ring::{error::Unspecified, rand::SecureRandom};

/// From so many digits on, hexadecimal of letters alone is nobody's name.
const NO_NAME: usize = 8;

/// A certificate's serial number, as the content octets of its DER INTEGER.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SerialNumber(Vec<u8>);

impl SerialNumber {
    /// A new serial: positive, 16 octets, 126 random bits.
    ///
    /// The first octet is 0x40–0x7f, so the number is positive, never needs a leading zero and always has the same
    /// length. RFC 5280 allows 20 octets; the CA/Browser Forum asks for at least 64 random bits.
    ///
    /// # Errors
    /// When the random source fails.
    pub fn random(random: &dyn SecureRandom) -> Result<Self, Unspecified> {
        let mut octets = vec![0; 16];
        random.fill(&mut octets)?;
        octets[0] = (octets[0] & 0x3f) | 0x40;
        Ok(Self(octets))
    }

    /// A serial from the content octets of a DER INTEGER, whatever they are.
    pub fn from_der_content(octets: &[u8]) -> Self {
        Self(octets.to_vec())
    }

    /// The serials that a text may mean, as people copy them: hexadecimal in either case, with or without `0x`, colons or
    /// blanks between the octets and leading zeros.
    ///
    /// Two where it means any, since [`Display`](fmt::Display) shows a negative number and the positive one of the same
    /// octets alike. A short one of letters alone may be somebody's name (Ada, Abe, Ed), so that it means a serial only as
    /// `openssl x509 -serial` prints it, in upper case and whole octets, or with `0x`.
    pub fn meant_by(text: &str) -> Vec<Self> {
        let bare = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
        let digits: String = bare.unwrap_or(text).chars().filter(|c| !matches!(c, ':' | ' ')).collect();
        let is_as_printed =
            || digits.len().is_multiple_of(2) && !digits.bytes().any(|digit| digit.is_ascii_lowercase());
        let may_be_a_name = bare.is_none() && digits == text && digits.bytes().all(|digit| digit.is_ascii_alphabetic());
        if digits.is_empty()
            || !digits.bytes().all(|digit| digit.is_ascii_hexdigit())
            || may_be_a_name && digits.len() < NO_NAME && !is_as_printed()
        {
            return Vec::new();
        }
        let octets = significant_octets(&digits);
        let positive = [&[0], octets.as_slice()].concat();
        if octets.is_empty() { vec![Self(positive)] } else { vec![Self(octets), Self(positive)] }
    }

    /// A number of at least 0 in hexadecimal, without anything else around it, in as few octets as DER allows (X.690
    /// section 8.3.2).
    pub fn positive(hexadecimal: &str) -> Option<Self> {
        if hexadecimal.is_empty() || !hexadecimal.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        let octets = significant_octets(hexadecimal);
        let has_sign = octets.first().is_none_or(|first| *first >= 0x80);
        Some(Self(if has_sign { [&[0], octets.as_slice()].concat() } else { octets }))
    }

    /// The content octets, most significant first, with the leading zero that keeps a positive number positive.
    pub fn der_content(&self) -> &[u8] {
        &self.0
    }

    /// Whether it is a negative number, which RFC 5280 section 4.1.2.2 forbids; Go refuses such certificates since 1.23.
    pub fn is_negative(&self) -> bool {
        self.0.first().is_some_and(|octet| octet & 0x80 != 0)
    }

    /// Lower-case hexadecimal without separators; usable as a file name.
    pub fn to_hex(&self) -> String {
        self.0.iter().map(|octet| format!("{octet:02x}")).collect()
    }
}

/// The octets of hexadecimal digits, without leading zeros.
fn significant_octets(digits: &str) -> Vec<u8> {
    let pairs = digits.trim_start_matches('0').as_bytes().rchunks(2).rev();
    pairs.filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

/// Upper-case hexadecimal without separators, as `openssl x509 -serial` prints.
impl fmt::Display for SerialNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let significant = match self.0.as_slice() {
            [0, rest @ ..] if !rest.is_empty() => rest,
            all => all,
        };
        significant.iter().try_for_each(|octet| write!(f, "{octet:02X}"))
    }
}

impl fmt::Debug for SerialNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use ring::rand::SystemRandom;

    use super::*;

    #[test]
    fn random_serials_are_positive_short_enough_and_distinct() {
        let random = SystemRandom::new();
        let mut seen = HashSet::new();
        for _ in 0..10_000 {
            let serial = SerialNumber::random(&random).unwrap();
            assert_eq!(serial.der_content().len(), 16);
            assert!((0x40..0x80).contains(&serial.der_content()[0]));
            assert!(seen.insert(serial));
        }
    }

    #[test]
    fn what_is_shown_is_read_again_however_it_is_copied() {
        let meant = |text: &str| -> Vec<Vec<u8>> {
            SerialNumber::meant_by(text).iter().map(|serial| serial.der_content().to_vec()).collect()
        };
        for octets in
            [&[0][..], &[1], &[0x10, 0], &[0, 0x80], &[0xff], &[0, 0xab, 0xcd], &[0x40; 16], &[0, 0xfe, 1, 2, 3]]
        {
            let shown = SerialNumber::from_der_content(octets).to_string();
            let colons: Vec<&str> = (0..shown.len()).step_by(2).map(|at| &shown[at..at + 2]).collect();
            let zero = format!("00{shown}");
            for text in
                [shown.clone(), format!("0x{}", shown.to_lowercase()), colons.join(":"), zero, format!("0X0{shown}")]
            {
                assert!(meant(&text).contains(&octets.to_vec()), "{text}: {octets:?}");
            }
        }
        for text in ["1", "01", "0001", "0x1", "00:01"] {
            assert_eq!(meant(text), [vec![1], vec![0, 1]], "{text}");
        }
        assert_eq!(meant("ABCD"), [vec![0xab, 0xcd], vec![0, 0xab, 0xcd]]);
        assert_eq!(meant("0xada"), [vec![0x0a, 0xda], vec![0, 0x0a, 0xda]]);
        assert_eq!(meant("deadbeef").len(), 2);
        for text in ["", "0x", ":", "g", "-01", "0x-1", "ada", "Abe", "ed", "ADA", "face", "1 000 x"] {
            assert_eq!(meant(text), [] as [Vec<u8>; 0], "{text}");
        }
    }

    #[test]
    fn display_drops_the_sign_octet_as_openssl_does() {
        assert_eq!(SerialNumber::from_der_content(&[0, 0xff, 1]).to_string(), "FF01");
        assert_eq!(SerialNumber::from_der_content(&[0]).to_string(), "00");
    }
}
