//! Certificate requests, PKCS#10 (RFC 2986).

use std::fmt;

use x509_parser::{
    certification_request::X509CertificationRequest, error::X509Error, extensions::ParsedExtension, prelude::FromDer,
};

use crate::{
    DistinguishedName, GeneralName, PublicKey, PublicKeyAlgorithm, certificate::general_names, ecdsa_p521::verify_p521,
};

/// A request whose signature was checked: its sender holds the private key.
#[derive(Clone, Debug)]
pub struct CertificateRequest {
    /// Who it says it is. A wish, not a fact.
    pub subject: DistinguishedName,
    /// The key to certify.
    pub public_key: PublicKey,
    /// The alternative names it asks for.
    pub names: Vec<GeneralName>,
    /// Every other extension it asks for, by name or object identifier.
    pub other_extensions: Vec<String>,
}

/// Why a request was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// Not the DER of a PKCS#10 request, or bytes follow it.
    Malformed,
    /// Its signature does not fit its key: nobody has shown to hold the key.
    Signature,
    /// Signed with an algorithm that is not checked here (P-256, P-384, Ed25519 and RSA from 2048 bits are).
    Unsupported,
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "not a PKCS#10 certificate request",
            Self::Signature => {
                "the signature of the request does not fit its key, so its sender has not shown to hold that key"
            }
            Self::Unsupported => "the request's key or signature algorithm is not supported",
        })
    }
}

impl std::error::Error for RequestError {}

/// RSASSA-PSS (RFC 8017 appendix C).
const RSASSA_PSS: &str = "1.2.840.113549.1.1.10";

/// Whether signatures of this key are checked here.
fn is_checked(key: &PublicKey) -> bool {
    match key.algorithm() {
        PublicKeyAlgorithm::P256
        | PublicKeyAlgorithm::P384
        | PublicKeyAlgorithm::P521
        | PublicKeyAlgorithm::Ed25519 => true,
        PublicKeyAlgorithm::Rsa { bits } => (2048..=8192).contains(bits),
        _ => false,
    }
}

impl CertificateRequest {
    /// Reads a DER request and checks that it is signed with its own key (RFC 2986 section 4.2).
    ///
    /// # Errors
    /// When it is malformed, its signature is wrong, or its algorithm is not supported.
    pub fn from_der(der: &[u8]) -> Result<Self, RequestError> {
        let (rest, parsed) = X509CertificationRequest::from_der(der).map_err(|_| RequestError::Malformed)?;
        if !rest.is_empty() {
            return Err(RequestError::Malformed);
        }
        let info = &parsed.certification_request_info;
        let public_key = PublicKey::from_parsed(&info.subject_pki);
        let is_pss = parsed.signature_algorithm.algorithm.to_id_string() == RSASSA_PSS;
        let signed = match public_key.algorithm() {
            PublicKeyAlgorithm::P521 => {
                verify_p521(info.raw, &parsed.signature_algorithm, &info.subject_pki, &parsed.signature_value.data)
            }
            _ => parsed.verify_signature(),
        };
        signed.map_err(|error| match error {
            X509Error::SignatureUnsupportedAlgorithm => RequestError::Unsupported,
            // ring says of keys that it does not take that their signature is wrong.
            _ if is_pss || !is_checked(&public_key) => RequestError::Unsupported,
            _ => RequestError::Signature,
        })?;
        let mut names = Vec::new();
        let mut other_extensions = Vec::new();
        for extension in parsed.requested_extensions().into_iter().flatten() {
            match extension {
                ParsedExtension::SubjectAlternativeName(san) => names.extend(general_names(&san.general_names)),
                other => other_extensions.push(extension_name(other)),
            }
        }
        Ok(Self { subject: DistinguishedName::from_der(info.subject.as_raw()), public_key, names, other_extensions })
    }
}

fn extension_name(extension: &ParsedExtension<'_>) -> String {
    match extension {
        ParsedExtension::BasicConstraints(bc) if bc.ca => "basicConstraints CA:TRUE".to_owned(),
        ParsedExtension::BasicConstraints(_) => "basicConstraints".to_owned(),
        ParsedExtension::KeyUsage(_) => "keyUsage".to_owned(),
        ParsedExtension::ExtendedKeyUsage(_) => "extendedKeyUsage".to_owned(),
        ParsedExtension::NameConstraints(_) => "nameConstraints".to_owned(),
        ParsedExtension::SubjectKeyIdentifier(_) => "subjectKeyIdentifier".to_owned(),
        ParsedExtension::CertificatePolicies(_) => "certificatePolicies".to_owned(),
        ParsedExtension::UnsupportedExtension { oid } => oid.to_id_string(),
        _ => "another extension".to_owned(),
    }
}
