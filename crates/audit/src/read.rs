//! Reads what the script printed.

use std::fmt;

/// The output is not that of the script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FactsError {
    /// Its first line is nowhere: another program answered, or none.
    NotTheScript,
    /// It stops before its end.
    CutShort,
}

impl fmt::Display for FactsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotTheScript => "the host's shell did not run the script that looks",
            Self::CutShort => "the script that looks was cut short",
        })
    }
}

impl std::error::Error for FactsError {}

/// A line of the output: its word, and the fields; `None` is what could not be seen.
pub(crate) struct Line<'a> {
    pub(crate) word: &'a str,
    fields: Vec<Option<Vec<u8>>>,
}

impl Line<'_> {
    pub(crate) fn bytes(&self, place: usize) -> Option<&[u8]> {
        self.fields.get(place)?.as_deref()
    }

    pub(crate) fn text(&self, place: usize) -> Option<String> {
        self.bytes(place).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    pub(crate) fn number(&self, place: usize) -> Option<u32> {
        self.text(place)?.trim().parse().ok()
    }
}

/// The lines between the script's first and last; what a login shell said before is passed over.
pub(crate) fn lines(output: &[u8]) -> Result<Vec<Line<'_>>, FactsError> {
    let mut lines = output.split(|&byte| byte == b'\n').map(|line| std::str::from_utf8(line).unwrap_or_default());
    if !lines.any(|line| line == "dockseal-audit 1") {
        return Err(FactsError::NotTheScript);
    }
    let mut read = Vec::new();
    for line in lines {
        if line == "end" {
            return Ok(read);
        }
        let mut words = line.split(' ');
        let word = words.next().unwrap_or_default();
        // A line that is none of the script's is not believed.
        if let Some(fields) = words.map(field).collect::<Option<Vec<_>>>() {
            read.push(Line { word, fields });
        }
    }
    Err(FactsError::CutShort)
}

#[expect(clippy::option_option, reason = "no field, a field that is not known, a field")]
fn field(word: &str) -> Option<Option<Vec<u8>>> {
    if word == "-" {
        return Some(None);
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = word.as_bytes().chunks(2).map(|pair| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    });
    pairs.collect::<Option<Vec<u8>>>().map(Some)
}
