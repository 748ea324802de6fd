//! Certificates, keys and names as values.
//!
//! The nouns that everything else in Dockseal works with: [`SubjectAltName`], [`Validity`], [`SerialNumber`],
//! [`KeyAlgorithm`], [`PrivateKey`], [`Signer`], [`Certificate`], [`CertificateRequest`], [`Bundle`]. Pure: no file, clock,
//! environment or terminal is touched here; randomness and the time are arguments.
//!
//! It does not judge (`dockseal-verify` does, by Docker's own rules) and does not issue (`dockseal-ca` does).
//!
//! Sources: RFC 5280 (certificates), RFC 2986 (requests), RFC 5958 and RFC 8018 (private keys), RFC 7468 (PEM).
//!
//! ```
//! use dockseal_pki::{KeyAlgorithm, PrivateKey, Signer, SubjectAltName};
//!
//! let name = SubjectAltName::parse("BUILD.example.com")?.name;
//! assert_eq!(name.to_string(), "build.example.com");
//! let key = PrivateKey::generate(KeyAlgorithm::P256, &ring::rand::SystemRandom::new())?;
//! let (read, _) = PrivateKey::from_pem(key.to_pem().as_bytes(), None)?;
//! assert_eq!(read.public_key().spki(), key.public_key().spki());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod bundle;
mod certificate;
mod crl;
mod dn;
mod ecdsa_p521;
mod fingerprint;
mod foreign_key;
mod forms;
mod key;
mod legacy_pem;
mod name;
pub mod pem;
mod pkcs12;
mod public_key;
mod request;
mod revocation;
mod revocation_index;
mod serial;
mod signer;
mod user;
mod validity;

pub use bundle::{Bundle, TrustAnchors};
pub use certificate::{BasicConstraints, Certificate, CertificateError, ExtendedKeyUsage, Extension, GeneralName};
pub use crl::{RevocationList, Revoked};
pub use dn::{DistinguishedName, printable};
pub use ecdsa_p521::is_signed_by_p521;
pub use fingerprint::Fingerprint;
pub use forms::{
    Form, PemCertificatesError, certificates_in, certificates_in_pem, certificates_of_block, is_pkcs12, pem_or_der,
};
pub use key::{KeyAlgorithm, KeyError, KeyForm, Passphrase, PrivateKey};
pub use name::{NameError, NameNote, ParsedName, SubjectAltName};
pub use pkcs12::{Pkcs12Error, from_pkcs12};
pub use public_key::{PublicKey, PublicKeyAlgorithm};
pub use request::{CertificateRequest, RequestError};
pub use revocation::RevocationReason;
pub use revocation_index::{IndexError, IndexedRevocation, index_line, read_index};
pub use serial::SerialNumber;
pub use signer::{SignatureScheme, Signer, SigningError};
pub use user::{UserName, UserNameError};
pub use validity::{Lifetime, LifetimeError, Validity, ValidityError, moment};
