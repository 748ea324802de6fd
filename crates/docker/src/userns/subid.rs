//! /etc/subuid and /etc/subgid as dockerd reads them.

use std::ops::ControlFlow;

/// The count that dockerd gives a dockremap of its own (`defaultRangeLen`).
pub(super) const DEFAULT_LENGTH: i64 = 65_536;
/// Where it looks for a free range from (`defaultRangeStart`).
const DEFAULT_START: i64 = 100_000;
/// The longest line that Go's bufio.Scanner takes, in octets, its newline included.
const LONGEST_LINE: usize = 64 * 1024;

/// How a release of dockerd reads the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubIdRules {
    /// Before 28.0: lines for the numeric uid, or else those for the name; a malformed line anywhere is fatal.
    Strict,
    /// Since 28.0: lines for the name and for the uid together; what is no number counts as 0.
    Lenient,
}

impl SubIdRules {
    /// The rules of a release such as `20.10.24` or `v28.2.2`; those of current ones where it says nothing.
    #[must_use]
    pub fn of_release(release: &str) -> Self {
        let major = release.strip_prefix('v').unwrap_or(release).split(['.', '-', '+', '~']).next();
        match major.and_then(|major| major.parse::<u32>().ok()) {
            Some(major) if major < 28 => Self::Strict,
            _ => Self::Lenient,
        }
    }
}

/// Consecutive ids of the host. Neither number is checked by dockerd; a count may be 0 or negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IdRange {
    /// The first.
    pub start: i64,
    /// How many.
    pub count: i64,
}

/// The ranges for a user in one of the files.
///
/// # Errors
/// As dockerd says it: no such file, a malformed line, or none for the user.
pub(super) fn ranges_of(
    name: &[u8],
    uid: i64,
    bytes: Option<&[u8]>,
    path: &str,
    rules: SubIdRules,
) -> Result<Vec<IdRange>, String> {
    let number = uid.to_string();
    let found = match rules {
        SubIdRules::Strict => {
            let by_number = ranges_named(number.as_bytes(), bytes, path, rules)?;
            if by_number.is_empty() { ranges_named(name, bytes, path, rules)? } else { by_number }
        }
        SubIdRules::Lenient => lenient(bytes, path, |owner| owner == name || owner == number.as_bytes())?,
    };
    if found.is_empty() {
        // Since 28.0 it says so of either file.
        let kind = if rules == SubIdRules::Strict && path.ends_with("subgid") { "subgid" } else { "subuid" };
        return Err(format!("no {kind} ranges found for user {:?}", String::from_utf8_lossy(name)));
    }
    Ok(found)
}

/// The ranges for one name, which may be none.
pub(super) fn ranges_named(
    name: &[u8],
    bytes: Option<&[u8]>,
    path: &str,
    rules: SubIdRules,
) -> Result<Vec<IdRange>, String> {
    match rules {
        SubIdRules::Strict => strict(bytes, path, |owner| owner == name || name == b"ALL"),
        SubIdRules::Lenient => lenient(bytes, path, |owner| owner == name),
    }
}

/// Where a new dockremap's range would start (`findNextRangeStart`).
///
/// Until 28.0 the ranges of everybody are passed over. Since then only root's are read (`CurrentUserSubUIDs`), so that
/// the new range may be another user's.
pub(super) fn next_free(bytes: Option<&[u8]>, path: &str, rules: SubIdRules) -> Result<i64, String> {
    let mut taken = match rules {
        SubIdRules::Strict => strict(bytes, path, |_| true)?,
        SubIdRules::Lenient => lenient(bytes, path, |owner| owner == b"root" || owner == b"0")?,
    };
    taken.sort_by_key(|range| range.start);
    Ok(taken.iter().fold(DEFAULT_START, |low, range| {
        let (end, high) = (range.end(), low.saturating_add(DEFAULT_LENGTH));
        let overlaps = match rules {
            SubIdRules::Strict => (low >= range.start && low <= end) || (high <= end && high >= range.start),
            SubIdRules::Lenient => low < end && range.start < high,
        };
        if overlaps { end } else { low }
    }))
}

