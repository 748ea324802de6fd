//! From what was typed to a signed and judged bundle: what `issue` and `bootstrap` share.

use dockseal_ca::{Authority, Endpoint, Issuance, Profile, ProfileConfig, Refusal, Request, Template};
use dockseal_docker::Role;
use dockseal_inventory::CertificateId;
use dockseal_pki::{
    Bundle, Certificate, GeneralName, KeyAlgorithm, Lifetime, NameError, PrivateKey, PublicKey, SerialNumber, Signer,
    SubjectAltName, UserName, UserNameError,
};
use ring::rand::SystemRandom;

use crate::{
    authority::new_serial,
    detect,
    failure::Failure,
    groups::{LeafArgs, parse_lifetime},
    invocation::Invocation,
    judgement,
    ledger::Ledger,
    output::Output,
};

/// A daemon's names as typed and, with `--detect`, those of this machine; what was taken and what not is said.
pub(crate) fn daemon_names(
    given: &[String],
    detect_too: bool,
    output: &mut Output,
) -> Result<Vec<SubjectAltName>, Failure> {
    let mut names = parse_names(given, output)?;
    if detect_too {
        let detected = detect::detect();
        for note in detected.notes() {
            output.note(&note);
        }
        for taken in detected.taken {
            if !names.contains(&taken.name) {
                names.push(taken.name);
            }
        }
    }
    Ok(names)
}

/// Names as typed, each as what it becomes in a certificate; what is doubtful is said.
fn parse_names(given: &[String], output: &mut Output) -> Result<Vec<SubjectAltName>, Failure> {
    let mut names: Vec<SubjectAltName> = Vec::new();
    for text in given {
        let parsed = SubjectAltName::parse(text).map_err(|error| name_failure(&error))?;
        for note in &parsed.notes {
            output.warn(&note.to_string());
        }
        if !names.contains(&parsed.name) {
            names.push(parsed.name);
        }
    }
    Ok(names)
}

fn name_failure(error: &NameError) -> Failure {
    let failure = Failure::trouble("cannot certify that name").cause(error);
    match error {
        NameError::Scheme { host: Some(host), .. }
        | NameError::Port { host, .. }
        | NameError::TrailingDot { host, .. }
        | NameError::KindPrefix { host, .. } => failure.hint(format!("give {host}")),
        NameError::Zone { address, .. } => {
            failure.hint(format!("give an address that other machines can dial, or {address} without its zone"))
        }
        NameError::Scheme { host: None, .. } => failure.hint("give the host name or address that clients dial"),
        NameError::Wildcard { .. } => {
            failure.hint("name the hosts, or give e.g. *.example.com, which covers one label")
        }
        NameError::NearlyAnAddress { .. } | NameError::NotDialled { .. } => {
            failure.hint("give an address that clients dial, e.g. 10.0.0.5 or 2001:db8::5")
        }
        NameError::Slash { .. } => failure.hint("name each host or address"),
        NameError::Empty => failure.hint("name every host name and address that clients dial"),
        NameError::TooLong { .. }
        | NameError::Label { .. }
        | NameError::Character { .. }
        | NameError::NotConvertible { .. } => {
            failure.hint("a host name has labels of letters, digits and hyphens, at most 63 each and 253 together")
        }
    }
}

/// A user as typed.
pub(crate) fn parse_user(given: &str) -> Result<UserName, Failure> {
    UserName::parse(given).map_err(|error| {
        let hint = match error {
            UserNameError::TooLong { .. } => "shorten it",
            _ => "it becomes the certificate's common name and a directory's name: letters, digits, blanks inside, and . _ - @ + will do",
        };
        Failure::trouble("cannot certify that user").cause(error).hint(hint)
    })
}

/// What was asked for a daemon without any name.
pub(crate) fn no_names() -> Failure {
    Failure::trouble("cannot issue the daemon certificate").cause("no subject alternative name was given").hint(
        "name every host name and address that clients dial, e.g. dockseal issue daemon 10.0.0.5 build.example.com",
    )
}

/// A new private key; larger RSA keys take seconds, so that is said on a terminal.
pub(crate) fn new_key(key: KeyAlgorithm, output: &mut Output) -> Result<PrivateKey, Failure> {
    if key == KeyAlgorithm::Rsa4096 && crate::passphrase::is_interactive() {
        output.note("making a key of 4096 bits, which can take a few seconds");
    }
    new_key_quietly(key)
}

/// The same, said or not.
pub(crate) fn new_key_quietly(key: KeyAlgorithm) -> Result<PrivateKey, Failure> {
    PrivateKey::generate(key, &SystemRandom::new())
        .map_err(|error| Failure::trouble("cannot make a private key").cause(error))
}

/// A certificate that was signed and judged, and not yet written anywhere.
pub(crate) struct Issued {
    pub(crate) id: CertificateId,
    pub(crate) certificate: Certificate,
    pub(crate) bundle: Bundle,
    pub(crate) notes: Vec<String>,
}

/// The key that a certificate is for: made here, or elsewhere.
pub(crate) enum SubjectKey {
    Here(Box<PrivateKey>),
    Elsewhere(PublicKey),
}

