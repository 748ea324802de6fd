//! What flags, variables and daemon.json come to: a mode, and the files that Docker will open.
//!
//! Nothing here reads the environment or a file. Sources: docker/cli v29.7.2 cli/flags/options.go (`InstallFlags`,
//! `SetDefaultOptions`), v20.10.24 cli/flags/common.go; moby v29.7.2 daemon/command/options.go (`setDefaultOptions`),
//! daemon/command/daemon.go (`loadDaemonCliConfig`) and daemon/config/config.go (`MergeDaemonConfigurations`).

use std::fmt;
use std::path::{Path, PathBuf};

/// A file that Docker will open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FilePath {
    /// The default name in the default directory.
    Default(PathBuf),
    /// Named by a flag or in daemon.json.
    Named(PathBuf),
    /// The empty path: no file at all.
    Empty,
}

impl FilePath {
    pub(super) fn named(text: &str) -> Self {
        if text.is_empty() {
            Self::Empty
        } else {
            Self::Named(text.into())
        }
    }
}

/// The three files of a side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePaths {
    /// The CA file.
    pub ca: FilePath,
    /// The certificate file.
    pub cert: FilePath,
    /// The key file.
    pub key: FilePath,
}

/// The variables that Docker looks at; a variable that is not set is `None`, one that is set to nothing is `Some("")`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// DOCKER_TLS; dockerd does not know it.
    pub docker_tls: Option<String>,
    /// DOCKER_TLS_VERIFY.
    pub docker_tls_verify: Option<String>,
    /// DOCKER_CERT_PATH.
    pub docker_cert_path: Option<String>,
    /// DOCKER_CONFIG.
    pub docker_config: Option<String>,
    /// The home directory of the user that the program runs as.
    pub home: Option<String>,
}

impl Environment {
    /// The same from a lookup such as `std::env::var`.
    #[must_use]
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Self {
        Self {
            docker_tls: lookup("DOCKER_TLS"),
            docker_tls_verify: lookup("DOCKER_TLS_VERIFY"),
            docker_cert_path: lookup("DOCKER_CERT_PATH"),
            docker_config: lookup("DOCKER_CONFIG"),
            home: lookup("HOME"),
        }
    }

    /// Where the default files are.
    pub(super) fn certificate_directory(&self) -> PathBuf {
        let set = |variable: &Option<String>| {
            variable
                .clone()
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        set(&self.docker_cert_path)
            .or_else(|| set(&self.docker_config))
            .unwrap_or_else(|| set(&self.home).unwrap_or_default().join(".docker"))
    }

    /// Any text but the empty one is true, `0` and `false` too.
    pub(super) fn is_on(variable: Option<&String>) -> bool {
        variable.is_some_and(|value| !value.is_empty())
    }
}

/// Why Docker stops before it looks at a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettingsError {
    /// A flag has a value that does not parse, or none where it needs one.
    BadFlag {
        /// The flag without dashes.
        flag: String,
    },
    /// 20.10 crashes on the empty value of a file flag.
    EmptyFlagPanics {
        /// The flag without dashes.
        flag: String,
    },
    /// daemon.json is no JSON object, or a value has the wrong type.
    MalformedJson {
        /// What is wrong with it.
        reason: String,
    },
    /// daemon.json has keys that dockerd does not know.
    UnknownKeys {
        /// The keys.
        keys: Vec<String>,
    },
    /// The same setting is given as a flag and in daemon.json.
    Conflicts {
        /// The keys of daemon.json.
        keys: Vec<String>,
    },
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadFlag { flag } => write!(f, "the value of --{flag} does not parse"),
            Self::EmptyFlagPanics { flag } => write!(f, "20.10 crashes on an empty --{flag}"),
            Self::MalformedJson { reason } => write!(f, "daemon.json is not usable: {reason}"),
            Self::UnknownKeys { keys } => write!(
                f,
                "dockerd does not know these keys of daemon.json: {}",
                keys.join(", ")
            ),
            Self::Conflicts { keys } => {
                write!(
                    f,
                    "given both as a flag and in daemon.json: {}",
                    keys.join(", ")
                )
            }
        }
    }
}

