//! What a docker command would use: its flags, the environment, config.json and the context store, taken together.

use std::path::{Path, PathBuf};

use dockseal_docker::{
    client_settings::{Choice, ClientFault, ClientRequest, ClientSettings, ClientTls},
    context::{self, ContextEndpoint},
    env::{Shell, word_of_command},
    flags::TlsFlags,
    layout,
    settings::{Environment, TlsFiles},
    version::Version,
};
use dockseal_store::{OpenedFile, ReadError};

use crate::{correction::Correction, failure::Failure, invocation::Invocation};

/// What docker would do.
pub(crate) struct Connection {
    pub(crate) settings: ClientSettings,
    /// The context that counts; `None` for the one that stands for flags and environment.
    pub(crate) context: Option<String>,
    /// Files of configuration that could not be read, and were passed over as docker does.
    pub(crate) trouble: Vec<String>,
    pub(crate) corrections: Corrections,
}

/// What is wrong with what docker was given; nothing where a named context counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Corrections {
    pub(crate) host: Option<Correction>,
    /// There is no port.
    pub(crate) port: Option<Correction>,
    pub(crate) directory: Option<Correction>,
}

impl Connection {
    /// The files that docker reads for it.
    pub(crate) fn files(&self) -> Option<&TlsFiles> {
        match &self.settings.tls {
            ClientTls::On { files, .. } => Some(files),
            ClientTls::Off => None,
        }
    }
}

/// Why docker would stop before it does anything.
pub(crate) enum Stop {
    Settings {
        fault: ClientFault,
        /// What is wrong with the host, where that is it.
        host: Option<Correction>,
    },
    Context(String),
}

impl Stop {
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Settings { fault, host: Some(host) } => format!("{fault}: {}", host.wrong),
            Self::Settings { fault, host: None } => fault.to_string(),
            Self::Context(text) => text.clone(),
        }
    }

    /// What mends it.
    pub(crate) fn hint(&self, called: &str) -> String {
        match self {
            Self::Settings { host: Some(host), .. } => host.fix.clone(),
            _ => format!("see what decides: {called} verify"),
        }
    }
}

/// What the docker command around this run, or a bare one, would use.
pub(crate) fn current(docker: Version, invocation: &Invocation) -> Result<Result<Connection, Stop>, Failure> {
    let flags = invocation.docker.clone().unwrap_or_default();
    resolve(flags, Environment::read(|name| invocation.variable(name)), docker)
}

/// The same with TLS and the verification of the daemon turned on, as `DOCKER_TLS_VERIFY=1` would.
pub(crate) fn with_tls(docker: Version, invocation: &Invocation) -> Result<Result<Connection, Stop>, Failure> {
    let flags = invocation.docker.clone().unwrap_or_default();
    let environment = Environment::read(|name| invocation.variable(name));
    resolve(flags, Environment { docker_tls_verify: true, ..environment }, docker)
}

/// Where config.json and the contexts of the docker command around this run are, or of a bare one.
pub(crate) fn config_directory(invocation: &Invocation) -> PathBuf {
    let flags = invocation.docker.clone().unwrap_or_default();
    let environment = Environment::read(|name| invocation.variable(name));
    ClientRequest { flags, environment, version: Version::default() }.config_directory()
}

/// `docker FLAGS REST`, for a shell: the command line that means the same connection.
pub(crate) fn docker_line(flags: &TlsFlags, rest: &str) -> String {
    let flags = flags.words().into_iter().map(|word| word_of_command(Shell::Sh, &word));
    let words = ["docker".to_owned()].into_iter().chain(flags).chain([rest.to_owned()]);
    words.collect::<Vec<_>>().join(" ")
}

/// What flags and variables come to.
pub(crate) fn resolve(
    flags: TlsFlags,
    environment: Environment,
    docker: Version,
) -> Result<Result<Connection, Stop>, Failure> {
    let request = ClientRequest { flags, environment, version: docker };
    let mut trouble = Vec::new();
    let current = current_context(&request.config_directory().join("config.json"), &mut trouble)?;
    let (choice, ranking) = match request.choose(current.as_deref()) {
        Ok(chosen) => chosen,
        Err(fault) => return Ok(Err(Stop::Settings { fault, host: None })),
    };
    let (settings, context) = match choice {
        Choice::Default => (request.resolve_default(ranking), None),
        Choice::Named { name, files } => match stored_context(&name, &files.meta)? {
            Ok(endpoint) => {
                let there =
                    [layout::CA_FILE, layout::CERT_FILE, layout::KEY_FILE].map(|file| files.tls.join(file).exists());
                (request.resolve_context(&endpoint, &files, there, ranking), Some(name))
            }
            Err(text) => return Ok(Err(Stop::Context(text))),
        },
    };
    let by_options = context.is_none();
    let host = if by_options { Correction::of_host(&request) } else { None };
    Ok(match settings {
        Err(fault @ ClientFault::Endpoint(_)) => {
            let host = host.or_else(|| Correction::of_port(&request).filter(|_| by_options));
            Err(Stop::Settings { fault, host })
        }
        Err(fault) => Err(Stop::Settings { fault, host: None }),
        Ok(settings) => {
            let corrections = match &settings.tls {
                _ if !by_options => Corrections::default(),
                ClientTls::Off => Corrections { host, ..Corrections::default() },
                ClientTls::On { files, .. } => Corrections {
                    host,
                    port: Correction::of_port(&request),
                    directory: Correction::of_directory(&request, files),
                },
            };
            Ok(Connection { settings, context, trouble, corrections })
        }
    })
}

/// docker warns of a config.json that it cannot read, and goes on.
fn current_context(path: &Path, trouble: &mut Vec<String>) -> Result<Option<String>, Failure> {
    let opened = match read_json(path) {
        Ok(opened) => opened,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error @ ReadError::TooLarge { .. }) => return Err(unreadable("docker's config.json", &error)),
        Err(error) => {
            trouble.push(error.to_string());
            return Ok(None);
        }
    };
    Ok(context::current_context(&opened.bytes).unwrap_or_else(|error| {
        trouble.push(format!("{}: {error}", path.display()));
        None
    }))
}

/// The endpoint of a context, or why docker cannot use it.
fn stored_context(name: &str, meta: &Path) -> Result<Result<ContextEndpoint, String>, Failure> {
    Ok(match read_json(meta) {
        Ok(opened) => ContextEndpoint::from_meta(&opened.bytes)
            .map_err(|error| format!("context {name:?} cannot be used: {}: {error}", meta.display())),
        Err(error @ ReadError::TooLarge { .. }) => return Err(unreadable("context's meta.json", &error)),
        Err(error) if error.is_not_found() => {
            Err(format!("context {name:?}: context not found: {} does not exist", meta.display()))
        }
        Err(error) => Err(format!("context {name:?} cannot be used: {error}")),
    })
}

/// A file of Docker's settings. What it says takes up to two hundred times its own size once it is parsed.
pub(crate) fn read_json(path: &Path) -> Result<OpenedFile, ReadError> {
    const MOST: u64 = 512 << 10;
    dockseal_store::open(path)?.read(MOST)
}

pub(crate) fn unreadable(what: &str, error: &ReadError) -> Failure {
    Failure::trouble(format!("cannot read the {what}"))
        .cause(dockseal_pki::printable(&error.to_string()))
        .hint("name a file that can be read here")
}
