//! `dockseal adopt`: an authority that was made elsewhere.

use std::{path::PathBuf, process::ExitCode};

use dockseal_ca::{Authority, Endpoint, Position, weaknesses};
use dockseal_pki::{Certificate, KeyAlgorithm, UserName};

use super::init::{describe, wire};
use crate::{
    authority::{Opened, authority_failure, create, home_failure, key_pem, read_certificates, read_hint, read_key},
    endpoint::{SubjectKey, Wish, new_key, permit},
    failure::Failure,
    groups::PassphraseArgs,
    invocation::Invocation,
    output::Output,
};

#[derive(clap::Args)]
#[command(
    after_help = "The key may be PKCS#1, SEC1, PKCS#8, encrypted PKCS#8 or an older encrypted PEM; it is kept as PKCS#8, \
    encrypted with the passphrase that opens it.\n\n\
    Examples:\n  \
    dockseal adopt --ca ca.pem --key ca-key.pem\n  \
    dockseal adopt --ca ~/.docker/machine/certs/ca.pem --key ~/.docker/machine/certs/ca-key.pem\n  \
    dockseal adopt --ca \"$(mkcert -CAROOT)/rootCA.pem\" --key \"$(mkcert -CAROOT)/rootCA-key.pem\""
)]
pub(crate) struct Args {
    /// The authority's certificate; if it is not self-signed, its issuers may follow it in the file
    #[arg(long, value_name = "FILE")]
    ca: PathBuf,
    /// The authority's private key
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

pub(crate) fn run(args: &Args, invocation: &Invocation, output: &mut Output) -> Result<ExitCode, Failure> {
    let home = invocation.home()?;
    home.check_free().map_err(|error| home_failure("cannot adopt the authority", &error))?;
    let read = |path| {
        dockseal_store::read(path)
            .map_err(|error| read_hint(Failure::trouble("cannot adopt the authority").cause(&error), &error))
    };
    let ca = read(&args.ca)?;
    let key_file = read(&args.key)?;
    let chain = from_issuer_to_anchor(read_certificates(&ca.bytes, &args.ca)?);
    if key_file.is_readable_by_others() {
        output.warn(&format!(
            "{} can be read by others (mode {:04o}); whoever did can issue certificates",
            args.key.display(),
            key_file.mode
        ));
    }
    let (key, _form, passphrase) = read_key(&key_file.bytes, &args.key, &args.passphrase, invocation, output)?;
    let text = key_pem(&key, passphrase.as_ref())?;
    let authority = Authority::load(chain, Box::new(key))
        .map_err(|error| authority_failure("cannot adopt the authority", &error))?;
    let opened = Opened { authority, home };
    try_out(&opened, invocation, output)?;
    say_weaknesses(opened.authority.chain(), invocation, output);
    create(&opened, text, invocation, "cannot adopt the authority")?;
    let human = format!(
        "Adopted the authority {}\n{}\nThe files it came from were left as they are; the key is now in two places.\n",
        opened.authority.issuer().subject,
        describe(&opened, passphrase.is_some(), invocation)
    );
    output.result(&human, &wire(&opened, passphrase.is_some()));
    Ok(ExitCode::SUCCESS)
}

/// The file's first certificate and, as far as they follow from it, its issuers; others in the file are not ours.
fn from_issuer_to_anchor(certificates: Vec<Certificate>) -> Vec<Certificate> {
    let mut rest = certificates.into_iter();
    let mut chain: Vec<Certificate> = rest.next().into_iter().collect();
    let mut others: Vec<Certificate> = rest.collect();
    while let Some(last) = chain.last().filter(|last| !last.is_self_issued()) {
        let Some(position) = others.iter().position(|other| other.subject == last.issuer && last.is_signed_by(other))
        else {
            break;
        };
        chain.push(others.remove(position));
    }
    chain
}

fn say_weaknesses(chain: &[Certificate], invocation: &Invocation, output: &mut Output) {
    for (depth, certificate) in chain.iter().enumerate() {
        let position = if depth + 1 == chain.len() { Position::Anchor } else { Position::Below };
        for weakness in weaknesses(certificate, position, invocation.now) {
            if chain.len() > 1 {
                output.warn(&format!("{}: {weakness}", certificate.subject));
            } else {
                output.warn(&weakness.to_string());
            }
        }
    }
}

/// Issues a certificate that nobody gets, so that an authority with which Docker would not work is not adopted.
fn try_out(opened: &Opened, invocation: &Invocation, output: &mut Output) -> Result<(), Failure> {
    let user =
        UserName::parse("nobody").map_err(|error| Failure::trouble("cannot adopt the authority").cause(error))?;
    let key = new_key(KeyAlgorithm::P256, output)?;
    let wish = Wish { lifetime: None, allow_long_lifetime: false };
    let key = SubjectKey::Here(Box::new(key));
    permit(&opened.authority, &Endpoint::Client { user }, key, wish, invocation)
        .and_then(|permitted| permitted.sign(&opened.authority, invocation))
        .map(drop)
        .map_err(|failure| Failure { what: "cannot adopt the authority".to_owned(), ..failure })
}
