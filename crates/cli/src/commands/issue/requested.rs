//! Who asks: from the command line, and from a certificate request.

use std::path::Path;

use dockseal_ca::Endpoint;
use dockseal_pki::{CertificateRequest, GeneralName, SubjectAltName, pem};

use crate::{
    endpoint::parse_user, failure::Failure, groups::NamesArgs, hints::no_names, input::read_input, output::Output,
};

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

/// A daemon by the names that were given, or else the request's, and its layout's `usual` ones.
pub(super) fn daemon(
    names: &NamesArgs,
    usual: &[&str],
    request: Option<&CertificateRequest>,
    output: &mut Output,
) -> Result<Endpoint, Failure> {
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
    let usual = usual.iter().filter_map(|name| SubjectAltName::parse(name).ok()).map(|parsed| parsed.name);
    for name in usual {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if names.is_empty() {
        return Err(no_names());
    }
    Ok(Endpoint::Daemon { names })
}

/// A client of this name.
pub(super) fn client(
    user: &str,
    request: Option<&CertificateRequest>,
    output: &mut Output,
) -> Result<Endpoint, Failure> {
    let user = parse_user(user)?;
    if let Some(request) = request {
        for name in &request.names {
            output.note(&format!("dropped from the request: {name}, since nobody dials a client"));
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
