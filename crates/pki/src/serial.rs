//! Serial numbers (RFC 5280 section 4.1.2.2).

use std::fmt;

use ring::{error::Unspecified, rand::SecureRandom};

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

    /// The content octets, most significant first, with the leading zero that keeps a positive number positive.
    pub fn der_content(&self) -> &[u8] {
        &self.0
    }

    /// Lower-case hexadecimal without separators; usable as a file name.
    pub fn to_hex(&self) -> String {
        self.0.iter().map(|octet| format!("{octet:02x}")).collect()
    }
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
    fn display_drops_the_sign_octet_as_openssl_does() {
        assert_eq!(SerialNumber::from_der_content(&[0, 0xff, 1]).to_string(), "FF01");
        assert_eq!(SerialNumber::from_der_content(&[0]).to_string(), "00");
    }
}
