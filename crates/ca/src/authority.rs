//! The authority: an issuer certificate and the key that signs for it.

use std::{fmt, sync::OnceLock};

use dockseal_docker::Role;
use dockseal_pki::{
    Bundle, Certificate, DistinguishedName, Lifetime, PrivateKey, PublicKey, PublicKeyAlgorithm, Signer, TrustAnchors,
    Validity, ValidityError, moment,
};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, DnValue, ExtendedKeyUsagePurpose,
    IsCa, KeyIdMethod, KeyUsagePurpose,
};

use crate::{
    Endpoint, Issuance, PermittedName, Template,
    adapter::{SubjectKey, Unsigned, is_known, name_endpoint, parameters, user_as_alternative},
    constraint::name_constraints,
    rehearsal::Understudy,
    sealed::{CERTIFICATE_ISSUER, CERTIFICATE_KEY, LIST_ISSUER, sealed},
};

/// id-at-serialNumber (X.520): what makes an authority's name its own.
const SERIAL_NUMBER: &[u64] = &[2, 5, 4, 5];

/// One certificate between an authority and a leaf: the cross-certificate of its successor, without which nobody could
/// roll over to a new authority one endpoint at a time. Go counts it although it is an issuer's own (crypto/x509 verify.go
/// isValid, TooManyIntermediates).
const PATH_LENGTH: u8 = 1;

/// What a new authority is to be.
#[derive(Clone, Debug)]
pub struct AuthorityRequest {
    /// The common name: at most 64 characters (RFC 5280 appendix A.1).
    pub name: String,
    /// How long it is to live.
    pub lifetime: Lifetime,
    /// What it may certify; empty for everything.
    pub permitted: Vec<PermittedName>,
}

/// An issuer certificate with its key, ready to sign.
pub struct Authority {
    /// Its own first, then those of other generations.
    pub(crate) anchors: TrustAnchors,
    /// What follows a leaf in its `cert.pem`: from the issuer up to, but without, the own anchor; or, while another
    /// generation is trusted too, from the issuer's cross-certificate up to, but without, that one's.
    pub(crate) intermediates: Vec<Certificate>,
    /// From the issuer up to its own anchor, both included.
    chain: Vec<Certificate>,
    pub(crate) issuer: Certificate,
    encoder: rcgen::Issuer<'static, Unsigned<Box<dyn Signer>>>,
    /// Its copy with keys that live for a moment, once it was needed.
    pub(crate) understudy: OnceLock<Box<Understudy>>,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authority({})", self.issuer.subject)
    }
}

/// Why something is not an authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthorityError {
    /// The name is empty, longer than 64 characters, or has control characters.
    Name,
    /// It would end beyond what a certificate can express.
    Validity(ValidityError),
    /// The key does not belong to the certificate.
    KeyMismatch {
        /// Whose certificate it is.
        subject: DistinguishedName,
    },
    /// Nothing is signed here with a key of this kind.
    KeyKind {
        /// What it is.
        algorithm: PublicKeyAlgorithm,
    },
    /// The certificate does not say that it may sign others.
    NotAnAuthority {
        /// Whose certificate it is.
        subject: DistinguishedName,
        /// What it says, or lacks.
        why: &'static str,
    },
    /// It does not count at this moment, so nothing can be built on it.
    NotValidNow {
        /// Whose certificate it is.
        subject: DistinguishedName,
        /// When it counts.
        validity: Validity,
    },
    /// Its certificate is not self-signed, so that another authority is the one to renew it.
    SignedByAnother {
        /// Whose certificate it is.
        subject: DistinguishedName,
        /// Who signed it.
        issuer: DistinguishedName,
    },
    /// A certificate is not signed by the next one.
    BrokenChain {
        /// Whose certificate it is.
        subject: DistinguishedName,
    },
    /// There is no certificate.
    Empty,
    /// The certificate could not be encoded or signed.
    Sign(SignError),
}

