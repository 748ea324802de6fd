//! Whether a chain can be built from a leaf to an anchor, by the rules of Go's crypto/x509.
//!
//! Go enumerates every chain and accepts if one passes; here the search ends with the first that does, which gives the
//! same answer and costs one signature for the usual bundle. Go's own budget of a hundred signature checks bounds the
//! search, and with it the recursion. Source: Go src/crypto/x509/verify.go (`Verify`, `buildChains`, `isValid`,
//! `checkChainForKeyUsage`) and x509.go (`CheckSignatureFrom`) of 1.19, 1.24 and 1.26.

mod constraints;
mod constraints_sorted;
pub(crate) mod hostname;
mod policy;

use std::fmt;

use dockseal_docker::version::{Go, GoRelease};
use time::OffsetDateTime;

use crate::pool::{Candidate, Identity, Pool};
use crate::signature::{self, SignatureError};
use crate::x509::{Certificate, KEY_CERT_SIGN};

/// What the leaf is to be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// A daemon's certificate, verified by a client (serverAuth).
    Server,
    /// A client's certificate, verified by a daemon (clientAuth).
    Client,
}

/// How Go is asked.
#[derive(Clone, Copy)]
pub(crate) struct Options<'o> {
    pub(crate) purpose: Purpose,
    /// The host dialled, as [`hostname::as_dialled`] returns it.
    pub(crate) host: Option<&'o str>,
    pub(crate) now: OffsetDateTime,
    pub(crate) go: Go,
}

/// Why no chain stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PathError {
    UnhandledCriticalExtension {
        certificate: String,
    },
    NotYetValid {
        certificate: String,
        not_before: i64,
    },
    Expired {
        certificate: String,
        not_after: i64,
    },
    NotACa {
        certificate: String,
    },
    PathTooLong {
        certificate: String,
    },
    HostMismatch {
        common_name_only: bool,
    },
    /// No issuer at hand, with the first reason why a candidate was none.
    UnknownAuthority {
        hint: Option<(Rejected, String)>,
    },
    IncompatibleUsage,
    PoliciesInvalid,
    NameExcluded(String),
    NameNotPermitted(String),
    UnconstrainableName(String),
    TooManyConstraints,
    SignatureBudget,
    /// The chain stands, and TLS does not use the leaf's kind of key (crypto/tls `verifyServerCertificate`).
    KeyKind(String),
}

/// Why a certificate of the right name is not the issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Rejected {
    /// basicConstraints or keyUsage say that it signs no certificates.
    MayNotSign,
    Signature(SignatureError),
    Invalid(Box<PathError>),
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MayNotSign => f.write_str("its basicConstraints or keyUsage do not let it sign certificates"),
            Self::Signature(error) => error.fmt(f),
            Self::Invalid(error) => error.fmt(f),
        }
    }
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnhandledCriticalExtension { certificate } => {
                write!(f, "{certificate:?} has a critical extension that Go does not know")
            }
            Self::NotYetValid { certificate, not_before } => {
                write!(f, "{certificate:?} is not valid before {}", Moment(*not_before))
            }
            Self::Expired { certificate, not_after } => write!(f, "{certificate:?} expired at {}", Moment(*not_after)),
            Self::NotACa { certificate } => write!(f, "{certificate:?} is no CA"),
            Self::PathTooLong { certificate } => {
                write!(f, "{certificate:?} does not allow that many CAs below it")
            }
            Self::HostMismatch { common_name_only: true } => {
                f.write_str("only the common name fits, and Go does not look at it")
            }
            Self::HostMismatch { common_name_only: false } => f.write_str("no subject alternative name fits the host"),
            Self::UnknownAuthority { hint: None } => f.write_str("no certificate in the CA file issued it"),
            Self::UnknownAuthority { hint: Some((why, candidate)) } => {
                write!(f, "{candidate:?} has the issuer's name, but {why}")
            }
            Self::IncompatibleUsage => f.write_str("an extendedKeyUsage in the chain does not allow it"),
            Self::PoliciesInvalid => f.write_str("a CA requires a certificate policy that the chain does not have"),
            Self::NameExcluded(name) => write!(f, "a CA's name constraints exclude {name:?}"),
            Self::NameNotPermitted(name) => {
                write!(f, "a CA's name constraints do not permit {name:?}")
            }
            Self::UnconstrainableName(name) => write!(f, "{name:?} cannot be compared with a CA's name constraints"),
            Self::TooManyConstraints => f.write_str("a CA has more name constraints than Go compares"),
            Self::KeyKind(kind) => write!(f, "TLS does not use a key of {kind}"),
            Self::SignatureBudget => f.write_str("more candidates have the issuer's name than Go tries"),
        }
    }
}

