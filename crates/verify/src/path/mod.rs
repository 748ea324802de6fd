//! Whether a chain can be built from a leaf to an anchor, by the rules of Go's crypto/x509.
//!
//! Go enumerates every chain and accepts if one passes; here the search ends with the first that does, which gives the
//! same answer and costs one signature for the usual bundle. Go's own budget of a hundred signature checks bounds the
//! search, and with it the recursion. Source: Go src/crypto/x509/verify.go (`Verify`, `buildChains`, `isValid`,
//! `checkChainForKeyUsage`) and x509.go (`CheckSignatureFrom`) of 1.19, 1.24 and 1.26.

mod constraints;
mod constraints_sorted;
mod distrusted;
pub(crate) mod hostname;
mod policy;

use std::fmt;

use dockseal_docker::version::{Go, GoRelease};
use time::OffsetDateTime;

use crate::pool::{Anchors, Identity, Intermediates};
use crate::signature::{SignatureError, Signatures};
use crate::x509::{Certificate, KEY_CERT_SIGN, PublicKey};

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
    pub(crate) signatures: &'o Signatures,
}

/// Why no chain stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PathError {
    UnhandledCriticalExtension {
        certificate: String,
    },
    NotYetValid {
        certificate: String,
        is_ca: bool,
        not_before: i64,
    },
    Expired {
        certificate: String,
        is_ca: bool,
        not_after: i64,
    },
    NotACa {
        certificate: String,
    },
    PathTooLong {
        certificate: String,
    },
    HostMismatch(Mismatch),
    /// No issuer at hand, with the first reason why a candidate was none.
    UnknownAuthority {
        hint: Option<(Rejected, String)>,
    },
    IncompatibleUsage,
    PoliciesInvalid,
    /// One of the few keys of public authorities that Go itself does not trust.
    Distrusted {
        certificate: String,
    },
    NameExcluded(String),
    NameNotPermitted(String),
    UnconstrainableName(String),
    TooManyConstraints,
    SignatureBudget,
    /// Go would look on, and the judge does not.
    CandidateBudget,
    /// The chain stands, and TLS does not use the leaf's kind of key (crypto/tls `verifyServerCertificate`).
    KeyKind(String),
}

/// Where the host stands in the certificate, if anywhere: not among the names that it is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mismatch {
    Nowhere,
    CommonName,
    /// An address as a dNSName (RFC 5280, 4.2.1.6).
    AddressAsDnsName,
}

/// Why a certificate of the right name is not the issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Rejected {
    /// basicConstraints or keyUsage say that it signs no certificates.
    MayNotSign,
    Signature(SignatureError),
    /// The key identifiers say that it is the issuer's key, and the signature is wrong.
    Damaged,
    Invalid(Box<PathError>),
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MayNotSign => f.write_str("its basicConstraints or keyUsage do not let it sign certificates"),
            Self::Signature(error) => error.fmt(f),
            Self::Damaged => SignatureError::Invalid.fmt(f),
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
            Self::NotYetValid { certificate, not_before, .. } => {
                write!(f, "{certificate:?} is not valid before {}", Moment(*not_before))
            }
            Self::Expired { certificate, not_after, .. } => {
                write!(f, "{certificate:?} expired at {}", Moment(*not_after))
            }
            Self::NotACa { certificate } => write!(f, "{certificate:?} is no CA"),
            Self::PathTooLong { certificate } => {
                write!(f, "{certificate:?} does not allow that many CAs below it")
            }
            Self::HostMismatch(Mismatch::CommonName) => {
                f.write_str("only the common name fits, and Go does not look at it")
            }
            Self::HostMismatch(Mismatch::AddressAsDnsName) => f.write_str(
                "the certificate has the address as a DNS name, and an address is compared with IP names only",
            ),
            Self::HostMismatch(Mismatch::Nowhere) => f.write_str("no subject alternative name fits the host"),
            Self::UnknownAuthority { hint: None } => f.write_str("no certificate in the CA file issued it"),
            Self::UnknownAuthority { hint: Some((why, candidate)) } => {
                write!(f, "{candidate:?} has the issuer's name, but {why}")
            }
            Self::IncompatibleUsage => f.write_str("an extendedKeyUsage in the chain does not allow it"),
            Self::PoliciesInvalid => f.write_str("a CA requires a certificate policy that the chain does not have"),
            Self::Distrusted { certificate } => write!(f, "Go does not trust the key of {certificate:?} any more"),
            Self::NameExcluded(name) => write!(f, "a CA's name constraints exclude {name:?}"),
            Self::NameNotPermitted(name) => {
                write!(f, "a CA's name constraints do not permit {name:?}")
            }
            Self::UnconstrainableName(name) => write!(f, "{name:?} cannot be compared with a CA's name constraints"),
            Self::TooManyConstraints => f.write_str("a CA has more name constraints than Go compares"),
            Self::KeyKind(kind) => write!(f, "TLS does not use a key of {kind}"),
            Self::SignatureBudget => f.write_str("more candidates have the issuer's name than Go tries"),
            Self::CandidateBudget => f.write_str("more candidates have the issuer's name than are tried here"),
        }
    }
}

