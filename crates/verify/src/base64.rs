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

/// The bytes that a PEM body encodes, or `None` where Go refuses it.
pub(crate) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::new();
    let mut quantum = 0_u32;
    let mut sextets = 0;
    let mut bytes = text.iter();
    while let Some(&byte) = bytes.next() {
        match VALUES[usize::from(byte)] {
            SKIPPED => {}
            INVALID => return None,
            PADDING => return padded(decoded, quantum, sextets, bytes.as_slice()),
            value => {
                if decoded.is_empty() && sextets == 0 {
                    // Only now, so that a hostile file of a million broken blocks costs no memory.
                    decoded.reserve((text.len() / 4 * 3).min(1 << 16));
                }
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
    use super::decode;

    #[test]
    fn decodes_as_go_does() {
        assert_eq!(decode(b"AQID"), Some(vec![1, 2, 3]));
        assert_eq!(decode(b"AQ ID\r\n\t"), Some(vec![1, 2, 3]));
        assert_eq!(decode(b"AQI="), Some(vec![1, 2]));
        assert_eq!(decode(b"AQ=\n="), Some(vec![1]));
        assert_eq!(decode(b""), Some(vec![]));
        assert_eq!(decode(b"AR=="), Some(vec![1]), "spare bits are ignored");
        for bad in [
            &b"AQ"[..],
            b"AQI",
            b"AQ=",
            b"A===",
            b"=",
            b"AQ==A",
            b"AQI==",
            b"AQ-_",
            b"AQ\x0bID",
            b"AQ==AQ==",
        ] {
            assert_eq!(decode(bad), None, "{}", String::from_utf8_lossy(bad));
        }
    }
}
