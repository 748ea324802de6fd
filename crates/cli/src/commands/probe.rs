//! `dockseal probe`: dials a daemon as docker would and says what it serves, asks for and accepts.

mod diagnosis;
mod picture;
mod target;
mod text;
mod wire;

use std::{
    io,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::Args as ClapArgs;
use dockseal_docker::layout;
use dockseal_pki::{Certificate, Lifetime, PrivateKey, pem, printable};
use dockseal_probe::{Identity, Limits, ProbeError, probe};
use dockseal_store::ReadError;
use dockseal_verify::{Designation, FileKind, Material, MaterialFile};

use self::{
    diagnosis::{Diagnosis, Outcome},
    picture::{ClientSide, Picture},
};
use crate::{failure::Failure, invocation::Invocation, output::Output};

/// Dial a daemon as docker would, and say what it serves, asks for and accepts
#[derive(ClapArgs)]
#[command(after_help = "\
Examples:
  dockseal probe tcp://build.example.com:2376                        what is on that port
  dockseal probe tcp://build.example.com:2376 --client clients/ada   whether docker would get through with these files
  dockseal probe tcp://127.0.0.1:2376 --client ada --daemon /etc/docker/tls
                                                                     and whether the daemon serves what is on disk
  dockseal probe tcp://10.0.0.5:2376 --client ada --timeout 3s --format json

It tries plain HTTP, TLS 1.3 and TLS 1.2 without a certificate, and TLS with the client's, and changes nothing.
Ends with 0 when mutual TLS works, with 1 when docker or the daemon refuses or there is no mutual TLS, and with 2 when
that cannot be told: unreachable, not Docker, or no client certificate to try.")]
pub(crate) struct Args {
    /// The daemon as in DOCKER_HOST
    #[arg(value_name = "tcp://HOST:PORT")]
    host: String,

    /// The client's directory, as in DOCKER_CERT_PATH: ca.pem, cert.pem and key.pem
    #[arg(long, value_name = "DIR")]
    client: Option<PathBuf>,

    /// The daemon's directory, to compare what it serves with what is on disk
    #[arg(long, value_name = "DIR")]
    daemon: Option<PathBuf>,

    /// The longest that all of it may take; a connection, a handshake or an answer may take a third of that
    #[arg(long, value_name = "DURATION", default_value = "15s")]
    timeout: String,
}

/// The longest `--timeout`.
const MOST: Duration = Duration::from_secs(3600);

pub(crate) fn run(args: &Args, invocation: &Invocation, output: &mut Output) -> Result<ExitCode, Failure> {
    let limits = Limits::within(timeout(&args.timeout)?);
    let client = args.client.as_deref().map(|dir| read_client(dir, invocation)).transpose()?;
    let daemon = args.daemon.as_deref().map(|dir| material(dir, "daemon")).transpose()?;
    let target = target::parse(&args.host, output)?;
    warn_of_proxy(&target.host, invocation, output);

    let began = invocation.clock();
    let identity = client.as_ref().and_then(|client| client.identity.as_ref().ok());
    let observation = probe(&target, identity, limits).map_err(|error| unreachable(&error, &target))?;

    let picture = Picture::new(&target, &observation, client.as_ref(), daemon.as_ref(), invocation.now, began);
    let diagnosis = Diagnosis::of(&picture);
    output.result(&text::report(&picture, &diagnosis), &wire::report(&picture, &diagnosis));
    let what = match diagnosis.outcome {
        Outcome::Works => {
            for warning in diagnosis::warnings(&picture) {
                output.warn(&warning);
            }
            return Ok(ExitCode::SUCCESS);
        }
        Outcome::Refused => Failure::no(format!("mutual TLS with {} does not work", picture.url())),
        Outcome::Unknown => Failure::trouble(format!("cannot tell whether mutual TLS with {} works", picture.url())),
    };
    for warning in diagnosis::warnings(&picture) {
        output.warn(&warning);
    }
    Err(what.cause(&diagnosis.cause).hint(&diagnosis.hint))
}

fn timeout(text: &str) -> Result<Duration, Failure> {
    let wrong = || Failure::trouble(format!("cannot use the timeout {text:?}"));
    let hint = "give a number with s or m of at most an hour, e.g. 15s";
    let lifetime = Lifetime::parse(text).map_err(|error| wrong().cause(error).hint(hint))?;
    let duration = Duration::from_secs(lifetime.duration().whole_seconds().unsigned_abs());
    if duration > MOST { Err(wrong().cause("it is longer than an hour").hint(hint)) } else { Ok(duration) }
}

/// The three files of a directory, as Docker takes them: those that are missing are passed over here.
fn material(dir: &Path, whose: &str) -> Result<Material, Failure> {
    let file = |kind: FileKind| {
        let path = dir.join(kind.default_name());
        match dockseal_store::read(&path) {
            Ok(file) => MaterialFile::from_bytes(path, Designation::Default, file.bytes.to_vec()),
            Err(ReadError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                MaterialFile::missing(path, Designation::Default)
            }
            Err(error) => MaterialFile::unreadable(path, Designation::Default, error.to_string()),
        }
    };
    let material = Material { ca: file(FileKind::Ca), cert: file(FileKind::Cert), key: file(FileKind::Key) };
    let files = [&material.ca, &material.cert, &material.key];
    if files.iter().all(|file| file.bytes().is_none()) {
        let shown = printable(&dir.to_string_lossy());
        let failure = Failure::trouble(format!("cannot use {shown} as the {whose}'s directory"));
        return Err(if dir.is_dir() {
            failure.cause("there is no ca.pem, cert.pem or key.pem in it that can be read")
        } else {
            failure.cause("there is no such directory")
        }
        .hint(format!(
            "name a directory with {}, {} and {}",
            layout::CA_FILE,
            layout::CERT_FILE,
            layout::KEY_FILE
        )));
    }
    Ok(material)
}

/// The client's files, judged as docker would load them, and what can be offered of them.
fn read_client(dir: &Path, invocation: &Invocation) -> Result<ClientSide, Failure> {
    let material = material(dir, "client")?;
    let identity = match (material.cert.bytes(), material.key.bytes()) {
        (Some(cert), Some(key)) => identity(cert, key),
        _ => Err("there is no certificate with its key".to_owned()),
    };
    let shown = printable(&dir.to_string_lossy());
    Ok(ClientSide::new(shown, material, identity, invocation.now))
}

fn identity(cert: &[u8], key: &[u8]) -> Result<Identity, String> {
    let chain = picture::certificates(cert);
    if chain.is_empty() {
        return Err("there is no certificate in cert.pem that can be read".to_owned());
    }
    let (key, _) = PrivateKey::from_pem(key, None).map_err(|error| format!("key.pem: {error}"))?;
    Identity::new(&chain, &key).map_err(|error| error.to_string())
}

/// docker goes through a proxy where this variable is set; what is seen here is the daemon itself.
fn warn_of_proxy(host: &str, invocation: &Invocation, output: &mut Output) {
    let is_loopback =
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    let proxy = ["HTTPS_PROXY", "https_proxy"].into_iter().find(|name| invocation.variable(name).is_some());
    if let (Some(name), false) = (proxy, is_loopback) {
        output.note(&format!(
            "{name} is set: docker goes through that proxy unless NO_PROXY names the host; this dials the daemon itself"
        ));
    }
}

fn unreachable(error: &ProbeError, target: &dockseal_probe::Target) -> Failure {
    let failure = Failure::trouble(format!("cannot reach tcp://{}", target.authority()));
    match error {
        ProbeError::Unresolved { source, .. } => failure
            .cause(format!("{error}: {source}"))
            .hint("check the spelling, or dial an address that the daemon's certificate names"),
        ProbeError::Unreachable { addresses } => {
            let refused = addresses.iter().all(|(_, error)| error.kind() == io::ErrorKind::ConnectionRefused);
            let silent = addresses
                .iter()
                .all(|(_, error)| matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock));
            let each: Vec<String> = addresses.iter().map(|(address, error)| format!("{address}: {error}")).collect();
            let port = target.port;
            failure.cause(each.join("; ")).hint(if refused {
                format!(
                    "nothing listens there: on the host, see what does with: ss -ltn, and start dockerd with \
                     --host=tcp://0.0.0.0:{port} --tlsverify"
                )
            } else if silent {
                format!(
                    "a firewall drops it, or the host is down: open TCP port {port} on the way, or give --timeout more"
                )
            } else {
                "check the address and the route to it".to_owned()
            })
        }
    }
}

/// The certificates of some PEM text that can be read.
fn pem_certificates(text: &[u8]) -> Vec<Certificate> {
    let blocks = pem::decode_all(text).unwrap_or_default();
    let blocks = blocks.iter().filter(|block| block.tag() == "CERTIFICATE");
    blocks.filter_map(|block| Certificate::from_der(block.contents()).ok()).collect()
}
