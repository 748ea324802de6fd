//! From what is asked for to a signed and judged bundle.

use std::{error::Error, fmt};

use dockseal_ca::{Authority, Endpoint, Issuance, Profile, ProfileConfig, Refusal, Request, SignError, Template};
use dockseal_docker::Role;
use dockseal_inventory::{CertificateId, InventoryError};
use dockseal_pki::{
    Bundle, Certificate, GeneralName, KeyAlgorithm, KeyError, Lifetime, PrivateKey, PublicKey, SerialNumber, Signer,
};
use ring::rand::SystemRandom;

use crate::{
    judgement::{self, NotAccepted},
    session::AuthoritySession,
    surroundings::Surroundings,
};

/// Why a certificate is not issued.
#[derive(Debug)]
#[non_exhaustive]
pub enum IssueError {
    /// The system has no randomness for a serial number.
    Serial,
    /// No private key can be made.
    Key(KeyError),
    /// The private key that is there cannot be used again.
    KeptKey(KeyError),
    /// The profile does not permit it.
    Refused {
        /// For whom it was to be.
        role: Role,
        /// Why.
        refusal: Refusal,
    },
    /// The authority's key cannot sign.
    Sign {
        /// For whom it was to be.
        role: Role,
        /// Why.
        source: SignError,
    },
    /// Docker would not take it.
    NotAccepted {
        /// For whom it was to be.
        role: Role,
        /// What the judge says.
        source: NotAccepted,
    },
    /// The inventory takes no serial number.
    Inventory(InventoryError),
}

impl fmt::Display for IssueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Serial => f.write_str("cannot draw a serial number"),
            Self::Key(_) => f.write_str("cannot make a private key"),
            Self::KeptKey(_) => f.write_str("cannot use the private key"),
            Self::Refused { role, .. } | Self::Sign { role, .. } | Self::NotAccepted { role, .. } => {
                write!(f, "cannot issue the {role} certificate")
            }
            Self::Inventory(error) => error.fmt(f),
        }
    }
}

impl Error for IssueError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Serial => None,
            Self::Key(error) | Self::KeptKey(error) => Some(error),
            Self::Refused { refusal, .. } => Some(refusal),
            Self::Sign { source, .. } => Some(source),
            Self::NotAccepted { source, .. } => Some(source),
            Self::Inventory(error) => error.source(),
        }
    }
}

/// A new private key. Larger RSA keys take seconds.
///
/// # Errors
/// When the system has no randomness.
pub fn new_key(key: KeyAlgorithm, random: &SystemRandom) -> Result<PrivateKey, IssueError> {
    PrivateKey::generate(key, random).map_err(IssueError::Key)
}

/// A new serial number.
///
/// # Errors
/// When the system has no randomness.
pub fn new_serial(random: &SystemRandom) -> Result<SerialNumber, IssueError> {
    SerialNumber::random(random).map_err(|_| IssueError::Serial)
}

/// A certificate that was signed, judged and numbered, and not yet written anywhere.
#[derive(Debug)]
pub struct Issued {
    /// Its number in the inventory.
    pub id: CertificateId,
    /// The certificate.
    pub certificate: Certificate,
    /// What its endpoint gets.
    pub bundle: Bundle,
    /// What the profile and the judge advise.
    pub notes: Vec<String>,
}

/// The key that a certificate is for.
pub enum SubjectKey {
    /// Made here.
    Here(Box<PrivateKey>),
    /// Made elsewhere.
    Elsewhere(PublicKey),
}

/// What is asked for besides who and which key.
#[derive(Clone, Copy, Debug, Default)]
pub struct IssueOptions {
    /// How long it is to be valid; `None` for as long as the profile usually gives.
    pub lifetime: Option<Lifetime>,
    /// Whether a daemon's may be valid for longer than every platform accepts.
    pub allow_long_lifetime: bool,
}

/// The main name that an endpoint goes by.
pub fn name_of(endpoint: &Endpoint) -> String {
    match endpoint {
        Endpoint::Daemon { names } => names.first().map(ToString::to_string).unwrap_or_default(),
        Endpoint::Client { user } => user.to_string(),
    }
}

/// A name without its kind.
pub fn plain(name: &GeneralName) -> String {
    match name {
        GeneralName::Dns(name) => name.clone(),
        GeneralName::Ip(address) => address.to_string(),
        other => other.to_string(),
    }
}

