//! The JSON that programs read. Fields are added, never repurposed; `schema` counts the exceptions.

use dockseal_docker::Role;
use dockseal_pki::{Certificate, Validity, moment};
use serde::Serialize;
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};

pub(crate) const SCHEMA: u32 = 1;

/// A certificate that was made or found.
#[derive(Debug, Serialize)]
pub(crate) struct CertificateReport {
    role: String,
    subject: String,
    serial: String,
    names: Vec<String>,
    key: String,
    not_before: String,
    not_after: String,
    fingerprint_sha256: String,
}

impl CertificateReport {
    pub(crate) fn new(role: Role, certificate: &Certificate) -> Self {
        Self {
            role: role.to_string(),
            subject: certificate.subject.to_string(),
            serial: certificate.serial.to_string(),
            names: certificate.further_names().map(ToString::to_string).collect(),
            key: certificate.public_key.algorithm().to_string(),
            not_before: rfc3339(certificate.validity.not_before),
            not_after: rfc3339(certificate.validity.not_after),
            fingerprint_sha256: certificate.fingerprint().to_string(),
        }
    }
}

/// A time for programs.
pub(crate) fn rfc3339(time: OffsetDateTime) -> String {
    time.format(&Rfc3339).unwrap_or_else(|_| time.to_string())
}

/// `2027-11-23 12:00 UTC (365 days)`: the end of a validity and how far away it is.
pub(crate) fn until(validity: Validity, now: OffsetDateTime) -> String {
    let left = validity.not_after - now;
    let distance = if left.is_negative() { "expired".to_owned() } else { distance(left) };
    format!("{} ({distance})", moment(validity.not_after))
}

/// `12 days`: a span of time in the unit that people would use for it.
pub(crate) fn distance(left: Duration) -> String {
    // To the nearest, so that a certificate that was just made for a year still says so a minute later.
    let nearest = |seconds: i64| (left.whole_seconds() + seconds / 2) / seconds;
    let (years, days, hours, minutes) = (nearest(365 * 86_400), nearest(86_400), nearest(3600), nearest(60));
    match () {
        () if days >= 2 * 365 => format!("{years} years"),
        () if hours >= 48 => format!("{days} days"),
        () if minutes >= 120 => format!("{hours} hours"),
        () => format!("{minutes} minutes"),
    }
}