const CA_EXPIRED: &str =
    "Renew the CA certificate that is named, or roll over to a new one: the certificates below it do not help.";
const CA_NOT_YET_VALID: &str = "Set the clocks right, or make the CA certificate anew.";

impl Rejected {
    /// What to do where it is another thing than to trust another CA (Go src/crypto/x509/x509.go `CheckSignatureFrom`).
    const fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::MayNotSign => {
                Some("Issue it from a CA with basicConstraints CA:TRUE and a keyUsage that has keyCertSign.")
            }
            Self::Damaged => Some("The certificate is damaged: bring it back from a copy, or reissue it."),
            Self::Signature(SignatureError::Insecure(_) | SignatureError::Unsupported) => {
                Some("Reissue the certificate with a signature by SHA-256.")
            }
            Self::Signature(SignatureError::SmallKey { .. }) => {
                Some("Make the CA anew with a P-256 key, or an RSA key of 2048 bits or more.")
            }
            Self::Signature(SignatureError::WrongKind | SignatureError::HugeKey { .. } | SignatureError::Invalid) => {
                None
            }
            Self::Invalid(error) => error.remedy_in_a_ca(),
        }
    }

    /// RFC 5280, 4.2.1.1: the identifiers are equal where the key is the same.
    fn by_signature(error: SignatureError, child: &Certificate<'_>, issuer: &Certificate<'_>) -> Self {
        let wanted = child.extensions.authority_key_id;
        let same_key = !wanted.is_empty() && wanted == issuer.extensions.subject_key_id;
        if error == SignatureError::Invalid && same_key { Self::Damaged } else { Self::Signature(error) }
    }
}