impl fmt::Display for AuthorityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name => f.write_str("the authority's name must have 1 to 64 printable characters"),
            Self::Validity(error) => error.fmt(f),
            Self::KeyMismatch { subject } => {
                write!(f, "the private key does not belong to the certificate of {subject}")
            }
            Self::KeyKind { algorithm } => {
                write!(f, "its private key is of the kind {algorithm}, with which no certificates are signed here")
            }
            Self::NotAnAuthority { subject, why } => {
                write!(f, "the certificate of {subject} is not an authority's: {why}")
            }
            Self::NotValidNow { subject, validity } => write!(
                f,
                "{subject} only counts from {} until {}",
                moment(validity.not_before),
                moment(validity.not_after)
            ),
            Self::SignedByAnother { subject, issuer } => {
                write!(f, "the certificate of {subject} is signed by {issuer}, and not by its own key")
            }
            Self::BrokenChain { subject } => {
                write!(f, "the certificate of {subject} is not signed by the one after it")
            }
            Self::Empty => f.write_str("there is no certificate"),
            Self::Sign(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for AuthorityError {}

impl From<SignError> for AuthorityError {
    fn from(error: SignError) -> Self {
        Self::Sign(error)
    }
}

/// What keeps a certificate from being an authority's (RFC 5280 section 4.2.1.9 and 4.2.1.3).
fn why_not_an_authority(certificate: &Certificate) -> Option<&'static str> {
    match certificate.basic_constraints {
        // Go takes such roots; openssl -x509_strict, Python 3.13 and rustls do not.
        None if certificate.version < 3 => Some("X.509 before version 3 has no way to say that it is"),
        None => Some("it has no basicConstraints"),
        Some(constraints) if !constraints.ca => Some("it has basicConstraints CA:FALSE"),
        Some(_) => {
            let may_sign = certificate.key_usage.as_ref().is_none_or(|usage| usage.contains(&"keyCertSign"));
            (!may_sign).then_some("its keyUsage lacks keyCertSign")
        }
    }
}

/// Why signing failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignError {
    /// The certificate could not be encoded, or the key did not sign.
    Encoding,
    /// What came out is not what the template says.
    NotAsPermitted,
}

impl fmt::Display for SignError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Encoding => "the certificate could not be encoded and signed",
            Self::NotAsPermitted => "the signed certificate is not what was permitted",
        })
    }
}

impl std::error::Error for SignError {}

impl Authority {
    /// The usual lifetime of an authority: ten years.
    pub const USUAL_LIFETIME: Lifetime = match Lifetime::days(3650) {
        Some(lifetime) => lifetime,
        None => unreachable!(),
    };

    /// Makes a new self-signed authority.
    ///
    /// Its subject carries eight octets of its serial number besides the name, so that no two authorities share a subject:
    /// Go picks issuers by name, and daemons tell clients the names of the authorities they trust.
    ///
    /// # Errors
    /// When the name or the lifetime is unusable, or the key does not sign.
    pub fn create(
        request: &AuthorityRequest,
        signer: Box<dyn Signer>,
        issuance: &Issuance,
    ) -> Result<Self, AuthorityError> {
        let params = authority_parameters(request, issuance)?;
        let certificate = self_signed(&params, &signer)?;
        Self::load(vec![certificate], signer)
    }

