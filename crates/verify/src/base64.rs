//! Base 64 as Go's encoding/base64 StdEncoding decodes it: padding required, line ends skipped, spare bits ignored.
//!
//! Source: Go src/encoding/base64/base64.go (`decodeQuantum`); blanks are dropped first, as encoding/pem does
//! (`removeSpacesAndTabs`).

const INVALID: u8 = 0xff;
const SKIPPED: u8 = 0xfe;
const PADDING: u8 = 0xfd;

const VALUES: [u8; 256] = {
    let mut values = [INVALID; 256];
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut index = 0;
    while index < alphabet.len() {
        values[alphabet[index] as usize] = index as u8;
        index += 1;
    }
    values[b'\n' as usize] = SKIPPED;
    values[b'\r' as usize] = SKIPPED;
    values[b' ' as usize] = SKIPPED;
    values[b'\t' as usize] = SKIPPED;
    values[b'=' as usize] = PADDING;
    values
};

/// What a PEM body encodes: the first bytes of it, and how many there are in all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decoded {
    pub(crate) bytes: Vec<u8>,
    pub(crate) length: usize,
}

/// Decodes a PEM body and keeps the first `most` bytes, or `None` where Go refuses it.
pub(crate) fn decode(text: &[u8], most: usize) -> Option<Decoded> {
    let mut dropped = 0;
    let mut bytes = decode_with(text, |decoded| {
        dropped += decoded.len().saturating_sub(most);
        decoded.truncate(most);
    })?;
    let length = dropped + bytes.len();
    bytes.truncate(most);
    Some(Decoded { bytes, length })
}

/// Decodes a PEM body; `keep` may shorten what is decoded so far, now and then.
fn decode_with(text: &[u8], mut keep: impl FnMut(&mut Vec<u8>)) -> Option<Vec<u8>> {
    let mut decoded = Vec::new();
    let mut quantum = 0_u32;
    let mut sextets = 0;
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        keep(&mut decoded);
        if sextets == 0 {
            let (quanta, whole) = whole_quanta(rest, &mut decoded);
            if quanta > 0 {
                rest = whole;
                continue;
            }
        }
        rest = after;
        match VALUES[usize::from(byte)] {
            SKIPPED => {}
            INVALID => return None,
            PADDING => return padded(decoded, quantum, sextets, rest),
            value => {
                quantum = quantum << 6 | u32::from(value);
                sextets += 1;
                if sextets == 4 {
                    let [_, first, second, third] = quantum.to_be_bytes();
                    decoded.extend_from_slice(&[first, second, third]);
                    (quantum, sextets) = (0, 0);
                }
            }
        }
    }
    (sextets == 0).then_some(decoded)
}

/// Decodes as much undisturbed text as comes next, sixteen letters at a time; how many groups of four, and what is left.
fn whole_quanta<'t>(text: &'t [u8], decoded: &mut Vec<u8>) -> (usize, &'t [u8]) {
    /// So many at a time that what is decoded can be shortened in between.
    const MOST: usize = 1 << 16;
    let mut quanta = 0;
    let (groups, _) = text.as_chunks::<16>();
    for group in groups.iter().take(MOST / 4) {
        let Some(bytes) = twelve_bytes(group) else { break };
        if quanta == 0 && decoded.is_empty() {
            // Only now, so that a hostile file of a million broken blocks costs no memory.
            decoded.reserve((text.len() / 4 * 3).min(1 << 16));
        }
        decoded.extend_from_slice(&bytes);
        quanta += 4;
    }
    (quanta, text.get(quanta * 4..).unwrap_or_default())
}

fn twelve_bytes(text: &[u8; 16]) -> Option<[u8; 12]> {
    let mut bytes = [0; 12];
    let mut seen = 0;
    let (groups, _) = text.as_chunks::<4>();
    let (triples, _) = bytes.as_chunks_mut::<3>();
    for (&[a, b, c, d], triple) in groups.iter().zip(triples) {
        let [a, b, c, d] = [a, b, c, d].map(|byte| VALUES[usize::from(byte)]);
        seen |= a | b | c | d;
        *triple = [a << 2 | b >> 4, b << 4 | c >> 2, c << 6 | d];
    }
    (seen & 0xc0 == 0).then_some(bytes)
}

fn padded(mut decoded: Vec<u8>, quantum: u32, sextets: u32, rest: &[u8]) -> Option<Vec<u8>> {
    let mut needed = match sextets {
        2 => 1,
        3 => 0,
        _ => return None,
    };
    for &byte in rest {
        match VALUES[usize::from(byte)] {
            SKIPPED => {}
            PADDING if needed == 1 => needed = 0,
            _ => return None,
        }
    }
    if needed != 0 {
        return None;
    }
    let [_, first, second, _] = (quantum << (6 * (4 - sextets))).to_be_bytes();
    decoded.push(first);
    if sextets == 3 {
        decoded.push(second);
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::Decoded;

    fn decode(text: &[u8]) -> Option<Vec<u8>> {
        super::decode(text, 1 << 20).map(|decoded| decoded.bytes)
    }

    #[test]
    fn keeps_the_beginning_and_counts_the_rest() {
        for text in ["AQIDBAUG".repeat(100_000), "AQIDBAUG\n".repeat(100_000), "AQ\nID\nBA\nUG".repeat(100_000)] {
            let expected = Decoded { bytes: [1, 2, 3, 4, 5, 6, 1].into(), length: 600_000 };
            assert_eq!(super::decode(text.as_bytes(), 7), Some(expected));
            assert_eq!(super::decode((text + "?").as_bytes(), 7), None);
        }
        assert_eq!(super::decode(b"AQI=", 1), Some(Decoded { bytes: vec![1], length: 2 }));
    }

    #[test]
    fn decodes_as_go_does() {
        assert_eq!(decode(b"AQID"), Some(vec![1, 2, 3]));
        assert_eq!(decode(b"AQ ID\r\n\t"), Some(vec![1, 2, 3]));
        assert_eq!(decode(b"AQI="), Some(vec![1, 2]));
        assert_eq!(decode(b"AQ=\n="), Some(vec![1]));
        assert_eq!(decode(b""), Some(vec![]));
        assert_eq!(decode(b"AR=="), Some(vec![1]), "spare bits are ignored");
        for bad in [&b"AQ"[..], b"AQI", b"AQ=", b"A===", b"=", b"AQ==A", b"AQI==", b"AQ-_", b"AQ\x0bID", b"AQ==AQ=="] {
            assert_eq!(decode(bad), None, "{}", String::from_utf8_lossy(bad));
        }
    }
}
