//! docker contexts: their names, where they are stored, what is in them.
//!
//! Source: docker/cli cli/context/store (`ValidateContextName`, metadatastore.go, tlsstore.go), cli/context/docker/load.go
//! (`WithTLSData`, `tlsConfig`), cli/command/cli.go (`resolveContextName`).

mod archive;
mod config;
mod meta;

use std::{
    ffi::OsString,
    fmt::{self, Write},
    path::{Path, PathBuf},
};

use dockseal_pki::Fingerprint;
use serde_json::Value;

pub use self::{
    archive::{EndpointFiles, LongPath, archive},
    config::without_current_context,
    meta::Meta,
};
use crate::{Contents, FilePlan, Ownership, PlannedFile, layout};

/// The context that stands for flags and environment.
pub const DEFAULT: &str = "default";

/// Where a context's files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContextFiles {
    /// Its `meta.json`.
    pub meta: PathBuf,
    /// The directory with ca.pem, cert.pem and key.pem of its docker endpoint.
    pub tls: PathBuf,
}

/// The directory below the configuration directory that holds all contexts.
pub const DIRECTORY: &str = "contexts";
/// The modes of the directories in which metadata and TLS files lie, and of the metadata: as docker makes them
/// (metadatastore.go `createOrUpdate`, tlsstore.go `createOrUpdate`).
pub const META_DIRECTORY_MODE: u32 = 0o755;
/// The mode of a `meta.json`.
pub const META_MODE: u32 = 0o644;
/// The mode of each TLS file, certificates too.
pub const TLS_MODE: u32 = 0o600;
/// The endpoint whose files are used.
const ENDPOINT: &str = "docker";

impl ContextFiles {
    /// The files of the context `name` below a configuration directory: `contexts/{meta,tls}/<sha256 of the name>`.
    #[must_use]
    pub fn of(config_directory: &Path, name: &str) -> Self {
        let mut id = String::with_capacity(64);
        for byte in Fingerprint::of(name.as_bytes()).as_bytes() {
            let _ = write!(id, "{byte:02x}");
        }
        Self::of_id(&config_directory.join(DIRECTORY), &id)
    }

    /// The files of the context whose TLS files are in `directory`, if that is where a context's are.
    #[must_use]
    pub fn of_tls(directory: &Path) -> Option<Self> {
        let (tls, id, endpoint) = parts(directory)?;
        (endpoint == ENDPOINT).then(|| Self::of_id(tls.parent().unwrap_or(Path::new("")), id))
    }

    /// The files of the context whose metadata is `meta`, as it is found in the store.
    #[must_use]
    pub fn of_meta(meta: &Path) -> Option<Self> {
        let directory = meta.parent()?;
        Some(Self::of_id(directory.parent()?.parent()?, directory.file_name()?.to_str()?))
    }

    fn of_id(contexts: &Path, id: &str) -> Self {
        Self {
            meta: contexts.join("meta").join(id).join("meta.json"),
            tls: contexts.join("tls").join(id).join(ENDPOINT),
        }
    }

    /// Where dockseal remembers from which directory the TLS files were copied. docker looks at nothing but meta.json
    /// there, and removes it with the context.
    #[must_use]
    pub fn source(&self) -> PathBuf {
        self.meta.with_file_name("dockseal.source")
    }
}

/// Where a directory that is swapped as a whole can be prepared, and under which stem, if `directory` holds a context's TLS
/// files: docker takes everything beside it for further endpoints, and would export keys from there (tlsstore.go
/// `listContextData`). Beside meta.json it looks at nothing else, and removes all of it with the context.
#[must_use]
pub fn staging_of(directory: &Path) -> Option<(PathBuf, OsString)> {
    let meta = ContextFiles::of_tls(directory)?.meta;
    Some((meta.parent()?.to_owned(), ENDPOINT.into()))
}

/// `…/tls/<64 hexadecimal digits>/<endpoint>` in its parts.
fn parts(directory: &Path) -> Option<(&Path, &str, &str)> {
    let context = directory.parent()?;
    let tls = context.parent().filter(|tls| tls.file_name().is_some_and(|name| name == "tls"))?;
    let id = context.file_name()?.to_str()?;
    let is_digest = id.len() == 64 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    is_digest.then_some((tls, id, directory.file_name()?.to_str()?))
}

impl FilePlan {
    /// The same files with the modes that docker gives those of a context.
    #[must_use]
    pub fn for_context(mut self) -> Self {
        self.directory_mode = layout::DIRECTORY_MODE;
        for file in &mut self.files {
            file.mode = TLS_MODE;
        }
        self
    }

    /// The contents of one of its files; empty if it has no such file.
    #[must_use]
    pub fn contents(&self, name: &str) -> &[u8] {
        self.files.iter().find(|file| file.path == name).map_or(&[], |file| file.contents.bytes())
    }
}

