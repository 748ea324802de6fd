//! The request that travels when the key does not (RFC 2986).

use dockseal_pki::{Signer, pem};
use rcgen::CertificateParams;

use crate::{
    Endpoint, SignError,
    adapter::{SigningKey, name_endpoint},
};

/// A PEM certificate request for this endpoint, signed with its own key.
///
/// # Errors
/// When the request cannot be encoded or the key does not sign.
pub fn certificate_request(endpoint: &Endpoint, signer: &dyn Signer) -> Result<String, SignError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    name_endpoint(&mut params, endpoint)?;
    let request = params.serialize_request(&SigningKey(signer)).map_err(|_| SignError::Encoding)?;
    Ok(pem::encode("CERTIFICATE REQUEST", request.der()))
}
