//! docker contexts: their names, where they are stored, what is in them.
//!
//! Source: docker/cli cli/context/store (`ValidateContextName`, metadatastore.go, tlsstore.go), cli/context/docker/load.go
//! (`WithTLSData`, `tlsConfig`), cli/command/cli.go (`resolveContextName`).

use std::{
    fmt::{self, Write},
    path::{Path, PathBuf},
};

use dockseal_pki::Fingerprint;
use serde_json::Value;

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

impl ContextFiles {
    /// The files of the context `name` below a configuration directory: `contexts/{meta,tls}/<sha256 of the name>`.
    #[must_use]
    pub fn of(config_directory: &Path, name: &str) -> Self {
        let mut id = String::with_capacity(64);
        for byte in Fingerprint::of(name.as_bytes()).as_bytes() {
            let _ = write!(id, "{byte:02x}");
        }
        let contexts = config_directory.join("contexts");
        Self {
            meta: contexts.join("meta").join(&id).join("meta.json"),
            tls: contexts.join("tls").join(id).join("docker"),
        }
    }
}

/// Whether `name` can be a context: `^[a-zA-Z0-9][a-zA-Z0-9_.+-]+$`.
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
