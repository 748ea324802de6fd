//! What rcgen encoded gets its names, its key and its signature.
//!
//! rcgen's names are maps from types to text: one that has a type twice (Active Directory's `DC=corp, DC=local`), joins
//! attributes in one part, or has a text in an old type of string cannot be said to it. Go and OpenSSL find an issuer by the
//! octets of its name, so an issuer's is copied from its certificate. Nor does rcgen with ring know every kind of key that is
//! certified (P-521), so that a key is copied too.

use dockseal_pki::{PublicKey, SignatureScheme, Signer};
use yasna::{ASN1Result, BERReader, models::ObjectIdentifier};

use crate::SignError;

/// The tag of the version in a TBSCertificate.
const EXPLICIT_VERSION: u8 = 0xa0;
/// Where the signature's algorithm is in a TBSCertificate.
const CERTIFICATE_ALGORITHM: usize = 2;
/// Where the issuer's name is in a TBSCertificate, after version, serial number and algorithm (RFC 5280 section 4.1).
pub(crate) const CERTIFICATE_ISSUER: usize = 3;
/// Where the subject's name is there, after the validity.
pub(crate) const CERTIFICATE_SUBJECT: usize = 5;
/// Where the subjectPublicKeyInfo is there, after the subject.
pub(crate) const CERTIFICATE_KEY: usize = 6;
/// Where the issuer's name is in a TBSCertList, after version and algorithm (RFC 5280 section 5.1).
pub(crate) const LIST_ISSUER: usize = 2;

/// What is signed, field by field, and the algorithm.
struct Encoded {
    fields: Vec<Vec<u8>>,
    algorithm: Vec<u8>,
}

/// A certificate or list that rcgen encoded, with these fields, in DER, in their places, and signed.
pub(crate) fn sealed(encoded: &[u8], replaced: &[(usize, &[u8])], signer: &dyn Signer) -> Result<Vec<u8>, SignError> {
    let Encoded { mut fields, algorithm } = yasna::parse_der(encoded, read).map_err(|_| SignError::Encoding)?;
    for (position, field) in replaced {
        *fields.get_mut(*position).ok_or(SignError::Encoding)? = field.to_vec();
    }
    signed(&fields, algorithm, signer)
}

/// A certificate for another key, signed by another key; all else stays, octet for octet.
pub(crate) fn rekeyed(certificate: &[u8], key: &PublicKey, signer: &dyn Signer) -> Result<Vec<u8>, SignError> {
    let Encoded { mut fields, .. } = yasna::parse_der(certificate, read).map_err(|_| SignError::Encoding)?;
    let algorithm = algorithm_of(signer.scheme());
    // Version 1 is not written (RFC 5280 section 4.1.2.1).
    let before = usize::from(fields.first().and_then(|field| field.first()) != Some(&EXPLICIT_VERSION));
    for (position, content) in [(CERTIFICATE_ALGORITHM, algorithm.clone()), (CERTIFICATE_KEY, key.spki().to_vec())] {
        *fields.get_mut(position - before).ok_or(SignError::Encoding)? = content;
    }
    signed(&fields, algorithm, signer)
}

/// Whether a certificate says that it is signed as this signer signs.
pub(crate) fn is_signed_like(certificate: &[u8], signer: &dyn Signer) -> bool {
    yasna::parse_der(certificate, read).is_ok_and(|encoded| encoded.algorithm == algorithm_of(signer.scheme()))
}

/// The AlgorithmIdentifier of a scheme: without parameters but for RSA, which has NULL (RFC 5758 section 3.2, RFC 8410 section 3,
/// RFC 4055 section 5).
fn algorithm_of(scheme: SignatureScheme) -> Vec<u8> {
    let (identifier, has_null): (&[u64], bool) = match scheme {
        SignatureScheme::EcdsaP256Sha256 => (&[1, 2, 840, 10045, 4, 3, 2], false),
        SignatureScheme::EcdsaP384Sha384 => (&[1, 2, 840, 10045, 4, 3, 3], false),
        SignatureScheme::EcdsaP521Sha512 => (&[1, 2, 840, 10045, 4, 3, 4], false),
        SignatureScheme::Ed25519 => (&[1, 3, 101, 112], false),
        SignatureScheme::RsaPkcs1Sha256 => (&[1, 2, 840, 113_549, 1, 1, 11], true),
    };
    yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_oid(&ObjectIdentifier::from_slice(identifier));
            if has_null {
                writer.next().write_null();
            }
        });
    })
}

fn signed(fields: &[Vec<u8>], algorithm: Vec<u8>, signer: &dyn Signer) -> Result<Vec<u8>, SignError> {
    let to_sign = sequence(fields);
    let signature = signer.sign(&to_sign).map_err(|_| SignError::Encoding)?;
    let signature = yasna::construct_der(|writer| writer.write_bitvec_bytes(&signature, signature.len() * 8));
    Ok(sequence(&[to_sign, algorithm, signature]))
}

fn read(reader: BERReader<'_, '_>) -> ASN1Result<Encoded> {
    reader.read_sequence(|reader| {
        let fields = reader.next().read_sequence(|reader| {
            let mut fields = Vec::new();
            while let Some(field) = reader.read_optional(|reader| reader.read_der())? {
                fields.push(field);
            }
            Ok(fields)
        })?;
        let algorithm = reader.next().read_der()?;
        reader.next().read_der()?;
        Ok(Encoded { fields, algorithm })
    })
}

fn sequence(elements: &[Vec<u8>]) -> Vec<u8> {
    yasna::construct_der(|writer| {
        writer.write_sequence(|writer| elements.iter().for_each(|element| writer.next().write_der(element)));
    })
}
