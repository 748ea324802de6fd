//! Opening and making the authority, for every command that needs one.

use std::path::Path;

use dockseal_ca::Authority;
use dockseal_lifecycle::authority;
pub(crate) use dockseal_lifecycle::{
    authority::{OpenAuthority as Opened, chains},
    certificates::read_certificates,
};
use dockseal_pki::{Certificate, KeyError, KeyForm, Passphrase, PrivateKey, certificates_in, from_pkcs12};
use dockseal_store::{AuthorityFiles, Generations, Home, HomeError};

use crate::{
    failure::Failure,
    groups::PassphraseArgs,
    hints::{authority_failure, authority_files_failure, home_failure, key_failure},
    invocation::Invocation,
    output::Output,
    passphrase,
};

/// Opens the authority that is there.
pub(crate) fn open(args: &PassphraseArgs, invocation: &Invocation, output: &mut Output) -> Result<Opened, Failure> {
    let home = invocation.home()?;
    let files = read(&home)?;
    unlock(home, &files, args, invocation, output)
}

/// Opens the authority that is there, and those before or after it whose keys are here as well, with the same passphrase.
pub(crate) fn open_every(
    args: &PassphraseArgs,
    invocation: &Invocation,
    output: &mut Output,
) -> Result<(Opened, Vec<Authority>), Failure> {
    let home = invocation.home()?;
    let files = read(&home)?;
    let signing = files.generations.signing;
    let (opened, passphrase) = unlock_keeping(home, &files, args, invocation, output)?;
    let failure = |error: &HomeError| home_failure("cannot open the authority", error);
    let mut others = Vec::new();
    for number in opened.home.known_generations().map_err(|error| failure(&error))? {
        if number == signing {
            continue;
        }
        let files = match opened.home.read_as(Generations::only(number)) {
            // Its key was destroyed, as it may be once nobody trusts it.
            Err(HomeError::Incomplete { .. }) => continue,
            other => other.map_err(|error| failure(&error))?,
        };
        let key = match PrivateKey::from_pem(&files.key.bytes, passphrase.as_ref()) {
            Ok((key, _)) => key,
            Err(_) => read_key(&files.key.bytes, &files.key_path, args, invocation, output)?.0,
        };
        let chain = read_certificates(&files.chain, &opened.home.generation_path(number).join("ca.pem"))?;
        let other = Authority::load(chain, Box::new(key))
            .map_err(|error| authority_failure("cannot open the authority", &error))?;
        others.push(other);
    }
    Ok((opened, others))
}

/// Reads an authority's files without opening its key.
pub(crate) fn read(home: &Home) -> Result<AuthorityFiles, Failure> {
    home.read().map_err(|error| home_failure("cannot open the authority", &error))
}

/// Opens an authority whose files were read.
pub(crate) fn unlock(
    home: Home,
    files: &AuthorityFiles,
    args: &PassphraseArgs,
    invocation: &Invocation,
    output: &mut Output,
) -> Result<Opened, Failure> {
    unlock_keeping(home, files, args, invocation, output).map(|(opened, _)| opened)
}

/// The same; the passphrase that opened the key, if there is one, comes back too.
pub(crate) fn unlock_keeping(
    home: Home,
    files: &AuthorityFiles,
    args: &PassphraseArgs,
    invocation: &Invocation,
    output: &mut Output,
) -> Result<(Opened, Option<Passphrase>), Failure> {
    if files.key.is_readable_by_others() {
        let mode = files.key.mode;
        output.warn(&format!("{} can be read by others (mode {mode:04o}); chmod 0400 it", files.key_path.display()));
    }
    let (key, _, passphrase) = read_key(&files.key.bytes, &files.key_path, args, invocation, output)?;
    Ok((authority::load(home, files, key)?, passphrase))
}

/// The certificate of the generation that signs.
pub(crate) fn signing_issuer(home: &Home, what: &str) -> Result<Certificate, Failure> {
    authority::signing_issuer(home).map_err(|error| authority_files_failure(what, error))
}

