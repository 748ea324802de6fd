//! `docker seal env`: the variables that make every docker do what the docker command around it would.

use std::path::PathBuf;

use dockseal_docker::{client_settings::ClientTls, endpoint::Endpoint, layout, settings::TlsFiles, version::Version};

use crate::{connection, correction::Correction, failure::Failure, invocation::Invocation};

/// The directory with the three files of the docker command, and where it dials.
pub(super) fn in_use(invocation: &Invocation) -> Result<(PathBuf, Option<String>), Failure> {
    let failure = || Failure::no("cannot put into variables what docker uses");
    let connection = connection::current(Version::default(), invocation)?
        .map_err(|stop| failure().cause(stop.text()).hint(stop.hint("docker seal")))?;
    if let Some(Correction { wrong, fix }) = &connection.corrections.host {
        return Err(failure().cause(wrong).hint(fix));
    }
    let host = match &connection.settings.endpoint {
        Endpoint::Tcp { .. } => connection.settings.url(),
        other => {
            return Err(failure().cause(format!("it dials {other}, where no certificate is used")).hint(
                "name a context or a host: docker --context NAME seal env, or a client's directory: docker seal env DIR",
            ));
        }
    };
    match &connection.settings.tls {
        ClientTls::On { verify: true, files } => {
            let directory = directory_of(files).ok_or_else(|| {
                failure()
                    .cause("its files are not ca.pem, cert.pem and key.pem of one directory")
                    .hint("put them into one directory under these names")
            })?;
            if let Some(Correction { wrong, fix }) = &connection.corrections.directory {
                return Err(failure().cause(wrong).hint(fix));
            }
            Ok((invocation.absolute(&directory)?, Some(host)))
        }
        ClientTls::On { verify: false, .. } => Err(failure()
            .cause("it does not verify the daemon, and DOCKER_TLS_VERIFY would")
            .hint("name the client's directory: docker seal env DIR")),
        ClientTls::Off => Err(failure()
            .cause(format!("it speaks plain HTTP to {host}"))
            .hint("name the client's directory: docker seal env DIR")),
    }
}

fn directory_of(files: &TlsFiles) -> Option<PathBuf> {
    let directory = files.ca.path()?.parent()?;
    let all = [(&files.ca, layout::CA_FILE), (&files.cert, layout::CERT_FILE), (&files.key, layout::KEY_FILE)];
    all.iter().all(|(file, name)| file.path() == Some(&directory.join(name))).then(|| directory.to_owned())
}
