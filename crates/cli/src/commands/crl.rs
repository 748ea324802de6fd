//! `dockseal crl`: a new revocation list, for proxies that read one.

use std::{path::PathBuf, process::ExitCode};

use dockseal_store::CRL_MODE;
use serde_json::json;

use crate::{
    authority::{open_every, write_failure},
    failure::Failure,
    groups::{PassphraseArgs, parse_lifetime},
    invocation::Invocation,
    ledger::Ledger,
    output::Output,
    report::SCHEMA,
    revocations::{NEXT_UPDATE, describe, to_pem, wire, write},
};

const WHAT: &str = "cannot write the revocation list";

#[derive(clap::Args)]
#[command(
    after_help = "The list is kept in the authority's directory, as crl.pem. dockerd reads none; proxies in front of it do, e.g. nginx:\n\n  \
    ssl_client_certificate ca.pem;  ssl_verify_client on;  ssl_crl crl.pem;\n\n\
    A reader refuses everybody once a list is older than it promised to be, so make the next one in time and reload the proxy.\n\n\
    Examples:\n  \
    dockseal crl --out /etc/nginx/docker/crl.pem && nginx -s reload\n  \
    dockseal crl --next-update 2d --out -"
)]
pub(crate) struct Args {
    /// Write it to this file too, readable by everybody, whole or not at all; - for standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// How soon the next list is there at the latest
    #[arg(long, value_name = "DURATION", default_value = NEXT_UPDATE)]
    next_update: String,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

pub(crate) fn run(args: &Args, invocation: &Invocation, output: &mut Output) -> Result<ExitCode, Failure> {
    let next_update = parse_lifetime(&args.next_update)?;
    let (opened, others) = open_every(&args.passphrase, invocation, output)?;
    let mut ledger = Ledger::open_to_sign(&opened, invocation, output)?;
    let lists = write(&opened, &others, &mut ledger, next_update, invocation, output)?;
    drop(ledger);
    let mut path = opened.home.crl_path();
    match &args.out {
        Some(out) if out.as_os_str() == "-" => {
            output.raw(to_pem(&lists));
            return Ok(ExitCode::SUCCESS);
        }
        Some(out) => {
            path = invocation.absolute(out)?;
            dockseal_store::replace(&path, CRL_MODE, to_pem(&lists).as_bytes())
                .map_err(|error| write_failure(WHAT, &error))?;
        }
        None => {}
    }
    let json = json!({ "schema": SCHEMA, "file": path.to_string_lossy(), "lists": wire(&lists) });
    output.result(&describe(&lists, &path), &json);
    Ok(ExitCode::SUCCESS)
}
