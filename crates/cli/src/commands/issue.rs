//! `dockseal issue`: the material of one daemon, one client or many.

mod bulk;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Subcommand;
use dockseal_ca::Endpoint;
use dockseal_docker::{FilePlan, Role, layout, plan};
use dockseal_pki::{CertificateRequest, GeneralName, PrivateKey, Signer, SubjectAltName, pem};
use dockseal_store::{Existing, check_destination};
use serde::Serialize;

use crate::{
    authority::{open, read_input, write_failure},
    endpoint::{Issued, SubjectKey, new_key, no_names, parse_user, permit},
    failure::Failure,
    groups::{LeafArgs, NamesArgs, OwnerArgs, PassphraseArgs},
    invocation::Invocation,
    ledger::Ledger,
    output::{Output, fields},
    report::{CertificateReport, SCHEMA, until},
};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    endpoint: EndpointArgs,
}

#[derive(Subcommand)]
enum EndpointArgs {
    /// The material of a daemon
    #[command(after_help = "Examples:\n  \
        dockseal issue daemon 10.0.0.5 build.example.com '*.build.example.com' --out ./daemon\n  \
        dockseal issue daemon --detect --out /etc/docker/tls\n  \
        dockseal issue daemon build.example.com --csr request.csr --out -")]
    Daemon {
        #[command(flatten)]
        names: NamesArgs,
        #[command(flatten)]
        common: Common,
    },
    /// The material of a client
    #[command(after_help = "Examples:\n  \
        dockseal issue client alice --out ./alice\n  \
        dockseal issue client ci --lifetime 7d --out ./ci --mode 0640 --group runners\n  \
        dockseal issue client alice --csr - --out - < request.csr > cert.pem")]
    Client {
        /// The user: the certificate's common name, which authorization plugins see
        user: String,
        #[command(flatten)]
        common: Common,
    },
    /// The material of many clients, a directory for each
    #[command(
        after_help = "What an earlier run delivered stays, so that a run that was interrupted is finished by running it again.\n\n\
        Examples:\n  \
        dockseal issue clients alice bob carol --out ./clients\n  \
        dockseal issue clients --from users.txt --out ./clients --lifetime 30d --format json"
    )]
    Clients(bulk::Args),
}

