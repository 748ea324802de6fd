//! Opening and making the authority, for every command that needs one.

use std::path::Path;

use dockseal_ca::{Authority, AuthorityError, AuthorityRequest, Issuance};
use dockseal_docker::env::{Shell, word_of_command};
use dockseal_pki::{
    Certificate, KeyAlgorithm, KeyError, KeyForm, Passphrase, PrivateKey, SerialNumber, certificates_in, from_pkcs12,
    pem,
};
use dockseal_store::{AuthorityFiles, Generations, Home, HomeError, ReadError, WriteError};
use ring::rand::SystemRandom;
use zeroize::Zeroizing;

use crate::{
    failure::Failure,
    former::Former,
    groups::PassphraseArgs,
    invocation::Invocation,
    ledger::{Ledger, inventory_failure},
    output::Output,
    passphrase,
};

/// An authority and where it lives.
pub(crate) struct Opened {
    pub(crate) authority: Authority,
    pub(crate) home: Home,
}

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
    let [chain, others @ ..] = &*chains(&home, files)? else {
        return Err(Failure::trouble("cannot open the authority"));
    };
    let others = others.iter().filter_map(|chain| chain.last().cloned()).collect();
    let link = if files.link.is_empty() {
        Vec::new()
    } else {
        read_certificates(&files.link, &files.key_path.with_file_name("cross.pem"))?
    };
    let authority = Authority::load(chain.clone(), Box::new(key))
        .and_then(|authority| authority.beside(others, link))
        .map_err(|error| authority_failure("cannot open the authority", &error))?;
    Ok((Opened { authority, home }, passphrase))
}

/// The generations that are trusted, the one that signs first: each one's certificate, then those above it.
pub(crate) fn chains(home: &Home, files: &AuthorityFiles) -> Result<Vec<Vec<Certificate>>, Failure> {
    std::iter::once(&files.chain)
        .chain(&files.others)
        .map(|chain| read_certificates(chain, &home.path().join("ca.pem")))
        .collect()
}

/// The certificate of the generation that signs.
pub(crate) fn signing_issuer(home: &Home, what: &str) -> Result<Certificate, Failure> {
    let chain = home.read_chain().map_err(|error| home_failure(what, &error))?;
    let chain = read_certificates(&chain, &home.path().join("ca.pem"))?;
    chain.into_iter().next().ok_or_else(|| Failure::trouble(what))
}

/// The certificates that sign or signed once, one of each generation, the oldest first.
pub(crate) fn known_issuers(home: &Home, what: &str) -> Result<Vec<Certificate>, Failure> {
    let issuer = |chain: Vec<Certificate>| chain.into_iter().next().ok_or_else(|| Failure::trouble(what));
    known_chains(home, what)?.into_iter().map(issuer).collect()
}

/// The same with those above each, up to its anchor.
pub(crate) fn known_chains(home: &Home, what: &str) -> Result<Vec<Vec<Certificate>>, Failure> {
    let numbers = home.known_generations().map_err(|error| home_failure(what, &error))?;
    let chain = |number| {
        let chain = home.read_chain_of(number).map_err(|error| home_failure(what, &error))?;
        read_certificates(&chain, &home.generation_path(number).join("ca.pem"))
    };
    numbers.into_iter().map(chain).collect()
}

/// A new authority that nothing was written of yet, and the text under which its key is to be kept.
pub(crate) fn prepare(
    request: &AuthorityRequest,
    key: KeyAlgorithm,
    passphrase: Option<&Passphrase>,
    home: Home,
    invocation: &Invocation,
) -> Result<(Opened, Zeroizing<String>), Failure> {
    let signer = PrivateKey::generate(key, &SystemRandom::new())
        .map_err(|error| Failure::trouble("cannot make the authority's key").cause(error))?;
    let key_pem = key_pem(&signer, passphrase)?;
    let issuance = Issuance { now: invocation.now, serial: new_serial()? };
    let authority = Authority::create(request, Box::new(signer), &issuance)
        .map_err(|error| authority_failure("cannot make the authority", &error))?;
    Ok((Opened { authority, home }, key_pem))
}

