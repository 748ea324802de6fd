//! What keeps docker's Python library from a daemon that docker itself reaches.
//!
//! docker-py verifies by requests, and there REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE are stronger than the session's own CA
//! file (psf/requests src/requests/sessions.py `merge_environment_settings`; docker/docker-py docker/tls.py
//! `configure_client`).

use std::path::Path;

use dockseal_pki::printable;

use crate::{commands::probe::pem_certificates, invocation::Invocation};

/// A note where a variable has Python programs take another file than this ca.pem, and its certificates are not in there.
pub(crate) fn bundle_note(ca: &[u8], invocation: &Invocation) -> Option<String> {
    let names = ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"];
    let (name, path) = names.into_iter().find_map(|name| Some((name, invocation.variable(name)?)))?;
    let bundle = dockseal_store::read_as_docker(Path::new(&path)).map(|file| pem_certificates(&file.bytes));
    let bundle = bundle.unwrap_or_default();
    if pem_certificates(ca).iter().all(|anchor| bundle.contains(anchor)) {
        return None;
    }
    Some(format!(
        "Python programs (docker-py, and what uses requests) verify the daemon with {name}={}, which does not hold the \
         certificates of ca.pem, and not with ca.pem; for them: unset {name}",
        printable(&path.to_string_lossy())
    ))
}