#[derive(clap::Args)]
struct Common {
    /// The directory that gets ca.pem, cert.pem and key.pem; with --csr, - writes the certificate to standard output
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Sign this certificate request (PEM or DER, - for standard input) instead of making a key
    #[arg(long, value_name = "FILE")]
    csr: Option<PathBuf>,
    /// Put the new bundle in the place of the one that is there
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    leaf: LeafArgs,
    #[command(flatten)]
    owner: OwnerArgs,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

#[derive(Serialize)]
struct Wire {
    schema: u32,
    directory: Option<String>,
    files: Vec<String>,
    certificate: CertificateReport,
    notes: Vec<String>,
}

pub(crate) fn run(args: &Args, invocation: &Invocation, output: &mut Output) -> Result<ExitCode, Failure> {
    let (common, role) = match &args.endpoint {
        EndpointArgs::Daemon { common, .. } => (common, Role::Daemon),
        EndpointArgs::Client { common, .. } => (common, Role::Client),
        EndpointArgs::Clients(args) => return bulk::run(args, invocation, output),
    };
    let what = format!("cannot issue the {role} certificate");
    let to_stdout = common.out.as_os_str() == "-";
    if to_stdout && common.csr.is_none() {
        return Err(Failure::trouble(what)
            .cause("a private key is never written to standard output")
            .hint("give a directory with --out DIR, or sign a request with --csr FILE --out -"));
    }
    let ownership = common.owner.resolve()?;
    let wish = common.leaf.wish()?;
    let request = common.csr.as_deref().map(|path| read_request(path, &what)).transpose()?;
    let endpoint = match &args.endpoint {
        EndpointArgs::Daemon { names, .. } => daemon(names, request.as_ref(), output)?,
        EndpointArgs::Client { user, .. } => client(user, request.as_ref(), output)?,
        EndpointArgs::Clients(args) => return bulk::run(args, invocation, output),
    };
    let existing = if common.replace { Existing::Replace } else { Existing::Keep };
    if !to_stdout {
        check_out(&common.out, request.as_ref(), existing, invocation, &what)?;
    }
    let opened = open(&common.passphrase, invocation, output)?;
    let key = match request {
        Some(request) => SubjectKey::Elsewhere(request.public_key),
        None => SubjectKey::Here(Box::new(new_key(common.leaf.key, output)?)),
    };
    let permitted = permit(&opened.authority, &endpoint, key, wish, invocation)?;
    let mut ledger = Ledger::open(&opened.home, opened.authority.issuer(), invocation, output)?;
    let issued = permitted.issue(&opened.authority, &mut ledger, None, invocation)?;
    if to_stdout {
        ledger.hand_out(&issued)?;
        for note in &issued.notes {
            output.note(note);
        }
        output.raw(issued.bundle.chain_pem());
        return Ok(ExitCode::SUCCESS);
    }
    let plan = plan(&issued.bundle, role, ownership);
    ledger.deliver(&issued, &plan, &common.out, existing, invocation).map_err(|error| error.failure(&what))?;
    drop(ledger);
    report(role, &issued, &plan, &invocation.absolute(&common.out)?, invocation, output);
    Ok(ExitCode::SUCCESS)
}

/// What a request asks for that its endpoint does not get.
pub(crate) fn say_names_dropped(endpoint: &Endpoint, request: &CertificateRequest, output: &mut Output) {
    let (names, common_name): (&[SubjectAltName], Option<String>) = match endpoint {
        Endpoint::Daemon { names } => (names, names.first().map(ToString::to_string)),
        Endpoint::Client { user } => (&[], Some(user.to_string())),
    };
    for dropped in request.names.iter().filter(|name| as_ours(name).is_none_or(|name| !names.contains(&name))) {
        output.note(&format!("dropped from the request: {dropped}, which the certificate to be renewed does not have"));
    }
    say_dropped(request, common_name.as_deref(), output);
}

fn daemon(names: &NamesArgs, request: Option<&CertificateRequest>, output: &mut Output) -> Result<Endpoint, Failure> {
    let mut names = names.resolve(output)?;
    if let Some(request) = request {
        if names.is_empty() {
            names = names_of(request, output);
        } else {
            for dropped in request.names.iter().filter(|name| as_ours(name).is_none_or(|name| !names.contains(&name))) {
                output.note(&format!("dropped from the request: {dropped}, which was not among the names given here"));
            }
        }
        say_dropped(request, names.first().map(ToString::to_string).as_deref(), output);
    }
    if names.is_empty() {
        return Err(no_names());
    }
    Ok(Endpoint::Daemon { names })
}

fn client(user: &str, request: Option<&CertificateRequest>, output: &mut Output) -> Result<Endpoint, Failure> {
    let user = parse_user(user)?;
    if let Some(request) = request {
        for name in &request.names {
            output.note(&format!("dropped from the request: {name}, since clients have no alternative names"));
        }
        say_dropped(request, Some(user.as_str()), output);
    }
    Ok(Endpoint::Client { user })
}

/// The request's names that a daemon's certificate can have.
fn names_of(request: &CertificateRequest, output: &mut Output) -> Vec<SubjectAltName> {
    let mut names = Vec::new();
    for name in &request.names {
        match as_ours(name) {
            Some(name) if !names.contains(&name) => names.push(name),
            Some(_) => {}
            None => output.note(&format!("dropped from the request: {name}, which no client of Docker would match")),
        }
    }
    names
}

fn as_ours(name: &GeneralName) -> Option<SubjectAltName> {
    match name {
        // `DNS:10.0.0.5` parses as an address and is not what was asked for: Go would never match it.
        GeneralName::Dns(text) => SubjectAltName::parse(text)
            .ok()
            .map(|parsed| parsed.name)
            .filter(|name| matches!(name, SubjectAltName::Dns(_))),
        GeneralName::Ip(address) => SubjectAltName::parse(&address.to_string()).ok().map(|parsed| parsed.name),
        _ => None,
    }
}

fn say_dropped(request: &CertificateRequest, common_name: Option<&str>, output: &mut Output) {
    if !request.subject.der().is_empty() && request.subject.common_name().as_deref() != common_name {
        let subject = request.subject.to_string();
        if !subject.is_empty() {
            output.note(&format!("dropped from the request: the subject {subject}"));
        }
    }
    for extension in &request.other_extensions {
        output.note(&format!("dropped from the request: {extension}"));
    }
}

pub(crate) fn read_request(path: &Path, what: &str) -> Result<CertificateRequest, Failure> {
    let bytes = read_input(path, what)?;
    let trouble = |cause: &dyn std::fmt::Display| {
        Failure::trouble(what)
            .cause(format!("{}: {cause}", path.display()))
            .hint("make a request with dockseal request, or with openssl req -new -newkey …")
    };
    // A DER request begins with a SEQUENCE, which no PEM text does.
    let der = if bytes.first() == Some(&0x30) {
        bytes.to_vec()
    } else {
        let blocks = pem::decode_all(&bytes).map_err(|error| trouble(&error))?;
        let block = blocks.into_iter().find(|block| block.tag().ends_with("CERTIFICATE REQUEST"));
        block.ok_or_else(|| trouble(&"there is no certificate request in it"))?.into_contents()
    };
    CertificateRequest::from_der(&der).map_err(|error| trouble(&error))
}

/// Refuses what would fail after a certificate was signed. A key that waits for its certificate must be the request's.
pub(crate) fn check_out(
    out: &Path,
    request: Option<&CertificateRequest>,
    existing: Existing,
    invocation: &Invocation,
    what: &str,
) -> Result<(), Failure> {
    check_not_here(out, invocation, what)?;
    let mut names = vec![layout::CA_FILE, layout::CERT_FILE];
    match request {
        None => names.push(layout::KEY_FILE),
        Some(request) => {
            let key = out.join(layout::KEY_FILE);
            if let Ok(file) = dockseal_store::read(&key) {
                let is_of = |bytes: &[u8]| {
                    PrivateKey::from_pem(bytes, None)
                        .is_ok_and(|(key, _)| key.public_key().spki() == request.public_key.spki())
                };
                if dockseal_store::read(&out.join(layout::RENEWAL_KEY_FILE)).is_ok_and(|file| is_of(&file.bytes)) {
                    return Err(Failure::no(what)
                        .cause("the key of the request waits there, and Docker would find the certificate beside the old one")
                        .hint("use --out - and put both in place with dockseal install"));
                }
                if !is_of(&file.bytes) {
                    return Err(Failure::no(what)
                        .cause(format!("the request was not made with {}", key.display()))
                        .hint("name another directory with --out, or sign the request that belongs to that key"));
                }
            }
        }
    }
    check_destination(&names, out, existing).map_err(|error| write_failure(what, &error))
}

/// The directory in which somebody stands cannot be swapped without leaving them in a removed one.
pub(crate) fn check_not_here(out: &Path, invocation: &Invocation, what: &str) -> Result<(), Failure> {
    if invocation.is_current_directory(out) {
        return Err(Failure::trouble(what)
            .cause("the directory is the one this command was started in, and directories are swapped whole")
            .hint("name a directory inside it, e.g. --out ./tls"));
    }
    Ok(())
}

fn report(
    role: Role,
    issued: &Issued,
    plan: &FilePlan,
    directory: &Path,
    invocation: &Invocation,
    output: &mut Output,
) {
    let certificate = &issued.certificate;
    let files: Vec<String> = plan.files.iter().map(|file| file.path.clone()).collect();
    let mut rows = vec![("in", directory.display().to_string()), ("files", files.join(", "))];
    if !certificate.names.is_empty() {
        rows.push(("names", certificate.names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")));
    }
    rows.push(("key", certificate.public_key.algorithm().to_string()));
    rows.push(("valid until", until(certificate.validity, invocation.now)));
    for note in &issued.notes {
        output.note(note);
    }
    let mut human = format!("Issued the {role} certificate {}\n{}", certificate.subject, fields(&rows));
    if role == Role::Client && issued.bundle.key.is_some() {
        human.push_str("\nWhoever holds these files is root on every daemon that trusts this authority.\n");
    }
    let wire = Wire {
        schema: SCHEMA,
        directory: Some(directory.display().to_string()),
        files,
        certificate: CertificateReport::new(role, certificate),
        notes: issued.notes.clone(),
    };
    output.result(&human, &wire);
}
