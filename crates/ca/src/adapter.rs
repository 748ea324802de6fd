//! Our keys, names and dates as rcgen wants them.

use dockseal_pki::{PublicKey, SerialNumber, SignatureScheme, Signer, SubjectAltName, UserName, Validity};
use rcgen::{CertificateParams, CustomExtension, DnType, SanType, SignatureAlgorithm};
use yasna::{Tag, models::ObjectIdentifier};

use crate::{Endpoint, SignError};

/// id-at-commonName.
const COMMON_NAME: &[u64] = &[2, 5, 4, 3];
/// id-ce-subjectAltName.
const SUBJECT_ALT_NAME: &[u64] = &[2, 5, 29, 17];

/// A public key to certify.
pub(crate) struct SubjectKey<'a>(pub(crate) &'a PublicKey);

impl rcgen::PublicKeyData for SubjectKey<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.0.bits()
    }

    /// What the key's identifier is made of.
    fn subject_public_key_info(&self) -> Vec<u8> {
        self.0.spki().to_vec()
    }

    /// Any will do: what rcgen makes of it is replaced by the key's own octets.
    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

/// Whether certificates can say that a signature is of this scheme.
pub(crate) fn is_known(scheme: SignatureScheme) -> bool {
    scheme != SignatureScheme::EcdsaP521Sha512
}

fn signature_algorithm(scheme: SignatureScheme) -> &'static SignatureAlgorithm {
    match scheme {
        // Nobody signs with it here, see [`is_known`].
        SignatureScheme::EcdsaP521Sha512 => &rcgen::PKCS_ECDSA_P384_SHA384,
        SignatureScheme::EcdsaP256Sha256 => &rcgen::PKCS_ECDSA_P256_SHA256,
        SignatureScheme::EcdsaP384Sha384 => &rcgen::PKCS_ECDSA_P384_SHA384,
        SignatureScheme::Ed25519 => &rcgen::PKCS_ED25519,
        SignatureScheme::RsaPkcs1Sha256 => &rcgen::PKCS_RSA_SHA256,
    }
}

/// A key that signs its own request.
pub(crate) struct SigningKey<S>(pub(crate) S);

impl<S: Signer> rcgen::PublicKeyData for SigningKey<S> {
    fn der_bytes(&self) -> &[u8] {
        self.0.public_key().bits()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        signature_algorithm(self.0.scheme())
    }
}

impl<S: Signer> rcgen::SigningKey for SigningKey<S> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.0.sign(message).map_err(|_| rcgen::Error::RemoteKeyError)
    }
}

/// An issuer as rcgen is told of it: its kind of key and no more. Names and signature come after the encoding, from
/// [`sealed`](crate::sealed::sealed), since a name of rcgen's is a map, and an issuer's has to be what its certificate has,
/// octet for octet.
pub(crate) struct Unsigned<S>(pub(crate) S);

impl<S: Signer> rcgen::PublicKeyData for Unsigned<S> {
    fn der_bytes(&self) -> &[u8] {
        self.0.public_key().bits()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        signature_algorithm(self.0.scheme())
    }
}

impl<S: Signer> rcgen::SigningKey for Unsigned<S> {
    fn sign(&self, _message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(Vec::new())
    }
}

/// Parameters with every default of rcgen's that matters overwritten.
pub(crate) fn parameters(serial: &SerialNumber, validity: Validity) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.serial_number = Some(rcgen::SerialNumber::from_slice(serial.der_content()));
    params.not_before = validity.not_before;
    params.not_after = validity.not_after;
    params
}

/// Writes who the endpoint is: its subject and its alternative names.
pub(crate) fn name_endpoint(params: &mut CertificateParams, endpoint: &Endpoint) -> Result<(), SignError> {
    let subject = &mut params.distinguished_name;
    match endpoint {
        Endpoint::Daemon { names } => {
            match names.iter().map(ToString::to_string).find(|name| name.len() <= 64) {
                Some(name) => subject.push(DnType::CommonName, name),
                // No name fits a common name; an empty subject would be legal and makes some tools stumble.
                None => subject.push(DnType::OrganizationName, "Docker daemon"),
            }
            params.subject_alt_names =
                names.iter().map(general_name).collect::<Result<_, _>>().map_err(|_| SignError::Encoding)?;
        }
        Endpoint::Client { user } => subject.push(DnType::CommonName, user.as_str()),
    }
    Ok(())
}

/// A client's subject once more among its alternative names, as a directoryName (RFC 5280 section 4.2.1.6): some verifiers take
/// no certificate without any. It says nothing new, and no name constraints meet it that do not meet the subject (section
/// 4.2.1.10); Docker's Go looks at it never.
pub(crate) fn user_as_alternative(user: &UserName) -> CustomExtension {
    let names = yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_tagged(Tag::context(4), |writer| {
                writer.write_sequence(|writer| {
                    writer.next().write_set(|writer| {
                        writer.next().write_sequence(|writer| {
                            writer.next().write_oid(&ObjectIdentifier::from_slice(COMMON_NAME));
                            writer.next().write_utf8_string(user.as_str());
                        });
                    });
                });
            });
        });
    });
    CustomExtension::from_oid_content(SUBJECT_ALT_NAME, names)
}

fn general_name(name: &SubjectAltName) -> Result<SanType, rcgen::Error> {
    Ok(match name {
        SubjectAltName::Dns(name) => SanType::DnsName(name.as_str().try_into()?),
        SubjectAltName::Ip(address) => SanType::IpAddress(*address),
    })
}
