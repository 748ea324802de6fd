//! `dockseal repair`: a bundle in whatever form other tools left it, as the three files that Docker reads.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    process::ExitCode,
};

use dockseal_docker::env::{Shell, word_of_command};
use dockseal_docker::plan;
use dockseal_pki::{Bundle, Certificate, PrivateKey, Signer, TrustAnchors, certificates_in, is_pkcs12, pem};
use dockseal_store::{Displaced, Existing, Staged, WriteError, read, stage};
use serde_json::json;

use super::issue::check_not_here;
use crate::{
    authority::{chain_from, open_pkcs12, read_key},
    failure::Failure,
    groups::PassphraseArgs,
    held,
    hints::{read_hint, write_failure},
    invocation::Invocation,
    judgement,
    output::Output,
    report::SCHEMA,
};
use dockseal_lifecycle::identity::endpoint_role;

const WHAT: &str = "cannot repair the directory";

#[derive(clap::Args)]
#[command(
    after_help = "Docker reads PEM alone, with each certificate and key in a block of its own. What is DER, PKCS#7 or PKCS#12, has a byte order\n\
    mark, is UTF-16, or has everything in one file becomes ca.pem, cert.pem and key.pem: the certificate that the key\n\
    belongs to with its intermediates, and the anchors. Nothing is signed anew. What was there is kept; dockseal rollback\n\
    brings it back. Then Docker's rules are applied.\n\n\
    Exit codes: 0 Docker accepts it now, 1 it is in order and Docker would still refuse it, 2 it could not be repaired.\n\n\
    Examples:\n  \
    dockseal repair ~/.docker\n  \
    dockseal repair ~/.docker/prod --from prod.p12 --passphrase-file p12-passphrase"
)]
pub(crate) struct Args {
    /// The directory with the three files, or for them
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Another file that holds some of it, e.g. a .p12 or everything in one PEM file
    #[arg(long, value_name = "FILE")]
    from: Vec<PathBuf>,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

/// All that was found, whichever file it was in.
#[derive(Default)]
struct Found {
    certificates: Vec<Certificate>,
    keys: Vec<PrivateKey>,
    /// Of the file for the anchors alone.
    anchors: Vec<Certificate>,
    /// The first key that could not be read.
    unread: Option<Failure>,
}

pub(crate) fn run(args: &Args, invocation: &Invocation, output: &mut Output) -> Result<ExitCode, Failure> {
    let directory = args.directory.as_path();
    check_not_here(directory, invocation, WHAT)?;
    if args.from.is_empty() && !directory.exists() {
        return Err(Failure::trouble(WHAT)
            .cause(format!("there is no directory {}", directory.display()))
            .hint("check the path; for a new directory name its source files with --from"));
    }
    let names = held::names_in(directory);
    let mut found = Found::default();
    for name in [names.chain, names.anchors, names.key] {
        let path = directory.join(name);
        match read(&path) {
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(read_hint(Failure::trouble(WHAT).cause(&error), &error)),
            Ok(file) => found.take(&path, &file.bytes, name == names.anchors, args, invocation, output)?,
        }
    }
    for path in &args.from {
        let file = read(path).map_err(|error| read_hint(Failure::trouble(WHAT).cause(&error), &error))?;
        found.take(path, &file.bytes, false, args, invocation, output)?;
    }
    let places = std::iter::once(directory).filter(|directory| directory.exists());
    let places: Vec<String> =
        places.chain(args.from.iter().map(PathBuf::as_path)).map(|path| path.display().to_string()).collect();
    let bundle = found.into_bundle(&places.join(", "))?;
    let leaf = bundle.leaf().ok_or_else(|| Failure::trouble(WHAT))?;
    let role = endpoint_role(leaf, Some(&directory.join(names.chain)))
        .map_err(|nobody| Failure::trouble(WHAT).cause(nobody).hint("see what it is with dockseal inspect DIR"))?;
    let ownership = held::ownership(directory, names).unwrap_or_default();
    let plan = plan(&bundle, role, held::layout_of(names), ownership);

    let is_so = |name: &str| read(&directory.join(name)).is_ok_and(|file| file.bytes.as_slice() == plan.contents(name));
    let changed: Vec<String> = plan.files.iter().map(|file| file.path.clone()).filter(|name| !is_so(name)).collect();
    let mut keeps_previous = false;
    if !changed.is_empty() {
        let existing = if directory.exists() { Existing::Replace } else { Existing::Keep };
        let failed = |error: WriteError| unwritten(&error, directory, &args.from);
        let placed =
            stage(&plan, directory, existing, Displaced::Keep).and_then(Staged::put_in_place).map_err(failed)?;
        keeps_previous = placed.keeps_previous;
        placed.check().map_err(failed)?;
    }
    let endpoint = held::endpoint(leaf, role)?;
    let verdict = judgement::of_bundle(&bundle, &endpoint, invocation.now, "Docker would refuse it still");
    let place = invocation.absolute(directory)?.display().to_string();
    let mut human = match changed.as_slice() {
        [] => format!("{place} is in order; nothing was changed\n"),
        changed => format!(
            "Wrote {} in {place} anew: the {role} certificate {}\n{}",
            changed.join(", "),
            leaf.subject,
            if keeps_previous {
                "What was there is kept: dockseal rollback with this directory brings it back.\n"
            } else {
                ""
            }
        ),
    };
    if verdict.is_ok() {
        human.push_str("Docker accepts it.\n");
    }
    let json = json!({ "schema": SCHEMA, "directory": place, "changed": changed, "accepted": verdict.is_ok() });
    output.result(&human, &json);
    match verdict {
        Ok(notes) => {
            notes.iter().for_each(|note| output.note(note));
            Ok(ExitCode::SUCCESS)
        }
        Err(refused) => {
            let cause = refused.cause.unwrap_or(refused.what);
            output.warn(&format!("{cause}\n{}", refused.hint.unwrap_or_default()));
            Ok(ExitCode::from(1))
        }
    }
}

/// A directory that holds other files as well stays as it is: what it has goes into one of its own.
fn unwritten(error: &WriteError, directory: &Path, from: &[PathBuf]) -> Failure {
    let failure = write_failure(WHAT, error);
    if !matches!(error, WriteError::ForeignFiles { .. }) {
        return failure;
    }
    let names = held::names_in(directory);
    let own = [names.anchors, names.chain, names.key].map(|name| directory.join(name));
    let files = own.iter().filter(|path| path.exists()).chain(from);
    let files: Vec<String> =
        files.map(|path| format!("--from {}", word_of_command(Shell::Sh, &path.to_string_lossy()))).collect();
    let hint = format!("write it into a directory of its own: dockseal repair NEW {}", files.join(" "));
    Failure { code: 2, ..failure.hint(hint) }
}

impl Found {
    fn take(
        &mut self,
        path: &Path,
        bytes: &[u8],
        is_for_anchors: bool,
        args: &Args,
        invocation: &Invocation,
        output: &mut Output,
    ) -> Result<(), Failure> {
        if is_pkcs12(bytes) {
            let (key, _, certificates) = open_pkcs12(bytes, path, &args.passphrase, invocation, output)?;
            self.keys.push(key);
            self.certificates.extend(certificates);
            return Ok(());
        }
        let certificates = certificates_in(bytes);
        if is_for_anchors {
            self.anchors.clone_from(&certificates);
        }
        // A certificate in DER is no key.
        let may_hold_keys = certificates.is_empty() || bytes.first() != Some(&0x30);
        self.certificates.extend(certificates);
        if may_hold_keys {
            for block in pem::private_keys(bytes) {
                match read_key(block.as_bytes(), path, &args.passphrase, invocation, output) {
                    Ok((key, ..)) => self.keys.push(key),
                    Err(failure) => self.unread = self.unread.take().or(Some(failure)),
                }
            }
        }
        Ok(())
    }