    /// Takes an authority that exists: its own certificate first, then, if it is not the anchor itself, its issuers.
    ///
    /// The last certificate is the anchor of what is issued. It need not be self-signed: Go trusts whatever stands in
    /// `ca.pem` (crypto/x509 verify.go buildChains).
    ///
    /// # Errors
    /// When the key does not match, the certificate is no authority's, or the chain is broken.
    pub fn load(chain: Vec<Certificate>, signer: Box<dyn Signer>) -> Result<Self, AuthorityError> {
        let issuer = chain.first().cloned().ok_or(AuthorityError::Empty)?;
        let subject = issuer.subject.clone();
        if signer.public_key().spki() != issuer.public_key.spki() {
            return Err(AuthorityError::KeyMismatch { subject });
        }
        if !is_known(signer.scheme()) {
            return Err(AuthorityError::KeyKind { algorithm: issuer.public_key.algorithm().clone() });
        }
        if let Some(why) = why_not_an_authority(&issuer) {
            return Err(AuthorityError::NotAnAuthority { subject, why });
        }
        for pair in chain.windows(2) {
            if let [lower, upper] = pair
                && (lower.issuer != upper.subject || !lower.is_signed_by(upper))
            {
                return Err(AuthorityError::BrokenChain { subject: lower.subject.clone() });
            }
        }
        let mut told = CertificateParams::default();
        told.distinguished_name = rcgen::DistinguishedName::new();
        told.key_identifier_method = key_identifier_method(&issuer);
        let encoder = rcgen::Issuer::new(told, Unsigned(signer));
        let (anchor, intermediates) = chain.split_last().ok_or(AuthorityError::Empty)?;
        let anchors = TrustAnchors::new(vec![anchor.clone()]).ok_or(AuthorityError::Empty)?;
        let understudy = OnceLock::new();
        Ok(Self { anchors, intermediates: intermediates.to_vec(), chain, issuer, encoder, understudy })
    }

    /// While one generation takes over from another: endpoints are to trust the anchors of `others` too, and `link`, the
    /// cross-certificate of this generation and what leads from there to one of `others`, follows each leaf. Without a
    /// link, leaves are for those alone who trust this generation already.
    ///
    /// # Errors
    /// When the link does not lead from this generation to one of the others.
    pub fn beside(mut self, others: Vec<Certificate>, link: Vec<Certificate>) -> Result<Self, AuthorityError> {
        if let (Some(cross), Some(last)) = (link.first(), link.last()) {
            let is_cross =
                cross.subject == self.issuer.subject && cross.public_key.spki() == self.issuer.public_key.spki();
            let signed_by =
                |lower: &Certificate, upper: &Certificate| lower.issuer == upper.subject && lower.is_signed_by(upper);
            if !is_cross || !others.iter().any(|other| signed_by(last, other)) {
                return Err(AuthorityError::BrokenChain { subject: cross.subject.clone() });
            }
            self.intermediates = link;
        }
        let own = self.chain.last().cloned();
        let mut anchors: Vec<Certificate> = own.into_iter().collect();
        for other in others {
            if !anchors.contains(&other) {
                anchors.push(other);
            }
        }
        self.anchors = TrustAnchors::new(anchors).ok_or(AuthorityError::Empty)?;
        self.understudy = OnceLock::new();
        Ok(self)
    }

    /// The certificate that signs.
    pub fn issuer(&self) -> &Certificate {
        &self.issuer
    }

    /// What endpoints of this authority trust: its own anchor first.
    pub fn anchors(&self) -> &TrustAnchors {
        &self.anchors
    }

    /// From the issuer's certificate up to the anchor, both included.
    pub fn chain(&self) -> &[Certificate] {
        &self.chain
    }

    /// What follows a leaf in its `cert.pem`.
    pub fn intermediates(&self) -> &[Certificate] {
        &self.intermediates
    }

    /// Spends a template.
    ///
    /// The result is read back and compared with the template before anybody sees it.
    ///
    /// # Errors
    /// When the key does not sign or the result is not what was permitted.
    #[expect(clippy::needless_pass_by_value, reason = "it is spent")]
    pub fn sign(&self, template: Template) -> Result<Certificate, SignError> {
        self.signed(&template)
    }

