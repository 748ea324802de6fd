//! PEM blocks as Go's encoding/pem finds them, in linear time.
//!
//! Go 1.26 looks for the next END line and back from there for its BEGIN; earlier releases look for the next BEGIN
//! line and on from there for any END. The two differ on broken files only. Source: Go src/encoding/pem/pem.go
//! (`Decode`, `getLine`) of 1.19, 1.24 and 1.26.

use dockseal_docker::version::{Go, GoRelease};
use memchr::{memchr, memmem};

use crate::base64;

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"\n-----END ";
const DASHES: &[u8] = b"-----";

/// One decoded block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block<'a> {
    /// The text between BEGIN and the dashes, such as `CERTIFICATE`.
    pub(crate) label: &'a [u8],
    /// Whether there are headers before the body.
    pub(crate) has_headers: bool,
    /// Whether a header says that the body is encrypted by RFC 1423 (`x509.IsEncryptedPEMBlock`).
    pub(crate) has_dek_info: bool,
    /// The first [`MOST_CONTENTS`] bytes of the contents.
    pub(crate) contents: Vec<u8>,
    /// How many bytes the contents really are.
    pub(crate) length: usize,
    /// Where the block's label begins in the file.
    pub(crate) offset: usize,
    /// Where the encoded contents begin in the file.
    pub(crate) body: usize,
}

/// Of larger contents only the beginning is kept: nothing but a trusted certificate is of use with a mebibyte.
pub(crate) const MOST_CONTENTS: usize = 1 << 20;

impl Block<'_> {
    pub(crate) fn is_certificate(&self) -> bool {
        self.label == b"CERTIFICATE"
    }

    /// Whether these are only the first bytes of the contents.
    pub(crate) fn is_cut(&self) -> bool {
        self.length > self.contents.len()
    }

    /// Whether tls.X509KeyPair takes this block for the key (crypto/tls tls.go).
    pub(crate) fn is_private_key(&self) -> bool {
        self.label == b"PRIVATE KEY" || self.label.ends_with(b" PRIVATE KEY")
    }
}

/// The blocks of a file in their order.
pub(crate) fn blocks(text: &[u8], go: Go) -> Blocks<'_> {
    blocks_from(text, 0, go)
}

/// The blocks of a file that come after the one at whose end [`Blocks::position`] is.
pub(crate) fn blocks_from(text: &[u8], position: usize, go: Go) -> Blocks<'_> {
    Blocks { text, position, backwards: go.is_at_least(GoRelease::V1_26), next_end: None, blank: None }
}

/// The first `most` bytes of the contents of the block without headers whose [`Block::body`] is here.
pub(crate) fn contents_at(text: &[u8], body: usize, most: usize) -> Option<Vec<u8>> {
    let rest = text.get(body..)?;
    // An empty body: the END line follows at once, without a line end of its own to find.
    let end = if END.get(1..).is_some_and(|end| rest.starts_with(end)) { 0 } else { memmem::find(rest, END)? };
    base64::decode(rest.get(..end)?, most).map(|decoded| decoded.bytes)
}

/// The blocks of a file in their order; ends where Go would find no further one.
pub(crate) struct Blocks<'a> {
    text: &'a [u8],
    position: usize,
    backwards: bool,
    /// Where the first END at or after a position is, to be searched once only.
    next_end: Option<(usize, Option<usize>)>,
    /// Whether the line that goes on at a position is blank, to be searched once only.
    blank: Option<(usize, bool)>,
}

impl<'a> Iterator for Blocks<'a> {
    type Item = Block<'a>;

    fn next(&mut self) -> Option<Block<'a>> {
        let found = if self.backwards { self.next_from_end() } else { self.next_from_begin() };
        if found.is_none() {
            self.position = self.text.len();
        }
        found
    }
}

impl<'a> Blocks<'a> {
    /// Where the search goes on.
    pub(crate) fn position(&self) -> usize {
        self.position
    }

