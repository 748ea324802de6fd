//! What one side has been given: the bytes of its files, or why there are none.
//!
//! Nothing here opens a file. Trouble with a file is part of the material and becomes a finding, never an error.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zeroize::Zeroizing;

/// A file's bytes, held once however often they are cloned, and zeroed with the last clone: they may be a private key.
#[derive(Clone, PartialEq, Eq)]
pub struct Bytes(Arc<Zeroizing<Vec<u8>>>);

impl Bytes {
    /// Whether both are clones of one: the same bytes in the same place.
    pub(crate) fn place(&self) -> *const Zeroizing<Vec<u8>> {
        Arc::as_ptr(&self.0)
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl From<Zeroizing<Vec<u8>>> for Bytes {
    fn from(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(Arc::new(bytes))
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Zeroizing::new(bytes).into()
    }
}

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Self {
        bytes.to_vec().into()
    }
}

impl From<&Self> for Bytes {
    fn from(bytes: &Self) -> Self {
        bytes.clone()
    }
}

impl std::fmt::Debug for Bytes {
    /// Shows no bytes.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}

/// Which of the two programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// dockerd.
    Daemon,
    /// docker.
    Client,
}

/// Which of a side's three files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileKind {
    /// The CA file, `ca.pem`.
    Ca,
    /// The certificate file, `cert.pem`.
    Cert,
    /// The key file, `key.pem`.
    Key,
}

impl FileKind {
    /// Docker's default name of the file.
    #[must_use]
    pub const fn default_name(self) -> &'static str {
        match self {
            Self::Ca => "ca.pem",
            Self::Cert => "cert.pem",
            Self::Key => "key.pem",
        }
    }
}

/// How Docker came to a file: a missing default file can be passed over silently, a missing named one cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Designation {
    /// The default name in the default directory, DOCKER_CERT_PATH or a context.
    Default,
    /// Named by a flag or in daemon.json.
    Named,
}

/// Where a file's bytes come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Provenance {
    /// The path as Docker would open it.
    pub path: PathBuf,
    /// Whether somebody named it.
    pub designation: Designation,
}

/// What came of reading a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Its bytes.
    Bytes(Bytes),
    /// There is no such file.
    Missing,
    /// It cannot be read; the reason, as for a message.
    Unreadable(String),
    /// The empty path was given, as `--tlscacert=` or a daemon.json without `tlscacert` do.
    NotNamed,
}

/// One file of one side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaterialFile {
    /// Where it is.
    pub provenance: Provenance,
    /// What is in it.
    pub content: Content,
}

impl MaterialFile {
    /// A file that was read.
    #[must_use]
    pub fn from_bytes(path: impl Into<PathBuf>, designation: Designation, bytes: impl Into<Vec<u8>>) -> Self {
        Self::new(path, designation, Content::Bytes(Bytes::from(bytes.into())))
    }

    /// A file that is not there.
    #[must_use]
    pub fn missing(path: impl Into<PathBuf>, designation: Designation) -> Self {
        Self::new(path, designation, Content::Missing)
    }

    /// A file that cannot be read.
    #[must_use]
    pub fn unreadable(path: impl Into<PathBuf>, designation: Designation, reason: impl Into<String>) -> Self {
        Self::new(path, designation, Content::Unreadable(reason.into()))
    }

    /// The empty path.
    #[must_use]
    pub fn not_named() -> Self {
        Self::new(PathBuf::new(), Designation::Named, Content::NotNamed)
    }

    fn new(path: impl Into<PathBuf>, designation: Designation, content: Content) -> Self {
        Self { provenance: Provenance { path: path.into(), designation }, content }
    }

    /// The bytes, if there are any.
    #[must_use]
    pub fn bytes(&self) -> Option<&[u8]> {
        self.held().map(|bytes| &**bytes)
    }

    pub(crate) fn held(&self) -> Option<&Bytes> {
        match &self.content {
            Content::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// Whether Docker passes over the file without a word: the empty path, or a default file that is missing.
    #[must_use]
    pub fn is_passed_over(&self) -> bool {
        match self.content {
            Content::NotNamed => true,
            Content::Missing => self.provenance.designation == Designation::Default,
            Content::Bytes(_) | Content::Unreadable(_) => false,
        }
    }
}

/// The three files of one side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Material {
    /// The CA file.
    pub ca: MaterialFile,
    /// The certificate file: leaf first, then intermediates.
    pub cert: MaterialFile,
    /// The key file.
    pub key: MaterialFile,
}

impl Material {
    /// A directory as Docker lays it out, from the bytes of ca.pem, cert.pem and key.pem.
    #[must_use]
    pub fn from_bytes(
        directory: impl AsRef<Path>,
        ca: impl Into<Vec<u8>>,
        cert: impl Into<Vec<u8>>,
        key: impl Into<Vec<u8>>,
    ) -> Self {
        let file = |kind: FileKind, bytes: Vec<u8>| {
            MaterialFile::from_bytes(directory.as_ref().join(kind.default_name()), Designation::Default, bytes)
        };
        Self {
            ca: file(FileKind::Ca, ca.into()),
            cert: file(FileKind::Cert, cert.into()),
            key: file(FileKind::Key, key.into()),
        }
    }

    /// One of the three.
    #[must_use]
    pub const fn file(&self, kind: FileKind) -> &MaterialFile {
        match kind {
            FileKind::Ca => &self.ca,
            FileKind::Cert => &self.cert,
            FileKind::Key => &self.key,
        }
    }
}