impl PathError {
    /// What to do, where the check's own remedy does not fit.
    pub(crate) fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::UnknownAuthority { hint: Some((why, _)) } => why.remedy(),
            Self::Expired { is_ca: true, .. } => Some(CA_EXPIRED),
            Self::NotYetValid { is_ca: true, .. } => Some(CA_NOT_YET_VALID),
            Self::HostMismatch(Mismatch::AddressAsDnsName) => {
                Some("Reissue the daemon's certificate with the address as an IP name, not as a DNS name.")
            }
            _ => None,
        }
    }

    /// The same where it is the CA that is not taken (Go src/crypto/x509/verify.go `isValid`).
    const fn remedy_in_a_ca(&self) -> Option<&'static str> {
        match self {
            Self::Expired { .. } => Some(CA_EXPIRED),
            Self::NotYetValid { .. } => Some(CA_NOT_YET_VALID),
            Self::NotACa { .. } => Rejected::MayNotSign.remedy(),
            Self::PathTooLong { .. } => {
                Some("Issue it from a CA that allows as many CAs below it, or directly from the root.")
            }
            Self::UnhandledCriticalExtension { .. } => {
                Some("Make the CA certificate anew without that critical extension.")
            }
            Self::NameExcluded(_)
            | Self::NameNotPermitted(_)
            | Self::UnconstrainableName(_)
            | Self::TooManyConstraints => Some("Issue it for names that the CA's name constraints permit."),
            _ => None,
        }
    }

    /// Whether the judge gave up where Go would have computed on.
    pub(crate) fn is_beyond_the_judge(&self) -> bool {
        match self {
            Self::CandidateBudget
            | Self::UnknownAuthority { hint: Some((Rejected::Signature(SignatureError::HugeKey { .. }), _)) } => true,
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
pub(crate) fn verify(
    leaf: &Certificate<'_>,
    intermediates: &Intermediates<'_>,
    roots: &Anchors,
    options: Options<'_>,
) -> Result<(), PathError> {
    check_certificate(leaf, options)?;
    if let Some(host) = options.host
        && !hostname::matches(leaf, host, options.go)
    {
        return Err(PathError::HostMismatch(hostname::mismatch(leaf, host)));
    }
    if roots.contains(leaf) {
        return check_chain(&[leaf], options);
    }
    let mut search = Search { intermediates, roots, options, signature_checks: 0, candidates: 0, complete: None };
    let found = search.extend(&[leaf]);
    match (found, search.complete) {
        (Ok(()), _) => Ok(()),
        (Err(PathError::CandidateBudget), _) => Err(PathError::CandidateBudget),
        (Err(_), Some(error)) | (Err(error), None) => Err(error),
    }
}

/// What every certificate of a chain must meet.
fn check_certificate(certificate: &Certificate<'_>, options: Options<'_>) -> Result<(), PathError> {
    if certificate.extensions.unhandled_critical.is_some() {
        return Err(PathError::UnhandledCriticalExtension { certificate: certificate.name() });
    }
    // Go compares instants, so that half a second after notAfter is too late (x509 verify.go isValid, `now.After`).
    let (now, fraction) = (options.now.unix_timestamp(), options.now.nanosecond());
    if now < certificate.not_before {
        return Err(PathError::NotYetValid {
            certificate: certificate.name(),
            is_ca: is_ca(certificate),
            not_before: certificate.not_before,
        });
    }
    if (now, fraction) > (certificate.not_after, 0) {
        return Err(PathError::Expired {
            certificate: certificate.name(),
            is_ca: is_ca(certificate),
            not_after: certificate.not_after,
        });
    }
    Ok(())
}

fn is_ca(certificate: &Certificate<'_>) -> bool {
    certificate.extensions.basic_constraints.as_ref().is_some_and(|constraints| constraints.is_ca)
}

/// What a complete chain, leaf first, must meet as a whole.
fn check_chain(chain: &[&Certificate<'_>], options: Options<'_>) -> Result<(), PathError> {
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
    if go.is_at_least(GoRelease::V1_26) {
        constraints_sorted::check(chain, go)?;
    }
    match chain.iter().find(|certificate| go.is_at_least(GoRelease::V1_27) && distrusted::holds(certificate.key_info)) {
        Some(certificate) => Err(PathError::Distrusted { certificate: certificate.name() }),
        None => Ok(()),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Intermediate,
    Root,
}

struct Search<'s> {
    intermediates: &'s Intermediates<'s>,
    roots: &'s Anchors,
    options: Options<'s>,
    signature_checks: usize,
    candidates: usize,
    /// Why the first complete chain did not pass.
    complete: Option<PathError>,
}

/// `maxChainSignatureChecks`.
const MOST_SIGNATURE_CHECKS: usize = 100;

/// Candidates that Go does not count are looked at all the same.
const MOST_CANDIDATES: usize = 200_000;

/// Why the candidates so far were no issuers.
#[derive(Default)]
struct Failures {
    /// The first that had the name and was not the issuer.
    hint: Option<(Rejected, String)>,
    last: Option<PathError>,
}

impl Search<'_> {
    /// Looks for an issuer of the last certificate of `chain`, anchors first.
    fn extend(&mut self, chain: &[&Certificate<'_>]) -> Result<(), PathError> {
        let Some(child) = chain.last() else {
            return Err(PathError::UnknownAuthority { hint: None });
        };
        let (roots, intermediates) = (self.roots, self.intermediates);
        let mut failures = Failures::default();
        for place in roots.issuers_of(child) {
            let der = roots.der(place);
            if let Ok(issuer) = Certificate::parse_again(&der, self.options.go)
                && issuer.subject == child.issuer
                && self.try_issuer(Kind::Root, &issuer, chain, &mut failures)?
            {
                return Ok(());
            }
        }
        for issuer in intermediates.issuers_of(child) {
            if self.try_issuer(Kind::Intermediate, issuer, chain, &mut failures)? {
                return Ok(());
            }
        }
        let Failures { hint, last } = failures;
        Err(last.unwrap_or(PathError::UnknownAuthority { hint }))
    }

    /// Whether a chain stands with this issuer. An error ends the search.
    fn try_issuer(
        &mut self,
        kind: Kind,
        issuer: &Certificate<'_>,
        chain: &[&Certificate<'_>],
        failures: &mut Failures,
    ) -> Result<bool, PathError> {
        if !self.counts(issuer, chain)? {
            return Ok(false);
        }
        match self.consider(kind, issuer, chain) {
            Ok(None) => return Ok(true),
            Ok(Some(error @ (PathError::SignatureBudget | PathError::CandidateBudget))) => return Err(error),
            Ok(Some(error)) => failures.last = Some(error),
            Err(rejected) => {
                if let Rejected::Invalid(error) = &rejected {
                    failures.last = Some((**error).clone());
                }
                failures.hint.get_or_insert_with(|| (rejected, issuer.name()));
            }
        }
        Ok(false)
    }

    /// Spends one signature check on a candidate; whether it is worth it. Go 1.26 counts before it looks.
    fn counts(&mut self, candidate: &Certificate<'_>, chain: &[&Certificate<'_>]) -> Result<bool, PathError> {
        let go = self.options.go;
        self.candidates += 1;
        if self.candidates > MOST_CANDIDATES {
            return Err(PathError::CandidateBudget);
        }
        let has_key = candidate.public_key != PublicKey::Unknown;
        let useless = (!has_key && go.is_at_least(GoRelease::V1_24)) || Identity::of(candidate).is_in(chain);
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
        issuer: &Certificate<'_>,
        chain: &[&Certificate<'_>],
    ) -> Result<Option<PathError>, Rejected> {
        if !may_sign(issuer) {
            return Err(Rejected::MayNotSign);
        }
        if let Some(child) = chain.last() {
            let verified = self.options.signatures.verify(child, issuer, self.options.go);
            verified.map_err(|error| Rejected::by_signature(error, child, issuer))?;
        }
        self.check_issuer(kind, issuer, chain).map_err(|error| Rejected::Invalid(Box::new(error)))?;
        let longer: Vec<&Certificate<'_>> = chain.iter().copied().chain([issuer]).collect();
        let result = match kind {
            Kind::Root => check_chain(&longer, self.options).inspect_err(|error| {
                self.complete.get_or_insert_with(|| error.clone());
            }),
            Kind::Intermediate => self.extend(&longer),
        };
        Ok(result.err())
    }

    fn check_issuer(&self, kind: Kind, issuer: &Certificate<'_>, chain: &[&Certificate<'_>]) -> Result<(), PathError> {
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
