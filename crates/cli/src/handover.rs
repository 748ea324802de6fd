//! `--as`: an identity as one file.

use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
};

use clap::ValueEnum;
use dockseal_docker::FilePlan;
use dockseal_pki::{Bundle, Passphrase, Pkcs12Error, PublicKeyAlgorithm};
use dockseal_store::{NewFile, pack};
use zeroize::Zeroizing;

use crate::{
    endpoint::Issued, failure::Failure, groups::Pkcs12PassphraseArgs, hints::write_failure, invocation::Invocation,
    ledger::Ledger, output::Output, passphrase,
};
use dockseal_lifecycle::identity::role_and_name;

/// The kinds of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// The same files with their modes, in a tar
    Tar,
    /// Key, chain and CA in a PKCS#12 file under a passphrase, for Java, NSS and browsers
    P12,
}

impl Form {
    /// Its name, in lower case.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Tar => "tar",
            Self::P12 => "p12",
        }
    }
}

/// Only the owner may read a file with a key in it.
const MODE: u32 = 0o600;

/// A file that is to be made, and where it goes.
pub(crate) struct HandOver {
    pub(crate) form: Form,
    passphrase: Option<Passphrase>,
    /// `None` for standard output.
    pub(crate) file: Option<PathBuf>,
}

impl HandOver {
    /// Refuses what would fail after something was signed, and takes the passphrase.
    pub(crate) fn new(
        form: Form,
        args: &Pkcs12PassphraseArgs,
        out: &Path,
        what: &str,
        invocation: &Invocation,
        output: &mut Output,
    ) -> Result<Self, Failure> {
        let file = if out.as_os_str() == "-" {
            if std::io::stdout().is_terminal() {
                return Err(Failure::trouble(what)
                    .cause("a private key is never written to a terminal")
                    .hint("name a file with --out FILE, or send it on through a pipe"));
            }
            None
        } else {
            let path = invocation.absolute(out)?;
            if path.is_dir() {
                return Err(Failure::trouble(what)
                    .cause(format!("{} is a directory", out.display()))
                    .hint("name the file that --as writes, e.g. --out alice.p12"));
            }
            // Tells now whether it can be there: nothing is left of it.
            NewFile::write(&path, MODE, &[]).map(drop).map_err(|error| write_failure(what, &error))?;
            Some(path)
        };
        if form != Form::P12 && args.is_given() {
            return Err(Failure::trouble(what)
                .cause("only a .p12 has a passphrase")
                .hint("say --as p12, or leave the passphrase away"));
        }
        let passphrase = match form {
            Form::P12 => passphrase::for_new_file(args, output)?,
            Form::Tar => None,
        };
        // JDK src/java.base/share/classes/com/sun/crypto/provider/PBEKey.java: "Password is not ASCII".
        if passphrase.as_ref().is_some_and(|passphrase| !passphrase.secret_bytes().is_ascii()) {
            output.warn("Java opens no .p12 whose passphrase has other than ASCII characters");
        }
        Ok(Self { form, passphrase, file })
    }

    /// The file's octets: of one identity that goes by `name`, or of plans by their directories.
    pub(crate) fn pack(
        &self,
        name: &str,
        bundle: Option<&Bundle>,
        plans: &[(String, FilePlan)],
        what: &str,
        output: &mut Output,
    ) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let failed = |error: &dyn std::fmt::Display| Failure::trouble(what).cause(error);
        let Some(bundle) = bundle.filter(|_| self.form == Form::P12) else {
            return pack(plans).map_err(|error| failed(&error));
        };
        if bundle.leaf().is_some_and(|leaf| *leaf.public_key.algorithm() == PublicKeyAlgorithm::Ed25519) {
            output.warn("NSS (tried: 3.87) imports no Ed25519 key; p256 suits everything");
        }
        bundle.to_pkcs12(name, self.passphrase.as_ref()).map_err(|error| match error {
            Pkcs12Error::Passphrase => {
                failed(&error).hint("take a passphrase of letters, digits and signs, without emoji")
            }
            Pkcs12Error::NoKey => failed(&error).hint("make the .p12 where the private key is"),
            Pkcs12Error::Refused(_) => failed(&error),
        })
    }

    /// The file, complete and not yet in its place.
    pub(crate) fn stage(&self, bytes: &[u8], what: &str) -> Result<Option<NewFile>, Failure> {
        let stage = |path: &PathBuf| NewFile::write(path, MODE, bytes).map_err(|error| write_failure(what, &error));
        self.file.as_ref().map(stage).transpose()
    }

    /// Writes what was issued, in plans by their directories, into the file, and remembers that there is one.
    pub(crate) fn deliver(
        &self,
        all: &[Issued],
        plans: &[(String, FilePlan)],
        ledger: &mut Ledger,
        what: &str,
        output: &mut Output,
    ) -> Result<(), Failure> {
        let name = all.first().and_then(|issued| role_and_name(&issued.certificate));
        let name = name.map_or_else(String::new, |(_, name)| name);
        let bytes = self.pack(&name, all.first().map(|issued| &issued.bundle), plans, what, output)?;
        let staged = self.stage(&bytes, what)?;
        // Before anybody can have it: what is handed over and not recorded could not be revoked.
        ledger.hand_over(all, &format!("as {} to {}", self.form.word(), self.destination()))?;
        match staged {
            None => output.raw(&bytes),
            Some(staged) => {
                if let Err(error) = staged.put_in_place() {
                    ledger.not_handed_over(&all.iter().map(|issued| issued.id).collect::<Vec<_>>())?;
                    return Err(write_failure(what, &error));
                }
            }
        }
        output.note(&format!(
            "renewals by themselves do not reach it: dockseal renew {name} --as {} --out FILE makes the next one",
            self.form.word()
        ));
        Ok(())
    }

    /// Where it went, for people.
    pub(crate) fn destination(&self) -> String {
        self.file.as_ref().map_or_else(|| "standard output".to_owned(), |path| path.display().to_string())
    }
}
