//! What may be issued: request and profile in, template or refusal out.

use std::fmt;

use dockseal_docker::Role;
use dockseal_pki::{
    Certificate, Lifetime, PublicKey, PublicKeyAlgorithm, SerialNumber, SubjectAltName, UserName, Validity,
    ValidityError, moment,
};
use time::OffsetDateTime;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// For whom.
    pub endpoint: Endpoint,
    /// The key to certify.
    pub public_key: PublicKey,
    /// How long it is to live; `None` means the profile's usual lifetime.
    pub lifetime: Option<Lifetime>,
}

/// Who is to be certified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A daemon and everything that clients dial it by.
    Daemon {
        /// Its names, at least one.
        names: Vec<SubjectAltName>,
    },
    /// A client.
    Client {
        /// Its user.
        user: UserName,
    },
}

impl Endpoint {
    /// Its role.
    pub fn role(&self) -> Role {
        match self {
            Self::Daemon { .. } => Role::Daemon,
            Self::Client { .. } => Role::Client,
        }
    }
}

/// Limits, as configured.
#[derive(Clone, Copy, Debug)]
pub struct ProfileConfig {
    /// Whom these limits are for.
    pub role: Role,
    /// The lifetime when none is asked for.
    pub usual_lifetime: Lifetime,
    /// The longest lifetime that may be asked for; `None` for no limit but the issuer's own end.
    pub longest_lifetime: Option<Lifetime>,
}

/// Limits, checked.
#[derive(Clone, Copy, Debug)]
pub struct Profile(ProfileConfig);

/// Why limits make no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProfileError {
    /// The usual lifetime exceeds the longest.
    UsualExceedsLongest,
    /// Authorities are not issued by profile.
    Role,
}

impl fmt::Display for ProfileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UsualExceedsLongest => "the usual lifetime is longer than the longest one allowed",
            Self::Role => "a profile is for daemons or for clients",
        })
    }
}

impl std::error::Error for ProfileError {}

const fn days(count: u32) -> Lifetime {
    match Lifetime::days(count) {
        Some(lifetime) => lifetime,
        None => unreachable!(),
    }
}

/// The moment and the number of one issuance; both come from outside.
#[derive(Clone, Debug)]
pub struct Issuance {
    /// The present.
    pub now: OffsetDateTime,
    /// The new certificate's serial number, never used before with this issuer.
    pub serial: SerialNumber,
}

/// What may be signed: made by [`Profile::permit`] alone, spent by [`crate::Authority::sign`].
#[derive(Debug)]
pub struct Template {
    pub(crate) endpoint: Endpoint,
    pub(crate) public_key: PublicKey,
    pub(crate) validity: Validity,
    pub(crate) serial: SerialNumber,
    /// What differs from the request and should be said.
    pub notes: Vec<Note>,
}

impl Template {
    /// The new certificate's serial number.
    pub fn serial(&self) -> &SerialNumber {
        &self.serial
    }
}

/// Something about a permitted request that its sender should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// The certificate ends with its issuer and not when it was asked to.
    EndsWithIssuer {
        /// When it was asked to end.
        asked: OffsetDateTime,
        /// When it ends.
        given: OffsetDateTime,
    },
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EndsWithIssuer { asked, given } => {
                write!(f, "it ends with its authority on {} instead of {}", moment(*given), moment(*asked))
            }
        }
    }
}

