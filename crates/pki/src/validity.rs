//! When a certificate counts (RFC 5280 section 4.1.2.5).

use std::fmt;

use time::{
    Duration, OffsetDateTime,
    macros::{datetime, format_description},
};

/// The last second that a certificate can express (RFC 5280 section 4.1.2.5.2: `99991231235959Z`).
const LAST: OffsetDateTime = datetime!(9999-12-31 23:59:59 UTC);

/// A moment for people: `2027-11-23 12:00 UTC`.
pub fn moment(time: OffsetDateTime) -> String {
    let utc = time.to_offset(time::UtcOffset::UTC);
    utc.format(format_description!("[year]-[month]-[day] [hour]:[minute] UTC")).unwrap_or_else(|_| utc.to_string())
}

/// Both ends of a certificate's life; both seconds belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first second at which it counts.
    pub not_before: OffsetDateTime,
    /// The last second at which it counts.
    pub not_after: OffsetDateTime,
}

/// Why a validity cannot be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValidityError {
    /// The end lies beyond the last second that a certificate can express, 9999-12-31T23:59:59Z.
    BeyondYear9999,
}

impl fmt::Display for ValidityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BeyondYear9999 => {
                f.write_str("the certificate would end after 9999-12-31, the last day X.509 can express")
            }
        }
    }
}

impl std::error::Error for ValidityError {}

impl Validity {
    /// How far `notBefore` lies before the present, so that a peer whose clock is slow still accepts a new certificate.
    pub const BACKDATE: Duration = Duration::minutes(5);

    /// From [`BACKDATE`](Self::BACKDATE) before `now` until `lifetime` after it, in whole seconds.
    ///
    /// # Errors
    /// When the end lies beyond the year 9999.
    pub fn starting(now: OffsetDateTime, lifetime: Lifetime) -> Result<Self, ValidityError> {
        let now = now.replace_nanosecond(0).unwrap_or(now);
        let not_after = now.checked_add(lifetime.0).filter(|end| *end <= LAST).ok_or(ValidityError::BeyondYear9999)?;
        Ok(Self { not_before: now.saturating_sub(Self::BACKDATE), not_after })
    }

    /// This validity cut down to what lies inside `issuer`'s.
    pub fn clamped_to(self, issuer: Self) -> Self {
        Self { not_before: self.not_before.max(issuer.not_before), not_after: self.not_after.min(issuer.not_after) }
    }

    /// When a certificate is due for renewal: two thirds of its life are gone, rounded up to a second.
    pub fn due_at(self) -> OffsetDateTime {
        let life = (self.not_after - self.not_before).whole_seconds().max(0);
        self.not_before.saturating_add(Duration::seconds(life - life / 3))
    }

    /// The lifetime that was asked for when it was made by [`starting`](Self::starting): without the backdating.
    /// `None` when nothing remains.
    pub fn lifetime(self) -> Option<Lifetime> {
        let life = self.not_after - self.not_before;
        let asked = if life > Self::BACKDATE { life - Self::BACKDATE } else { life };
        (asked.whole_seconds() > 0).then(|| Lifetime(Duration::seconds(asked.whole_seconds())))
    }

    /// Whether it counts at `now` (crypto/x509 verify.go isValid: both ends included).
    pub fn contains(&self, now: OffsetDateTime) -> bool {
        self.not_before <= now && now <= self.not_after
    }
}

/// How long a certificate is to live: a positive duration of whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lifetime(Duration);

impl Lifetime {
    /// So many days of 24 hours. `None` for zero.
    pub const fn days(days: u32) -> Option<Self> {
        if days == 0 { None } else { Some(Self(Duration::days(days as i64))) }
    }

    /// The duration, always positive.
    pub fn duration(self) -> Duration {
        self.0
    }

    /// Reads `90d`, `36h`, `30m`, `45s`, `2w` or `1y` (365 days).
    ///
    /// # Errors
    /// When there is no unit, an unknown one, no number, or the number is zero, negative or absurdly large.
    pub fn parse(text: &str) -> Result<Self, LifetimeError> {
        let text = text.trim();
        let digits = text.strip_prefix('-').unwrap_or(text);
        let split = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        let (number, unit) = digits.split_at(split);
        if number.is_empty() {
            return Err(LifetimeError::NotADuration);
        }
        let unit = match unit.trim_start() {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86_400,
            "w" => 7 * 86_400,
            "y" => 365 * 86_400,
            "" => return Err(LifetimeError::NoUnit),
            other => return Err(LifetimeError::UnknownUnit(other.to_owned())),
        };
        if text.starts_with('-') || number.bytes().all(|digit| digit == b'0') {
            return Err(LifetimeError::NotPositive);
        }
        let seconds = number.parse::<i64>().ok().and_then(|n| n.checked_mul(unit)).ok_or(LifetimeError::TooLong)?;
        // Ten thousand years: more than any date can hold, and small enough that no sum overflows.
        if seconds > 10_000 * 366 * 86_400 {
            return Err(LifetimeError::TooLong);
        }
        Ok(Self(Duration::seconds(seconds)))
    }
}

