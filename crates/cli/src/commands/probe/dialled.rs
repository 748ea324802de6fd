//! What a docker command would dial, and what it would show and trust there.

use std::path::Path;

use dockseal_docker::{
    client_settings::ClientTls,
    settings::{FileSetting, TlsFiles},
    version::Version,
};
use dockseal_pki::printable;
use dockseal_probe::Target;
use dockseal_verify::{Designation, Material, MaterialFile};

use super::{client_side, material_file, picture::ClientSide, target};
use crate::{
    connection::{self, Connection},
    failure::Failure,
    invocation::Invocation,
    output::Output,
};

/// The connection of the docker command around this run, or of a bare one.
pub(super) fn by_docker(
    docker: Version,
    invocation: &Invocation,
    output: &mut Output,
) -> Result<(Target, Option<ClientSide>), Failure> {
    let connection = connection::current(docker, invocation)?.map_err(|stop| {
        Failure::no("docker dials nothing").cause(stop.text()).hint("see what decides: dockseal verify")
    })?;
    for trouble in &connection.trouble {
        output.warn(&format!("docker passes over {}", printable(trouble)));
    }
    let endpoint = connection.settings.endpoint.to_string();
    let target = target::parse(&endpoint, output)?;
    let from = match (&connection.context, connection.settings.decided.first()) {
        (Some(context), _) => format!("the context {context:?}"),
        (None, Some(setting)) => setting.name.clone(),
        (None, None) => "nothing is set".to_owned(),
    };
    output.note(&format!("docker dials {} ({})", printable(&endpoint), printable(&from)));
    match &connection.settings.tls {
        ClientTls::Off => output.warn("docker would speak plain HTTP to it: neither side is verified"),
        ClientTls::On { verify: false, .. } => output.warn("docker would not verify who answers there"),
        ClientTls::On { verify: true, .. } => {}
    }
    let client = client(&connection, docker, invocation);
    Ok((target, client))
}

/// The client's files, where docker uses any.
pub(super) fn client(connection: &Connection, docker: Version, invocation: &Invocation) -> Option<ClientSide> {
    let files = connection.files()?;
    let directory = [&files.cert, &files.ca].iter().find_map(|file| file.path()).and_then(Path::parent);
    let shown = printable(&directory.unwrap_or(Path::new(".")).to_string_lossy());
    Some(client_side(shown, named(files), docker, invocation))
}

fn named(files: &TlsFiles) -> Material {
    let file = |setting: &FileSetting| match setting {
        FileSetting::Empty => MaterialFile::not_named(),
        FileSetting::Default(path) => material_file(path, Designation::Default),
        FileSetting::Named(path) => material_file(path, Designation::Named),
    };
    Material { ca: file(&files.ca), cert: file(&files.cert), key: file(&files.key) }
}
