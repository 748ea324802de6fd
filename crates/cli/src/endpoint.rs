//! From what was typed to a signed and judged bundle: what `issue` and `bootstrap` share.

pub(crate) use dockseal_lifecycle::permit::{
    IssueOptions as Wish, Issued, Permitted, SignedBundle, SubjectKey, name_of, permit, plain,
};
use dockseal_pki::{KeyAlgorithm, PrivateKey, SubjectAltName, UserName, UserNameError};
use ring::rand::SystemRandom;

use crate::{
    detect,
    failure::Failure,
    groups::{LeafArgs, parse_lifetime},
    hints,
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
        let parsed = SubjectAltName::parse(text).map_err(|error| hints::name_failure(&error))?;
        for note in &parsed.notes {
            output.warn(&note.to_string());
        }
        if !names.contains(&parsed.name) {
            names.push(parsed.name);
        }
    }
    Ok(names)
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

/// A new private key; larger RSA keys take seconds, so that is said on a terminal.
pub(crate) fn new_key(key: KeyAlgorithm, output: &mut Output) -> Result<PrivateKey, Failure> {
    if key == KeyAlgorithm::Rsa4096 && crate::passphrase::is_interactive() {
        output.note("making a key of 4096 bits, which can take a few seconds");
    }
    Ok(dockseal_lifecycle::permit::new_key(key, &SystemRandom::new())?)
}

impl LeafArgs {
    pub(crate) fn wish(&self) -> Result<Wish, Failure> {
        let lifetime = self.lifetime.as_deref().map(parse_lifetime).transpose()?;
        Ok(Wish { lifetime, allow_long_lifetime: self.allow_long_lifetime })
    }
}