/// The certificates that sign or signed once, one of each generation, the oldest first.
pub(crate) fn known_issuers(home: &Home, what: &str) -> Result<Vec<Certificate>, Failure> {
    authority::known_issuers(home).map_err(|error| authority_files_failure(what, error))
}

/// Those that endpoints trust at present.
pub(crate) fn trusted_issuers(home: &Home, what: &str) -> Result<Vec<Certificate>, Failure> {
    authority::trusted_issuers(home).map_err(|error| authority_files_failure(what, error))
}

/// Whom endpoints trust at present, and no longer.
pub(crate) fn trust_of(home: &Home, what: &str) -> Result<authority::Trust, Failure> {
    authority::Trust::of(home).map_err(|error| authority_files_failure(what, error))
}

/// Reads a private key, asking for its passphrase only when it needs one.
pub(crate) fn read_key(
    bytes: &[u8],
    path: &Path,
    args: &PassphraseArgs,
    invocation: &Invocation,
    output: &mut Output,
) -> Result<(PrivateKey, KeyForm, Option<Passphrase>), Failure> {
    let cannot = || format!("cannot use the private key {}", path.display());
    match PrivateKey::from_pem(bytes, None) {
        Ok((key, form)) => return Ok((key, form, None)),
        Err(KeyError::Encrypted) => {}
        Err(error) => return Err(key_failure(cannot(), path, &error)),
    }
    for _attempt in 0..3 {
        let source = passphrase::for_locked_key(args, path, invocation, output)?;
        match (PrivateKey::from_pem(bytes, Some(source.passphrase())), source) {
            (Ok((key, form)), passphrase::Source::Given(passphrase) | passphrase::Source::Typed(passphrase)) => {
                return Ok((key, form, Some(passphrase)));
            }
            (Err(KeyError::WrongPassphrase), passphrase::Source::Typed(_)) => output.warn("that is not it"),
            (Err(error), _) => return Err(key_failure(cannot(), path, &error)),
        }
    }
    Err(key_failure(cannot(), path, &KeyError::WrongPassphrase))
}

/// Opens a PKCS#12 file, asking for its passphrase only when it needs one.
pub(crate) fn open_pkcs12(
    bytes: &[u8],
    path: &Path,
    args: &PassphraseArgs,
    invocation: &Invocation,
    output: &mut Output,
) -> Result<(PrivateKey, Option<Passphrase>, Vec<Certificate>), Failure> {
    if let Ok((key, certificates)) = from_pkcs12(bytes, None) {
        return Ok((key, None, certificates));
    }
    let passphrase = passphrase::for_locked_key(args, path, invocation, output)?.into_passphrase();
    let (key, certificates) = from_pkcs12(bytes, Some(&passphrase))
        .map_err(|error| key_failure(format!("cannot use {}", path.display()), path, &error))?;
    Ok((key, Some(passphrase), certificates))
}

/// Every certificate of what a person brings, at least one: in whatever form other tools leave it.
pub(crate) fn read_brought(bytes: &[u8], path: &Path) -> Result<Vec<Certificate>, Failure> {
    match certificates_in(bytes) {
        none if none.is_empty() => read_certificates(bytes, path).map_err(|error| {
            Failure::from(error)
                .hint("it is to be PEM, DER or PKCS#7: openssl x509 -in FILE -text shows whether it is a certificate")
        }),
        found => Ok(found),
    }
}

/// A certificate and, from a pool, its issuers up to one that issued itself or whose issuer is not there.
pub(crate) fn chain_from(first: Certificate, mut pool: Vec<Certificate>) -> Vec<Certificate> {
    let mut chain = vec![first];
    while let Some(last) = chain.last().filter(|last| !last.is_self_issued()) {
        let signs = |one: &Certificate| one.subject == last.issuer && last.is_signed_by(one);
        let Some(position) = pool.iter().position(signs) else { break };
        chain.push(pool.remove(position));
    }
    chain
}
