//! Certificate revocation lists (RFC 5280 section 5), as far as somebody who issues them needs to read them again.

use std::fmt;

use time::OffsetDateTime;
use x509_parser::{
    prelude::{FromDer, X509Certificate},
    revocation_list::CertificateRevocationList,
};

use crate::{
    Certificate, DistinguishedName, PublicKeyAlgorithm, RevocationReason, SerialNumber, ecdsa_p521::verify_p521, pem,
};

/// id-ce-deltaCRLIndicator.
const DELTA_CRL_INDICATOR: &str = "2.5.29.27";

/// A certificate that is revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// Its number.
    pub serial: SerialNumber,
    /// When it was revoked.
    pub at: OffsetDateTime,
    /// Why; a reason that is none of ours counts as unspecified.
    pub reason: RevocationReason,
}

/// A revocation list: its DER and what is in it.
#[derive(Clone)]
pub struct RevocationList {
    der: Vec<u8>,
    /// Whose it is.
    pub issuer: DistinguishedName,
    /// From when on it counts.
    pub this_update: OffsetDateTime,
    /// When the next one is there at the latest.
    pub next_update: Option<OffsetDateTime>,
    /// Its number (RFC 5280 section 5.2.3); `None` when it has none, or one beyond 64 bits.
    pub number: Option<u64>,
    /// Whether it has a number that [`number`](Self::number) cannot hold.
    pub is_numbered_beyond: bool,
    /// Whether it says only what changed since another one (RFC 5280 section 5.2.4).
    pub is_delta: bool,
    /// What it revokes.
    pub revoked: Vec<Revoked>,
}

impl fmt::Debug for RevocationList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RevocationList({}, number {:?}, {} revoked)", self.issuer, self.number, self.revoked.len())
    }
}

impl RevocationList {
    /// The label of its PEM block (RFC 7468 section 9).
    pub const PEM_LABEL: &'static str = "X509 CRL";

    /// Reads one DER list; `None` when it is malformed or bytes follow it.
    pub fn from_der(der: &[u8]) -> Option<Self> {
        let (rest, parsed) = CertificateRevocationList::from_der(der).ok()?;
        let revoked = parsed.iter_revoked_certificates().map(|entry| Revoked {
            serial: SerialNumber::from_der_content(entry.raw_serial()),
            at: entry.revocation_date.to_datetime(),
            reason: entry
                .reason_code()
                .and_then(|(_, code)| RevocationReason::from_code(code.0))
                .unwrap_or(RevocationReason::Unspecified),
        });
        let number = parsed.crl_number().and_then(|number| u64::try_from(number).ok());
        rest.is_empty().then(|| Self {
            der: der.to_vec(),
            issuer: DistinguishedName::from_der(parsed.issuer().as_raw()),
            this_update: parsed.last_update().to_datetime(),
            next_update: parsed.next_update().map(|time| time.to_datetime()),
            number,
            is_numbered_beyond: number.is_none() && parsed.crl_number().is_some(),
            is_delta: parsed.extensions().iter().any(|extension| extension.oid.to_id_string() == DELTA_CRL_INDICATOR),
            revoked: revoked.collect(),
        })
    }

    /// The DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The PEM text.
    pub fn to_pem(&self) -> String {
        pem::encode(Self::PEM_LABEL, &self.der)
    }

    /// Whether `issuer` signed it: its name and its key.
    pub fn is_of(&self, issuer: &Certificate) -> bool {
        let (Ok((_, list)), Ok((_, issuer_parsed))) =
            (CertificateRevocationList::from_der(&self.der), X509Certificate::from_der(issuer.der()))
        else {
            return false;
        };
        let key = issuer_parsed.public_key();
        let signed = match issuer.public_key.algorithm() {
            PublicKeyAlgorithm::P521 => {
                verify_p521(list.tbs_cert_list.as_ref(), &list.signature_algorithm, key, &list.signature_value.data)
            }
            _ => list.verify_signature(key),
        };
        self.issuer == issuer.subject && signed.is_ok()
    }
}