/// What is asked for besides who and which key.
#[derive(Clone, Copy)]
pub(crate) struct Wish {
    pub(crate) lifetime: Option<Lifetime>,
    pub(crate) allow_long_lifetime: bool,
}

impl LeafArgs {
    pub(crate) fn wish(&self) -> Result<Wish, Failure> {
        let lifetime = self.lifetime.as_deref().map(parse_lifetime).transpose()?;
        Ok(Wish { lifetime, allow_long_lifetime: self.allow_long_lifetime })
    }
}

/// The main name that an endpoint goes by.
pub(crate) fn name_of(endpoint: &Endpoint) -> String {
    match endpoint {
        Endpoint::Daemon { names } => names.first().map(ToString::to_string).unwrap_or_default(),
        Endpoint::Client { user } => user.to_string(),
    }
}

/// What may be signed, and the key that it is for.
pub(crate) struct Permitted {
    pub(crate) endpoint: Endpoint,
    template: Template,
    key: Option<PrivateKey>,
}

/// Asks whether an endpoint may have a certificate. Nothing is changed by it.
pub(crate) fn permit(
    authority: &Authority,
    endpoint: &Endpoint,
    key: SubjectKey,
    wish: Wish,
    invocation: &Invocation,
) -> Result<Permitted, Failure> {
    let (public_key, key) = match key {
        SubjectKey::Here(key) => (key.public_key().clone(), Some(*key)),
        SubjectKey::Elsewhere(public_key) => (public_key, None),
    };
    let request = Request { endpoint: endpoint.clone(), public_key, lifetime: wish.lifetime };
    let issuance = Issuance { now: invocation.now, serial: new_serial()? };
    let template = profile(endpoint.role(), wish.allow_long_lifetime)
        .and_then(|profile| profile.permit(request, authority.issuer(), issuance))
        .map_err(|refusal| refusal_failure(&cannot_issue(endpoint.role()), &refusal))?;
    Ok(Permitted { endpoint: endpoint.clone(), template, key })
}

impl Permitted {
    /// The serial that is to be signed with.
    pub(crate) fn serial(&self) -> &SerialNumber {
        self.template.serial()
    }

    /// Takes the serial, signs, and has the result judged.
    pub(crate) fn issue(
        self,
        authority: &Authority,
        ledger: &mut Ledger,
        predecessor: Option<CertificateId>,
        invocation: &Invocation,
    ) -> Result<Issued, Failure> {
        let id = ledger.reserve(&self, predecessor)?;
        let signed = self.sign(authority, invocation)?;
        Ok(Issued { id, certificate: signed.certificate, bundle: signed.bundle, notes: signed.notes })
    }

    /// Signs, and has the result judged.
    pub(crate) fn sign(self, authority: &Authority, invocation: &Invocation) -> Result<SignedBundle, Failure> {
        let what = cannot_issue(self.endpoint.role());
        let mut notes: Vec<String> = self.template.notes.iter().map(ToString::to_string).collect();
        let certificate = authority.sign(self.template).map_err(|error| Failure::trouble(what.clone()).cause(error))?;
        let bundle = authority.bundle(certificate.clone(), self.key);
        notes.extend(judgement::of_bundle(&bundle, &self.endpoint, invocation.now, &what)?);
        Ok(SignedBundle { certificate, bundle, notes })
    }
}

/// What [`Permitted::sign`] made.
pub(crate) struct SignedBundle {
    pub(crate) certificate: Certificate,
    pub(crate) bundle: Bundle,
    pub(crate) notes: Vec<String>,
}

fn cannot_issue(role: Role) -> String {
    format!("cannot issue the {role} certificate")
}

/// A name without its kind.
pub(crate) fn plain(name: &GeneralName) -> String {
    match name {
        GeneralName::Dns(name) => name.clone(),
        GeneralName::Ip(address) => address.to_string(),
        other => other.to_string(),
    }
}

fn profile(role: Role, allow_long_lifetime: bool) -> Result<Profile, Refusal> {
    let longest_lifetime =
        (role == Role::Daemon && !allow_long_lifetime).then_some(Profile::LONGEST_FOR_EVERY_PLATFORM);
    let config = ProfileConfig { role, usual_lifetime: Profile::USUAL_LIFETIME, longest_lifetime };
    Profile::new(config).map_err(|_| Refusal::Role { asked: role })
}

fn refusal_failure(what: &str, refusal: &Refusal) -> Failure {
    match refusal {
        Refusal::NoNames => no_names(),
        Refusal::TooLong { .. } => Failure::no(what).cause(refusal).hint(
            "Apple's platforms refuse longer ones; shorten --lifetime, or say --allow-long-lifetime if none will connect",
        ),
        Refusal::Validity(_) => Failure::trouble(what).cause(refusal).hint("give a shorter --lifetime"),
        Refusal::Key { .. } => Failure::no(what).cause(refusal).hint("make the request with another key: p256 suits everything"),
        Refusal::IssuerNotYetValid { .. } => {
            Failure::no(what).cause(refusal).hint("set the clock of this machine, or give the right time with --at")
        }
        Refusal::IssuerExpired { .. } => {
            Failure::no(what).cause(refusal).hint("give it another certificate of the same name and key with dockseal renew-ca")
        }
        Refusal::Role { .. } => Failure::trouble(what).cause(refusal),
    }
}
