//! What the fuzz targets share.

use time::OffsetDateTime;
use time::macros::datetime;

/// The moment at which everything is judged.
pub const NOW: OffsetDateTime = datetime!(2026-11-23 18:00 UTC);

/// A PEM block of these bytes.
pub fn pem(label: &str, der: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = format!("-----BEGIN {label}-----\n");
    for (index, chunk) in der.chunks(3).enumerate() {
        let bits = chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for position in 0..4 {
            let sextet = (bits >> (18 - 6 * position) & 0x3f) as usize;
            text.push(if position > chunk.len() { '=' } else { char::from(ALPHABET[sextet]) });
        }
        if index % 16 == 15 {
            text.push('\n');
        }
    }
    text + &format!("\n-----END {label}-----\n")
}