/// The plan for TLS files that are to be copied as they are.
#[must_use]
pub fn copy(ca: Vec<u8>, cert: Vec<u8>, key: zeroize::Zeroizing<String>, ownership: Ownership) -> FilePlan {
    let public = |path: &str, octets| PlannedFile {
        path: path.to_owned(),
        mode: layout::PUBLIC_MODE,
        contents: Contents::Octets(octets),
    };
    let key_mode = ownership.key_mode.unwrap_or_else(|| layout::key_mode(crate::Role::Client));
    let key = PlannedFile { path: layout::KEY_FILE.to_owned(), mode: key_mode, contents: Contents::Secret(key) };
    FilePlan {
        directory_mode: layout::directory_mode(key_mode),
        files: vec![public(layout::CA_FILE, ca), public(layout::CERT_FILE, cert), key],
        ownership,
    }
}

/// Whether `name` can be a context: `^[a-zA-Z0-9][a-zA-Z0-9_.+-]+$`. [`DEFAULT`] can, and is reserved.
#[must_use]
pub fn is_valid_name(name: &str) -> bool {
    let mut letters = name.chars();
    letters.next().is_some_and(|c| c.is_ascii_alphanumeric())
        && name.len() > 1
        && letters.all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '+' | '-'))
}

/// The docker endpoint of a context.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContextEndpoint {
    /// What to dial, as stored.
    pub host: String,
    /// Whether the daemon is not verified.
    pub skip_tls_verify: bool,
}

impl ContextEndpoint {
    /// Reads a `meta.json`; keys match whatever their case, as Go's encoding/json has it.
    ///
    /// # Errors
    /// It is no JSON object, or has no docker endpoint.
    pub fn from_meta(json: &[u8]) -> Result<Self, MetaError> {
        let meta: Value = serde_json::from_slice(json).map_err(MetaError::NotJson)?;
        let docker =
            field(&meta, "Endpoints").and_then(|endpoints| endpoints.get("docker")).ok_or(MetaError::NoEndpoint)?;
        Ok(Self {
            host: field(docker, "Host").and_then(Value::as_str).unwrap_or_default().to_owned(),
            skip_tls_verify: field(docker, "SkipTLSVerify").and_then(Value::as_bool).unwrap_or(false),
        })
    }
}

/// A field of an object, whatever the case of its letters.
fn field<'v>(object: &'v Value, name: &str) -> Option<&'v Value> {
    let object = object.as_object()?;
    object.get(name).or_else(|| object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value))
}

/// The `currentContext` of a config.json; `None` where it names none.
///
/// # Errors
/// It is no JSON. docker warns and goes on as if there were no file.
pub fn current_context(config_json: &[u8]) -> Result<Option<String>, MetaError> {
    let config: Value = serde_json::from_slice(config_json).map_err(MetaError::NotJson)?;
    Ok(field(&config, "currentContext").and_then(Value::as_str).filter(|name| !name.is_empty()).map(str::to_owned))
}

/// Why a context says nothing.
#[derive(Debug)]
pub enum MetaError {
    /// It is no JSON.
    NotJson(serde_json::Error),
    /// It has no endpoint named docker.
    NoEndpoint,
}

impl fmt::Display for MetaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotJson(_) => f.write_str("it is no JSON"),
            Self::NoEndpoint => f.write_str("it has no docker endpoint"),
        }
    }
}

impl std::error::Error for MetaError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NotJson(error) => Some(error),
            Self::NoEndpoint => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_is_keyed_by_the_names_digest() {
        let files = ContextFiles::of(Path::new("/c"), "abc");
        let id = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(files.meta, Path::new("/c/contexts/meta").join(id).join("meta.json"));
        assert_eq!(files.tls, Path::new("/c/contexts/tls").join(id).join("docker"));
    }

    #[test]
    fn nothing_is_staged_where_docker_looks() {
        let files = ContextFiles::of(Path::new("/c"), "abc");
        let (directory, stem) = staging_of(&files.tls).unwrap();
        assert_eq!((directory.as_path(), stem.as_os_str()), (files.meta.parent().unwrap(), "docker".as_ref()));
        assert_eq!(ContextFiles::of_tls(&files.tls), Some(files));
        for other in ["/c/contexts/tls/abc/docker", "/etc/docker/tls", "docker", "/"] {
            assert_eq!(staging_of(Path::new(other)), None, "{other}");
        }
    }

    #[test]
    fn names_and_keys() {
        for name in ["ab", "a.b+c_d-e", "1x"] {
            assert!(is_valid_name(name), "{name}");
        }
        for name in ["", "a", "-a", "a b", "ä1", "../x"] {
            assert!(!is_valid_name(name), "{name}");
        }
        let meta = br#"{"name":"x","ENDPOINTS":{"docker":{"host":"tcp://h:1","skiptlsverify":true}}}"#;
        let endpoint = ContextEndpoint::from_meta(meta).unwrap();
        assert_eq!(endpoint, ContextEndpoint { host: "tcp://h:1".into(), skip_tls_verify: true });
        assert!(matches!(ContextEndpoint::from_meta(b"{}"), Err(MetaError::NoEndpoint)));
        assert_eq!(current_context(br#"{"currentContext":"far"}"#).unwrap().as_deref(), Some("far"));
        assert_eq!(current_context(br#"{"currentContext":""}"#).unwrap(), None);
    }
}