    pub(crate) fn signed(&self, template: &Template) -> Result<Certificate, SignError> {
        let Template { endpoint, public_key, validity, serial, notes: _ } = template;
        let mut params = parameters(serial, *validity);
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        name_endpoint(&mut params, endpoint)?;
        if let Endpoint::Client { user } = endpoint {
            params.custom_extensions.push(user_as_alternative(user));
        }
        match endpoint.role() {
            Role::Client => params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth],
            _ => params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth],
        }
        if endpoint.role() == Role::Daemon && matches!(public_key.algorithm(), PublicKeyAlgorithm::Rsa { .. }) {
            params.key_usages.push(KeyUsagePurpose::KeyEncipherment);
        }
        let certificate = self.certify(&params, public_key)?;
        let as_permitted = certificate.issuer == self.issuer.subject
            && certificate.public_key.spki() == public_key.spki()
            && certificate.validity == *validity
            && certificate.serial == *serial
            && certificate.subject != self.issuer.subject;
        if as_permitted { Ok(certificate) } else { Err(SignError::NotAsPermitted) }
    }

    /// A certificate of these parameters for this key, in this authority's name.
    pub(crate) fn certify(&self, params: &CertificateParams, key: &PublicKey) -> Result<Certificate, SignError> {
        let encoded = params.signed_by(&SubjectKey(key), &self.encoder).map_err(|_| SignError::Encoding)?;
        let replaced = [(CERTIFICATE_ISSUER, self.issuer.subject.der()), (CERTIFICATE_KEY, key.spki())];
        read(&sealed(encoded.der(), &replaced, self.signer())?)
    }

    /// A list of these parameters, in this authority's name.
    pub(crate) fn certify_list(&self, params: &CertificateRevocationListParams) -> Result<Vec<u8>, SignError> {
        let encoded = params.signed_by(&self.encoder).map_err(|_| SignError::Encoding)?;
        sealed(encoded.der(), &[(LIST_ISSUER, self.issuer.subject.der())], self.signer())
    }

    pub(crate) fn signer(&self) -> &dyn Signer {
        &self.encoder.key().0
    }

    /// What the endpoint gets: its certificate, the intermediates, the anchors and its key if it is here.
    pub fn bundle(&self, leaf: Certificate, key: Option<PrivateKey>) -> Bundle {
        let mut chain = vec![leaf];
        chain.extend(self.intermediates.iter().cloned());
        Bundle { anchors: self.anchors.clone(), chain, key }
    }
}

/// A certificate of these parameters for the key that signs it.
pub(crate) fn self_signed(params: &CertificateParams, signer: &dyn Signer) -> Result<Certificate, SignError> {
    let encoded = params.self_signed(&Unsigned(signer)).map_err(|_| SignError::Encoding)?;
    read(&sealed(encoded.der(), &[], signer)?)
}

pub(crate) fn read(der: &[u8]) -> Result<Certificate, SignError> {
    Certificate::from_der(der).map_err(|_| SignError::Encoding)
}

/// The authority's own key identifier, or one where it has none.
pub(crate) fn key_identifier_method(issuer: &Certificate) -> KeyIdMethod {
    issuer.subject_key_id.clone().map_or(KeyIdMethod::Sha256, KeyIdMethod::PreSpecified)
}

/// What every certificate of an authority says of itself.
pub(crate) fn authority_parameters(
    request: &AuthorityRequest,
    issuance: &Issuance,
) -> Result<CertificateParams, AuthorityError> {
    let name = request.name.trim();
    let length = name.chars().count();
    if length == 0 || length > 64 || dockseal_pki::printable(name) != name {
        return Err(AuthorityError::Name);
    }
    let validity = Validity::starting(issuance.now, request.lifetime).map_err(AuthorityError::Validity)?;
    let unique: String = issuance.serial.to_hex().chars().skip(2).take(16).collect();
    let unique = unique.as_str().try_into().map_err(|_| AuthorityError::Name)?;
    let mut params = parameters(&issuance.serial, validity);
    params.distinguished_name.push(DnType::CommonName, name);
    params.distinguished_name.push(DnType::CustomDnType(SERIAL_NUMBER.to_vec()), DnValue::PrintableString(unique));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(PATH_LENGTH));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.name_constraints = name_constraints(&request.permitted);
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}
