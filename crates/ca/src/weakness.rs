//! What is weak about an authority that was made elsewhere: it works with Docker, or with Docker alone.

use std::fmt;

use dockseal_pki::{Certificate, ExtendedKeyUsage, PublicKeyAlgorithm, moment};
use time::{Duration, OffsetDateTime};

/// Something about an authority's certificate that its owner should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Weakness {
    /// It ends before a usual leaf would.
    EndsSoon {
        /// When.
        end: OffsetDateTime,
    },
    /// A modulus shorter than 3072 bits, below 128 bits of security (NIST SP 800-57 part 1, table 2).
    ShortKey {
        /// Its length in bits.
        bits: usize,
    },
    /// Signed with a hash that is no longer safe.
    OldSignature {
        /// The algorithm.
        algorithm: String,
    },
    /// No keyUsage, which RFC 5280 section 4.2.1.3 demands and strict verifiers insist on.
    NoKeyUsage,
    /// basicConstraints that are not critical (RFC 5280 section 4.2.1.9).
    BasicConstraintsNotCritical,
    /// No subject key identifier (RFC 5280 section 4.2.1.2).
    NoSubjectKeyId,
    /// Other authorities may be made below it.
    NoPathLength,
    /// It stands alone, yet is not self-signed: Go takes it as an anchor, OpenSSL and others do not.
    NotSelfSigned,
    /// It may only certify one of the two roles.
    OneRoleOnly {
        /// The usages that it has.
        usages: String,
    },
}

impl fmt::Display for Weakness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const STRICT: &str = "Python 3.13 and openssl -x509_strict refuse it";
        match self {
            Self::EndsSoon { end } => {
                write!(f, "the authority ends on {}; certificates cannot outlive it", moment(*end))
            }
            Self::ShortKey { bits } => write!(f, "the authority's RSA key has {bits} bits; 3072 are recommended today"),
            Self::OldSignature { algorithm } => write!(f, "the authority's own signature uses {algorithm}; Docker may ignore it, others refuse it"),
            Self::NoKeyUsage => write!(f, "the authority has no keyUsage extension: {STRICT}"),
            Self::BasicConstraintsNotCritical => write!(f, "the authority's basicConstraints are not critical: {STRICT}"),
            Self::NoSubjectKeyId => write!(f, "the authority has no subject key identifier: {STRICT}"),
            Self::NoPathLength => f.write_str("the authority has no path length: whoever gets a CA certificate from it can issue too"),
            Self::NotSelfSigned => f.write_str("the authority is not self-signed and its issuer is not in the file: Docker trusts it as it is, other programs do not"),
            Self::OneRoleOnly { usages } => write!(f, "the authority has the extended key usages {usages}, and so have all that it certifies"),
        }
    }
}

/// Where a certificate stands in an authority's chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// It is what endpoints trust.
    Anchor,
    /// Its issuer is what endpoints trust, or below that.
    Below,
}

/// What is weak about this authority's certificate at `now`.
pub fn weaknesses(authority: &Certificate, position: Position, now: OffsetDateTime) -> Vec<Weakness> {
    let mut found = Vec::new();
    if authority.validity.not_after - now < Duration::days(365) {
        found.push(Weakness::EndsSoon { end: authority.validity.not_after });
    }
    if let PublicKeyAlgorithm::Rsa { bits } = authority.public_key.algorithm()
        && *bits < 3072
    {
        found.push(Weakness::ShortKey { bits: *bits });
    }
    let algorithm = &authority.signature_algorithm;
    if algorithm.starts_with("sha1") || algorithm.starts_with("md5") {
        found.push(Weakness::OldSignature { algorithm: algorithm.clone() });
    }
    if authority.key_usage.is_none() {
        found.push(Weakness::NoKeyUsage);
    }
    if let Some(constraints) = authority.basic_constraints {
        if !constraints.critical {
            found.push(Weakness::BasicConstraintsNotCritical);
        }
        if constraints.path_length.is_none() {
            found.push(Weakness::NoPathLength);
        }
    }
    if authority.subject_key_id.is_none() {
        found.push(Weakness::NoSubjectKeyId);
    }
    if position == Position::Anchor && !authority.is_self_issued() {
        found.push(Weakness::NotSelfSigned);
    }
    if let Some(usages) = &authority.extended_key_usage {
        let covers = |usage| usages.contains(&usage) || usages.contains(&ExtendedKeyUsage::Any);
        let both_roles = covers(ExtendedKeyUsage::ServerAuth) && covers(ExtendedKeyUsage::ClientAuth);
        // Go reads an empty list as no restriction (crypto/x509 verify.go isValid).
        if !usages.is_empty() && !both_roles {
            let usages = usages.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            found.push(Weakness::OneRoleOnly { usages });
        }
    }
    found
}
