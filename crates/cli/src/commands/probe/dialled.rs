//! What a docker command would dial, and what it would show and trust there.

use std::path::Path;

use dockseal_docker::{
    client_settings::{ClientTls, NO_TLS_ALONE},
    env::TLS_VERIFY,
    settings::{FileSetting, TlsFiles},
    version::Version,
};
use dockseal_pki::printable;
use dockseal_probe::Target;
use dockseal_verify::{Designation, Material, MaterialFile};

use super::{client_side, material_file, picture::ClientSide, remedy::word, target};
use crate::{
    connection::{self, Connection},
    correction::Correction,
    failure::Failure,
    invocation::Invocation,
    output::Output,
};

/// How docker speaks to the port.
#[derive(Debug, Default)]
pub(super) enum Manner {
    /// In TLS, and it verifies the daemon.
    #[default]
    Verifying,
    /// In TLS, whoever answers.
    Unverified,
    /// In plain HTTP: why, and what makes it speak TLS.
    Plain { why: String, remedy: String },
}

/// What docker dials, with which files, and how.
pub(super) struct ByDocker {
    pub(super) target: Target,
    pub(super) client: Option<ClientSide>,
    pub(super) manner: Manner,
    /// What is wrong with the host, and perhaps only that it has no port.
    pub(super) host: Option<Correction>,
}

impl ByDocker {
    /// What somebody else named.
    pub(super) fn named(target: Target, client: Option<ClientSide>) -> Self {
        Self { target, client, manner: Manner::Verifying, host: None }
    }
}

/// The connection of the docker command around this run, or of a bare one.
pub(super) fn by_docker(docker: Version, invocation: &Invocation, output: &mut Output) -> Result<ByDocker, Failure> {
    let connection = connection::current(docker, invocation)?
        .map_err(|stop| Failure::no("docker dials nothing").cause(stop.text()).hint(stop.hint(invocation.called())))?;
    for trouble in &connection.trouble {
        output.warn(&format!("docker passes over {}", printable(trouble)));
    }
    let endpoint = connection.settings.endpoint.to_string();
    let host = connection.corrections.host.clone().or_else(|| connection.corrections.port.clone());
    let mut target = target::parse(&endpoint, output).map_err(|failure| corrected(failure, host.as_ref()))?;
    target.base_path.clone_from(&connection.settings.base_path);
    let from = match (&connection.context, connection.settings.decided.first()) {
        (Some(context), _) => format!("the context {context:?}"),
        (None, Some(setting)) => setting.name.clone(),
        (None, None) => "nothing is set".to_owned(),
    };
    output.note(&format!("docker dials {} ({})", printable(&connection.settings.url()), printable(&from)));
    let (client, manner) = client(&connection, docker, invocation);
    match &manner {
        Manner::Plain { .. } => output.warn("docker would speak plain HTTP to it: neither side is verified"),
        Manner::Unverified => output.warn("docker would not verify who answers there"),
        Manner::Verifying => {}
    }
    if let Some(host) = &host {
        output.warn(&format!("{}: {}", host.wrong, host.fix));
    }
    Ok(ByDocker { target, client, manner, host })
}

/// A failure that a host which was meant otherwise explains.
pub(super) fn corrected(failure: Failure, host: Option<&Correction>) -> Failure {
    let Some(Correction { wrong, fix }) = host else { return failure };
    let cause = failure.cause.clone().map_or_else(|| wrong.clone(), |cause| format!("{cause}; {wrong}"));
    failure.cause(cause).hint(fix)
}

/// The client's files, where there are any, and how docker speaks. In plain HTTP it uses no files; then those are tried
/// that it would use with TLS.
pub(super) fn client(
    connection: &Connection,
    docker: Version,
    invocation: &Invocation,
) -> (Option<ClientSide>, Manner) {
    let verify = match &connection.settings.tls {
        ClientTls::On { verify, .. } => *verify,
        ClientTls::Off => {
            let client = match connection::with_tls(docker, invocation) {
                Ok(Ok(connection)) => files_of(&connection, docker, invocation),
                _ => None,
            };
            let client = client.filter(|client| client.material.ca.bytes().is_some());
            let manner = plain(connection, client.is_some(), invocation);
            return (client, manner);
        }
    };
    let manner = if verify { Manner::Verifying } else { Manner::Unverified };
    (files_of(connection, docker, invocation), manner)
}

/// Why docker speaks plain HTTP; `has_files` says whether DOCKER_TLS_VERIFY alone would have it load files.
fn plain(connection: &Connection, has_files: bool, invocation: &Invocation) -> Manner {
    let settings = &connection.settings;
    if let Some(context) = &connection.context {
        let context = word(&printable(context));
        return Manner::Plain {
            why: format!("the context {context} has no certificates"),
            remedy: format!(
                "give it the client's from their directory DIR: docker context update {context} --docker \
                 host={},ca=DIR/ca.pem,cert=DIR/cert.pem,key=DIR/key.pem",
                settings.url()
            ),
        };
    }
    let unused = settings.ignored.iter().filter(|setting| setting.effect == NO_TLS_ALONE);
    let unused: Vec<String> = unused.map(|setting| printable(&setting.name)).collect();
    let off = settings.decided.iter().find(|setting| setting.name.starts_with("--tls="));
    let why = match (&unused[..], off) {
        (_, Some(off)) => format!("{} turns TLS off", off.name),
        ([], None) => "nothing turns TLS on".to_owned(),
        (unused, None) => format!("{} does not turn TLS on", unused.join(" with ")),
    };
    let state = if invocation.is_empty_variable(TLS_VERIFY) { "empty, which counts as not set" } else { "not set" };
    let remedy = if has_files {
        format!("export {TLS_VERIFY}=1")
    } else {
        let host = word(&settings.url());
        format!("eval \"$({} env DIR --host {host})\", with the client's directory for DIR", invocation.called())
    };
    Manner::Plain { why: format!("{why}, and {TLS_VERIFY} is {state}"), remedy }
}

fn files_of(connection: &Connection, docker: Version, invocation: &Invocation) -> Option<ClientSide> {
    let files = connection.files()?;
    let directory = [&files.cert, &files.ca].iter().find_map(|file| file.path()).and_then(Path::parent);
    let shown = printable(&directory.unwrap_or(Path::new(".")).to_string_lossy());
    let side = client_side(shown, named(files), docker, invocation);
    Some(side.corrected(connection.corrections.directory.clone()))
}

fn named(files: &TlsFiles) -> Material {
    let file = |setting: &FileSetting| match setting {
        FileSetting::Empty => MaterialFile::not_named(),
        FileSetting::Default(path) => material_file(path, Designation::Default),
        FileSetting::Named(path) => material_file(path, Designation::Named),
    };
    Material { ca: file(&files.ca), cert: file(&files.cert), key: file(&files.key) }
}
