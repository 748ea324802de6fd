//! An authority's own certificate once more: the same name, key and extensions, another life.
//!
//! Leaves that chain to the one before chain to this one (RFC 5280 section 6.1.3: by name and key; section 4.2.1.1: by key
//! identifier). Not so, for OpenSSL, those whose authorityKeyIdentifier names the serial number of the one before.

use dockseal_pki::{Certificate, Extension, Lifetime, Validity};
use rcgen::CustomExtension;

use crate::{
    Authority, AuthorityError, Issuance, SignError,
    adapter::{Unsigned, parameters},
    sealed::{CERTIFICATE_ISSUER, CERTIFICATE_SUBJECT, sealed},
};

/// id-ce-authorityKeyIdentifier.
const AUTHORITY_KEY_IDENTIFIER: &str = "2.5.29.35";

/// Whether an authority can make another certificate of itself: nobody else signed the one that it has.
///
/// # Errors
/// When somebody else did.
pub fn renewable(chain: &[Certificate]) -> Result<(), AuthorityError> {
    match chain {
        [own] if own.is_self_issued() && own.is_signed_by(own) => Ok(()),
        [own, ..] => {
            let (subject, issuer) = (own.subject.clone(), own.issuer.clone());
            Err(AuthorityError::SignedByAnother { subject, issuer })
        }
        [] => Err(AuthorityError::Empty),
    }
}

impl Authority {
    /// Makes another certificate of this authority, also where the present one has ended. Its name and its extensions are
    /// copied octet for octet; an authority key identifier that names the present one's serial number is left out, as it may
    /// be of who signs itself.
    ///
    /// # Errors
    /// When somebody else signed its certificate, the lifetime is unusable, or the key does not sign.
    pub fn renew(&self, lifetime: Lifetime, issuance: &Issuance) -> Result<Certificate, AuthorityError> {
        let own = self.issuer();
        renewable(self.chain())?;
        let validity = Validity::starting(issuance.now, lifetime).map_err(AuthorityError::Validity)?;
        let mut params = parameters(&issuance.serial, validity);
        let is_kept =
            |extension: &&Extension| extension.oid != AUTHORITY_KEY_IDENTIFIER || !own.names_serial_of_issuer();
        let kept = || own.extensions.iter().filter(is_kept);
        params.custom_extensions = kept().map(copy).collect::<Option<_>>().ok_or(SignError::Encoding)?;
        let encoded = params.self_signed(&Unsigned(self.signer())).map_err(|_| SignError::Encoding)?;
        let name = own.subject.der();
        let names = [(CERTIFICATE_ISSUER, name), (CERTIFICATE_SUBJECT, name)];
        let der = sealed(encoded.der(), &names, self.signer())?;
        let renewed = Certificate::from_der(&der).map_err(|_| SignError::Encoding)?;
        let as_permitted = renewed.is_of_same_authority(own)
            && renewed.is_self_issued()
            && renewed.validity == validity
            && renewed.serial == issuance.serial
            && renewed.extensions.iter().eq(kept());
        if as_permitted { Ok(renewed) } else { Err(SignError::NotAsPermitted.into()) }
    }
}

fn copy(extension: &Extension) -> Option<CustomExtension> {
    let arcs: Vec<u64> = extension.oid.split('.').map(|arc| arc.parse().ok()).collect::<Option<_>>()?;
    let mut copy = CustomExtension::from_oid_content(&arcs, extension.value.clone());
    copy.set_criticality(extension.critical);
    Some(copy)
}
