//! Reading what Docker would read. Trouble with a file is part of the material, never the end of the program.

use std::{
    cell::{Cell, RefCell},
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};

use dockseal_docker::{
    Role, layout,
    settings::{FileSetting, TlsFiles},
};
use dockseal_pki::{Certificate, GeneralName};
use dockseal_store::ReadError;
use dockseal_verify::{Bytes, Content, Designation, Material, MaterialFile, Provenance, SystemRoots};

use dockseal_lifecycle::identity;

/// Where the files of one question lie, in memory: they share an allowance, and large ones that are equal lie there once.
pub(super) struct Desk {
    left: Cell<u64>,
    large: RefCell<Vec<Bytes>>,
}

impl Desk {
    /// What all files of a question may have together, in bytes. The program stays below 256 MiB with it.
    pub(super) const ROOM: u64 = 192 << 20;

    /// Below this it is not worth looking whether a file is there already.
    const LARGE: u64 = 1 << 20;

    /// A desk with room for this many bytes.
    pub(super) const fn with(room: u64) -> Self {
        Self { left: Cell::new(room), large: RefCell::new(Vec::new()) }
    }

    /// How many bytes there is room for.
    pub(super) const fn left(&self) -> u64 {
        self.left.get()
    }

    /// A file's bytes and its permission bits.
    pub(super) fn read(&self, path: &Path) -> Result<(Bytes, u32), ReadError> {
        let file = dockseal_store::open(path)?;
        let mode = file.mode();
        if file.length() > Self::LARGE {
            for held in self.large.borrow().iter() {
                if held.len() as u64 == file.length() && file.equals(held)? {
                    return Ok((held.clone(), mode));
                }
            }
        }
        let bytes = Bytes::from(file.read(self.left())?.bytes);
        self.left.set(self.left().saturating_sub(bytes.len() as u64));
        if bytes.len() as u64 > Self::LARGE {
            self.large.borrow_mut().push(bytes.clone());
        }
        Ok((bytes, mode))
    }
}

/// One side's files; the judge's material zeroes their bytes when dropped.
pub(super) struct Held {
    pub(super) material: Material,
    /// The key, if others than its owner may read it.
    pub(super) loose_key: Option<(PathBuf, u32)>,
    /// Files that Docker might read although this program could not.
    pub(super) unknown: Vec<PathBuf>,
    /// Whether there was no room for one of them.
    pub(super) is_too_large: bool,
}

/// Whose files they are: docker runs as whoever asks, dockerd as root.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    Docker,
    Dockerd,
}

impl Held {
    /// The files that settings name.
    pub(super) fn read(files: &TlsFiles, reader: Reader, desk: &Desk) -> Self {
        let mut unknown = Vec::new();
        let mut loose_key = None;
        let mut is_too_large = false;
        let mut open = |setting: &FileSetting| {
            let (path, designation) = match setting {
                FileSetting::Empty => return (MaterialFile::not_named(), None),
                FileSetting::Default(path) => (path, Designation::Default),
                FileSetting::Named(path) => (path, Designation::Named),
            };
            match desk.read(path) {
                Ok((bytes, mode)) => {
                    let loose = (mode & 0o044 != 0).then_some((path.clone(), mode));
                    let provenance = Provenance { path: path.clone(), designation };
                    (MaterialFile { provenance, content: Content::Bytes(bytes) }, loose)
                }
                Err(error) => {
                    is_too_large |= matches!(error, ReadError::TooLarge { .. });
                    if is_only_ours(&error, reader) {
                        unknown.push(path.clone());
                    }
                    (unreadable(&error, path, designation), None)
                }
            }
        };
        let (ca, cert) = (open(&files.ca).0, open(&files.cert).0);
        let (key, loose) = open(&files.key);
        if files.key != files.cert {
            loose_key = loose;
        }
        Self { material: Material { ca, cert, key }, loose_key, unknown, is_too_large }
    }

    /// A side of which nothing is known but what it trusts.
    pub(super) fn stand_in(trusts: &MaterialFile) -> Self {
        let absent = || MaterialFile::missing("", Designation::Default);
        Self {
            material: Material { ca: trusts.clone(), cert: absent(), key: absent() },
            loose_key: None,
            unknown: Vec::new(),
            is_too_large: false,
        }
    }

    /// The same files named one by one, or found under Docker's names.
    pub(super) fn designated(&self, designation: Designation) -> Self {
        let mut material = self.material.clone();
        for file in [&mut material.ca, &mut material.cert, &mut material.key] {
            file.provenance.designation = designation;
        }
        self.with(material)
    }

    /// The same files copied into a context: what is missing was not given.
    pub(super) fn in_context(&self) -> Self {
        let mut material = self.material.clone();
        for file in [&mut material.ca, &mut material.cert, &mut material.key] {
            file.provenance.designation = Designation::Named;
            if file.content == Content::Missing {
                *file = MaterialFile::not_named();
            }
        }
        self.with(material)
    }

    fn with(&self, material: Material) -> Self {
        let (loose_key, unknown) = (self.loose_key.clone(), self.unknown.clone());
        Self { material, loose_key, unknown, is_too_large: self.is_too_large }
    }

    /// Whether neither certificate nor key was given.
    pub(super) fn has_no_certificate(&self) -> bool {
        self.material.cert.is_passed_over() && self.material.key.is_passed_over()
    }

    /// Whether every file was read.
    pub(super) fn is_read(&self) -> bool {
        [&self.material.ca, &self.material.cert, &self.material.key].iter().all(|file| file.bytes().is_some())
    }