    fn rest(&self, from: usize) -> &'a [u8] {
        self.text.get(from..).unwrap_or_default()
    }

    /// The position of the first `\n-----END ` at or after `from`.
    fn end_after(&mut self, from: usize) -> Option<usize> {
        if let Some((searched_from, end)) = self.next_end
            && searched_from <= from
            && end.is_none_or(|end| end >= from)
        {
            return end;
        }
        let end = memmem::find(self.rest(from), END).map(|index| from + index);
        self.next_end = Some((from, end));
        end
    }

    /// Whether nothing but blanks and tabs follows on the line at `from`.
    fn rest_of_line_is_blank(&mut self, from: usize) -> bool {
        if let Some((at, blank)) = self.blank
            && at == from
        {
            return blank;
        }
        let rest = self.rest(from);
        let after = rest.iter().position(|byte| !matches!(byte, b' ' | b'\t'));
        let blank = match after.and_then(|index| rest.get(index..)) {
            None => true,
            Some([b'\n', ..] | [b'\r', b'\n', ..]) => true,
            Some(_) => false,
        };
        self.blank = Some((from, blank));
        blank
    }

    /// The lines of headers from `from`, and where the body begins; `None` where the text ends among them.
    fn headers(&self, from: usize) -> Option<(Headers, usize)> {
        let mut headers = Headers::default();
        let mut body = from;
        loop {
            if body >= self.text.len() {
                return None;
            }
            let (line, next) = line(self.text, body);
            let Some(colon) = line.iter().position(|byte| *byte == b':') else {
                return Some((headers, body));
            };
            headers.any = true;
            headers.dek_info |= trim_space(line.get(..colon).unwrap_or_default()) == b"DEK-Info";
            body = next;
        }
    }

    /// Decodes the body before `end` and checks the END line there.
    fn finish(
        &mut self,
        label: &'a [u8],
        offset: usize,
        headers: Headers,
        body: usize,
        end: usize,
    ) -> Option<Block<'a>> {
        let trailer = end + END.len();
        let label_end = trailer + label.len();
        if !self.rest(trailer).starts_with(label) || !self.rest(label_end).starts_with(DASHES) {
            return None;
        }
        let after = label_end + DASHES.len();
        if !self.rest_of_line_is_blank(after) {
            return None;
        }
        let decoded = base64::decode(self.text.get(body..end).unwrap_or_default(), MOST_CONTENTS)?;
        self.position = line(self.text, after).1;
        let (contents, length) = (decoded.bytes, decoded.length);
        Some(Block { label, has_headers: headers.any, has_dek_info: headers.dek_info, contents, length, offset, body })
    }

    /// Go up to 1.25: from the next BEGIN line on.
    fn next_from_begin(&mut self) -> Option<Block<'a>> {
        let mut from = self.position;
        loop {
            let rest = self.rest(from);
            let offset =
                if rest.starts_with(BEGIN) { from + BEGIN.len() } else { from + find_line_start(rest)? + BEGIN.len() };
            let (type_line, after_type) = line(self.text, offset);
            from = after_type;
            let Some(label) = type_line.strip_suffix(DASHES) else {
                continue;
            };
            let (headers, body) = self.headers(from)?;
            from = body;
            // An empty body: the END line follows at once, without a line end of its own to find.
            let end = if !headers.any && self.rest(body).starts_with(END.get(1..).unwrap_or_default()) {
                body - 1
            } else {
                let Some(end) = self.end_after(body) else {
                    continue;
                };
                end
            };
            if let Some(block) = self.finish(label, offset, headers, body, end) {
                return Some(block);
            }
        }
    }

    /// Go from 1.26 on: from the next END line back to its BEGIN.
    fn next_from_end(&mut self) -> Option<Block<'a>> {
        let mut from = self.position;
        loop {
            let end = self.end_after(from)?;
            let before = self.text.get(from..end).unwrap_or_default();
            let after_end = end + END.len();
            let begin = match memmem::rfind(before, BEGIN) {
                Some(index) if index == 0 || before.get(index - 1) == Some(&b'\n') => from + index,
                _ => {
                    from = after_end;
                    continue;
                }
            };
            let offset = begin + BEGIN.len();
            let (type_line, after_type) = line(self.text, offset);
            let Some(label) = type_line.strip_suffix(DASHES) else {
                from = after_end;
                continue;
            };
            let (headers, body) = self.headers(after_type)?;
            if headers.any && body > end {
                // The END line was taken for a header. Go goes on after it, unless headers swallowed all of it.
                if body > after_end {
                    return None;
                }
                from = after_end;
                continue;
            }
            if let Some(block) = self.finish(label, offset, headers, body, end) {
                return Some(block);
            }
            from = after_end;
        }
    }
}

#[derive(Clone, Copy, Default)]
struct Headers {
    any: bool,
    dek_info: bool,
}

/// The line at `from` without its end and trailing blanks, and where the next one begins (`getLine`).
fn line(text: &[u8], from: usize) -> (&[u8], usize) {
    let rest = text.get(from..).unwrap_or_default();
    let (line, next) = match memchr(b'\n', rest) {
        Some(index) => {
            let line = rest.get(..index).unwrap_or_default();
            (line.strip_suffix(b"\r").unwrap_or(line), from + index + 1)
        }
        None => (rest, text.len()),
    };
    let kept = line.iter().rposition(|byte| !matches!(byte, b' ' | b'\t')).map_or(0, |index| index + 1);
    (line.get(..kept).unwrap_or_default(), next)
}

