//! What a person is told to do about each error: the one place that adds what, hint and exit code to what the libraries say.

mod host;
mod lifecycle;

use std::path::Path;

use dockseal_ca::{AuthorityError, CrlError, Refusal};
use dockseal_docker::env::{Shell, word_of_command};
use dockseal_inventory::InventoryError;
use dockseal_pki::{KeyError, NameError};
use dockseal_store::{HomeError, ReadError, WriteError};

pub(crate) use self::host::{MAKE_ROOM, plan_failure, reach_failure};
pub(crate) use self::lifecycle::{
    as_hint, authority_files_failure, bundle_failure, init_failure, left_alone_failure, not_accepted_failure,
    open_key_failure, session_failure, undelivered_failure,
};
use crate::failure::Failure;

/// The keys that an authority can have.
const SIGNING_KINDS: &str = "authorities sign with P-256, P-384, Ed25519 or RSA from 2048 to 4096 bits";

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
        AuthorityError::KeyKind { .. } => SIGNING_KINDS,
        AuthorityError::NotAnAuthority { .. } => {
            "a certificate that signs others has basicConstraints CA:TRUE and, if it has keyUsage, keyCertSign"
        }
        AuthorityError::NotValidNow { .. } => {
            "nobody accepts what depends on it; where it has ended, dockseal renew-ca gives it another certificate"
        }
        AuthorityError::SignedByAnother { .. } => {
            "have that authority make the new one, of the same name and key, and adopt it with --authority DIR; or begin a \
             new authority with dockseal rollover begin"
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

/// A failure to write: no, when something is in the way; trouble, when the system refuses.
pub(crate) fn write_failure(what: &str, error: &WriteError) -> Failure {
    let failure = match error {
        WriteError::AlreadyThere { .. } | WriteError::ForeignFiles { .. } => Failure::no(what),
        _ => Failure::trouble(what),
    };
    write_hint(failure.cause(error), error)
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

pub(crate) fn key_failure(what: String, path: &Path, error: &KeyError) -> Failure {
    let file = word_of_command(Shell::Sh, &path.to_string_lossy());
    match error {
        KeyError::WrongPassphrase => Failure::no(what).cause(error).hint("check the passphrase; nothing was changed"),
        KeyError::OpenSsh => {
            Failure::trouble(what).cause(error).hint("convert a copy with ssh-keygen -p -m PKCS8 -f COPY; it leaves Ed25519 as it is, where only another key helps")
        }
        KeyError::NotFound => {
            Failure::trouble(what).cause(error).hint("it is to be PEM: a line -----BEGIN … PRIVATE KEY-----")
        }
        KeyError::UnsupportedAlgorithm { .. } => Failure::trouble(what)
            .cause(error)
            .hint(SIGNING_KINDS),
        KeyError::UnsupportedEncryption { .. } => {
            Failure::trouble(what).cause(error).hint(format!(
                "re-encrypt a copy with openssl pkcs8 -topk8 -v2 aes-256-cbc -in {file} -out COPY\nOpenSSL 3 opens the oldest \
                 ciphers only with -provider legacy -provider default as well"
            ))
        }
        _ => Failure::trouble(what).cause(error).hint("take it from where it was made, or from a copy"),
    }
}

/// What to do about an inventory that cannot be used.
pub(crate) fn inventory_failure(what: &str, error: &InventoryError) -> Failure {
    let failure = Failure::trouble(what).cause(error);
    match error {
        InventoryError::Missing { .. } | InventoryError::Damaged { .. } => failure.hint(
            "bring it back from a copy, or make it again from the certificates that are there: dockseal inventory rebuild DIR…",
        ),
        InventoryError::Newer { .. } => failure.hint("use the newer dockseal; nothing was changed"),
        InventoryError::Busy { .. } => failure.hint("see who has it open, and run this again"),
        InventoryError::ReadOnly { .. } => failure.hint("run it as the authority's owner, where it can be written"),
        InventoryError::Unreachable { .. } => {
            failure.hint("run it as the authority's owner, and name the directory by a way that nobody else can change")
        }
        InventoryError::Full { .. } => failure.hint("free some space and run it again; nothing was left half-written"),
        InventoryError::Sqlite { .. } => failure.hint("look at the file and its disk; dockseal inventory check reads all of it"),
    }
}

/// Why an authority makes no revocation list.
pub(crate) fn crl_failure(what: &str, error: &CrlError) -> Failure {
    let failure = match error {
        CrlError::MayNotSign => Failure::no(what),
        CrlError::Validity(_) | CrlError::Encoding | CrlError::NotAsAsked => Failure::trouble(what),
    };
    let hint = match error {
        CrlError::MayNotSign => {
            "an authority that dockseal made can; endpoints that trust only this one need a roll-over"
        }
        CrlError::Validity(_) => "give a shorter --next-update",
        CrlError::Encoding | CrlError::NotAsAsked => "look at the authority with dockseal inspect",
    };
    failure.cause(error).hint(hint)
}

pub(crate) fn name_failure(error: &NameError) -> Failure {
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

pub(crate) fn refusal_failure(what: &str, refusal: &Refusal) -> Failure {
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

/// What was asked for a daemon without any name.
pub(crate) fn no_names() -> Failure {
    Failure::trouble("cannot issue the daemon certificate").cause("no subject alternative name was given").hint(
        "name every host name and address that clients dial, e.g. dockseal issue daemon 10.0.0.5 build.example.com",
    )
}
