//! Revocation lists: X.509 v2 CRLs, complete ones, numbered (RFC 5280 section 5).
//!
//! dockerd reads none of them; proxies in front of it do.

use std::fmt;

use dockseal_pki::{Lifetime, RevocationList, RevocationReason, Revoked, Validity, ValidityError};
use rcgen::{CertificateRevocationListParams, RevokedCertParams};
use time::OffsetDateTime;

use crate::{Authority, authority::key_identifier_method};

/// What a new list is to say.
#[derive(Clone, Debug)]
pub struct CrlRequest {
    /// Its number: greater than that of every list before it (RFC 5280 section 5.2.3).
    pub number: u64,
    /// The present.
    pub now: OffsetDateTime,
    /// How soon the next one is there at the latest.
    pub next_update: Lifetime,
    /// What is revoked.
    pub revoked: Vec<Revoked>,
}

/// Why a list could not be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CrlError {
    /// The authority's certificate has a keyUsage without cRLSign: nobody would believe its lists (RFC 5280 section 6.3.3 f).
    MayNotSign,
    /// It would count beyond what X.509 can express.
    Validity(ValidityError),
    /// It could not be encoded, or the key did not sign.
    Encoding,
    /// What came out is not what was asked for.
    NotAsAsked,
}

impl fmt::Display for CrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MayNotSign => {
                f.write_str("the authority's certificate does not let it sign CRLs: its keyUsage lacks cRLSign")
            }
            Self::Validity(error) => error.fmt(f),
            Self::Encoding => f.write_str("the CRL could not be encoded and signed"),
            Self::NotAsAsked => f.write_str("the signed CRL is not what was asked for"),
        }
    }
}

impl std::error::Error for CrlError {}

impl Authority {
    /// Whether its lists would be believed: its certificate has no keyUsage, or one with cRLSign.
    pub fn may_sign_crls(&self) -> bool {
        self.issuer.key_usage.as_ref().is_none_or(|usage| usage.contains(&"cRLSign"))
    }

    /// Makes a list. thisUpdate lies before the present as notBefore does, for readers whose clocks are slow. The result is
    /// read back and compared with the request before anybody sees it.
    ///
    /// # Errors
    /// When the authority may not sign lists, the key does not sign, or the result is not what was asked for.
    pub fn sign_crl(&self, request: &CrlRequest) -> Result<RevocationList, CrlError> {
        if !self.may_sign_crls() {
            return Err(CrlError::MayNotSign);
        }
        let period = Validity::starting(request.now, request.next_update).map_err(CrlError::Validity)?;
        let params = CertificateRevocationListParams {
            this_update: period.not_before,
            next_update: period.not_after,
            crl_number: request.number.into(),
            issuing_distribution_point: None,
            revoked_certs: request.revoked.iter().map(entry).collect(),
            key_identifier_method: key_identifier_method(&self.issuer),
        };
        let signed = self.certify_list(&params).map_err(|_| CrlError::Encoding)?;
        let list = RevocationList::from_der(&signed).ok_or(CrlError::Encoding)?;
        let as_asked = list.is_of(&self.issuer)
            && list.number == Some(request.number)
            && list.this_update == period.not_before
            && list.next_update == Some(period.not_after)
            && list.revoked == request.revoked;
        if as_asked { Ok(list) } else { Err(CrlError::NotAsAsked) }
    }
}

fn entry(revoked: &Revoked) -> RevokedCertParams {
    let reason_code = match revoked.reason {
        // RFC 5280 section 5.3.1: absent instead of unspecified.
        RevocationReason::Unspecified => None,
        RevocationReason::KeyCompromise => Some(rcgen::RevocationReason::KeyCompromise),
        RevocationReason::CaCompromise => Some(rcgen::RevocationReason::CaCompromise),
        RevocationReason::AffiliationChanged => Some(rcgen::RevocationReason::AffiliationChanged),
        RevocationReason::Superseded => Some(rcgen::RevocationReason::Superseded),
        RevocationReason::CessationOfOperation => Some(rcgen::RevocationReason::CessationOfOperation),
        RevocationReason::PrivilegeWithdrawn => Some(rcgen::RevocationReason::PrivilegeWithdrawn),
    };
    RevokedCertParams {
        serial_number: rcgen::SerialNumber::from_slice(revoked.serial.der_content()),
        revocation_time: revoked.at,
        reason_code,
        invalidity_date: None,
    }
}
