//! What dockerd's flags, variables and daemon.json mean together.
//!
//! Source: moby daemon/command/options.go (`installFlags`, `setDefaultOptions`), daemon/command/daemon.go
//! (`loadDaemonCliConfig`, `newAPIServerTLSConfig`), daemon/config/config.go (`MergeDaemonConfigurations`,
//! `getConflictFreeConfiguration`, `findConfigurationConflicts`). Since 20.10, that `--tls` verifies: 5f5285a6e2.

use std::{fmt, path::PathBuf};

use serde_json::{Map, Value};

use crate::{
    daemon_keys::{FLAT_OPTIONS, NAMED_OPTIONS, is_known, option_of_flag},
    endpoint::{Endpoint, EndpointError},
    flags::TlsFlags,
    mode::DaemonMode,
    settings::{Environment, FileSetting, Setting, TlsFiles},
    version::Version,
};

/// What dockerd was given.
#[derive(Clone, Debug, Default)]
pub struct DaemonRequest {
    /// Its command line.
    pub flags: TlsFlags,
    /// Its environment, which under systemd is not that of a person's shell.
    pub environment: Environment,
    /// The bytes of its daemon.json, if it has one.
    pub daemon_json: Option<Vec<u8>>,
    /// Its release.
    pub version: Version,
}

/// What dockerd will do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DaemonSettings {
    /// Its mode; `--tls` and `--tlsverify` are one, and it says which was written.
    pub mode: DaemonMode,
    /// Its files, where it uses TLS.
    pub files: Option<TlsFiles>,
    /// Where it listens.
    pub listeners: Vec<Endpoint>,
    /// The settings that decided.
    pub decided: Vec<Setting>,
    /// The settings that are passed over.
    pub ignored: Vec<Setting>,
}

/// Why dockerd stops before it reads a certificate.
#[derive(Debug)]
pub enum DaemonFault {
    /// daemon.json is no JSON object of the right types; the text is ours.
    Json(String),
    /// daemon.json has keys that are none of dockerd's.
    UnknownKeys {
        /// The keys, in the order of the alphabet.
        keys: Vec<String>,
    },
    /// The same is said by a flag and in daemon.json.
    Conflict {
        /// Key, the flag's value, the file's value.
        settings: Vec<(String, String, String)>,
    },
    /// dockerd 20.10 crashes on an empty file flag (M20 opts/quotedstring.go `trimQuotes`).
    EmptyFlagPanics {
        /// The flag.
        flag: &'static str,
    },
    /// A host to listen on that is none.
    Endpoint(EndpointError),
}

