//! Issues the certificates of a Docker authority.
//!
//! A [`Request`] says what is asked, a [`Profile`] what is allowed, and only [`Profile::permit`] makes a [`Template`] out of
//! both, which [`Authority::sign`] spends. `now`, serials and keys are arguments; no file, clock or terminal is touched.
//! rcgen does the encoding and stays a private detail: its defaults (dates 1975–4096, a serial derived from the key, one
//! subject for everybody) never reach a certificate, since every field is set from a template.
//!
//! ```
//! use dockseal_ca::{Authority, AuthorityRequest, Endpoint, Issuance, Profile, ProfileConfig, Request};
//! use dockseal_docker::Role;
//! use dockseal_pki::{KeyAlgorithm, PrivateKey, SerialNumber, Signer, SubjectAltName};
//! use ring::rand::SystemRandom;
//! use time::macros::datetime;
//!
//! let (random, now) = (SystemRandom::new(), datetime!(2026-11-23 12:00 UTC));
//! let issuance = || Issuance { now, serial: SerialNumber::random(&random).unwrap() };
//! let request = AuthorityRequest { name: "Builds".to_owned(), lifetime: Authority::USUAL_LIFETIME, permitted: Vec::new() };
//! let key = PrivateKey::generate(KeyAlgorithm::P256, &random)?;
//! let authority = Authority::create(&request, Box::new(key), &issuance())?;
//!
//! let profile = Profile::new(ProfileConfig {
//!     role: Role::Daemon,
//!     usual_lifetime: Profile::USUAL_LIFETIME,
//!     longest_lifetime: Some(Profile::LONGEST_FOR_EVERY_PLATFORM),
//! })?;
//! let key = PrivateKey::generate(KeyAlgorithm::P256, &random)?;
//! let endpoint = Endpoint::Daemon { names: vec![SubjectAltName::parse("build.example.com")?.name] };
//! let request = Request { endpoint, public_key: key.public_key().clone(), lifetime: None };
//! let template = profile.permit(request, authority.issuer(), issuance())?;
//! let certificate = authority.sign(template)?;
//! assert!(certificate.is_signed_by(authority.issuer()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod adapter;
mod authority;
mod constraint;
mod crl;
mod profile;
mod rehearsal;
mod renewal;
mod request_csr;
mod sealed;
mod successor;
mod weakness;

pub use authority::{Authority, AuthorityError, AuthorityRequest, SignError};
pub use constraint::{PermitError, PermittedName};
pub use crl::{CrlError, CrlRequest};
pub use profile::{Endpoint, Issuance, Note, Profile, ProfileConfig, ProfileError, Refusal, Request, Template};
pub use rehearsal::Rehearsal;
pub use renewal::renewable;
pub use request_csr::certificate_request;
pub use successor::{Successor, SuccessorRequest};
pub use weakness::{Position, Weakness, weaknesses};