    /// Whether a copy of these files in a context would trust the system's roots.
    pub(super) fn has_no_ca(&self) -> bool {
        matches!(self.material.ca.content, Content::NotNamed | Content::Missing)
    }

    /// Whether the answer depends on the system's roots.
    pub(super) fn trusts_the_system(&self) -> bool {
        self.material.ca.content == Content::NotNamed
    }

    /// The leaf, as far as it can be read at all.
    pub(super) fn leaf(&self) -> Option<Certificate> {
        leaf(self.material.cert.bytes()?)
    }
}

/// Trouble that is this program's and need not be Docker's.
fn is_only_ours(error: &ReadError, reader: Reader) -> bool {
    match error {
        ReadError::TooLarge { .. } | ReadError::UnsafeLink { .. } => true,
        ReadError::Io { source, .. } => reader == Reader::Dockerd && source.kind() == io::ErrorKind::PermissionDenied,
        ReadError::NotAFile { .. } => false,
    }
}

fn unreadable(error: &ReadError, path: &Path, designation: Designation) -> MaterialFile {
    match error {
        ReadError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => {
            MaterialFile::missing(path, designation)
        }
        ReadError::Io { source, .. } => MaterialFile::unreadable(path, designation, source.to_string()),
        ReadError::NotAFile { kind, .. } => {
            MaterialFile::unreadable(path, designation, format!("it is a {kind}, not a file"))
        }
        ReadError::TooLarge { .. } => {
            let text = format!("all files together are larger than {} MiB", Desk::ROOM >> 20);
            MaterialFile::unreadable(path, designation, text)
        }
        ReadError::UnsafeLink { .. } => MaterialFile::unreadable(path, designation, error.to_string()),
    }
}

/// The first certificate of a file, which may go on for long.
fn leaf(pem: &[u8]) -> Option<Certificate> {
    const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
    const END: &[u8] = b"-----END CERTIFICATE-----";
    /// What has names that anybody dials comes earlier.
    const MOST: usize = 1 << 20;
    let position = |text: &[u8], wanted: &[u8]| text.windows(wanted.len()).position(|window| window == wanted);
    let pem = pem.get(..MOST).unwrap_or(pem);
    let from_begin = pem.get(position(pem, BEGIN)?..)?;
    let block = from_begin.get(..position(from_begin, END)? + END.len())?;
    let blocks = dockseal_pki::pem::decode_all(block).ok()?;
    Certificate::from_der(blocks.first()?.contents()).ok()
}

/// The first name of a daemon's certificate as a client would dial it.
pub(super) fn first_name(leaf: &Certificate) -> Option<String> {
    leaf.names.iter().find_map(|name| match name {
        GeneralName::Dns(name) => Some(name.replacen('*', "any", 1)),
        GeneralName::Ip(address) => Some(address.to_string()),
        _ => None,
    })
}

/// Whose certificate it is.
pub(super) fn reader_of(directory: &Path, leaf: Option<&Certificate>) -> Reader {
    let role = match leaf {
        Some(leaf) => identity::likely_role(leaf, Some(&directory.join(layout::CERT_FILE))),
        None => identity::role_of_directory(directory),
    };
    if role == Role::Daemon { Reader::Dockerd } else { Reader::Docker }
}

/// The system's roots as Go looks for them: the first file that can be read, and every file of the directories (crypto/x509
/// root_unix.go `loadSystemRoots`, root_linux.go `certFiles`, `certDirectories`). `variable` is the environment of the
/// program that looks.
pub(super) fn system_roots(variable: impl Fn(&str) -> Option<OsString>) -> SystemRoots {
    const FILES: [&str; 6] = [
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/ca-bundle.pem",
        "/etc/pki/tls/cacert.pem",
        "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
        "/etc/ssl/cert.pem",
    ];
    const DIRECTORIES: [&str; 2] = ["/etc/ssl/certs", "/etc/pki/tls/certs"];
    /// Go's own roots have a quarter of a mebibyte.
    const MOST: usize = 16 << 20;
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    let files: Vec<PathBuf> = match set("SSL_CERT_FILE") {
        Some(file) => vec![file.into()],
        None => FILES.map(PathBuf::from).into(),
    };
    let directories: Vec<PathBuf> = match set("SSL_CERT_DIR") {
        Some(directories) => std::env::split_paths(&directories).collect(),
        None => DIRECTORIES.map(PathBuf::from).into(),
    };
    let mut roots = Vec::new();
    if let Some(opened) = files.iter().find_map(|file| dockseal_store::read_as_docker(file).ok()) {
        roots.extend_from_slice(&opened.bytes);
    }
    for entry in directories.iter().flat_map(fs::read_dir).flatten().flatten() {
        if is_another_name(&entry) {
            continue;
        }
        let Ok(opened) = dockseal_store::read_as_docker(&entry.path()) else { continue };
        if roots.len() + opened.bytes.len() > MOST {
            return SystemRoots::Unknown;
        }
        roots.push(b'\n');
        roots.extend_from_slice(&opened.bytes);
    }
    SystemRoots::Pem(roots.into())
}

/// A link to a file of the same directory, which is read under its own name (root_unix.go `readUniqueDirectoryEntries`).
fn is_another_name(entry: &fs::DirEntry) -> bool {
    fs::read_link(entry.path()).is_ok_and(|target| target.components().count() == 1 && target.is_relative())
}