impl std::error::Error for SettingsError {}

/// The flags that decide about TLS, as typed; both programs spell them alike.
#[derive(Clone, Debug, Default)]
pub(super) struct Flags {
    pub(super) tls: Option<bool>,
    pub(super) tlsverify: Option<bool>,
    pub(super) ca: Option<String>,
    pub(super) cert: Option<String>,
    pub(super) key: Option<String>,
    /// The long names of all flags given, without dashes.
    pub(super) given: Vec<String>,
}

/// Flags of either program that need no value.
const SWITCHES: &[&str] = &[
    "tls",
    "tlsverify",
    "debug",
    "version",
    "help",
    "validate",
    "experimental",
    "icc",
    "init",
    "ip-forward",
    "ip-masq",
    "iptables",
    "ip6tables",
    "ipv6",
    "live-restore",
    "raw-logs",
    "selinux-enabled",
    "userland-proxy",
    "allow-direct-routing",
    "ip-forward-no-drop",
];

impl Flags {
    /// Reads pflag syntax up to the first word that is no flag.
    pub(super) fn parse(
        args: &[String],
        strips_quotes: bool,
        empty_panics: bool,
    ) -> Result<Self, SettingsError> {
        let mut flags = Self::default();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let Some(name) = flag_name(arg) else { break };
            let (name, inline) = match name.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (name, None),
            };
            let bad = || SettingsError::BadFlag {
                flag: name.to_owned(),
            };
            let is_switch = SWITCHES.contains(&name);
            let value = match inline {
                Some(value) => value,
                None if is_switch => "true".to_owned(),
                None => args.next().cloned().ok_or_else(bad)?,
            };
            flags.given.push(name.to_owned());
            let path = || -> Result<Option<String>, SettingsError> {
                if empty_panics && value.is_empty() {
                    return Err(SettingsError::EmptyFlagPanics {
                        flag: name.to_owned(),
                    });
                }
                Ok(Some(if strips_quotes {
                    without_quotes(&value).to_owned()
                } else {
                    value.clone()
                }))
            };
            match name {
                "tls" => flags.tls = Some(parse_bool(&value).ok_or_else(bad)?),
                "tlsverify" => flags.tlsverify = Some(parse_bool(&value).ok_or_else(bad)?),
                "tlscacert" => flags.ca = path()?,
                "tlscert" => flags.cert = path()?,
                "tlskey" => flags.key = path()?,
                _ => {}
            }
        }
        Ok(flags)
    }

    /// What a flag names, else the default file.
    pub(super) fn paths(&self, directory: &Path) -> FilePaths {
        let path = |flag: &Option<String>, name: &str| match flag {
            Some(value) => FilePath::named(value),
            None => FilePath::Default(directory.join(name)),
        };
        FilePaths {
            ca: path(&self.ca, "ca.pem"),
            cert: path(&self.cert, "cert.pem"),
            key: path(&self.key, "key.pem"),
        }
    }
}

/// The long name of a flag with what follows it.
fn flag_name(arg: &str) -> Option<&str> {
    if let Some(name) = arg.strip_prefix("--") {
        return Some(name).filter(|name| !name.is_empty());
    }
    match arg.strip_prefix('-')? {
        "" => None,
        "D" => Some("debug"),
        "v" => Some("version"),
        "H" => Some("host"),
        "c" => Some("context"),
        "l" => Some("log-level"),
        "G" => Some("group"),
        "b" => Some("bridge"),
        "g" => Some("graph"),
        "p" => Some("pidfile"),
        "s" => Some("storage-driver"),
        // The value is in the same word.
        other => Some(if other.starts_with('H') {
            "host="
        } else {
            other
        }),
    }
}

/// Go's strconv.ParseBool.
fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// One pair of equal quotes around the whole value goes (opts/quotedstring.go).
fn without_quotes(value: &str) -> &str {
    let inner = |quote| {
        value
            .strip_prefix(quote)
            .and_then(|value| value.strip_suffix(quote))
    };
    inner('"').or_else(|| inner('\'')).unwrap_or(value)
}
