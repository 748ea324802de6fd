//! Issues the certificates of a Docker authority.
//!
//! A [`Request`] says what is asked, a [`Profile`] what is allowed, and only [`Profile::permit`] makes a [`Template`] out of
//! both, which [`Authority::sign`] spends. `now`, serials and keys are arguments; no file, clock or terminal is touched.
//! rcgen does the encoding and stays a private detail: its defaults (dates 1975–4096, a serial derived from the key, one
//! subject for everybody) never reach a certificate, since every field is set from a template.

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
