//! What client and daemon settings have in common: files, and the variables that both read.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use crate::{
    layout::{self, Names},
    version::Version,
};

/// A file as flags and variables name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileSetting {
    /// Nobody named it: the default name in the default directory.
    Default(PathBuf),
    /// A flag, daemon.json or a context named it.
    Named(PathBuf),
    /// The empty path.
    Empty,
}

impl FileSetting {
    /// The path, unless it is empty.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Default(path) | Self::Named(path) => Some(path),
            Self::Empty => None,
        }
    }

    /// A flag's value, or the default. One pair of quotes is taken off until 28 (docker/cli opts/quotedstring.go).
    pub(crate) fn from_flag(flag: Option<&str>, default: PathBuf, version: Version) -> Self {
        match flag {
            None => Self::Default(default),
            Some(value) => match unquoted(value, version) {
                "" => Self::Empty,
                path => Self::Named(path.into()),
            },
        }
    }
}

fn unquoted(value: &str, version: Version) -> &str {
    if version >= Version::V29 || value.len() < 2 {
        return value;
    }
    ['"', '\''].into_iter().find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote)).unwrap_or(value)
}

/// The three files of one side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// What it trusts.
    pub ca: FileSetting,
    /// What it shows.
    pub cert: FileSetting,
    /// Its private key.
    pub key: FileSetting,
}

impl TlsFiles {
    /// Docker's names in a directory that nobody named file by file.
    #[must_use]
    pub fn in_directory(directory: &Path) -> Self {
        Self {
            ca: FileSetting::Default(directory.join(layout::CA_FILE)),
            cert: FileSetting::Default(directory.join(layout::CERT_FILE)),
            key: FileSetting::Default(directory.join(layout::KEY_FILE)),
        }
    }

    /// The files of these names in a directory: Docker's own are its defaults, of any others it has to be told.
    #[must_use]
    pub fn called(names: Names, directory: &Path) -> Self {
        if names == Names::DOCKER {
            return Self::in_directory(directory);
        }
        let file = |name: &str| FileSetting::Named(directory.join(name));
        Self { ca: file(names.anchors), cert: file(names.chain), key: file(names.key) }
    }

    /// The same files by their last names in another directory, which stands for where they are meant to be; none where
    /// two of them would become one.
    #[must_use]
    pub fn moved_to(&self, directory: &Path) -> Option<Self> {
        let moved = |setting: &FileSetting| {
            let there = |path: &Path| path.file_name().map_or(directory.to_owned(), |name| directory.join(name));
            match setting {
                FileSetting::Default(path) => FileSetting::Default(there(path)),
                FileSetting::Named(path) => FileSetting::Named(there(path)),
                FileSetting::Empty => FileSetting::Empty,
            }
        };
        let files = Self { ca: moved(&self.ca), cert: moved(&self.cert), key: moved(&self.key) };
        let pairs = |files: &Self| {
            let paths = [&files.ca, &files.cert, &files.key].map(|file| file.path().map(Path::to_owned));
            [paths[0] == paths[1], paths[0] == paths[2], paths[1] == paths[2]]
        };
        (pairs(self) == pairs(&files)).then_some(files)
    }
}

/// The variables that decide about TLS. An empty one counts as unset, any other value as true.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// DOCKER_HOST; docker only.
    pub docker_host: Option<String>,
    /// DOCKER_CONTEXT; docker only.
    pub docker_context: Option<String>,
    /// DOCKER_TLS; docker only, since 18.06 (42fa3ef7d8).
    pub docker_tls: bool,
    /// DOCKER_TLS_VERIFY: `0` and `false` count as true.
    pub docker_tls_verify: bool,
    /// DOCKER_CERT_PATH.
    pub docker_cert_path: Option<PathBuf>,
    /// DOCKER_CONFIG.
    pub docker_config: Option<PathBuf>,
    /// HOME.
    pub home: Option<PathBuf>,
}

impl Environment {
    /// Reads the variables that count.
    pub fn read(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let text = |name: &str| set(name).map(|value| value.to_string_lossy().into_owned());
        Self {
            docker_host: text(crate::env::HOST),
            docker_context: text("DOCKER_CONTEXT"),
            docker_tls: set("DOCKER_TLS").is_some(),
            docker_tls_verify: set(crate::env::TLS_VERIFY).is_some(),
            docker_cert_path: set(crate::env::CERT_PATH).map(PathBuf::from),
            docker_config: set("DOCKER_CONFIG").map(PathBuf::from),
            home: set("HOME").map(PathBuf::from),
        }
    }

    /// DOCKER_CONFIG, else `~/.docker` (docker/cli cli/config/config.go `Dir`).
    #[must_use]
    pub fn config_directory(&self) -> PathBuf {
        self.docker_config.clone().unwrap_or_else(|| self.home.clone().unwrap_or_default().join(".docker"))
    }

    /// Where the three files are by default: DOCKER_CERT_PATH, else the configuration directory. `--config` does not
    /// move it, since defaults are made before flags are read (docker/cli cli/flags/options.go `InstallFlags`).
    #[must_use]
    pub fn certificate_directory(&self) -> PathBuf {
        self.docker_cert_path.clone().unwrap_or_else(|| self.config_directory())
    }
}

/// A setting that decides something, or is passed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The flag, variable or key, with its value.
    pub name: String,
    /// What it decides, or why it is passed over.
    pub effect: &'static str,
}

impl Setting {
    pub(crate) fn new(name: impl Into<String>, effect: &'static str) -> Self {
        Self { name: name.into(), effect }
    }
}
