//! Small programs over the libraries: see the files beside this one. Here is what two of them share.

use std::{
    error::Error,
    path::{Path, PathBuf},
    time::Duration,
};

use dockseal_ca::{Authority, AuthorityRequest, Endpoint, Issuance, Profile, ProfileConfig, Request};
use dockseal_docker::{Layout, Ownership, plan};
use dockseal_inventory::Run;
use dockseal_lifecycle::{
    AuthoritySession, Silence, Surroundings, init,
    permit::{IssueOptions, SubjectKey, new_key, permit},
};
use dockseal_pki::{Bundle, KeyAlgorithm, PrivateKey, SerialNumber, Signer, SubjectAltName, UserName};
use dockseal_store::{Existing, Home};
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

/// A run of these examples, at a time of their choosing.
pub fn around(at: OffsetDateTime, working_directory: PathBuf) -> Surroundings {
    let run = Run {
        at,
        user: "ada".to_owned(),
        machine: "example".to_owned(),
        machine_name: "example".to_owned(),
        command: "an example".to_owned(),
        time_is_given: false,
    };
    Surroundings::new(run, working_directory, Duration::from_secs(60))
}

/// An authority in the directory `home`, and of it the bundles of a daemon in `daemon` and of a client in `client`.
///
/// # Errors
/// When one of these is there already, or cannot be written.
pub fn bootstrap(home: &Path, around: &Surroundings) -> Result<(), Failure> {
    let request = AuthorityRequest {
        name: "Example authority".to_owned(),
        lifetime: Authority::USUAL_LIFETIME,
        permitted: Vec::new(),
    };
    let home = Home::new(around.working_directory.join(home));
    let opened = init::draft(&request, KeyAlgorithm::P256, None, home, around)?.create(around)?;
    let mut session = AuthoritySession::open_to_sign(&opened, around, &mut Silence)?;

    let names = vec![SubjectAltName::parse("build.example.com")?.name, SubjectAltName::parse("10.0.0.5")?.name];
    let endpoints = [Endpoint::Daemon { names }, Endpoint::Client { user: UserName::parse("ada")? }];
    for (endpoint, directory) in endpoints.iter().zip(["daemon", "client"]) {
        let key = SubjectKey::Here(Box::new(new_key(KeyAlgorithm::P256, &around.random)?));
        let permitted = permit(&opened.authority, endpoint, key, IssueOptions::default(), around)?;
        let issued = permitted.issue(&opened.authority, &mut session, None, around)?;
        let plan = plan(&issued.bundle, endpoint.role(), Layout::Docker, Ownership::default());
        session.deliver(&issued, &plan, Layout::Docker, Path::new(directory), Existing::Keep, around)?;
    }
    Ok(())
}

/// The README's own program, compiled as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