impl fmt::Display for DaemonFault {
    /// As dockerd says it, but for JSON and the crash.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(text) => f.write_str(text),
            Self::UnknownKeys { keys } => {
                write!(f, "the following directives don't match any configuration option: {}", keys.join(", "))
            }
            Self::Conflict { settings } => {
                f.write_str("the following directives are specified both as a flag and in the configuration file: ")?;
                for (place, (key, flag, file)) in settings.iter().enumerate() {
                    let comma = if place == 0 { "" } else { ", " };
                    write!(f, "{comma}{key}: (from flag: {flag}, from file: {file})")?;
                }
                Ok(())
            }
            Self::EmptyFlagPanics { flag } => {
                write!(f, "dockerd 20.10 crashes on an empty {flag}: index out of range [0] with length 0")
            }
            Self::Endpoint(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for DaemonFault {}

impl DaemonRequest {
    /// What dockerd will do.
    ///
    /// # Errors
    /// It stops.
    pub fn resolve(&self) -> Result<DaemonSettings, DaemonFault> {
        let flags = &self.flags;
        for (flag, value) in
            [("--tlscacert", &flags.tlscacert), ("--tlscert", &flags.tlscert), ("--tlskey", &flags.tlskey)]
        {
            if self.version == Version::V20_10 && value.as_deref() == Some("") {
                return Err(DaemonFault::EmptyFlagPanics { flag });
            }
        }
        let file = self.read_file()?;
        let file_set = flattened(&file);

        // setDefaultOptions: any of these turns the *flags'* TLS on, and only then their files count.
        let flags_tls = flags.tls.unwrap_or(false) || flags.tlsverify.is_some() || self.environment.docker_tls_verify;
        // conf.TLS and conf.TLSVerify: set by flags that were given; opts.TLS is what setDefaultOptions made of it.
        let mut tls = match (flags.tlsverify, flags.tls) {
            (Some(_), _) => Some(true),
            (None, Some(_)) => Some(flags_tls),
            (None, None) => None,
        };
        // mergo: the file's value stays unless it is empty, and false is.
        let file_tls = bool_of(&file, "tls")?;
        if file_tls == Some(true) || tls.is_none() {
            tls = file_tls.or(tls);
        }
        let mut verify = bool_of(&file, "tlsverify")?.or(flags.tlsverify);
        if file_set.contains_key("tlsverify") {
            tls = Some(true);
        }
        let on = tls.unwrap_or(false);
        verify = verify.or(tls);

        let default = TlsFiles::in_directory(&self.environment.certificate_directory());
        let file_of = |key: &str, flag: &Option<String>, default: &FileSetting| -> Result<FileSetting, DaemonFault> {
            if let Some(path) = string_of(&file, key)?.filter(|path| !path.is_empty()) {
                return Ok(FileSetting::Named(PathBuf::from(path)));
            }
            Ok(match default.path() {
                Some(path) if flags_tls => FileSetting::from_flag(flag.as_deref(), path.to_owned(), self.version),
                _ => FileSetting::Empty,
            })
        };
        let files = TlsFiles {
            ca: file_of("tlscacert", &flags.tlscacert, &default.ca)?,
            cert: file_of("tlscert", &flags.tlscert, &default.cert)?,
            key: file_of("tlskey", &flags.tlskey, &default.key)?,
        };
        let mode = match (on, verify) {
            (false, _) => DaemonMode::None,
            (true, Some(false)) => DaemonMode::TlsVerifyFalse,
            (true, _) if flags.tlsverify.is_some() || file_set.contains_key("tlsverify") => DaemonMode::TlsVerify,
            (true, _) => DaemonMode::Tls,
        };
        let (decided, ignored) = self.say(mode, flags_tls, &file_set);
        let listeners = self.listeners(&file, on)?;
        Ok(DaemonSettings { mode, files: on.then_some(files), listeners, decided, ignored })
    }

    /// Which settings won.
    fn say(&self, mode: DaemonMode, flags_tls: bool, file: &Map<String, Value>) -> (Vec<Setting>, Vec<Setting>) {
        let flags = &self.flags;
        let (mut decided, mut ignored) = (Vec::new(), Vec::new());
        let effect = match mode {
            DaemonMode::None => "turns TLS off",
            DaemonMode::Tls | DaemonMode::TlsVerify => "turns TLS and the verification of clients on",
            DaemonMode::TlsVerifyFalse => "turns TLS on, for whoever comes",
        };
        if let Some(value) = flags.tlsverify {
            decided.push(Setting::new(format!("--tlsverify={value}"), effect));
        } else if let Some(value) = file.get("tlsverify") {
            decided.push(Setting::new(format!("tlsverify {value} in daemon.json"), effect));
        } else if let Some(value) = flags.tls {
            decided.push(Setting::new(format!("--tls={value}"), effect));
        } else if let Some(value) = file.get("tls") {
            decided.push(Setting::new(format!("tls {value} in daemon.json"), effect));
        } else {
            decided.push(Setting::new("no TLS flag or key", effect));
        }
        if self.environment.docker_tls_verify && !mode.uses_tls() {
            ignored.push(Setting::new("DOCKER_TLS_VERIFY", "dockerd takes TLS from flags and daemon.json only"));
        }
        let file_flags = flags.tlscacert.is_some() || flags.tlscert.is_some() || flags.tlskey.is_some();
        if file_flags && !flags_tls {
            let why = if mode.uses_tls() {
                "file flags count only beside --tls or --tlsverify as flags"
            } else {
                "alone they do not turn TLS on"
            };
            ignored.push(Setting::new("--tlscacert, --tlscert, --tlskey", why));
        }
        if !mode.uses_tls() && ["tlscacert", "tlscert", "tlskey"].iter().any(|key| file.contains_key(*key)) {
            ignored.push(Setting::new("tlscacert, tlscert, tlskey in daemon.json", "alone they do not turn TLS on"));
        }
        for (key, option) in file.keys().filter_map(|key| Some((key, option_of_flag(key)?))) {
            let name = format!("{key} in daemon.json, where the key is {option}");
            ignored.push(Setting::new(name, "dockerd takes a flag's name there and does nothing with it"));
        }
        (decided, ignored)
    }

    fn read_file(&self) -> Result<Map<String, Value>, DaemonFault> {
        let Some(bytes) = &self.daemon_json else { return Ok(Map::new()) };
        // 29 takes a byte order mark; 20.10 takes neither that nor an empty file.
        let text = match bytes.as_slice() {
            [0xef, 0xbb, 0xbf, rest @ ..] if self.version != Version::V20_10 => rest.to_vec(),
            [0xff, 0xfe, rest @ ..] if self.version != Version::V20_10 => utf16(rest, u16::from_le_bytes)?,
            [0xfe, 0xff, rest @ ..] if self.version != Version::V20_10 => utf16(rest, u16::from_be_bytes)?,
            bytes => bytes.to_vec(),
        };
        if text.trim_ascii().is_empty() && self.version != Version::V20_10 {
            return Ok(Map::new());
        }
        let value = if self.version == Version::V20_10 { first_value(&text) } else { serde_json::from_slice(&text) };
        let file = match value.map_err(|error| DaemonFault::Json(error.to_string()))? {
            Value::Object(file) => file,
            Value::Null => Map::new(),
            _ => return Err(DaemonFault::Json("it is not an object".to_owned())),
        };
        let set = flattened(&file);
        let mut unknown: Vec<String> = set.keys().filter(|key| !is_known(key, self.version)).cloned().collect();
        if !unknown.is_empty() {
            unknown.sort();
            return Err(DaemonFault::UnknownKeys { keys: unknown });
        }
        let conflicts = self.conflicts(&set);
        if !conflicts.is_empty() {
            return Err(DaemonFault::Conflict { settings: conflicts });
        }
        Ok(file)
    }

    /// findConfigurationConflicts: in the order of the flags' names, as pflag visits them.
    fn conflicts(&self, file: &Map<String, Value>) -> Vec<(String, String, String)> {
        let mut given: Vec<(&str, &str, String)> = Vec::new();
        for (name, value) in &self.flags.given {
            let (key, value) = match NAMED_OPTIONS.iter().find(|(flag, _)| flag == name) {
                Some((_, key)) if name == "host" => (*key, format!("[{}]", self.flags.hosts.join(" "))),
                Some((_, key)) => (*key, format!("[{value}]")),
                None => (name.as_str(), value.clone()),
            };
            given.retain(|(flag, ..)| flag != name);
            // config.go skipDuplicates
            if key == "runtimes" {
                continue;
            }
            given.push((name, key, value));
        }
        given.sort();
        given
            .into_iter()
            .filter_map(|(_, key, value)| Some((key.to_owned(), value, as_go_prints(file.get(key)?))))
            .collect()
    }

    fn listeners(&self, file: &Map<String, Value>, on: bool) -> Result<Vec<Endpoint>, DaemonFault> {
        let of_file = match file.get("hosts") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(hosts)) => hosts.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            Some(_) => return Err(wrong_type("hosts", "[]string")),
        };
        let hosts = if of_file.is_empty() { self.flags.hosts.clone() } else { of_file };
        if hosts.is_empty() {
            return Ok(vec![Endpoint::parse("", on).map_err(DaemonFault::Endpoint)?]);
        }
        hosts.iter().map(|host| Endpoint::parse(host, on).map_err(DaemonFault::Endpoint)).collect()
    }
}

