//! `dockseal export`: what a directory holds, as one file.

use std::{path::PathBuf, process::ExitCode};

use dockseal_docker::{Role, plan};
use dockseal_pki::{Signer, printable};
use serde_json::json;

use crate::{
    failure::Failure,
    groups::Pkcs12PassphraseArgs,
    handover::{Form, HandOver},
    held,
    hints::write_failure,
    invocation::Invocation,
    layouts::LayoutArgs,
    output::{Output, fields},
    report::{CertificateReport, SCHEMA, until},
};
use dockseal_lifecycle::identity::role_and_name;

const WHAT: &str = "cannot export the directory";

#[derive(clap::Args)]
#[command(
    after_help = "Whoever has made the material, dockseal or not. The directory stays as it is, and renewals go there and not into the file.\n\n\
    Examples:\n  \
    dockseal export ~/.docker --as p12 --out docker.p12\n  \
    dockseal export ./alice --as p12 --out - --p12-passphrase-fd 3 3< passphrase.txt > alice.p12\n  \
    dockseal export ./alice --as tar --out - | ssh laptop tar -xC .docker"
)]
pub(crate) struct Args {
    /// The directory, with ca.pem, cert.pem and key.pem: what DOCKER_CERT_PATH names
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// What to make of it. (--format says how results are shown, everywhere)
    #[arg(long = "as", value_enum, value_name = "KIND")]
    form: Form,
    /// The file; - for standard output
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    layout: LayoutArgs,
    #[command(flatten)]
    p12_passphrase: Pkcs12PassphraseArgs,
}

pub(crate) fn run(args: &Args, invocation: &Invocation, output: &mut Output) -> Result<ExitCode, Failure> {
    let directory = &args.directory;
    let bundle = held::bundle(directory, WHAT)?;
    let names = held::names_in(directory);
    let Some(key) = &bundle.key else {
        return Err(Failure::no(WHAT)
            .cause(format!("there is no {} in {}", names.key, directory.display()))
            .hint("export it where its private key is"));
    };
    let Some(leaf) = bundle.leaf() else { return Err(Failure::trouble(WHAT)) };
    if key.public_key().spki() != leaf.public_key.spki() {
        return Err(Failure::no(WHAT)
            .cause(format!("{} is not the key of {}", names.key, names.chain))
            .hint("dockseal verify with this directory says what does not fit"));
    }
    if leaf.validity.not_after < invocation.now {
        output.warn(&format!("its certificate ended: {}", until(leaf.validity, invocation.now)));
    }
    let role = role_and_name(leaf).map_or(Role::Client, |(role, _)| role);
    let laid = args.layout.resolve(&[role], WHAT)?;
    let hand_over = HandOver::new(args.form, &args.p12_passphrase, &args.out, WHAT, invocation, output)?;
    let ownership = dockseal_docker::Ownership {
        key_mode: held::ownership(directory, names).map_err(|error| Failure::trouble(WHAT).cause(error))?.key_mode,
        ..dockseal_docker::Ownership::default()
    };
    let mut plans = laid.authority_plan(&[role], ownership);
    plans.push(match args.layout.layout {
        // As it is.
        None => (String::new(), plan(&bundle, role, held::layout_of(names), ownership)),
        Some(layout) => (laid.directory(role), plan(&bundle, role, layout, ownership)),
    });
    let name = role_and_name(leaf).map_or_else(|| printable(&leaf.subject.to_string()).to_string(), |(_, name)| name);
    let bytes = hand_over.pack(&name, Some(&bundle), &plans, WHAT, output)?;
    match hand_over.stage(&bytes, WHAT)? {
        None => output.raw(&bytes),
        Some(staged) => {
            staged.put_in_place().map_err(|error| write_failure(WHAT, &error))?;
            let file = hand_over.destination();
            let human = format!(
                "Exported the {role} certificate {}\n{}",
                leaf.subject,
                fields(&[
                    ("from", invocation.absolute(directory)?.display().to_string()),
                    ("in", file.clone()),
                    ("valid until", until(leaf.validity, invocation.now)),
                ])
            );
            let wire = json!({ "schema": SCHEMA, "file": file, "certificate": CertificateReport::new(role, leaf) });
            output.result(&human, &wire);
        }
    }
    output.note("renewals go to the directory and do not reach the file: export it again after one");
    Ok(ExitCode::SUCCESS)
}