/// `bytes.TrimSpace` for ASCII; Rust's `trim_ascii` does not count the vertical tab.
fn trim_space(text: &[u8]) -> &[u8] {
    let is_space = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0x0b;
    let start = text.iter().position(|byte| !is_space(byte)).unwrap_or(text.len());
    let end = text.iter().rposition(|byte| !is_space(byte)).map_or(start, |index| index + 1);
    text.get(start..end).unwrap_or_default()
}

/// Where a BEGIN at the start of a line is, not counting the very start of the text.
fn find_line_start(text: &[u8]) -> Option<usize> {
    memmem::find(text, b"\n-----BEGIN ").map(|index| index + 1)
}

#[cfg(test)]
mod tests {
    use dockseal_docker::version::Version;

    use super::*;

    const OLD: Go = Go::V1_19;
    const NEW: Go = Version::V29.dockerd_go();

    fn contents(text: &str, go: Go) -> Vec<Vec<u8>> {
        let found = blocks(text.as_bytes(), go);
        found
            .map(|block| {
                if !block.has_headers {
                    assert_eq!(
                        contents_at(text.as_bytes(), block.body, MOST_CONTENTS).as_ref(),
                        Some(&block.contents),
                        "{text:?}"
                    );
                }
                block.contents
            })
            .collect()
    }

    fn both(text: &str, expected: &[&[u8]]) {
        for go in [OLD, NEW] {
            assert_eq!(contents(text, go), expected, "{go}: {text:?}");
        }
    }

    #[test]
    fn ordinary_blocks() {
        both("-----BEGIN A-----\nAQID\n-----END A-----\n", &[&[1, 2, 3]]);
        both("-----BEGIN A-----\r\nAQ\r\nID\r\n-----END A-----", &[&[1, 2, 3]]);
        both("text\n-----BEGIN A-----  \nAQID\n-----END A-----\t \nmore", &[&[1, 2, 3]]);
        both(
            "-----BEGIN A-----\nAQID\n-----END A-----\n-----BEGIN B-----\nBA==\n-----END B-----\n",
            &[&[1, 2, 3], &[4]],
        );
        both("-----BEGIN A-----\n-----END A-----\n", &[&[]]);
        both("-----BEGIN A-----\n\n-----END A-----\n", &[&[]]);
    }

    #[test]
    fn begin_must_start_a_line() {
        both("\u{feff}-----BEGIN A-----\nAQID\n-----END A-----\n", &[]);
        both("  -----BEGIN A-----\n  AQID\n  -----END A-----\n", &[]);
        both("-----BEGIN A-----\rAQID\r-----END A-----\r", &[]);
        both("\u{feff}\n-----BEGIN A-----\nAQID\n-----END A-----\n", &[&[1, 2, 3]]);
    }

    #[test]
    fn broken_blocks_are_skipped() {
        both("-----BEGIN A-----\nA?ID\n-----END A-----\n-----BEGIN A-----\nBA==\n-----END A-----\n", &[&[4]]);
        both("-----BEGIN A-----\nAQID\n-----END B-----\n", &[]);
        both("-----BEGIN A-----\nAQID\n-----END A----\n", &[]);
        both("----BEGIN A-----\nAQID\n-----END A-----\n", &[]);
        both("-----begin A-----\nAQID\n-----end A-----\n", &[]);
        both("-----BEGIN A-----\nAQID\n-----END A-----x\n", &[]);
        both("-----BEGIN A-----\nAQID\n", &[]);
        // A truncated block before a whole one.
        both("-----BEGIN A-----\nAQ\n-----BEGIN A-----\nBA==\n-----END A-----\n", &[&[4]]);
        // END and BEGIN on one line lose both blocks.
        both("-----BEGIN A-----\nAQID\n-----END A----------BEGIN A-----\nBA==\n-----END A-----\n", &[]);
    }

    #[test]
    fn headers_are_noticed() {
        let text = b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAQID\n-----END RSA PRIVATE KEY-----\n";
        for go in [OLD, NEW] {
            let found: Vec<_> = blocks(text, go).collect();
            assert!(
                matches!(found.as_slice(), [block] if block.has_headers && block.has_dek_info && block.contents == [1, 2, 3] && block.is_private_key())
            );
        }
    }

    #[test]
    fn an_end_line_with_a_colon_is_a_header() {
        // Go 1.26 loses the block; earlier releases look for another END.
        let text = "-----BEGIN A-----\n-----END A: b-----\nAQID\n-----END A-----\n";
        assert_eq!(contents(text, OLD).len(), 1);
        assert_eq!(contents(text, NEW).len(), 0);
    }

    #[test]
    fn a_million_begins_cost_linear_time() {
        let text = "-----BEGIN A-----\n".repeat(200_000) + "AQID\n-----END A-----" + &" ".repeat(200_000);
        for go in [OLD, NEW] {
            assert_eq!(contents(&text, go), [vec![1, 2, 3]]);
        }
    }
}
