//! The two time types of a certificate, as golang.org/x/crypto/cryptobyte reads them.
//!
//! The text must be what Go itself would print for the time it parsed, which leaves: digits of a real date, with
//! seconds or (UTCTime only) without, and `Z` or a numeric zone other than zero. Source: cryptobyte/asn1.go
//! (`ReadASN1UTCTime`, `ReadASN1GeneralizedTime`), Go src/time/format.go (`Parse`).

use dockseal_docker::version::{Go, GoRelease};

/// Seconds since 1970-01-01T00:00:00Z of a UTCTime.
pub(super) fn utc_time(text: &[u8], go: Go) -> Option<i64> {
    let (fields, zone) = split_zone(text)?;
    let (clock, second) = match fields.len() {
        12 => (fields.get(..10)?, two_digits(fields.get(10..)?)?),
        10 => (fields, 0),
        _ => return None,
    };
    let short = two_digits(clock.get(..2)?)?;
    // 50 to 68 are 2050 to 2068 to Go's parser and moved back a century afterwards.
    let year = if short >= 50 {
        1900 + short
    } else {
        2000 + short
    };
    moment(year, clock.get(2..)?, second, zone, go)
}

/// Seconds since 1970-01-01T00:00:00Z of a GeneralizedTime.
pub(super) fn generalized_time(text: &[u8], go: Go) -> Option<i64> {
    let (fields, zone) = split_zone(text)?;
    if fields.len() != 14 {
        return None;
    }
    let year = two_digits(fields.get(..2)?)? * 100 + two_digits(fields.get(2..4)?)?;
    moment(
        year,
        fields.get(4..12)?,
        two_digits(fields.get(12..)?)?,
        zone,
        go,
    )
}

fn split_zone(text: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    if let Some(fields) = text.strip_suffix(b"Z") {
        return Some((fields, None));
    }
    let zone_at = text.len().checked_sub(5)?;
    Some((text.get(..zone_at)?, Some(text.get(zone_at..)?)))
}

fn two_digits(text: &[u8]) -> Option<i64> {
    match text {
        [tens @ b'0'..=b'9', units @ b'0'..=b'9'] => {
            Some(i64::from(tens - b'0') * 10 + i64::from(units - b'0'))
        }
        _ => None,
    }
}

fn moment(year: i64, fields: &[u8], second: i64, zone: Option<&[u8]>, go: Go) -> Option<i64> {
    let month = two_digits(fields.get(..2)?)?;
    let day = two_digits(fields.get(2..4)?)?;
    let hour = two_digits(fields.get(4..6)?)?;
    let minute = two_digits(fields.get(6..8)?)?;
    let in_range = (1..=12).contains(&month)
        && (1..=days_in(month, year)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    if !in_range {
        return None;
    }
    let offset = zone.map_or(Some(0), |zone| zone_offset(zone, go))?;
    Some(((days_since_1970(year, month, day) * 24 + hour) * 60 + minute) * 60 + second - offset)
}

/// The seconds east of Greenwich. A zero offset is printed as `Z` and therefore refused as a number.
fn zone_offset(zone: &[u8], go: Go) -> Option<i64> {
    let (sign, digits) = match zone {
        [b'+', digits @ ..] => (1, digits),
        [b'-', digits @ ..] => (-1, digits),
        _ => return None,
    };
    let hours = two_digits(digits.get(..2)?)?;
    let minutes = two_digits(digits.get(2..)?)?;
    let hours_fit = hours <= 24 || !go.is_at_least(GoRelease::V1_24);
    let offset = (hours * 60 + minutes) * 60;
    (minutes < 60 && hours_fit && offset != 0).then_some(sign * offset)
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in(month: i64, year: i64) -> i64 {
    match month {
        2 => 28 + i64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 in the proleptic Gregorian calendar, counting years from March.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let century_cycle = year.div_euclid(400);
    let year_of_cycle = year.rem_euclid(400);
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    century_cycle * 146_097 + year_of_cycle * 365 + year_of_cycle / 4 - year_of_cycle / 100
        + day_of_year
        - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    const GO: Go = Go::V1_19;

    fn utc(text: &str) -> Option<i64> {
        utc_time(text.as_bytes(), GO)
    }

    fn generalized(text: &str) -> Option<i64> {
        generalized_time(text.as_bytes(), GO)
    }

    #[test]
    fn utc_times() {
        assert_eq!(utc("700101000000Z"), Some(0));
        assert_eq!(utc("7001010000Z"), Some(0), "without seconds");
        assert_eq!(utc("491231235959Z"), Some(2_524_607_999));
        assert_eq!(utc("500101000000Z"), Some(-631_152_000));
        assert_eq!(utc("240229120000Z"), Some(1_709_208_000));
        assert_eq!(utc("230229120000Z"), None);
        assert_eq!(utc("700101000000+0100"), Some(-3600));
        assert_eq!(utc("700101000000+0000"), None);
        assert_eq!(utc("700101000000"), None);
        assert_eq!(utc("700101000060Z"), None);
        assert_eq!(utc("700101240000Z"), None);
        assert_eq!(utc("701301000000Z"), None);
        assert_eq!(utc("700100000000Z"), None);
        assert_eq!(utc("70010100000aZ"), None);
        assert_eq!(utc("700101000000.5Z"), None);
        assert_eq!(utc("19700101000000Z"), None);
    }

    #[test]
    fn generalized_times() {
        assert_eq!(generalized("19700101000000Z"), Some(0));
        assert_eq!(generalized("99991231235959Z"), Some(253_402_300_799));
        assert_eq!(generalized("00000101000000Z"), Some(-62_167_219_200));
        assert_eq!(generalized("20000229000000Z"), Some(951_782_400));
        assert_eq!(generalized("21000229000000Z"), None);
        assert_eq!(generalized("19700101000000.5Z"), None);
        assert_eq!(generalized("197001010000Z"), None);
        assert_eq!(generalized("19700101000000-0130"), Some(5400));
    }
}
