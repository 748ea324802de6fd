//! `dockseal adopt`: an authority that was made elsewhere.

use std::{path::PathBuf, process::ExitCode};

use dockseal_ca::{Authority, Endpoint, Position, renewable, weaknesses};
use dockseal_docker::{
    Role,
    env::{Shell, word_of_command},
};
use dockseal_lifecycle::init::{create, key_pem};
use dockseal_pki::{
    Certificate, KeyAlgorithm, Passphrase, PrivateKey, Signer, SubjectAltName, UserName, Validity, certificates_in,
    is_pkcs12, moment, pem,
};
use serde::Serialize;

use super::init::{describe, wire};
use crate::{
    authority::{Opened, chain_from, open_pkcs12, read_brought, read_key},
    endpoint::{SubjectKey, Wish, new_key, permit},
    failure::Failure,
    former::{Former, FormerArgs},
    groups::PassphraseArgs,
    hints::{authority_failure, home_failure, init_failure, read_hint},
    invocation::Invocation,
    output::Output,
};
use dockseal_lifecycle::identity::may_be;

#[derive(clap::Args)]
#[command(
    after_help = "The certificate may be PEM, DER or PKCS#7; the key PKCS#1, SEC1, PKCS#8, encrypted PKCS#8 or an older encrypted PEM; and one \
    PKCS#12 file may hold both. The key is kept as PKCS#8, encrypted with the passphrase that opens it.\n\n\
    What it revoked before stays revoked: crl.pem and the index.txt of openssl ca or easy-rsa are read where they lie\n\
    beside the certificate or the key, and its lists are numbered on.\n\n\
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
    former: FormerArgs,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

const WHAT: &str = "cannot adopt the authority";

pub(crate) fn run(args: &Args, invocation: &Invocation, output: &mut Output) -> Result<ExitCode, Failure> {
    let home = invocation.home()?;
    home.check_free().map_err(|error| home_failure(WHAT, &error))?;
    let read =
        |path| dockseal_store::read(path).map_err(|error| read_hint(Failure::trouble(WHAT).cause(&error), &error));
    let ca = read(&args.ca)?;
    let key_file = read(&args.key)?;
    let has_key = |bytes: &[u8]| !pem::private_keys(bytes).is_empty();
    if has_key(&ca.bytes) && !has_key(&key_file.bytes) && !certificates_in(&key_file.bytes).is_empty() {
        let word = |path: &PathBuf| word_of_command(Shell::Sh, &path.to_string_lossy());
        return Err(Failure::trouble(WHAT).cause("--ca names a private key, and --key a certificate").hint(format!(
            "exchange them: dockseal adopt --ca {} --key {}",
            word(&args.key),
            word(&args.ca)
        )));
    }
    if key_file.is_readable_by_others() {
        output.warn(&format!(
            "{} can be read by others (mode {:04o}); whoever did can issue certificates",
            args.key.display(),
            key_file.mode
        ));
    }
    let brought = bring(&ca.bytes, &key_file.bytes, args, invocation, output)?;
    let Brought { key, passphrase, certificates } = brought;
    let chain = from_issuer_to_anchor(certificates, &key);
    refuse_negative_serials(&chain)?;
    let text = key_pem(&key, passphrase.as_ref(), invocation.around()).map_err(|error| init_failure(WHAT, error))?;
    let authority = Authority::load(chain, Box::new(key)).map_err(|error| authority_failure(WHAT, &error))?;
    let opened = Opened { authority, home };
    try_out(&opened, while_it_counted(&opened, invocation, output).as_ref().unwrap_or(invocation), output)?;
    say_weaknesses(opened.authority.chain(), invocation, output);
    let issuer = opened.authority.issuer();
    let mut former = Former::new(vec![issuer.clone()], WHAT);
    former.beside([&args.ca, &args.key], &args.former, output)?;
    create(&opened, text, former.number_of(issuer), former.heritage(), invocation.around())
        .map_err(|error| init_failure(WHAT, error))?;
    let revocations = describe_former(&former);
    let human = format!(
        "Adopted the authority {}\n{}{revocations}\nThe files it came from were left as they are; the key is now in two places.\n",
        issuer.subject,
        describe(&opened, passphrase.is_some(), invocation)
    );
    let files: Vec<_> = former.files.iter().map(|file| file.to_string_lossy()).collect();
    let adopted = Wire {
        authority: wire(&opened, passphrase.is_some()),
        revoked: former.count(),
        crl_number: former.number_of(issuer),
        revocations_from: files,
    };
    output.result(&human, &adopted);
    Ok(ExitCode::SUCCESS)
}

#[derive(Serialize)]
struct Wire<'w, Authority> {
    #[serde(flatten)]
    authority: Authority,
    /// How many certificates were revoked before.
    revoked: usize,
    /// The number of the latest list, 0 where there was none.
    crl_number: u64,
    revocations_from: Vec<std::borrow::Cow<'w, str>>,
}

/// What was revoked before, as far as anything told.
fn describe_former(former: &Former) -> String {
    if former.files.is_empty() {
        return "\nNo list or index of what it revoked was found; name them with --crl or --index if there are any\n"
            .to_owned();
    }
    let files: Vec<String> = former.files.iter().map(|file| file.display().to_string()).collect();
    format!("\n{} certificates that it revoked stay revoked, by {}\n", former.count(), files.join(", "))
}

