//! Files that hold what Docker needs in a form that Docker does not read: which form it is, and the command that mends it.
//! Whether Docker reads a file is the judge's to say.

use std::path::{Path, PathBuf};

use dockseal_docker::{
    env::{Shell, word_of_command},
    layout::Names,
    version::Go,
};
use dockseal_pki::{Form, KeyError, PrivateKey, Signer, certificates_in, is_pkcs12, pem};
use dockseal_store::{Existing, check_destination};
use dockseal_verify::{Check, FileKind, Material};

use crate::invocation::Invocation;

/// Larger files are not looked at: certificates and keys have a few thousand bytes.
const MOST: usize = 1 << 20;

const KINDS: [FileKind; 3] = [FileKind::Ca, FileKind::Cert, FileKind::Key];

/// The form of a file of which Docker reads nothing, or loses a part.
pub(crate) fn form(bytes: &[u8]) -> Option<Form> {
    if bytes.len() <= MOST { Form::of(bytes) } else { None }
}

/// The form of a file that makes Docker overlook some of its certificates.
pub(crate) fn form_that_hides_certificates(bytes: &[u8], go: Go) -> Option<Form> {
    let form = form(bytes)?;
    let read: Vec<Vec<u8>> = dockseal_verify::certificates(bytes, go).collect();
    let is_overlooked = certificates_in(bytes).iter().any(|one| !read.iter().any(|der| der == one.der()));
    is_overlooked.then_some(form)
}

/// The file whose form is the reason why a check refuses: the file that it names, or one of `within` with what it misses.
pub(crate) fn reason(
    check: &str,
    file: Option<FileKind>,
    within: &[FileKind],
    material: &Material,
    go: Go,
) -> Option<(FileKind, Form)> {
    let of = |kind: FileKind| material.file(kind).bytes();
    let is = |checks: &[Check]| checks.iter().any(|one| one.id() == check);
    if is(&[Check::CaUnusable, Check::CertificateMissing, Check::KeyMissing]) {
        let kind = file?;
        return Some((kind, form(of(kind)?)?));
    }
    if is(&[Check::UnknownAuthority, Check::ClientCertificateWithheld, Check::KeyMismatch]) {
        let hides = |kind: &FileKind| Some((*kind, form_that_hides_certificates(of(*kind)?, go)?));
        return within.iter().find_map(hides);
    }
    // One file that has everything.
    let is_all = |kind: &FileKind| of(*kind).is_some_and(is_pkcs12);
    let missing = is(&[Check::FileUnavailable, Check::ClientCertificateMissing]);
    missing.then(|| KINDS.into_iter().find(is_all)).flatten().map(|kind| (kind, Form::Pkcs12))
}

/// The command that writes a side's files anew as Docker reads them, or what to do by hand where that cannot.
pub(crate) fn remedy(material: &Material, invocation: &Invocation) -> String {
    let by_hand = || {
        "Write the file as PEM: UTF-8 without a byte order mark, line feeds, and each BEGIN and END a line of its own that starts \
         in the first column."
            .to_owned()
    };
    repairing(material, invocation).unwrap_or_else(by_hand)
}

/// The same where `dockseal repair` can do it.
pub(crate) fn repairing(material: &Material, invocation: &Invocation) -> Option<String> {
    let there: Vec<(&Path, &[u8])> = KINDS
        .into_iter()
        .map(|kind| material.file(kind))
        .filter_map(|file| Some((file.provenance.path.as_path(), file.bytes()?)))
        .collect();
    if !is_whole(&there) {
        return None;
    }
    let directory = there.first()?.0.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let is_docker_name = |path: &Path| Names::DOCKER.each().iter().any(|name| path == directory.join(name));
    // With the files of others in it a directory is not replaced.
    let place = absolute(directory, invocation);
    let is_replaced = || check_destination(&Names::DOCKER.each(), &place, Existing::Replace).is_ok();
    if !there.iter().all(|(path, _)| is_docker_name(path)) || !is_replaced() {
        let from: Vec<String> = there.iter().map(|(path, _)| format!(" --from {}", word(path))).collect();
        let from = from.concat();
        return Some(format!(
            "Write them anew into a directory, as Docker reads them, and name its files: dockseal repair NEW{from}"
        ));
    }
    // A directory is replaced as a whole, and not under the one who stands in it.
    let repair = if invocation.is_current_directory(directory) {
        format!("cd / && dockseal repair {}", word(&place))
    } else {
        format!("dockseal repair {}", word(directory))
    };
    Some(format!("Write the files anew, as Docker reads them: {repair}"))
}

/// Whether these files have, in any form, a key with its certificate and an authority's.
fn is_whole(files: &[(&Path, &[u8])]) -> bool {
    if files.iter().any(|(_, bytes)| is_pkcs12(bytes)) {
        return true;
    }
    let certificates: Vec<_> = files.iter().flat_map(|(_, bytes)| certificates_in(bytes)).collect();
    let is_usable = |text: &str| match PrivateKey::from_pem(text.as_bytes(), None) {
        Ok((key, _)) => certificates.iter().any(|one| one.public_key.spki() == key.public_key().spki()),
        Err(error) => error == KeyError::Encrypted,
    };
    certificates.iter().any(|one| one.is_ca() || one.is_self_issued())
        && files.iter().flat_map(|(_, bytes)| pem::private_keys(bytes)).any(|text| is_usable(&text))
}

fn absolute(directory: &Path, invocation: &Invocation) -> PathBuf {
    invocation.absolute(directory).unwrap_or_else(|_| directory.to_owned())
}

fn word(path: &Path) -> String {
    word_of_command(Shell::Sh, &path.to_string_lossy())
}
