//! `dockseal probe`: dials a daemon as docker would and says what it serves, asks for and accepts.

mod brief;
mod diagnosis;
mod dialled;
mod generations;
mod modes;
mod picture;
mod proof;
mod remedy;
mod target;
mod text;
mod warnings;
mod wire;
mod words;

pub(crate) use self::proof::{Dialled, dial_daemon};

use std::{
    error::Error as _,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::Args as ClapArgs;
use dockseal_docker::{
    Role,
    layout::{self, Names},
    version::Version,
};
use dockseal_pki::{Certificate, Lifetime, printable};
use dockseal_probe::{Dialler, Identity, Limits, ProbeError, ProxyVariables, Routes, Target, probe};
use dockseal_verify::{Designation, Material, MaterialFile, Offered};

pub(crate) use self::brief::cause;
use self::{
    diagnosis::{Diagnosis, Outcome},
    dialled::{ByDocker, Manner},
    picture::{ClientSide, Picture, Question},
    remedy::OwnAuthority,
};
use super::verify::parse_version;
use crate::{failure::Failure, invocation::Invocation, output::Output, python::bundle_note};

/// Dial a daemon as docker would, and say what it serves, asks for and accepts
#[derive(ClapArgs)]
#[command(after_help = "\
Examples:
  dockseal probe                                                     whether the docker command gets through right now
  dockseal probe tcp://build.example.com:2376                        what is on that port
  dockseal probe tcp://build.example.com:2376 --client clients/ada   whether docker would get through with these files
  dockseal probe tcp://127.0.0.1:2376 --client ada --daemon /etc/docker/tls
                                                                     and whether the daemon serves what is on disk
  dockseal probe tcp://10.0.0.5:2376 --client ada --timeout 3s --format json

It tries plain HTTP, TLS 1.3 and TLS 1.2 without a certificate, and TLS with the client's, and changes nothing.
Ends with 0 when mutual TLS works, with 1 when docker or the daemon refuses or there is no mutual TLS, and with 2 when
that cannot be told: unreachable, not Docker, or no client certificate to try.

Like docker it goes through the proxy that HTTPS_PROXY names (HTTP_PROXY for plain HTTP) unless NO_PROXY names the host.")]
pub(crate) struct Args {
    /// The daemon as in DOCKER_HOST [default: what the docker command would dial, and with its files]
    #[arg(value_name = "tcp://HOST:PORT")]
    host: Option<String>,

    /// The client's directory, as in DOCKER_CERT_PATH: ca.pem, cert.pem and key.pem
    #[arg(long, value_name = "DIR")]
    client: Option<PathBuf>,

    /// The daemon's directory, to compare what it serves with what is on disk
    #[arg(long, value_name = "DIR")]
    daemon: Option<PathBuf>,

    /// The version of the docker client, e.g. 20.10.24; the newest release unless given. go1.27 is a client built with
    /// that Go, its answers from Go and not yet from a docker
    #[arg(long, value_name = "VERSION", default_value = "29", value_parser = parse_version, hide_default_value = true)]
    docker: Version,

    /// The longest that all of it may take; a connection, a handshake or an answer may take a third of that
    #[arg(long, value_name = "DURATION", default_value = "15s")]
    timeout: String,
}

/// The longest `--timeout`.
const MOST: Duration = Duration::from_secs(3600);

pub(crate) fn run(args: &Args, invocation: &Invocation, output: &mut Output) -> Result<ExitCode, Failure> {
    let limits = Limits::within(timeout(&args.timeout)?);
    let named = args.client.as_deref().map(|dir| read_client(dir, args.docker, invocation)).transpose()?;
    let daemon = args.daemon.as_deref().map(|dir| material(dir, Role::Daemon)).transpose()?;
    let ByDocker { target, client, manner, host } = match &args.host {
        Some(host) => ByDocker::named(target::parse(host, output)?, named),
        None => {
            let by_docker = dialled::by_docker(args.docker, invocation, output)?;
            match named {
                // It is asked about these files, as docker uses them when it is told to.
                Some(named) => ByDocker { client: Some(named), manner: Manner::Verifying, ..by_docker },
                None => by_docker,
            }
        }
    };
    let dialler = Dialler {
        identity: client.as_ref().and_then(|client| client.identity.as_ref().ok()),
        routes: Routes::from_variables(&proxy_variables(invocation), &target),
        docker: args.docker,
    };

    let own = OwnAuthority::here(invocation);
    let began = invocation.clock();
    let observation = probe(&target, &dialler, limits)
        .map_err(|error| dialled::corrected(unreachable(&error, &target, &dialler.routes), host.as_ref()))?;

    let question = Question {
        target: &target,
        routes: &dialler.routes,
        docker: args.docker,
        client: client.as_ref(),
        manner: &manner,
        daemon: daemon.as_ref(),
        own: &own,
        now: invocation.now,
        began,
    };
    let picture = Picture::new(question, &observation);
    let diagnosis = Diagnosis::of(&picture);
    output.result(&text::report(&picture, &diagnosis), &wire::report(&picture, &diagnosis));
    for warning in warnings::warnings(&picture) {
        output.warn(&warning);
    }
    if let Some(note) = client.as_ref().and_then(|client| bundle_note(client.material.ca.bytes()?, invocation)) {
        output.note(&note);
    }
    let what = match diagnosis.outcome {
        Outcome::Works => return Ok(ExitCode::SUCCESS),
        Outcome::Refused => Failure::no(format!("mutual TLS with {} does not work", picture.url())),
        Outcome::Unknown => Failure::trouble(format!("cannot tell whether mutual TLS with {} works", picture.url())),
    };
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
fn material(dir: &Path, whose: Role) -> Result<Material, Failure> {
    let names = match whose {
        Role::Daemon => Names::of_daemon(|name| dir.join(name).exists()),
        _ => Names::DOCKER,
    };
    let file = |name: &str| material_file(&dir.join(name), Designation::Default);
    let material = Material { ca: file(names.anchors), cert: file(names.chain), key: file(names.key) };
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

fn material_file(path: &Path, designation: Designation) -> MaterialFile {
    match dockseal_store::read_as_docker(path) {
        Ok(file) => MaterialFile::from_bytes(path, designation, file.bytes.to_vec()),
        Err(error) if error.is_not_found() => MaterialFile::missing(path, designation),
        Err(error) => MaterialFile::unreadable(path, designation, error.to_string()),
    }
}

fn read_client(dir: &Path, docker: Version, invocation: &Invocation) -> Result<ClientSide, Failure> {
    Ok(client_side(printable(&dir.to_string_lossy()), material(dir, Role::Client)?, docker, invocation))
}

/// The client's files, judged as docker would load them, and what can be offered of them.
fn client_side(shown: String, material: Material, docker: Version, invocation: &Invocation) -> ClientSide {
    let identity = identity(&material, docker);
    ClientSide::new(shown, material, identity, docker, invocation)
}

/// What docker offers of these files, as the judge reads them.
fn identity(client: &Material, docker: Version) -> Result<Identity, String> {
    let Some(Offered { chain, issuers, key }) = Offered::by_docker(client, docker) else {
        return Err("docker loads no certificate with its key".to_owned());
    };
    Identity::new(chain, issuers, &key).map_err(|error| match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    })
}

/// golang.org/x/net/http/httpproxy `FromEnvironment`.
fn proxy_variables(invocation: &Invocation) -> ProxyVariables {
    let first = |names: [&str; 2]| {
        let value = names.into_iter().find_map(|name| invocation.variable(name));
        value.map(|value| value.to_string_lossy().into_owned()).unwrap_or_default()
    };
    ProxyVariables {
        https: first(["HTTPS_PROXY", "https_proxy"]),
        http: first(["HTTP_PROXY", "http_proxy"]),
        no_proxy: first(["NO_PROXY", "no_proxy"]),
    }
}

fn unreachable(error: &ProbeError, target: &Target, routes: &Routes) -> Failure {
    let failure = Failure::trouble(format!("cannot reach tcp://{}", target.authority()));
    let past = format!("to go past it, as docker then does: NO_PROXY={}", target.host);
    if let (Some(proxy), ProbeError::Unreachable { .. } | ProbeError::Unresolved { .. }) = (&routes.tls, error) {
        let each = match error {
            ProbeError::Unreachable { addresses } => each_address(addresses),
            _ => error.source().map_or_else(String::new, ToString::to_string),
        };
        return failure
            .cause(format!(
                "docker goes through the proxy {proxy}, which HTTPS_PROXY names, and it is not reached: {each}"
            ))
            .hint(format!("start the proxy or correct HTTPS_PROXY; {past}"));
    }
    match error {
        ProbeError::Unresolved { source, .. } => failure
            .cause(format!("{error}: {source}"))
            .hint("check the spelling, or dial an address that the daemon's certificate names"),
        ProbeError::Unreachable { addresses } => {
            let all = |kinds: &[io::ErrorKind]| addresses.iter().all(|(_, error)| kinds.contains(&error.kind()));
            let port = target.port;
            failure.cause(each_address(addresses)).hint(if all(&[io::ErrorKind::ConnectionRefused]) {
                format!(
                    "nothing listens there: on the host, see what does with: ss -ltn, and start dockerd with \
                     --host=tcp://0.0.0.0:{port} --tlsverify"
                )
            } else if all(&[io::ErrorKind::TimedOut, io::ErrorKind::WouldBlock]) {
                format!(
                    "a firewall drops it, or the host is down: open TCP port {port} on the way, or give --timeout more"
                )
            } else {
                "check the address and the route to it".to_owned()
            })
        }
        ProbeError::UnspokenProxy(_) => failure
            .cause(format!("HTTPS_PROXY is set, and {error}"))
            .hint(format!("try docker itself: docker --tlsverify -H tcp://{} version; {past}", target.authority())),
    }
}

fn each_address(addresses: &[(SocketAddr, io::Error)]) -> String {
    let each: Vec<String> = addresses.iter().map(|(address, error)| format!("{address}: {error}")).collect();
    each.join("; ")
}

/// The certificates of some PEM text that can be read, in the blocks that docker finds.
pub(crate) fn pem_certificates(text: &[u8]) -> Vec<Certificate> {
    let blocks = dockseal_verify::certificates(text, Version::default().docker_go());
    blocks.filter_map(|der| Certificate::from_der(&der).ok()).collect()
}