/// Writes a new authority, with an inventory that knows nothing yet but the number of its latest list, and what it brings
/// along.
pub(crate) fn create(
    opened: &Opened,
    key_pem: Zeroizing<String>,
    former: Option<&Former>,
    invocation: &Invocation,
    what: &str,
) -> Result<(), Failure> {
    let issuer = opened.authority.issuer();
    let mut ledger = Ledger::draft(issuer, invocation)?;
    let (generation, number) = (ledger.generation, former.map_or(0, |former| former.number_of(issuer)));
    ledger.recorder().crl_number_was(generation, number).map_err(|error| inventory_failure(what, &error))?;
    let inventory = ledger.inventory.to_bytes().map_err(|error| inventory_failure(what, &error))?;
    let heritage = former.map(Former::heritage).unwrap_or_default();
    opened
        .home
        .create(opened.authority.chain(), key_pem, inventory, heritage)
        .map_err(|error| home_failure(what, &error))
}

/// The PEM text under which an authority's key is kept.
pub(crate) fn key_pem(key: &PrivateKey, passphrase: Option<&Passphrase>) -> Result<Zeroizing<String>, Failure> {
    match passphrase {
        None => Ok(key.to_pem()),
        Some(passphrase) => key
            .to_encrypted_pem(passphrase, &SystemRandom::new())
            .map(Zeroizing::new)
            .map_err(|error| Failure::trouble("cannot encrypt the authority's key").cause(error)),
    }
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

fn key_failure(what: String, path: &Path, error: &KeyError) -> Failure {
    let file = word_of_command(Shell::Sh, &path.to_string_lossy());
    match error {
        KeyError::WrongPassphrase => Failure::no(what).cause(error).hint("check the passphrase; nothing was changed"),
        KeyError::OpenSsh => {
            Failure::trouble(what).cause(error).hint("convert a copy with ssh-keygen -p -m PKCS8 -f COPY")
        }
        KeyError::NotFound => {
            Failure::trouble(what).cause(error).hint("it is to be PEM: a line -----BEGIN … PRIVATE KEY-----")
        }
        KeyError::UnsupportedAlgorithm { .. } => Failure::trouble(what)
            .cause(error)
            .hint("authorities sign with P-256, P-384, Ed25519 or RSA from 2048 to 4096 bits"),
        KeyError::UnsupportedEncryption { .. } => {
            Failure::trouble(what).cause(error).hint(format!(
                "re-encrypt a copy with openssl pkcs8 -topk8 -v2 aes-256-cbc -in {file} -out COPY\nOpenSSL 3 opens the oldest \
                 ciphers only with -provider legacy -provider default as well"
            ))
        }
        _ => Failure::trouble(what).cause(error).hint("take it from where it was made, or from a copy"),
    }
}

/// Every certificate of a PEM text, at least one.
pub(crate) fn read_certificates(bytes: &[u8], path: &Path) -> Result<Vec<Certificate>, Failure> {
    let cannot = || {
        Failure::trouble(format!("cannot use the certificate {}", path.display()))
            .hint("it is to be PEM: a line -----BEGIN CERTIFICATE-----")
    };
    let blocks = pem::decode_all(bytes).map_err(|error| cannot().cause(error))?;
    let certificates = blocks
        .iter()
        .filter(|block| block.tag() == "CERTIFICATE")
        .map(|block| Certificate::from_der(block.contents()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| cannot().cause(error))?;
    if certificates.is_empty() {
        return Err(cannot()
            .cause("there is no certificate in it")
            .hint("it is to be PEM: a line -----BEGIN CERTIFICATE-----"));
    }
    Ok(certificates)
}

/// The same of what a person brings: in whatever form other tools leave it.
pub(crate) fn read_brought(bytes: &[u8], path: &Path) -> Result<Vec<Certificate>, Failure> {
    match certificates_in(bytes) {
        none if none.is_empty() => read_certificates(bytes, path).map_err(|failure| {
            failure
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

pub(crate) fn new_serial() -> Result<SerialNumber, Failure> {
    SerialNumber::random(&SystemRandom::new())
        .map_err(|_| Failure::trouble("cannot draw a serial number").cause("the system's random source failed"))
}

pub(crate) fn authority_failure(what: &str, error: &AuthorityError) -> Failure {
    let failure = match error {
        AuthorityError::KeyMismatch { .. } => Failure::no(what),
        _ => Failure::trouble(what),
    };
    let hint = match error {
        AuthorityError::Name => "choose another with --name",
        AuthorityError::Validity(_) => "give a shorter --lifetime",
        AuthorityError::KeyMismatch { .. } => {
            "certificate and key must come from the same authority: look at both with dockseal inspect"
        }
        AuthorityError::NotAnAuthority { .. } => {
            "a certificate that signs others has basicConstraints CA:TRUE and, if it has keyUsage, keyCertSign"
        }
        AuthorityError::IssuerName { .. } => {
            "make a new authority with dockseal init; endpoints can trust both in one ca.pem"
        }
        AuthorityError::NotValidNow { .. } => {
            "nobody accepts what depends on it; make a new authority with dockseal init --authority DIR"
        }
        AuthorityError::BrokenChain { .. } => {
            "the file is to hold the signing certificate first, then its issuers in order"
        }
        AuthorityError::Empty | AuthorityError::Sign(_) => return failure.cause(error),
    };
    failure.cause(error).hint(hint)
}

pub(crate) fn home_failure(what: &str, error: &HomeError) -> Failure {
    let trouble = Failure::trouble(what).cause(error);
    match error {
        HomeError::NotFound { .. } => {
            trouble.hint("make one with dockseal init, or name its directory with --authority DIR")
        }
        HomeError::AlreadyThere { .. } => Failure::no(what)
            .cause(error)
            .hint("an authority is never overwritten; name another directory with --authority DIR"),
        HomeError::Incomplete { file, .. } if *file == "ca-key.pem" => {
            trouble.hint("nothing can be signed without it; bring it back from where it is kept")
        }
        HomeError::Incomplete { .. } => trouble.hint("bring it back from a copy; every endpoint's ca.pem is one"),
        HomeError::NotADirectory { .. } | HomeError::Symlink { .. } => {
            trouble.hint("name a real directory with --authority DIR")
        }
        HomeError::Generations { .. } => {
            trouble.hint("bring it back from a copy of the authority; without it nobody knows which generation signs")
        }
        HomeError::Locked { .. } => trouble.hint("wait for it to end, or give it longer with --wait DURATION"),
        HomeError::Read(error) => read_hint(trouble, error),
        HomeError::Write(WriteError::ForeignFiles { .. }) => {
            Failure::no(what).cause(error).hint("an authority has a directory of its own; name it with --authority DIR")
        }
        HomeError::Write(error) => write_hint(trouble, error),
    }
}

pub(crate) fn read_hint(failure: Failure, error: &ReadError) -> Failure {
    match error {
        ReadError::Io { source, .. } => failure.hint(io_hint(source)),
        ReadError::NotAFile { .. } => failure.hint("name a file"),
        ReadError::TooLarge { .. } => {
            failure.hint("certificates and keys have a few thousand bytes; is it the right file?")
        }
        ReadError::UnsafeLink { .. } => {
            failure.hint("name the file by its path without that link, or run it as the user whose link it is")
        }
    }
}

fn write_hint(failure: Failure, error: &WriteError) -> Failure {
    match error {
        WriteError::Io { source, .. } => failure.hint(io_hint(source)),
        WriteError::AlreadyThere { .. } => failure.hint("--replace puts new ones in their place"),
        WriteError::ForeignFiles { .. } => {
            failure.hint("name a directory of its own; docker finds it by DOCKER_CERT_PATH")
        }
        WriteError::NotADirectory { .. } | WriteError::Symlink { .. } => {
            failure.hint("name a real directory, or one that does not exist yet")
        }
        WriteError::UnsafeLink { .. } => {
            failure.hint("name the directory by its path without that link, or run it as the user whose link it is")
        }
        WriteError::Changed { .. } => failure.hint("see who works there, and run it again"),
        WriteError::InPlace { .. } => failure
            .hint("the new bundle is in use and recorded; check the disk, then look with dockseal inventory check"),
        WriteError::NoName { .. } => failure.hint("name the directory itself"),
    }
}

fn io_hint(error: &std::io::Error) -> &'static str {
    use std::io::ErrorKind as Kind;
    match error.kind() {
        Kind::StorageFull | Kind::QuotaExceeded => "free some space and run it again; nothing was left half-written",
        Kind::ReadOnlyFilesystem => "choose a place on a file system that can be written",
        Kind::PermissionDenied => "choose a place that you may use, or run it as its owner",
        Kind::ResourceBusy => "it may be a mount point; name a directory inside it",
        Kind::NotADirectory | Kind::AlreadyExists => {
            "something that is not a directory stands where one is needed; name another place"
        }
        Kind::NotFound => "check the path",
        Kind::InvalidFilename => "choose a shorter name",
        Kind::TimedOut => "see which process has it locked (lsof or fuser names it), and run it again",
        _ => "check the path and the file system it is on",
    }
}

/// A failure to write: no, when something is in the way; trouble, when the system refuses.
pub(crate) fn write_failure(what: &str, error: &WriteError) -> Failure {
    let failure = match error {
        WriteError::AlreadyThere { .. } | WriteError::ForeignFiles { .. } => Failure::no(what),
        _ => Failure::trouble(what),
    };
    write_hint(failure.cause(error), error)
}