impl PathError {
    /// Whether the judge gave up where Go would have computed on.
    pub(crate) fn is_beyond_the_judge(&self) -> bool {
        match self {
            Self::UnknownAuthority { hint: Some((Rejected::Signature(SignatureError::HugeKey { .. }), _)) } => true,
            Self::UnknownAuthority { hint: Some((Rejected::Invalid(error), _)) } => error.is_beyond_the_judge(),
            _ => false,
        }
    }
}

/// A time of a certificate for a message.
pub(crate) struct Moment(pub(crate) i64);

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = OffsetDateTime::from_unix_timestamp(self.0)
            .ok()
            .and_then(|moment| moment.format(&time::format_description::well_known::Rfc3339).ok());
        match text {
            Some(text) => f.write_str(&text),
            None => write!(f, "{} s after 1970", self.0),
        }
    }
}

/// Verifies that a chain leads from `leaf` to a certificate in `roots`.
pub(crate) fn verify<'a>(
    leaf: &Certificate<'a>,
    intermediates: &Pool<'a>,
    roots: &Pool<'a>,
    options: Options<'_>,
) -> Result<(), PathError> {
    check_certificate(leaf, options)?;
    if let Some(host) = options.host
        && !hostname::matches(leaf, host, options.go)
    {
        return Err(PathError::HostMismatch { common_name_only: hostname::matches_common_name_only(leaf, host) });
    }
    if roots.contains(leaf) {
        return check_chain(std::slice::from_ref(leaf), options);
    }
    let mut search = Search { intermediates, roots, options, signature_checks: 0, complete: None };
    let mut chain = vec![leaf.clone()];
    let found = search.extend(&mut chain);
    match (found, search.complete) {
        (Ok(()), _) => Ok(()),
        (Err(_), Some(error)) | (Err(error), None) => Err(error),
    }
}

/// What every certificate of a chain must meet.
fn check_certificate(certificate: &Certificate<'_>, options: Options<'_>) -> Result<(), PathError> {
    if certificate.extensions.unhandled_critical.is_some() {
        return Err(PathError::UnhandledCriticalExtension { certificate: certificate.name() });
    }
    // Whole seconds, as certificates have them and as Docker's answers were recorded; Go itself counts the rest too.
    let now = options.now.unix_timestamp();
    if now < certificate.not_before {
        return Err(PathError::NotYetValid { certificate: certificate.name(), not_before: certificate.not_before });
    }
    if now > certificate.not_after {
        return Err(PathError::Expired { certificate: certificate.name(), not_after: certificate.not_after });
    }
    Ok(())
}