impl IdRange {
    /// The first id after it.
    #[must_use]
    pub fn end(&self) -> i64 {
        self.start.saturating_add(self.count)
    }
}

/// The id of the host for one of a container (`toHost`).
pub(super) fn to_host(id: i64, ranges: &[IdRange]) -> Option<i64> {
    let mut first = 0_i64;
    ranges.iter().find_map(|range| {
        let here = first;
        first = first.saturating_add(range.count);
        (id >= here && id < first).then(|| range.start.saturating_add(id.saturating_sub(here)))
    })
}

/// `parseSubidFile` of pkg/idtools: three fields on every line that is no comment, and numbers in those that count.
fn strict(bytes: Option<&[u8]>, path: &str, wanted: impl Fn(&[u8]) -> bool) -> Result<Vec<IdRange>, String> {
    let mut found = Vec::new();
    scan(bytes, path, |line| {
        if line.starts_with(b"#") {
            return Ok(());
        }
        let mut fields = line.split(|&byte| byte == b':');
        let (Some(owner), Some(start), Some(count), None) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            return Err(format!("Cannot parse subuid/gid information: Format not correct for {path} file"));
        };
        if wanted(owner) {
            let number = |field: &[u8]| match go_parse_int(field) {
                (value, true) => Ok(value),
                (value, false) => Err(format!(
                    "String to int conversion failed during subuid/gid parsing of {path}: strconv.Atoi: parsing {:?}: {}",
                    String::from_utf8_lossy(field),
                    if value == 0 { "invalid syntax" } else { "value out of range" }
                )),
            };
            found.push(IdRange { start: number(start)?, count: number(count)? });
        }
        Ok(())
    })?;
    Ok(found)
}

/// `ParseSubIDFilter` of moby/sys: missing fields and what is no number are 0, comments are no exception.
fn lenient(bytes: Option<&[u8]>, path: &str, wanted: impl Fn(&[u8]) -> bool) -> Result<Vec<IdRange>, String> {
    let mut found = Vec::new();
    scan(bytes, path, |line| {
        let mut fields = line.split(|&byte| byte == b':');
        if wanted(fields.next().unwrap_or_default()) {
            let mut number = || fields.next().map_or(0, |field| go_parse_int(field).0);
            found.push(IdRange { start: number(), count: number() });
        }
        Ok(())
    })?;
    Ok(found)
}

/// Every line, without the white space around it, up to the first that Go's scanner does not take.
fn scan(bytes: Option<&[u8]>, path: &str, mut each: impl FnMut(&[u8]) -> Result<(), String>) -> Result<(), String> {
    let bytes = bytes.ok_or_else(|| format!("open {path}: no such file or directory"))?;
    let ended = bytes.split(|&byte| byte == b'\n').try_for_each(|line| {
        if line.len() >= LONGEST_LINE {
            return ControlFlow::Break("bufio.Scanner: token too long".to_owned());
        }
        match trimmed(line) {
            [] => ControlFlow::Continue(()),
            line => each(line).map_or_else(ControlFlow::Break, ControlFlow::Continue),
        }
    });
    match ended {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(why) => Err(why),
    }
}

/// The lines that are not blank, without the white space around them.
pub(super) fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|&byte| byte == b'\n').map(trimmed).filter(|line| !line.is_empty())
}

/// `bytes.TrimSpace`, which knows Unicode's white space.
fn trimmed(line: &[u8]) -> &[u8] {
    std::str::from_utf8(line).map_or_else(|_| line.trim_ascii(), |line| line.trim().as_bytes())
}

/// `strconv.ParseInt(…, 10, 64)`: the value and whether there was no error. On a syntax error the value is 0, out of
/// range it is the nearest number.
pub(super) fn go_parse_int(field: &[u8]) -> (i64, bool) {
    let (negative, digits) = match field {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return (0, false);
    }
    let value = digits.iter().try_fold(0_i64, |value, digit| {
        let digit = i64::from(digit - b'0');
        let tens = value.checked_mul(10)?;
        if negative { tens.checked_sub(digit) } else { tens.checked_add(digit) }
    });
    match value {
        Some(value) => (value, true),
        None => (if negative { i64::MIN } else { i64::MAX }, false),
    }
}