/// Why a request is not permitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The request is for another role than the profile.
    Role {
        /// What was asked for.
        asked: Role,
    },
    /// A daemon without any name.
    NoNames,
    /// A kind or size of key that is not certified.
    Key {
        /// What it is.
        algorithm: PublicKeyAlgorithm,
    },
    /// A longer lifetime than allowed.
    TooLong {
        /// What was asked for.
        asked: Lifetime,
        /// The most that is allowed.
        longest: Lifetime,
    },
    /// Beyond what a certificate can express.
    Validity(ValidityError),
    /// The issuer is not valid yet: the clock is behind, or ahead was when the authority was made.
    IssuerNotYetValid {
        /// The present.
        now: OffsetDateTime,
        /// When the issuer begins.
        begins: OffsetDateTime,
    },
    /// The issuer has ended.
    IssuerExpired {
        /// When it ended.
        ended: OffsetDateTime,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Role { asked } => write!(f, "the request is for a {asked}"),
            Self::NoNames => f.write_str("no subject alternative name was given"),
            Self::Key { algorithm } => {
                write!(
                    f,
                    "keys of the kind {algorithm} are not certified; P-256, P-384, Ed25519 and RSA from 2048 to 8192 bits are"
                )
            }
            Self::TooLong { asked, longest } => write!(f, "a lifetime of {asked} is longer than the {longest} allowed"),
            Self::Validity(error) => error.fmt(f),
            Self::IssuerNotYetValid { now, begins } => {
                write!(f, "the clock says {}, but the authority is only valid from {}", moment(*now), moment(*begins))
            }
            Self::IssuerExpired { ended } => write!(f, "the authority ended on {}", moment(*ended)),
        }
    }
}

impl std::error::Error for Refusal {}

impl Profile {
    /// The longest lifetime of a TLS server certificate that Apple's platforms accept, even from a private authority
    /// (Apple support article HT210176).
    pub const LONGEST_FOR_EVERY_PLATFORM: Lifetime = days(825);
    /// The usual lifetime of a daemon's or client's certificate.
    pub const USUAL_LIFETIME: Lifetime = days(365);

    /// Checks limits.
    ///
    /// # Errors
    /// When they contradict each other.
    pub fn new(config: ProfileConfig) -> Result<Self, ProfileError> {
        if config.role == Role::Authority {
            return Err(ProfileError::Role);
        }
        if config.longest_lifetime.is_some_and(|longest| config.usual_lifetime > longest) {
            return Err(ProfileError::UsualExceedsLongest);
        }
        Ok(Self(config))
    }

    /// Decides.
    ///
    /// # Errors
    /// With the reason, when the request is not permitted.
    pub fn permit(&self, request: Request, issuer: &Certificate, issuance: Issuance) -> Result<Template, Refusal> {
        let Request { endpoint, public_key, lifetime } = request;
        if endpoint.role() != self.0.role {
            return Err(Refusal::Role { asked: endpoint.role() });
        }
        if matches!(&endpoint, Endpoint::Daemon { names } if names.is_empty()) {
            return Err(Refusal::NoNames);
        }
        if !is_certified(public_key.algorithm()) {
            return Err(Refusal::Key { algorithm: public_key.algorithm().clone() });
        }
        let lifetime = lifetime.unwrap_or(self.0.usual_lifetime);
        if let Some(longest) = self.0.longest_lifetime.filter(|longest| lifetime > *longest) {
            return Err(Refusal::TooLong { asked: lifetime, longest });
        }
        let Issuance { now, serial } = issuance;
        if now < issuer.validity.not_before {
            return Err(Refusal::IssuerNotYetValid { now, begins: issuer.validity.not_before });
        }
        if now > issuer.validity.not_after {
            return Err(Refusal::IssuerExpired { ended: issuer.validity.not_after });
        }
        let asked = Validity::starting(now, lifetime).map_err(Refusal::Validity)?;
        let validity = asked.clamped_to(issuer.validity);
        let mut notes = Vec::new();
        if validity.not_after < asked.not_after {
            notes.push(Note::EndsWithIssuer { asked: asked.not_after, given: validity.not_after });
        }
        Ok(Template { endpoint, public_key, validity, serial, notes })
    }
}

/// Go's TLS takes RSA up to 8192 bits (crypto/tls handshake_client.go checkKeySize) and no EC curve beyond these.
fn is_certified(algorithm: &PublicKeyAlgorithm) -> bool {
    match algorithm {
        PublicKeyAlgorithm::P256
        | PublicKeyAlgorithm::P384
        | PublicKeyAlgorithm::P521
        | PublicKeyAlgorithm::Ed25519 => true,
        PublicKeyAlgorithm::Rsa { bits } => (2048..=8192).contains(bits),
        PublicKeyAlgorithm::Other { .. } => false,
    }
}
