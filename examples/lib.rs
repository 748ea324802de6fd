//! Small programs over the libraries: see the files beside this one. Here is what two of them share.

use std::error::Error;

use dockseal_ca::{Authority, AuthorityRequest, Endpoint, Issuance, Profile, ProfileConfig, Request};
use dockseal_pki::{Bundle, KeyAlgorithm, PrivateKey, SerialNumber, Signer, SubjectAltName, UserName};
use ring::rand::SystemRandom;
use time::OffsetDateTime;

/// What an example may fail with.
pub type Failure = Box<dyn Error>;

/// A new authority, and of it the bundle of a daemon with these names and that of a client with this user; all in memory.
///
/// # Errors
/// When a name is unusable, or the profile refuses.
pub fn issue_pair(names: &[&str], user: &str, now: OffsetDateTime) -> Result<(Authority, Bundle, Bundle), Failure> {
    let random = SystemRandom::new();
    let issuance =
        || SerialNumber::random(&random).map(|serial| Issuance { now, serial }).map_err(|_| "no random numbers");
    let new_key = || PrivateKey::generate(KeyAlgorithm::P256, &random);

    let request = AuthorityRequest {
        name: "Example authority".to_owned(),
        lifetime: Authority::USUAL_LIFETIME,
        permitted: Vec::new(),
    };
    let authority = Authority::create(&request, Box::new(new_key()?), &issuance()?)?;

    // asked (Request) -> permitted (Template, which only a Profile makes) -> signed (Certificate)
    let issue = |endpoint: Endpoint| -> Result<Bundle, Failure> {
        let profile = Profile::new(ProfileConfig {
            role: endpoint.role(),
            usual_lifetime: Profile::USUAL_LIFETIME,
            longest_lifetime: Some(Profile::LONGEST_FOR_EVERY_PLATFORM),
        })?;
        let key = new_key()?;
        let request = Request { endpoint, public_key: key.public_key().clone(), lifetime: None };
        let template = profile.permit(request, authority.issuer(), issuance()?)?;
        Ok(authority.bundle(authority.sign(template)?, Some(key)))
    };

    let parsed = names.iter().map(|name| SubjectAltName::parse(name).map(|parsed| parsed.name));
    let daemon = issue(Endpoint::Daemon { names: parsed.collect::<Result<_, _>>()? })?;
    let client = issue(Endpoint::Client { user: UserName::parse(user)? })?;
    Ok((authority, daemon, client))
}

/// The README's own program, compiled as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
