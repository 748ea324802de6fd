//! Whether a bundle can be put where it is to go.

use std::path::Path;

use dockseal_docker::layout::{self, Names};
use dockseal_pki::{CertificateRequest, PrivateKey, Signer};
use dockseal_store::{Existing, check_destination};

use crate::{failure::Failure, hints::write_failure, invocation::Invocation};

/// Refuses what would fail after a certificate was signed. A key that waits for its certificate must be the request's.
pub(crate) fn check_out(
    out: &Path,
    files: Names,
    request: Option<&CertificateRequest>,
    existing: Existing,
    invocation: &Invocation,
    what: &str,
) -> Result<(), Failure> {
    check_not_here(out, invocation, what)?;
    let mut names = vec![files.anchors, files.chain];
    match request {
        None => names.push(files.key),
        Some(request) => {
            let key = out.join(files.key);
            if let Ok(file) = dockseal_store::read(&key) {
                let is_of = |bytes: &[u8]| {
                    PrivateKey::from_pem(bytes, None)
                        .is_ok_and(|(key, _)| key.public_key().spki() == request.public_key.spki())
                };
                if dockseal_store::read(&out.join(layout::RENEWAL_KEY_FILE)).is_ok_and(|file| is_of(&file.bytes)) {
                    return Err(Failure::no(what)
                        .cause("the key of the request waits there, and Docker would find the certificate beside the old one")
                        .hint("use --out - and put both in place with dockseal install"));
                }
                if !is_of(&file.bytes) {
                    return Err(Failure::no(what)
                        .cause(format!("the request was not made with {}", key.display()))
                        .hint("name another directory with --out, or sign the request that belongs to that key"));
                }
            }
        }
    }
    check_destination(&names, out, existing).map_err(|error| write_failure(what, &error))
}

/// The directory in which somebody stands cannot be swapped without leaving them in a removed one.
pub(crate) fn check_not_here(out: &Path, invocation: &Invocation, what: &str) -> Result<(), Failure> {
    if invocation.is_current_directory(out) {
        return Err(Failure::trouble(what)
            .cause("the directory is the one this command was started in, and directories are swapped whole")
            .hint("name a directory inside it, e.g. --out ./tls"));
    }
    Ok(())
}