/// What a person brings: a key, the passphrase that opened it, and certificates, among them the key's own.
struct Brought {
    key: PrivateKey,
    passphrase: Option<Passphrase>,
    certificates: Vec<Certificate>,
}

/// From two files, or from one PKCS#12 file that has both.
fn bring(ca: &[u8], key: &[u8], args: &Args, invocation: &Invocation, output: &mut Output) -> Result<Brought, Failure> {
    if !is_pkcs12(key) {
        let certificates = read_brought(ca, &args.ca)?;
        let (key, passphrase) = fitting_key(key, &certificates, args, invocation, output)?;
        return Ok(Brought { key, passphrase, certificates });
    }
    let (key, passphrase, within) = open_pkcs12(key, &args.key, &args.passphrase, invocation, output)?;
    let certificates = if is_pkcs12(ca) { within } else { read_brought(ca, &args.ca)? };
    Ok(Brought { key, passphrase, certificates })
}

/// The file's key that belongs to one of the certificates; where none does, the first tells what is wrong.
fn fitting_key(
    text: &[u8],
    certificates: &[Certificate],
    args: &Args,
    invocation: &Invocation,
    output: &mut Output,
) -> Result<(PrivateKey, Option<Passphrase>), Failure> {
    let mut first = None;
    for block in pem::private_keys(text) {
        let read = read_key(block.as_bytes(), &args.key, &args.passphrase, invocation, output);
        let is_it = |key: &PrivateKey| certificates.iter().any(|one| one.public_key.spki() == key.public_key().spki());
        match read {
            Ok((key, _, passphrase)) if is_it(&key) => return Ok((key, passphrase)),
            read => first = first.or(Some(read)),
        }
    }
    // Without any block it says so.
    let read = first.unwrap_or_else(|| read_key(text, &args.key, &args.passphrase, invocation, output));
    read.map(|(key, _, passphrase)| (key, passphrase))
}

/// Docker 29 and later would not even read such an authority's certificate (Go 1.23, GODEBUG x509negativeserial).
fn refuse_negative_serials(chain: &[Certificate]) -> Result<(), Failure> {
    let Some(negative) = chain.iter().find(|certificate| certificate.serial.is_negative()) else { return Ok(()) };
    Err(Failure::no(WHAT)
        .cause(format!(
            "the serial number of {} is negative, and Docker 29 takes no such certificate",
            negative.subject
        ))
        .hint("make a new authority with dockseal init; endpoints can trust both in one ca.pem"))
}

/// The certificate that the key belongs to, else the file's first, and, as far as they follow from it, its issuers; others in
/// the file are not ours.
fn from_issuer_to_anchor(certificates: Vec<Certificate>, key: &PrivateKey) -> Vec<Certificate> {
    let mut others = certificates;
    let own = others.iter().position(|one| one.public_key.spki() == key.public_key().spki()).unwrap_or(0);
    if others.is_empty() {
        return Vec::new();
    }
    let first = others.remove(own);
    chain_from(first, others)
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

/// One that has ended is taken too where it can be renewed, and is tried out as of its last minute.
fn while_it_counted(opened: &Opened, invocation: &Invocation, output: &mut Output) -> Option<Invocation> {
    let validity = opened.authority.issuer().validity;
    if invocation.now <= validity.not_after || renewable(opened.authority.chain()).is_err() {
        return None;
    }
    output.warn(&format!(
        "the authority ended on {}: nobody accepts what depends on it, until dockseal renew-ca has given it another certificate",
        moment(validity.not_after)
    ));
    Some(invocation.at(validity.not_after - Validity::BACKDATE))
}

/// Issues a certificate that nobody gets, so that an authority with which Docker would not work is not adopted. One whose
/// extended key usage leaves it one role is good for that one (Go crypto/x509 verify.go, checkChainForKeyUsage).
fn try_out(opened: &Opened, invocation: &Invocation, output: &mut Output) -> Result<(), Failure> {
    let may_certify = |role| opened.authority.chain().iter().all(|certificate| may_be(certificate, role));
    let endpoint = match (may_certify(Role::Daemon), may_certify(Role::Client)) {
        (true, false) => {
            output.warn("its extendedKeyUsage lets it certify daemons alone; clients need another authority");
            let name = SubjectAltName::parse("localhost").map_err(|error| Failure::trouble(WHAT).cause(error))?.name;
            Endpoint::Daemon { names: vec![name] }
        }
        (for_daemons, _) => {
            if !for_daemons && may_certify(Role::Client) {
                output.warn("its extendedKeyUsage lets it certify clients alone; daemons need another authority");
            }
            let user = UserName::parse("nobody").map_err(|error| Failure::trouble(WHAT).cause(error))?;
            Endpoint::Client { user }
        }
    };
    let key = new_key(KeyAlgorithm::P256, output)?;
    let wish = Wish { lifetime: None, allow_long_lifetime: false };
    let key = SubjectKey::Here(Box::new(key));
    permit(&opened.authority, &endpoint, key, wish, invocation.around())
        .and_then(|permitted| permitted.sign(&opened.authority, invocation.around()))
        .map(drop)
        .map_err(|failure| Failure { what: WHAT.to_owned(), ..failure.into() })
}