/// json.Decoder, which does not look behind the first value (M20 getConflictFreeConfiguration); 23.0 and later read the
/// file with json.Unmarshal and do not start (moby pull request 42393, issue 44905).
fn first_value(text: &[u8]) -> serde_json::Result<Value> {
    serde_json::Deserializer::from_slice(text).into_iter().next().unwrap_or_else(|| serde_json::from_slice(text))
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<Vec<u8>, DaemonFault> {
    let units = bytes.chunks(2).map(|pair| unit([pair[0], pair.get(1).copied().unwrap_or_default()]));
    char::decode_utf16(units)
        .collect::<Result<String, _>>()
        .map(String::into_bytes)
        .map_err(|_| DaemonFault::Json("failed to decode configuration JSON".to_owned()))
}

/// configValuesSet: objects are opened one level, but for options that are objects themselves.
fn flattened(file: &Map<String, Value>) -> Map<String, Value> {
    let mut set = Map::new();
    for (key, value) in file {
        match value {
            Value::Object(inner) if !FLAT_OPTIONS.contains(&key.as_str()) => {
                set.extend(inner.iter().map(|(key, value)| (key.clone(), value.clone())));
            }
            _ => {
                set.insert(key.clone(), value.clone());
            }
        }
    }
    set
}

fn bool_of(file: &Map<String, Value>, key: &'static str) -> Result<Option<bool>, DaemonFault> {
    match file.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(value)) => Ok(Some(*value)),
        Some(_) => Err(wrong_type(key, "bool")),
    }
}

