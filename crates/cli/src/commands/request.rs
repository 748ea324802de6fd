//! `dockseal request`: a key that never leaves this machine, and the request that does.

mod renewal;

use std::{path::PathBuf, process::ExitCode};

use clap::Subcommand;
use dockseal_ca::{Endpoint, certificate_request};
use dockseal_docker::{Contents, FilePlan, PlannedFile, layout};
use dockseal_pki::{KeyAlgorithm, Signer};
use dockseal_store::{Existing, Placed, check_destination, deliver, write_new};
use serde_json::json;

use super::issue::check_not_here;
use crate::{
    endpoint::{new_key, parse_user},
    failure::Failure,
    groups::{NamesArgs, OwnerArgs, key_word},
    hints::{no_names, write_failure},
    invocation::Invocation,
    output::{Output, fields},
    report::SCHEMA,
};

#[derive(clap::Args)]
#[command(
    subcommand_negates_reqs = true,
    after_help = "A request to renew, where the key is. The new key waits beside the present one until dockseal install puts its\n\
    certificate in place; nothing that Docker reads changes before:\n  \
    dockseal request --renew ~/docker-tls\n  \
    ssh ca dockseal renew alice --csr - --out - < ~/docker-tls/request.csr > cert.pem\n  \
    dockseal install ~/docker-tls cert.pem"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    endpoint: Option<EndpointArgs>,
    #[command(flatten)]
    renewal: renewal::RenewalArgs,
}

#[derive(Subcommand)]
enum EndpointArgs {
    /// A daemon's key and request
    #[command(after_help = "Examples:\n  \
        dockseal request daemon 10.0.0.5 build.example.com --out /etc/docker/tls\n  \
        dockseal request daemon --detect --out - --key-out /etc/docker/key.pem > request.csr")]
    Daemon {
        #[command(flatten)]
        names: NamesArgs,
        #[command(flatten)]
        common: Common,
    },
    /// A client's key and request
    #[command(after_help = "Examples:\n  \
        dockseal request client alice --out ~/docker-tls")]
    Client {
        /// The user: the certificate's common name
        user: String,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(clap::Args)]
struct Common {
    /// The directory that gets key.pem and request.csr; - writes the request to standard output, with --key-out
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The file that gets the private key when the request goes to standard output
    #[arg(long, value_name = "FILE")]
    key_out: Option<PathBuf>,
    /// The kind of private key
    #[arg(long, value_parser = key_word(), default_value = "p256", value_name = "KIND")]
    key: KeyAlgorithm,
    #[command(flatten)]
    owner: OwnerArgs,
}

const WHAT: &str = "cannot make the request";

pub(crate) fn run(args: &Args, invocation: &Invocation, output: &mut Output) -> Result<ExitCode, Failure> {
    let what = WHAT;
    let (endpoint, common) = match (&args.endpoint, &args.renewal.renew) {
        (None, _) => return renewal::run(&args.renewal, invocation, output),
        (Some(_), Some(_)) => {
            return Err(Failure::trouble(what)
                .cause("--renew makes a request for whom the certificate is that is there")
                .hint("leave one of them out, e.g. dockseal request --renew DIR"));
        }
        (Some(endpoint), None) => common_of(endpoint, output)?,
    };
    let ownership = common.owner.resolve()?;
    let key_mode = ownership.key_mode.unwrap_or_else(|| layout::key_mode(endpoint.role()));
    let to_stdout = common.out.as_os_str() == "-";
    let key_out = match (&common.key_out, to_stdout) {
        (None, true) => {
            return Err(Failure::trouble(what)
                .cause("the private key needs a place of its own when the request goes to standard output")
                .hint("name it with --key-out FILE"));
        }
        (Some(_), false) => {
            return Err(Failure::trouble(what).cause("--key-out goes with --out -").hint("leave one of them out"));
        }
        (key_out, _) => key_out,
    };
    if !to_stdout {
        check_not_here(&common.out, invocation, what)?;
        check_destination(&[layout::KEY_FILE, layout::REQUEST_FILE], &common.out, Existing::Keep)
            .map_err(|error| request_failure(&error))?;
    }
    let key = new_key(common.key, output)?;
    let request = certificate_request(&endpoint, &key).map_err(|error| Failure::trouble(what).cause(error))?;
    if let Some(path) = key_out {
        write_new(path, key_mode, key.to_pem().as_bytes()).map_err(|error| request_failure(&error))?;
        output.raw(&request);
        return Ok(ExitCode::SUCCESS);
    }
    let plan = FilePlan {
        directory_mode: layout::directory_mode(key_mode),
        files: vec![
            PlannedFile { path: layout::KEY_FILE.to_owned(), mode: key_mode, contents: Contents::Secret(key.to_pem()) },
            PlannedFile::public(layout::REQUEST_FILE, layout::PUBLIC_MODE, request),
        ],
        ownership,
    };
    deliver(&plan, &common.out, Existing::Keep).and_then(Placed::check).map_err(|error| request_failure(&error))?;
    let directory = invocation.absolute(&common.out)?;
    let csr = directory.join(layout::REQUEST_FILE).display().to_string();
    let human = format!(
        "Made a key and a certificate request\n{}\nNext: take request.csr, and nothing else, to the authority: dockseal issue {} … --csr request.csr --out -\n",
        fields(&[
            ("in", directory.display().to_string()),
            ("files", format!("{}, {}", layout::KEY_FILE, layout::REQUEST_FILE)),
            ("key", key.public_key().algorithm().to_string()),
        ]),
        endpoint.role(),
    );
    output.result(
        &human,
        &json!({
            "schema": SCHEMA,
            "directory": directory.display().to_string(),
            "request": csr,
            "key": key.public_key().algorithm().to_string(),
            "public_key_sha256": key.public_key().fingerprint().to_string(),
        }),
    );
    Ok(ExitCode::SUCCESS)
}

fn common_of<'a>(endpoint: &'a EndpointArgs, output: &mut Output) -> Result<(Endpoint, &'a Common), Failure> {
    match endpoint {
        EndpointArgs::Daemon { names, common } => {
            let names = names.resolve(output)?;
            if names.is_empty() {
                return Err(Failure { what: WHAT.to_owned(), ..no_names() });
            }
            Ok((Endpoint::Daemon { names }, common))
        }
        EndpointArgs::Client { user, common } => Ok((Endpoint::Client { user: parse_user(user)? }, common)),
    }
}

/// A key that exists is never replaced by a request: the certificate for it may be on its way.
fn request_failure(error: &dockseal_store::WriteError) -> Failure {
    let failure = write_failure(WHAT, error);
    match error {
        dockseal_store::WriteError::AlreadyThere { .. } => {
            failure.hint("a key is never overwritten; name another place")
        }
        _ => failure,
    }
}
