//! `dockseal verify`: what docker and dockerd will do with given files, gate by gate, and why. Offline.

mod answer;
mod chain;
mod files;
mod many;
pub(crate) mod notes;
mod pair;
mod permissions;
mod show;
mod sides;
mod table;

use std::{path::PathBuf, process::ExitCode};

use clap::{
    Args as ClapArgs, ValueEnum,
    builder::{OsStringValueParser, TypedValueParser},
};
use dockseal_docker::{
    mode::{ClientMode, DaemonMode},
    version::Version,
};

use crate::{failure::Failure, invocation::Invocation, output::Output};

/// Tell what docker and dockerd will do with certificates, and why
#[derive(ClapArgs)]
#[command(after_help = "\
Examples:
  dockseal verify                                              what the docker command would use right now
  dockseal verify --daemon host/daemon --client host/clients/ada
  dockseal verify --daemon host/daemon --host 10.0.0.5 --client-mode tls --client host/clients/ada
  dockseal verify --daemon host/daemon --client ada --docker 20.10 --at 2027-06-01T00:00:00Z
  dockseal verify --daemon-json /etc/docker/daemon.json --dockerd-flags '-H fd:// --tlsverify'
  dockseal verify --chain cert.pem --ca ca.pem --purpose server --host 10.0.0.5
  dockseal verify hosts/*/daemon hosts/*/clients/*             many directories, each by itself

Without modes every mode of docker is held against every mode of dockerd.
Ends with 0 when Docker accepts in the modes asked for (without modes: mutual TLS works), 1 when it refuses, 2 when that
cannot be told. dockseal explain CHECK tells more about whatever is found.")]
pub(crate) struct Args {
    /// Directories to judge each by itself, or with --daemon or --client against that side
    #[arg(value_name = "DIR", conflicts_with_all = ["chain", "daemon_json", "dockerd_flags", "docker_flags"])]
    directories: Vec<PathBuf>,

    #[command(flatten)]
    daemon: DaemonArgs,

    #[command(flatten)]
    client: ClientArgs,

    /// What the client dials: a name or an address [default: the first name of the daemon's certificate]
    #[arg(long, value_name = "NAME|IP")]
    host: Option<String>,

    /// The release of docker; go1.27 is a docker built with that Go, its answers from Go and not yet from a docker
    #[arg(long, value_name = "VERSION", default_value = "29", value_parser = parse_version, hide_default_value = true)]
    docker: Version,

    /// The release of dockerd, or go1.27 as above
    #[arg(long, value_name = "VERSION", default_value = "29", value_parser = parse_version, hide_default_value = true)]
    dockerd: Version,

    #[command(flatten)]
    chain: ChainArgs,
}

#[derive(ClapArgs)]
#[command(next_help_heading = "The daemon")]
struct DaemonArgs {
    /// The daemon's directory: ca.pem, and cert.pem and key.pem or, as Docker's manual has them, server-cert.pem and
    /// server-key.pem
    #[arg(long, value_name = "DIR")]
    daemon: Option<PathBuf>,
    /// The daemon's CA file, named as --tlscacert does
    #[arg(long, value_name = "FILE", value_parser = file_as_docker_takes_it())]
    daemon_ca: Option<PathBuf>,
    /// The daemon's certificate, named as --tlscert does
    #[arg(long, value_name = "FILE", value_parser = file_as_docker_takes_it())]
    daemon_cert: Option<PathBuf>,
    /// The daemon's key, named as --tlskey does
    #[arg(long, value_name = "FILE", value_parser = file_as_docker_takes_it())]
    daemon_key: Option<PathBuf>,
    /// What dockerd was told about TLS
    #[arg(long, value_name = "MODE", value_enum)]
    daemon_mode: Option<DaemonWord>,
    /// The daemon's own daemon.json; with --daemon the files it names are looked for there, by their last names
    #[arg(long, value_name = "FILE", conflicts_with = "daemon_mode")]
    daemon_json: Option<PathBuf>,
    /// The daemon's own command line, with NAME=value before it for its environment
    #[arg(long, value_name = "FLAGS", allow_hyphen_values = true, conflicts_with = "daemon_mode")]
    dockerd_flags: Option<String>,
}

/// The empty name is one to Docker: no file.
fn file_as_docker_takes_it() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(PathBuf::from)
}

#[derive(ClapArgs)]
#[command(next_help_heading = "The client")]
struct ClientArgs {
    /// The client's directory: ca.pem, cert.pem, key.pem
    #[arg(long, value_name = "DIR")]
    client: Option<PathBuf>,
    /// The client's CA file, named as --tlscacert does
    #[arg(long, value_name = "FILE", value_parser = file_as_docker_takes_it())]
    client_ca: Option<PathBuf>,
    /// The client's certificate, named as --tlscert does
    #[arg(long, value_name = "FILE", value_parser = file_as_docker_takes_it())]
    client_cert: Option<PathBuf>,
    /// The client's key, named as --tlskey does
    #[arg(long, value_name = "FILE", value_parser = file_as_docker_takes_it())]
    client_key: Option<PathBuf>,
    /// What docker was told about TLS
    #[arg(long, value_name = "MODE", value_enum)]
    client_mode: Option<ClientWord>,
    /// docker's own command line, beside the environment that there is; NAME=value before it changes that
    #[arg(
        long, value_name = "FLAGS", allow_hyphen_values = true,
        conflicts_with_all = ["client", "client_ca", "client_cert", "client_key", "client_mode"],
    )]
    docker_flags: Option<String>,
}

#[derive(ClapArgs)]
#[command(next_help_heading = "A bare chain, without keys or modes")]
struct ChainArgs {
    /// The certificates, leaf first
    #[arg(
        long, value_name = "FILE", requires = "ca", requires = "purpose",
        conflicts_with_all = [
            "daemon", "daemon_ca", "daemon_cert", "daemon_key", "daemon_mode", "daemon_json", "dockerd_flags",
            "client", "client_ca", "client_cert", "client_key", "client_mode", "docker_flags",
        ],
    )]
    chain: Option<PathBuf>,
    /// What the other side trusts
    #[arg(long, value_name = "FILE", requires = "chain")]
    ca: Option<PathBuf>,
    /// Whose certificate it is
    #[arg(long, value_enum, requires = "chain")]
    purpose: Option<PurposeWord>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ClientWord {
    /// No TLS
    None,
    /// --tls
    Tls,
    /// --tlsverify
    Tlsverify,
}

impl ClientWord {
    /// The mode, which depends on whether a certificate was given.
    const fn mode(self, has_certificate: bool) -> ClientMode {
        match (self, has_certificate) {
            (Self::None, _) => ClientMode::None,
            (Self::Tls, true) => ClientMode::TlsCert,
            (Self::Tls, false) => ClientMode::Tls,
            (Self::Tlsverify, true) => ClientMode::TlsVerifyCert,
            (Self::Tlsverify, false) => ClientMode::TlsVerify,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DaemonWord {
    /// No TLS
    None,
    /// --tls
    Tls,
    /// --tlsverify
    Tlsverify,
    /// --tlsverify=false
    #[value(name = "tlsverify=false")]
    TlsverifyFalse,
}

impl From<DaemonWord> for DaemonMode {
    fn from(word: DaemonWord) -> Self {
        match word {
            DaemonWord::None => Self::None,
            DaemonWord::Tls => Self::Tls,
            DaemonWord::Tlsverify => Self::TlsVerify,
            DaemonWord::TlsverifyFalse => Self::TlsVerifyFalse,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PurposeWord {
    /// A daemon's certificate, as docker judges it
    Server,
    /// A client's certificate, as dockerd judges it
    Client,
}

pub(super) fn parse_version(text: &str) -> Result<Version, String> {
    text.parse().map_err(|error: dockseal_docker::version::UnknownVersion| error.to_string())
}

pub(crate) fn run(args: &Args, invocation: &Invocation, output: &mut Output) -> Result<ExitCode, Failure> {
    if args.chain.chain.is_some() {
        return chain::run(args, invocation, output);
    }
    if !args.directories.is_empty() {
        return many::run(args, invocation, output);
    }
    pair::run(args, invocation, output)
}
