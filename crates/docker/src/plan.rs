//! What is to be written, decided before anything is: printed, written, sent or packed from one value.

use std::fmt;

use dockseal_pki::Bundle;
use zeroize::Zeroizing;

use crate::{Role, layout};

/// The files of one directory, complete, with their modes and owner.
#[derive(Debug)]
pub struct FilePlan {
    /// The directory's mode.
    pub directory_mode: u32,
    /// The files, in the order in which they are written.
    pub files: Vec<PlannedFile>,
    /// Who owns directory and files.
    pub ownership: Ownership,
}

/// One file.
#[derive(Debug)]
pub struct PlannedFile {
    /// Its path inside the directory, `/` between the parts, never absolute and without `..`.
    pub path: String,
    /// Its mode.
    pub mode: u32,
    /// What it holds.
    pub contents: Contents,
}

/// What a file holds.
pub enum Contents {
    /// Text that may be shown.
    Public(String),
    /// Octets that may be shown.
    Octets(Vec<u8>),
    /// Text that may not: zeroed when dropped, absent from every log.
    Secret(Zeroizing<String>),
    /// Nothing: the file is not to be there any more.
    Gone,
}

impl Contents {
    /// The bytes to write.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Public(text) => text.as_bytes(),
            Self::Octets(octets) => octets,
            Self::Secret(text) => text.as_bytes(),
            Self::Gone => &[],
        }
    }
}

impl fmt::Debug for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Public(text) => write!(f, "Public({} bytes)", text.len()),
            Self::Octets(octets) => write!(f, "Octets({} bytes)", octets.len()),
            Self::Secret(_) => f.write_str("Secret([elided])"),
            Self::Gone => f.write_str("Gone"),
        }
    }
}

/// Who owns what is written; nothing given means who runs the program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ownership {
    /// The numeric user.
    pub user: Option<u32>,
    /// The numeric group.
    pub group: Option<u32>,
    /// The private key's mode where the usual one does not fit. The directory may be entered by whom the key may be
    /// read.
    pub key_mode: Option<u32>,
}

impl FilePlan {
    /// What it brings to the top of its directory, or takes away from there.
    pub fn names(&self) -> Vec<&str> {
        self.files.iter().map(|file| file.path.split('/').next().unwrap_or(&file.path)).collect()
    }
}

/// The plan for a bundle: `ca.pem`, `cert.pem` and, if the key is there, `key.pem`.
pub fn plan(bundle: &Bundle, role: Role, ownership: Ownership) -> FilePlan {
    let key_mode = ownership.key_mode.unwrap_or_else(|| layout::key_mode(role));
    let mut files = vec![
        PlannedFile::public(layout::CA_FILE, layout::PUBLIC_MODE, bundle.anchors.to_pem()),
        PlannedFile::public(layout::CERT_FILE, layout::PUBLIC_MODE, bundle.chain_pem()),
    ];
    if let Some(key) = bundle.key_pem() {
        files.push(PlannedFile { path: layout::KEY_FILE.to_owned(), mode: key_mode, contents: Contents::Secret(key) });
    }
    FilePlan { directory_mode: layout::directory_mode(key_mode), files, ownership }
}

impl PlannedFile {
    /// A file that may be shown.
    pub fn public(path: &str, mode: u32, text: String) -> Self {
        Self { path: path.to_owned(), mode, contents: Contents::Public(text) }
    }

    /// A file that is not to be there any more.
    pub fn gone(path: &str) -> Self {
        Self { path: path.to_owned(), mode: 0, contents: Contents::Gone }
    }
}
