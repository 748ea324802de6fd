//! What is to be written, decided before anything is: printed, written, sent or packed from one value.

use std::fmt;

use dockseal_pki::Bundle;
use zeroize::Zeroizing;

use crate::{Layout, Role, layout};

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
    /// A symbolic link to this path.
    Link(String),
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
            Self::Link(_) | Self::Gone => &[],
        }
    }
}

impl fmt::Debug for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Public(text) => write!(f, "Public({} bytes)", text.len()),
            Self::Octets(octets) => write!(f, "Octets({} bytes)", octets.len()),
            Self::Secret(_) => f.write_str("Secret([elided])"),
            Self::Link(target) => write!(f, "Link({target})"),
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

/// The plan for a bundle: its anchors, its chain and, if the key is there, the key, by the names of the layout.
pub fn plan(bundle: &Bundle, role: Role, layout: Layout, ownership: Ownership) -> FilePlan {
    let mut plan = trust_plan(bundle, role, layout, ownership);
    if let Some(key) = bundle.key_pem() {
        let mode = ownership.key_mode.unwrap_or_else(|| layout::key_mode(role));
        let path = layout.names(role).key.to_owned();
        plan.files.push(PlannedFile { path, mode, contents: Contents::Secret(key) });
    }
    plan
}

/// The same without the key, which stays as it is.
pub fn trust_plan(bundle: &Bundle, role: Role, layout: Layout, ownership: Ownership) -> FilePlan {
    let key_mode = ownership.key_mode.unwrap_or_else(|| layout::key_mode(role));
    let names = layout.names(role);
    let files = vec![
        PlannedFile::public(names.anchors, layout::PUBLIC_MODE, bundle.anchors.to_pem()),
        PlannedFile::public(names.chain, layout::PUBLIC_MODE, bundle.chain_pem()),
    ];
    FilePlan { directory_mode: layout::directory_mode(key_mode), files, ownership }
}

/// The plan for docker:dind's directory of its authority, in which nothing but a link to what its daemon trusts may be.
pub fn dind_authority_plan(ownership: Ownership) -> FilePlan {
    let link = Contents::Link(layout::DIND_AUTHORITY_LINK.to_owned());
    let file = PlannedFile { path: layout::DIND_AUTHORITY_FILE.to_owned(), mode: layout::PUBLIC_MODE, contents: link };
    FilePlan { directory_mode: layout::DIRECTORY_MODE, files: vec![file], ownership }
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