/// What a complete chain, leaf first, must meet as a whole.
fn check_chain(chain: &[Certificate<'_>], options: Options<'_>) -> Result<(), PathError> {
    let go = options.go;
    let usable = chain.iter().all(|certificate| {
        let usages = certificate.extensions.extended_key_usages;
        let allowed = match options.purpose {
            Purpose::Server => usages.server,
            Purpose::Client => usages.client,
        };
        !usages.listed || usages.any || allowed
    });
    if !usable {
        return Err(PathError::IncompatibleUsage);
    }
    if go.is_at_least(GoRelease::V1_24) && !policy::are_valid(chain) {
        return Err(PathError::PoliciesInvalid);
    }
    if go.is_at_least(GoRelease::V1_26) { constraints_sorted::check(chain, go) } else { Ok(()) }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Intermediate,
    Root,
}

struct Search<'s, 'a> {
    intermediates: &'s Pool<'a>,
    roots: &'s Pool<'a>,
    options: Options<'s>,
    signature_checks: usize,
    /// Why the first complete chain did not pass.
    complete: Option<PathError>,
}

/// `maxChainSignatureChecks`.
const MOST_SIGNATURE_CHECKS: usize = 100;

impl<'a> Search<'_, 'a> {
    /// Looks for an issuer of the last certificate of `chain`, anchors first.
    fn extend(&mut self, chain: &mut Vec<Certificate<'a>>) -> Result<(), PathError> {
        let Some(child) = chain.last().cloned() else {
            return Err(PathError::UnknownAuthority { hint: None });
        };
        let identities: Vec<Identity<'a>> = chain.iter().map(Identity::of).collect();
        let mut hint = None;
        let mut last_error = None;
        for (kind, pool) in [(Kind::Root, self.roots), (Kind::Intermediate, self.intermediates)] {
            for candidate in pool.potential_issuers(&child) {
                if !self.counts(&candidate, &identities)? {
                    continue;
                }
                let Ok(issuer) = Certificate::parse_again(candidate.der, self.options.go) else {
                    continue;
                };
                match self.consider(kind, &child, issuer, chain) {
                    Ok(None) => return Ok(()),
                    Ok(Some(PathError::SignatureBudget)) => return Err(PathError::SignatureBudget),
                    Ok(Some(error)) => last_error = Some(error),
                    Err((rejected, name)) => {
                        if let Rejected::Invalid(error) = &rejected {
                            last_error = Some((**error).clone());
                        }
                        hint.get_or_insert((rejected, name));
                    }
                }
            }
        }
        Err(last_error.unwrap_or(PathError::UnknownAuthority { hint }))
    }

    /// Spends one signature check on a candidate; whether it is worth it. Go 1.26 counts before it looks.
    fn counts(&mut self, candidate: &Candidate<'a>, chain: &[Identity<'a>]) -> Result<bool, PathError> {
        let go = self.options.go;
        let useless = (!candidate.has_key && go.is_at_least(GoRelease::V1_24)) || candidate.identity.is_in(chain);
        if useless && !go.is_at_least(GoRelease::V1_26) {
            return Ok(false);
        }
        self.signature_checks += 1;
        if self.signature_checks > MOST_SIGNATURE_CHECKS {
            return Err(PathError::SignatureBudget);
        }
        Ok(!useless)
    }

    /// `Ok(None)`: a chain stands. `Ok(Some)`: the issuer is right, and what is above it is not.
    fn consider(
        &mut self,
        kind: Kind,
        child: &Certificate<'a>,
        issuer: Certificate<'a>,
        chain: &mut Vec<Certificate<'a>>,
    ) -> Result<Option<PathError>, (Rejected, String)> {
        let go = self.options.go;
        if !may_sign(&issuer) {
            return Err((Rejected::MayNotSign, issuer.name()));
        }
        signature::verify(child.signature_algorithm, &issuer.public_key, child.to_be_signed, &child.signature, go)
            .map_err(|error| (Rejected::Signature(error), issuer.name()))?;
        self.check_issuer(kind, &issuer, chain).map_err(|error| (Rejected::Invalid(Box::new(error)), issuer.name()))?;
        chain.push(issuer);
        let result = match kind {
            Kind::Root => check_chain(chain, self.options).inspect_err(|error| {
                self.complete.get_or_insert_with(|| error.clone());
            }),
            Kind::Intermediate => self.extend(chain),
        };
        chain.pop();
        Ok(result.err())
    }

    fn check_issuer(&self, kind: Kind, issuer: &Certificate<'a>, chain: &[Certificate<'a>]) -> Result<(), PathError> {
        let go = self.options.go;
        check_certificate(issuer, self.options)?;
        if !go.is_at_least(GoRelease::V1_26) {
            constraints::check(issuer, chain, go)?;
        }
        let basic = issuer.extensions.basic_constraints;
        if kind == Kind::Intermediate && !basic.is_some_and(|basic| basic.is_ca) {
            return Err(PathError::NotACa { certificate: issuer.name() });
        }
        let intermediates = i64::try_from(chain.len()).unwrap_or(i64::MAX) - 1;
        if basic.is_some_and(|basic| basic.max_path_length >= 0 && intermediates > basic.max_path_length) {
            return Err(PathError::PathTooLong { certificate: issuer.name() });
        }
        Ok(())
    }
}

/// Whether a certificate may sign others at all (`CheckSignatureFrom`).
fn may_sign(issuer: &Certificate<'_>) -> bool {
    let extensions = &issuer.extensions;
    let is_ca = extensions.basic_constraints.map_or(issuer.version != 3, |basic| basic.is_ca);
    is_ca && (extensions.key_usage == 0 || extensions.key_usage & KEY_CERT_SIGN != 0)
}