    /// `places` is where everything was looked for.
    fn into_bundle(mut self, places: &str) -> Result<Bundle, Failure> {
        let trouble = |cause: String| {
            Failure::trouble(WHAT)
                .cause(cause)
                .hint("name a file that has it with --from; dockseal inspect FILE shows what a file holds")
        };
        let mut seen = HashSet::new();
        self.certificates.retain(|certificate| seen.insert(certificate.fingerprint()));
        if self.certificates.is_empty() {
            return Err(trouble(format!("no certificate that can be understood is in {places}")));
        }
        let has_key = |certificate: &&Certificate| {
            self.keys.iter().any(|key| key.public_key().spki() == certificate.public_key.spki())
        };
        let candidates = self.certificates.iter().filter(has_key);
        let Some(leaf) = candidates.min_by_key(|certificate| certificate.is_ca()).cloned() else {
            return Err(match self.unread {
                Some(failure) if self.keys.is_empty() => failure,
                _ if self.keys.is_empty() => trouble(format!("no private key is in {places}")),
                _ => trouble("no certificate there belongs to the private key".to_owned()),
            });
        };
        let key = self.keys.into_iter().find(|key| key.public_key().spki() == leaf.public_key.spki());
        // Anchors are not sent.
        let between = self.certificates.iter().filter(|one| !one.is_self_issued() && **one != leaf).cloned().collect();
        let chain = chain_from(leaf, between);
        self.anchors.retain(|anchor| anchor.is_ca() || anchor.is_self_issued());
        if self.anchors.is_empty() {
            self.anchors = self.certificates.into_iter().filter(Certificate::is_self_issued).collect();
        }
        let anchors = TrustAnchors::new(self.anchors)
            .ok_or_else(|| trouble(format!("no authority's certificate is in {places}")))?;
        Ok(Bundle { anchors, chain, key })
    }
}