/// In the largest unit that divides it.
impl fmt::Display for Lifetime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.whole_seconds();
        for (unit, name) in [(365 * 86_400, "year"), (86_400, "day"), (3600, "hour"), (60, "minute")] {
            if seconds % unit == 0 {
                let count = seconds / unit;
                return write!(f, "{count} {name}{}", if count == 1 { "" } else { "s" });
            }
        }
        write!(f, "{seconds} seconds")
    }
}

/// Why a text is not a lifetime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LifetimeError {
    /// It does not begin with a whole number.
    NotADuration,
    /// A number without a unit.
    NoUnit,
    /// A unit other than s, m, h, d, w, y.
    UnknownUnit(String),
    /// Zero or less.
    NotPositive,
    /// More than ten thousand years.
    TooLong,
}

impl fmt::Display for LifetimeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotADuration => f.write_str("not a duration"),
            Self::NoUnit => f.write_str("a number without a unit"),
            Self::UnknownUnit(unit) => write!(f, "unknown unit {unit:?}"),
            Self::NotPositive => f.write_str("a lifetime must be longer than zero"),
            Self::TooLong => f.write_str("longer than X.509 can express (year 9999)"),
        }
    }
}

impl std::error::Error for LifetimeError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_read_with_a_unit_only() {
        let cases = [
            ("90d", Ok(Duration::days(90))),
            ("1y", Ok(Duration::days(365))),
            (" 2w ", Ok(Duration::days(14))),
            ("36h", Ok(Duration::hours(36))),
            ("30m", Ok(Duration::minutes(30))),
            ("45s", Ok(Duration::seconds(45))),
            ("90", Err(LifetimeError::NoUnit)),
            ("", Err(LifetimeError::NotADuration)),
            ("d", Err(LifetimeError::NotADuration)),
            ("0d", Err(LifetimeError::NotPositive)),
            ("-5d", Err(LifetimeError::NotPositive)),
            ("1.5y", Err(LifetimeError::UnknownUnit(".5y".into()))),
            ("10M", Err(LifetimeError::UnknownUnit("M".into()))),
            ("99999999999999999999y", Err(LifetimeError::TooLong)),
            ("20000y", Err(LifetimeError::TooLong)),
        ];
        for (text, expected) in cases {
            assert_eq!(Lifetime::parse(text).map(Lifetime::duration), expected, "{text:?}");
        }
    }

    #[test]
    fn a_validity_is_backdated_and_ends_with_the_year_9999() {
        let now = datetime!(2026-11-23 12:00:00.75 UTC);
        let validity = Validity::starting(now, Lifetime::parse("1d").unwrap()).unwrap();
        assert_eq!(validity.not_before, datetime!(2026-11-23 11:55 UTC));
        assert_eq!(validity.not_after, datetime!(2026-11-24 12:00 UTC));
        assert_eq!(Validity::starting(now, Lifetime::parse("10000y").unwrap()), Err(ValidityError::BeyondYear9999));
    }

    #[test]
    fn two_thirds_of_a_life_and_the_lifetime_asked_for() {
        let now = datetime!(2028-02-28 12:00 UTC);
        for days in [1, 3, 30, 365, 3650] {
            let lifetime = Lifetime::days(days).unwrap();
            let validity = Validity::starting(now, lifetime).unwrap();
            assert_eq!(validity.lifetime(), Some(lifetime), "{days}");
            let before: Duration = validity.due_at() - validity.not_before;
            let after: Duration = validity.not_after - validity.due_at();
            let off = before.whole_seconds() - 2 * after.whole_seconds();
            assert!((0..=2).contains(&off), "{days}: {before} and {after}");
        }
        // 2028 has a 29th of February.
        let quarter =
            Validity { not_before: datetime!(2028-01-01 0:00 UTC), not_after: datetime!(2028-03-31 0:00 UTC) };
        assert_eq!(quarter.due_at(), datetime!(2028-03-01 0:00 UTC));
        let last = Validity { not_before: datetime!(9999-12-31 23:59:58 UTC), not_after: LAST };
        assert_eq!(last.due_at(), LAST);
    }

    #[test]
    fn clamping_never_widens() {
        let issuer = Validity { not_before: datetime!(2026-01-01 0:00 UTC), not_after: datetime!(2027-01-01 0:00 UTC) };
        let leaf = Validity { not_before: datetime!(2025-12-31 23:55 UTC), not_after: datetime!(2028-01-01 0:00 UTC) };
        assert_eq!(leaf.clamped_to(issuer), issuer);
        let inner = Validity { not_before: datetime!(2026-02-01 0:00 UTC), not_after: datetime!(2026-03-01 0:00 UTC) };
        assert_eq!(inner.clamped_to(issuer), inner);
    }
}
