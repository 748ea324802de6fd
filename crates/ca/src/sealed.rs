//! What rcgen encoded gets its names, its key and its signature.
//!
//! rcgen's names are maps from types to text: one that has a type twice (Active Directory's `DC=corp, DC=local`), joins
//! attributes in one part, or has a text in an old type of string cannot be said to it. Go and OpenSSL find an issuer by the
//! octets of its name, so an issuer's is copied from its certificate. Nor does rcgen with ring know every kind of key that is
//! certified (P-521), so that a key is copied too.

use dockseal_pki::Signer;
use yasna::{ASN1Result, BERReader};

use crate::SignError;

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
    let to_sign = sequence(&fields);
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