fn string_of<'f>(file: &'f Map<String, Value>, key: &str) -> Result<Option<&'f str>, DaemonFault> {
    match file.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(value)) => Ok(Some(value)),
        Some(_) => Err(wrong_type(key, "string")),
    }
}

fn wrong_type(key: &str, wanted: &str) -> DaemonFault {
    DaemonFault::Json(format!("json: cannot unmarshal the value of {key} into a Go {wanted}"))
}

/// Go's `%v`.
fn as_go_prints(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(as_go_prints).collect();
            format!("[{}]", items.join(" "))
        }
        Value::Object(items) => {
            let items: Vec<String> =
                items.iter().map(|(key, value)| format!("{key}:{}", as_go_prints(value))).collect();
            format!("map[{}]", items.join(" "))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::{Program, take_assignments, words};

    fn resolve(line: &str, json: Option<&str>) -> Result<DaemonSettings, DaemonFault> {
        let mut words = words(line).unwrap();
        let variables = take_assignments(&mut words);
        let find = |name: &str| variables.iter().find(|(key, _)| key == name).map(|(_, value)| value.into());
        DaemonRequest {
            flags: TlsFlags::parse(Program::Dockerd, &words).unwrap(),
            environment: Environment::read(find),
            daemon_json: json.map(|json| json.as_bytes().to_vec()),
            version: Version::V29,
        }
        .resolve()
    }

    #[test]
    fn what_turns_tls_on() {
        use DaemonMode as M;
        for (line, json, mode) in [
            ("", None, M::None),
            ("--tls", None, M::Tls),
            ("--tlsverify", None, M::TlsVerify),
            ("--tlsverify=false", None, M::TlsVerifyFalse),
            ("--tls=false --tlsverify=false", None, M::TlsVerifyFalse),
            ("--tls --tlsverify=false", None, M::TlsVerifyFalse),
            ("--tls=false", None, M::None),
            ("--tlscert=x --tlskey=y", None, M::None),
            ("DOCKER_TLS_VERIFY=1 -H tcp://x", None, M::None),
            ("DOCKER_TLS_VERIFY=1 --tls=false", None, M::Tls),
            ("", Some(r#"{"tls":true}"#), M::Tls),
            ("", Some(r#"{"tlsverify":false}"#), M::TlsVerifyFalse),
            ("", Some(r#"{"tls":false,"tlsverify":true}"#), M::TlsVerify),
            ("", Some(r#"{"tls":false,"tlsverify":false}"#), M::TlsVerifyFalse),
            ("--tls", Some(r#"{"tlsverify":false}"#), M::TlsVerifyFalse),
            ("--tlsverify", Some(r#"{"tlscert":"x"}"#), M::TlsVerify),
            ("", Some("\u{feff}{\"tls\":true}"), M::Tls),
        ] {
            assert_eq!(resolve(line, json).unwrap().mode, mode, "{line} {json:?}");
        }
    }

    #[test]
    fn files_need_a_flag_beside_them() {
        let json = Some(r#"{"tlsverify":true}"#);
        let dropped = resolve("--tlscacert=a --tlscert=b --tlskey=c", json).unwrap();
        let files = dropped.files.unwrap();
        assert_eq!([files.ca, files.cert, files.key], [FileSetting::Empty, FileSetting::Empty, FileSetting::Empty]);
        assert_eq!(dropped.ignored.len(), 1);
        let reverse = resolve("--tlsverify", Some(r#"{"tlscert":"b","tlskey":"c"}"#)).unwrap().files.unwrap();
        assert_eq!(reverse.cert, FileSetting::Named("b".into()));
        assert_eq!(reverse.ca, FileSetting::Default(".docker/ca.pem".into()));
    }

    #[test]
    fn conflicts_read_as_dockerds() {
        let error = resolve("-H fd:// --tlsverify", Some(r#"{"hosts":["tcp://x:1"],"tlsverify":true}"#)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the following directives are specified both as a flag and in the configuration file: hosts: (from flag: \
             [fd://], from file: [tcp://x:1]), tlsverify: (from flag: true, from file: true)"
        );
        let error = resolve("", Some(r#"{"tls-verify":true,"hosts":[]}"#)).unwrap_err();
        assert_eq!(error.to_string(), "the following directives don't match any configuration option: tls-verify");
        for json in ["[]", "{", r#"{"tls":"yes"}"#, r#"{"hosts":"tcp://x"}"#, r#"{"tlscert":1}"#] {
            assert!(matches!(resolve("", Some(json)), Err(DaemonFault::Json(_))), "{json}");
        }
    }

    /// Tried with dockerd 20.10; that 23.0 stops is moby issue 44905.
    #[test]
    fn text_behind_the_object_stops_all_but_20_10() {
        let resolve = |json: &str, version| {
            let daemon_json = Some(json.as_bytes().to_vec());
            DaemonRequest { daemon_json, version, ..DaemonRequest::default() }.resolve()
        };
        for json in [
            "{\"tls\":true}\n}\n",
            "{\"tls\":true} {\"tls\":false}",
            "{\"tls\":true}x",
            "{\"tls\":true}\u{e9}",
            "{\"tls\":true},",
        ] {
            assert_eq!(resolve(json, Version::V20_10).unwrap().mode, DaemonMode::Tls, "{json}");
            for version in [Version::V28, Version::V29] {
                assert!(matches!(resolve(json, version), Err(DaemonFault::Json(_))), "{json}");
            }
        }
        for json in ["{\"tls\":true", "x {}", "", "{\"tls\":tru}"] {
            assert!(matches!(resolve(json, Version::V20_10), Err(DaemonFault::Json(_))), "{json}");
        }
    }

    #[test]
    fn where_it_listens() {
        let shown = |line: &str, json| -> Vec<String> {
            resolve(line, json).unwrap().listeners.iter().map(ToString::to_string).collect()
        };
        assert_eq!(shown("", None), ["unix:///var/run/docker.sock"]);
        assert_eq!(shown("--tls", None), ["tcp://localhost:2376"]);
        assert_eq!(shown("--tls -H tcp://10.0.0.5", None), ["tcp://10.0.0.5:2375"]);
        assert_eq!(shown("", Some(r#"{"hosts":["fd://","tcp://0.0.0.0:2376"]}"#)), ["fd://", "tcp://0.0.0.0:2376"]);
    }
}
