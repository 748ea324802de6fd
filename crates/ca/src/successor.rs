//! The next generation of an authority, and the certificate by which the present one vouches for it.
//!
//! Sources: RFC 4210 section 4.4 (key update of a root), RFC 5280 section 6.1.4, Go crypto/x509 verify.go isValid.

use dockseal_pki::{Certificate, Lifetime, SerialNumber, Signer};
use rcgen::{BasicConstraints, CustomExtension, IsCa};
use time::OffsetDateTime;

use crate::{
    Authority, AuthorityError, AuthorityRequest, Issuance, SignError,
    authority::{authority_parameters, self_signed},
};

/// id-ce-nameConstraints.
const NAME_CONSTRAINTS: &[u64] = &[2, 5, 29, 30];
const NAME_CONSTRAINTS_TEXT: &str = "2.5.29.30";

/// What the next generation is to be; what it may certify it has from the present one.
#[derive(Clone, Debug)]
pub struct SuccessorRequest {
    /// The common name: at most 64 characters. Something unique is added to it.
    pub name: String,
    /// How long it is to live.
    pub lifetime: Lifetime,
    /// The present.
    pub now: OffsetDateTime,
    /// Its own serial number.
    pub serial: SerialNumber,
    /// The serial number of its cross-certificate, never used before by the present generation.
    pub cross_serial: SerialNumber,
}

/// The next generation.
#[derive(Debug)]
pub struct Successor {
    /// Self-signed, with a name and a key of its own.
    pub authority: Authority,
    /// Its cross-certificate, then what leads from there up to, but without, the present generation's anchor. None where
    /// the present generation leaves no room for it.
    pub link: Vec<Certificate>,
}

impl Authority {
    /// Whether who trusts this authority alone can accept leaves of a cross-certified successor.
    ///
    /// Go counts a cross-certificate like every other intermediate (crypto/x509 verify.go isValid), and so an authority
    /// whose path length is 0 has no room for one.
    pub fn has_room_for_successor(&self) -> bool {
        (1_u32..).zip(self.chain()).all(|(below, certificate)| {
            let path_length = certificate.basic_constraints.and_then(|constraints| constraints.path_length);
            path_length.is_none_or(|most| most >= below)
        })
    }

    /// Makes the next generation: the same name constraints, octet for octet, another name and key.
    ///
    /// # Errors
    /// When the name or the lifetime is unusable, this authority does not count at the moment, or a key does not sign.
    pub fn succeed(&self, request: SuccessorRequest, signer: Box<dyn Signer>) -> Result<Successor, AuthorityError> {
        let SuccessorRequest { name, lifetime, now, serial, cross_serial } = request;
        if let Some(invalid) = self.chain().iter().find(|certificate| !certificate.validity.contains(now)) {
            let (subject, validity) = (invalid.subject.clone(), invalid.validity);
            return Err(AuthorityError::NotValidNow { subject, validity });
        }
        let wanted = AuthorityRequest { name, lifetime, permitted: Vec::new() };
        let plain = authority_parameters(&wanted, &Issuance { now, serial })?;
        let mut params = plain.clone();
        params.custom_extensions.extend(self.name_constraints());
        let own = self_signed(&params, &signer)?;

        let mut link = Vec::new();
        if self.has_room_for_successor() {
            let validity = self.chain().iter().fold(own.validity, |inner, issuer| inner.clamped_to(issuer.validity));
            let mut params = plain;
            params.serial_number = Some(rcgen::SerialNumber::from_slice(cross_serial.der_content()));
            (params.not_before, params.not_after) = (validity.not_before, validity.not_after);
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
            let cross = self.certify(&params, &own.public_key)?;
            let vouches = cross.subject == own.subject
                && cross.public_key.spki() == own.public_key.spki()
                && cross.subject_key_id == own.subject_key_id
                && cross.issuer == self.issuer().subject
                && cross.serial == cross_serial
                && cross.validity == validity;
            if !vouches {
                return Err(SignError::NotAsPermitted.into());
            }
            link.push(cross);
            link.extend(self.below_anchor().iter().cloned());
        }
        Ok(Successor { authority: Self::load(vec![own], signer)?, link })
    }

    /// From the issuer up to, but without, its own anchor.
    fn below_anchor(&self) -> &[Certificate] {
        self.chain().split_last().map_or(&[], |(_, below)| below)
    }

    /// The constraints of who signs, else of the nearest above: one certificate can hold only one set.
    fn name_constraints(&self) -> Option<CustomExtension> {
        let mut extensions = self.chain().iter().flat_map(|certificate| &certificate.extensions);
        extensions.find(|extension| extension.oid == NAME_CONSTRAINTS_TEXT).map(|constraints| {
            let mut copy = CustomExtension::from_oid_content(NAME_CONSTRAINTS, constraints.value.clone());
            copy.set_criticality(constraints.critical);
            copy
        })
    }
}
