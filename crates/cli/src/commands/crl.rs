//! `dockseal crl`: a new revocation list, for proxies that read one.

use std::{path::PathBuf, process::ExitCode};

use dockseal_store::CRL_MODE;
use serde_json::json;

use crate::{
    authority::open_every,
    failure::Failure,
    groups::{PassphraseArgs, parse_lifetime},
    hints::write_failure,
    invocation::Invocation,
    ledger::Ledger,
    output::Output,
    report::SCHEMA,
    revocations::{NEXT_UPDATE, describe, to_pem, wire, write},
};

const WHAT: &str = "cannot write the revocation list";

#[derive(clap::Args)]
#[command(
    after_help = "The list is kept in the authority's directory, as crl.pem. dockerd reads none; a proxy in front of its socket can. It has to \
    hand on octets as they are: in HTTP modes, docker run and docker exec lose their output. For haproxy:\n\n  \
    defaults\n    mode tcp\n    timeout connect 5s\n    timeout client 24d\n    timeout server 24d\n    timeout tunnel 24d\n  \
    frontend docker\n    bind :2376 ssl crt daemon.pem ca-file ca.pem verify required crl-file crl.pem\n    default_backend dockerd\n  \
    backend dockerd\n    server dockerd unix@/var/run/docker.sock\n\n\
    daemon.pem is the daemon's cert.pem and key.pem in one file, for haproxy alone; dockerd listens on its socket alone.\n\n\
    A reader refuses everybody once a list is older than it promised to be, so make the next one in time and reload the proxy.\n\n\
    Examples:\n  \
    dockseal crl --out /etc/haproxy/docker/crl.pem && systemctl reload haproxy\n  \
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
    let mut ledger = Ledger::open_to_sign(&opened, invocation.around(), output)?;
    let lists = write(&opened, &others, &mut ledger, next_update, invocation)?;
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