/// What may be signed, and the key that it is for.
pub struct Permitted {
    pub(crate) endpoint: Endpoint,
    template: Template,
    key: Option<PrivateKey>,
    /// What the judge advises of a rehearsal in which all was as it is going to be; `None` where the real one is to be judged as
    /// well.
    advice: Option<Vec<String>>,
}

/// Asks whether an endpoint may have a certificate: the profile, and the judge over one that a throwaway key signed. So what
/// Docker would refuse is never signed by the authority and takes no serial number. Nothing is changed by it.
///
/// # Errors
/// When the profile refuses, Docker would refuse the result, or the system has no randomness.
pub fn permit(
    authority: &Authority,
    endpoint: &Endpoint,
    key: SubjectKey,
    options: IssueOptions,
    around: &Surroundings,
) -> Result<Permitted, IssueError> {
    let (public_key, key) = match key {
        SubjectKey::Here(key) => (key.public_key().clone(), Some(*key)),
        SubjectKey::Elsewhere(public_key) => (public_key, None),
    };
    let role = endpoint.role();
    let request = Request { endpoint: endpoint.clone(), public_key, lifetime: options.lifetime };
    let issuance = Issuance { now: around.now, serial: new_serial(&around.random)? };
    let template = profile(role, options.allow_long_lifetime)
        .and_then(|profile| profile.permit(request, authority.issuer(), issuance))
        .map_err(|refusal| IssueError::Refused { role, refusal })?;
    let rehearsal =
        authority.rehearse(&template, key, &around.random).map_err(|source| IssueError::Sign { role, source })?;
    let advice = judgement::of_bundle(&rehearsal.bundle, endpoint, around.now)
        .map_err(|source| IssueError::NotAccepted { role, source })?;
    let advice = Some(advice).filter(|_| rehearsal.is_faithful);
    Ok(Permitted { endpoint: endpoint.clone(), template, key: rehearsal.bundle.key, advice })
}

impl Permitted {
    /// For whom it is.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The serial that is to be signed with.
    pub fn serial(&self) -> &SerialNumber {
        self.template.serial()
    }

    /// Takes the serial, signs, and has the result judged. `predecessor` is the certificate that it replaces.
    ///
    /// # Errors
    /// When the inventory cannot be written, or as [`sign`](Self::sign).
    pub fn issue(
        self,
        authority: &Authority,
        session: &mut AuthoritySession,
        predecessor: Option<CertificateId>,
        around: &Surroundings,
    ) -> Result<Issued, IssueError> {
        let id = session.reserve(&self, predecessor).map_err(IssueError::Inventory)?;
        let signed = self.sign(authority, around)?;
        Ok(Issued { id, certificate: signed.certificate, bundle: signed.bundle, notes: signed.notes })
    }

    /// Signs. What could not be rehearsed in every respect is judged once more.
    ///
    /// # Errors
    /// When the key cannot sign, or Docker would refuse the result.
    pub fn sign(self, authority: &Authority, around: &Surroundings) -> Result<SignedBundle, IssueError> {
        let role = self.endpoint.role();
        let mut notes: Vec<String> = self.template.notes.iter().map(ToString::to_string).collect();
        let certificate = authority.sign(self.template).map_err(|source| IssueError::Sign { role, source })?;
        let bundle = authority.bundle(certificate.clone(), self.key);
        let judged = || judgement::of_bundle(&bundle, &self.endpoint, around.now);
        let advice = self.advice.map_or_else(judged, Ok).map_err(|source| IssueError::NotAccepted { role, source })?;
        notes.extend(advice);
        Ok(SignedBundle { certificate, bundle, notes })
    }
}

/// What [`Permitted::sign`] made.
#[derive(Debug)]
pub struct SignedBundle {
    /// The certificate.
    pub certificate: Certificate,
    /// What its endpoint gets.
    pub bundle: Bundle,
    /// What the profile and the judge advise.
    pub notes: Vec<String>,
}

fn profile(role: Role, allow_long_lifetime: bool) -> Result<Profile, Refusal> {
    let longest_lifetime =
        (role == Role::Daemon && !allow_long_lifetime).then_some(Profile::LONGEST_FOR_EVERY_PLATFORM);
    let config = ProfileConfig { role, usual_lifetime: Profile::USUAL_LIFETIME, longest_lifetime };
    Profile::new(config).map_err(|_| Refusal::Role { asked: role })
}
