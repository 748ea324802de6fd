//! The index in which `openssl ca` keeps what it issued and revoked (its manual, "FILES": `index.txt`; openssl
//! apps/lib/apps.c, `DB_*`); easy-rsa's is one too.

use std::fmt;

use time::{Date, Month, OffsetDateTime, Time};

use crate::{RevocationReason, Revoked, SerialNumber};

/// A revoked certificate, and the text in the column for its file, which openssl leaves at `unknown`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexedRevocation {
    /// What was revoked.
    pub revoked: Revoked,
    /// The text of that column.
    pub file: String,
}

/// Why a text is no such index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexError {
    /// Which line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: &'static str,
}

impl fmt::Display for IndexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl std::error::Error for IndexError {}

/// The revoked certificates of an index, in its order.
///
/// # Errors
/// When a line is none of an index.
pub fn read_index(text: &[u8]) -> Result<Vec<IndexedRevocation>, IndexError> {
    let lines = text.split(|octet| *octet == b'\n').enumerate();
    let read = |(at, line): (usize, &[u8])| {
        // Subjects may be in any encoding, and are not looked at.
        let line = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line));
        if line.is_empty() || line.starts_with('#') {
            return None;
        }
        read_line(&line).map_err(|what| IndexError { line: at + 1, what }).transpose()
    };
    lines.filter_map(read).collect()
}

/// One line of an index, which [`read_index`] reads again.
pub fn index_line(revocation: &IndexedRevocation) -> String {
    let IndexedRevocation { revoked, file } = revocation;
    let at = revoked.at;
    let digits = format!(
        "{:04}{:02}{:02}{:02}{:02}{:02}Z",
        at.year(),
        u8::from(at.month()),
        at.day(),
        at.hour(),
        at.minute(),
        at.second()
    );
    let reason = match revoked.reason {
        RevocationReason::Unspecified => String::new(),
        reason => format!(",{reason}"),
    };
    format!("R\t\t{digits}{reason}\t{}\t{file}\t/\n", revoked.serial)
}

fn read_line(line: &str) -> Result<Option<IndexedRevocation>, &'static str> {
    let columns: Vec<&str> = line.split('\t').collect();
    let [state, _, revocation, serial, file, _] = columns.as_slice() else {
        return Err("it has not the six columns of an index");
    };
    match *state {
        "V" | "E" => return Ok(None),
        "R" => {}
        _ => return Err("its first column is none of V, R and E"),
    }
    let (at, reason) = revocation.split_once(',').unwrap_or((revocation, ""));
    let at = moment(at).ok_or("its time of revocation cannot be read")?;
    let serial = SerialNumber::positive(serial).ok_or("its serial number cannot be read")?;
    Ok(Some(IndexedRevocation { revoked: Revoked { serial, at, reason: reason_of(reason) }, file: (*file).to_owned() }))
}

/// The reason and what openssl writes behind it (apps/lib/apps.c `unpack_revinfo`); one that is none of ours counts as
/// unspecified, as in a list.
fn reason_of(text: &str) -> RevocationReason {
    match text.split(',').next().unwrap_or_default() {
        "keyTime" => RevocationReason::KeyCompromise,
        "CAkeyTime" => RevocationReason::CaCompromise,
        word => RevocationReason::parse(word).unwrap_or(RevocationReason::Unspecified),
    }
}

/// UTCTime or GeneralizedTime (RFC 5280 sections 4.1.2.5.1 and 4.1.2.5.2).
fn moment(text: &str) -> Option<OffsetDateTime> {
    let digits = text.strip_suffix('Z').filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()))?;
    let (year, rest) = match digits.len() {
        12 => {
            let year: i32 = digits.get(..2)?.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, digits.get(2..)?)
        }
        14 => (digits.get(..4)?.parse().ok()?, digits.get(4..)?),
        _ => return None,
    };
    let two = |at: usize| rest.get(at..at + 2).and_then(|two| two.parse::<u8>().ok());
    let date = Date::from_calendar_date(year, Month::try_from(two(0)?).ok()?, two(2)?).ok()?;
    let time = Time::from_hms(two(4)?, two(6)?, two(8)?).ok()?;
    Some(date.with_time(time).assume_utc())
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn lines_are_read_and_written_again() {
        let text = b"V\t270101000000Z\t\t0A\tunknown\t/CN=a\n\
            R\t270101000000Z\t261127160800Z,keyCompromise\t1000\tunknown\t/CN=m\xfcller\r\n\
            # a comment\n\
            R\t20510101000000Z\t20500102030405Z,keyTime,20500101000000Z\t80\tunknown\t/O=a\\\tb\n\
            R\t270101000000Z\t490101000000Z,certificateHold\t01\tunknown\t/\n\
            E\t200101000000Z\t\t02\tunknown\t/CN=e\n";
        // A tab in a subject is escaped by a backslash and counts as a column of its own here.
        assert_eq!(read_index(text).unwrap_err().line, 4);
        let text = String::from_utf8_lossy(text).replace("a\\\tb", "ab");
        let read = read_index(text.as_bytes()).unwrap();
        let expected = [
            (&[0x10, 0][..], datetime!(2026-11-27 16:08 UTC), RevocationReason::KeyCompromise),
            (&[0, 0x80], datetime!(2050-01-02 03:04:05 UTC), RevocationReason::KeyCompromise),
            (&[1], datetime!(2049-01-01 0:00 UTC), RevocationReason::Unspecified),
        ];
        for (one, (octets, at, reason)) in read.iter().zip(expected) {
            let serial = SerialNumber::from_der_content(octets);
            assert_eq!(one.revoked, Revoked { serial, at, reason });
        }
        let written: String = read.iter().map(index_line).collect();
        assert_eq!(read_index(written.as_bytes()).unwrap(), read);
    }

    #[test]
    fn what_is_no_index_is_refused_by_its_line() {
        let cases = [
            ("hello", 1),
            ("V\t1\t\t0A\tunknown\t/\nX\t1\t\t0A\tunknown\t/", 2),
            ("R\t1\t\t0A\tunknown\t/", 1),
            ("R\t1\t261327160800Z\t0A\tunknown\t/", 1),
            ("R\t1\t261127160800Z\t\tunknown\t/", 1),
            ("R\t1\t261127160800Z\t-1\tunknown\t/", 1),
            ("R\t1\t26112716\u{e9}00Z\t01\tunknown\t/", 1),
        ];
        for (text, line) in cases {
            assert_eq!(read_index(text.as_bytes()).unwrap_err().line, line, "{text}");
        }
        assert_eq!(read_index(b""), Ok(Vec::new()));
    }
}
