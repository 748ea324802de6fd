//! `dockseal request --renew`: a request for whom a directory's certificate is, made where its key is.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use dockseal_ca::certificate_request;
use dockseal_docker::{
    Contents, FilePlan, PlannedFile,
    env::{Shell, word_of_command},
    layout,
};
use dockseal_pki::{KeyAlgorithm, Signer};
use dockseal_store::{Existing, Placed, deliver};
use serde_json::json;

use super::WHAT;
use crate::{
    authority::read_certificates,
    commands::issue::{check_not_here, read_request},
    endpoint::{name_of, new_key},
    failure::Failure,
    held::{self, HeldKey},
    hints::{read_hint, write_failure},
    invocation::Invocation,
    output::{Output, fields},
    report::SCHEMA,
};
use dockseal_lifecycle::identity::changes_on_renewal;

#[derive(clap::Args)]
pub(super) struct RenewalArgs {
    /// Make a request to renew the certificate in this directory
    #[arg(long, value_name = "DIR", required = true)]
    pub(super) renew: Option<PathBuf>,
    /// With --renew: for the key that is there, instead of a new one
    #[arg(long, requires = "renew")]
    reuse_key: bool,
    /// With --renew: give up the key and the request that wait
    #[arg(long, requires = "renew")]
    replace: bool,
    /// With --renew: write the request to standard output
    #[arg(long, value_name = "-", value_parser = ["-"], requires = "renew")]
    out: Option<String>,
}

pub(super) fn run(args: &RenewalArgs, invocation: &Invocation, output: &mut Output) -> Result<ExitCode, Failure> {
    let Some(directory) = &args.renew else { return Err(Failure::trouble(WHAT)) };
    check_not_here(directory, invocation, WHAT)?;
    let certificate = directory.join(layout::CERT_FILE);
    let chain = dockseal_store::read(&certificate)
        .map_err(|error| {
            let failure = read_hint(Failure::trouble(WHAT).cause(&error), &error);
            let first = "a first request is made with dockseal request daemon or dockseal request client";
            if error.is_not_found() { failure.hint(first) } else { failure }
        })
        .and_then(|file| Ok(read_certificates(&file.bytes, &certificate)?))?;
    let leaf = chain.first().ok_or_else(|| Failure::trouble(WHAT))?;
    let endpoint = held::endpoint_in(leaf, &certificate)?;
    for change in changes_on_renewal(leaf, endpoint.role()) {
        output.note(&change);
    }
    let present = held::key(directory, layout::KEY_FILE, WHAT)?
        .ok_or_else(|| Failure::no(WHAT).cause("its key is not here").hint("run it on the machine where the key is"))?;
    if !present.is_of(&leaf.public_key) {
        return Err(Failure::no(WHAT)
            .cause("its key does not belong to its certificate")
            .hint("bring the key back from a copy, or begin anew with dockseal request in another directory"));
    }
    if !args.replace {
        refuse_if_one_waits(directory, &present)?;
    }
    let new = if args.reuse_key {
        held::refuse_if_open(&present, WHAT)?;
        None
    } else {
        let kind = KeyAlgorithm::like(leaf.public_key.algorithm()).unwrap_or(KeyAlgorithm::P256);
        Some(new_key(kind, output)?)
    };
    let key = new.as_ref().unwrap_or(&present.key);
    let request = certificate_request(&endpoint, key).map_err(|error| Failure::trouble(WHAT).cause(error))?;

    let to_stdout = args.out.is_some();
    let ownership =
        held::ownership(directory, layout::Names::DOCKER).map_err(|error| Failure::trouble(WHAT).cause(error))?;
    let key_mode = ownership.key_mode.unwrap_or_else(|| layout::key_mode(endpoint.role()));
    // A request for the present key can be made again at any time; one for a new key is kept beside it.
    if new.is_some() || !to_stdout {
        let waiting = match &new {
            None => PlannedFile::gone(layout::RENEWAL_KEY_FILE),
            Some(key) => PlannedFile {
                path: layout::RENEWAL_KEY_FILE.to_owned(),
                mode: key_mode,
                contents: Contents::Secret(key.to_pem()),
            },
        };
        let request = PlannedFile::public(layout::REQUEST_FILE, layout::PUBLIC_MODE, request.clone());
        let directory_mode = layout::directory_mode(key_mode);
        let plan = FilePlan { directory_mode, files: vec![waiting, request], ownership };
        deliver(&plan, directory, Existing::Replace)
            .and_then(Placed::check)
            .map_err(|error| write_failure(WHAT, &error))?;
    }
    if to_stdout {
        output.raw(&request);
        return Ok(ExitCode::SUCCESS);
    }
    let directory = invocation.absolute(directory)?;
    let word = |text: &str| word_of_command(Shell::Sh, text);
    let whose = word(&format!("{}/{}", endpoint.role(), name_of(&endpoint)));
    let shown = directory.display().to_string();
    let which = if new.is_some() { "new, and waits in renewal-key.pem" } else { "the one that is there" };
    let human = format!(
        "Made a request to renew the {} certificate {}\n{}\n\
         Next: take request.csr, and nothing else, to the authority: dockseal renew {whose} --csr request.csr --out - > cert.pem\n\
         Then, here: dockseal install {} cert.pem\n",
        endpoint.role(),
        leaf.subject,
        fields(&[
            ("in", shown.clone()),
            ("request", layout::REQUEST_FILE.to_owned()),
            ("key", format!("{} ({which})", key.public_key().algorithm())),
        ]),
        word(&shown),
    );
    output.result(
        &human,
        &json!({
            "schema": SCHEMA,
            "directory": shown,
            "request": directory.join(layout::REQUEST_FILE).display().to_string(),
            "key": key.public_key().algorithm().to_string(),
            "new_key": new.is_some(),
            "public_key_sha256": key.public_key().fingerprint().to_string(),
        }),
    );
    Ok(ExitCode::SUCCESS)
}

/// The answer to a request may be on its way; without the key that waits for it, it would be of no use.
fn refuse_if_one_waits(directory: &Path, present: &HeldKey) -> Result<(), Failure> {
    let hint = format!(
        "take {} to the authority, or make another with --replace; an answer to the first is then of no use",
        directory.join(layout::REQUEST_FILE).display()
    );
    if directory.join(layout::RENEWAL_KEY_FILE).symlink_metadata().is_ok() {
        return Err(Failure::no(WHAT).cause("a new key waits for its certificate there already").hint(hint));
    }
    let path = directory.join(layout::REQUEST_FILE);
    // Left from the first request, or of an earlier --reuse-key.
    if path.symlink_metadata().is_err() || read_request(&path, WHAT).is_ok_and(|csr| present.is_of(&csr.public_key)) {
        return Ok(());
    }
    Err(Failure::no(WHAT).cause("there is a request already that was made with another key").hint(hint))
}
