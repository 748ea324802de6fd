//! What the fuzz targets share.

use dockseal_docker::flags::{take_assignments, words};
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

/// The text of the first line, and what comes after it.
pub fn first_line(bytes: &[u8]) -> (&str, &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (line, rest) = bytes.split_at(end);
    (std::str::from_utf8(line).unwrap_or_default(), rest.get(1..).unwrap_or_default())
}

/// The variables and the words of a command line.
pub fn command_line(text: &str) -> Option<(Vec<(String, String)>, Vec<String>)> {
    let mut words = words(text).ok()?;
    let variables = take_assignments(&mut words);
    Some((variables, words))
}
