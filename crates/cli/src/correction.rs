//! What is wrong with a host or directory that docker was given, and what puts it right.

use std::path::Path;

use dockseal_docker::{
    client_settings::ClientRequest,
    env::{CERT_PATH, HOST, Shell, host_url, word_of_command},
    miswritten::{self, Miswritten},
    settings::{FileSetting, TlsFiles},
};
use dockseal_pki::printable;

/// What is wrong with a setting, and the command that mends it.
#[derive(Clone, Debug)]
pub(crate) struct Correction {
    pub(crate) wrong: String,
    pub(crate) fix: String,
}

impl Correction {
    /// Of `-H` or DOCKER_HOST.
    pub(crate) fn of_host(request: &ClientRequest) -> Option<Self> {
        let home = request.environment.home.as_deref();
        Self::of(request, |text| miswritten::host(text, request.uses_tls(), home))
    }

    /// The same for a port that is missing.
    pub(crate) fn of_port(request: &ClientRequest) -> Option<Self> {
        Self::of(request, |text| miswritten::port(text, request.uses_tls()))
    }

    fn of(request: &ClientRequest, judge: impl Fn(&str) -> Option<Miswritten>) -> Option<Self> {
        let (name, text) = match request.flags.hosts.as_slice() {
            [] => (HOST, request.environment.docker_host.as_deref()?),
            [host, ..] => ("-H", host.as_str()),
        };
        let Miswritten { wrong, meant } = judge(text)?;
        let meant = word(&meant);
        let fix = if name == HOST { format!("export {HOST}={meant}") } else { format!("write -H {meant}") };
        Some(Self { wrong: format!("{name} {wrong}"), fix })
    }

    /// Of the directory of docker's default files, where it has no ca.pem.
    pub(crate) fn of_directory(request: &ClientRequest, files: &TlsFiles) -> Option<Self> {
        let FileSetting::Default(ca) = &files.ca else { return None };
        if ca.exists() {
            return None;
        }
        let environment = &request.environment;
        let name_it = || format!("export {CERT_PATH}=DIR, with the client's directory for DIR");
        let Some(path) = &environment.docker_cert_path else {
            let directory = environment.certificate_directory();
            let wrong = format!("{CERT_PATH} is not set, so docker reads {}", printable(&directory.to_string_lossy()));
            return Some(Self { wrong, fix: name_it() });
        };
        if let Some(Miswritten { wrong, meant }) = miswritten_directory(path, environment.home.as_deref()) {
            return Some(Self {
                wrong: format!("{CERT_PATH} {wrong}"),
                fix: format!("export {CERT_PATH}={}", word(&meant)),
            });
        }
        let wrong = if path.is_dir() {
            return None;
        } else {
            format!("{CERT_PATH} names no directory that is there")
        };
        Some(Self { wrong, fix: name_it() })
    }
}

/// What is wrong with a directory's name, which leads nowhere.
pub(crate) fn miswritten_directory(path: &Path, home: Option<&Path>) -> Option<Miswritten> {
    if path.is_file() {
        return miswritten::file_for_directory(path);
    }
    let found = miswritten::directory(path.to_str()?, home)?;
    // Both may be wrong: a file that was named in quotation marks.
    match miswritten::file_for_directory(Path::new(&found.meant)).filter(|_| Path::new(&found.meant).is_file()) {
        Some(file) => Some(Miswritten { wrong: format!("{} and {}", found.wrong, file.wrong), meant: file.meant }),
        None => Some(found),
    }
}

/// `tcp://HOST:PORT` of a host as somebody gives it for TLS; or the cause, and what was meant where that can be told.
pub(crate) fn dialled_host(text: &str) -> Result<String, (String, Option<String>)> {
    let url = host_url(text);
    match miswritten::host(text, true, None) {
        // A name that was meant as a scheme is a host's as well.
        Some(Miswritten { wrong, meant }) if url.as_ref() != Ok(&meant) => {
            Err((format!("{text:?} {wrong}"), Some(word(&meant))))
        }
        // docker trims it; here it is to become a line of a shell's.
        _ => url.map_err(|error| (error.to_string(), host_url(text.trim()).ok())),
    }
}

fn word(text: &str) -> String {
    word_of_command(Shell::Sh, text)
}
