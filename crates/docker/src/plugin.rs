//! What docker demands of a plugin, and where it looks for one.
//!
//! Source: docker/cli cli-plugins/manager (`getPluginDirs`, `newPlugin`, `PluginRunCommand`, `AddPluginCommandStubs`,
//! `RunHook`), manager_unix.go (`defaultSystemPluginDirs`), cli-plugins/metadata; cmd/docker/docker.go
//! (`setupHelpCommand`, `tryRunPluginHelp`) for help. What it hands to hooks and takes from them is in
//! [`plugin_hooks`](crate::plugin_hooks).

use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::flags::{FlagError, Program, TlsFlags};

/// The word after `docker`.
pub const NAME: &str = "seal";
/// The file that docker runs for it.
pub const FILE: &str = "docker-seal";
/// What tells whose a plugin is; docker takes none without it.
pub const VENDOR: &str = "Dockseal";
/// The argument that asks for the metadata.
pub const METADATA: &str = "docker-cli-plugin-metadata";
/// The argument that comes with a hook's request.
pub const HOOKS: &str = "docker-cli-plugin-hooks";
/// Below the configuration directory, and below those of the system.
pub const DIRECTORY: &str = "cli-plugins";
/// The variable that holds docker's own first argument while a plugin runs.
pub const ORIGINAL_COMMAND: &str = "DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND";
/// The variable with the address of the socket that docker closes when its plugin is to end; `@` begins an abstract one
/// (cli-plugins/socket/socket.go `EnvKey`).
pub const SOCKET: &str = "DOCKER_CLI_PLUGIN_SOCKET";
/// Where docker looks last, in this order (manager_unix.go `defaultSystemPluginDirs`).
pub const SYSTEM_DIRECTORIES: [&str; 4] = [
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
];

/// The arguments with which docker asks a plugin what completes a line (spf13/cobra completions.go).
const COMPLETE: [&str; 2] = ["__complete", "__completeNoDesc"];

/// Whether a program of this name is to behave as the plugin.
#[must_use]
pub fn is_called_as_plugin(program: &OsStr) -> bool {
    Path::new(program).file_name().and_then(OsStr::to_str).is_some_and(|name| [FILE, "docker-seal.exe"].contains(&name))
}

/// What the plugin says of itself. Until 29 docker takes no other schema.
#[must_use]
pub fn metadata(version: &str) -> Value {
    json!({
        "SchemaVersion": "0.1.0",
        "Vendor": VENDOR,
        "Version": version,
        "ShortDescription": "Mutual TLS: certificates for docker and dockerd, judged and kept",
        "URL": "https://docs.docker.com/engine/security/protect-access/",
    })
}

/// Where docker looks for plugins, the first directory first: the first file of a name counts, usable or not.
#[must_use]
pub fn search_directories(config_json: &[u8], config_directory: &Path) -> Vec<PathBuf> {
    let config: Value = serde_json::from_slice(config_json).unwrap_or_default();
    let extra = config.get("cliPluginsExtraDirs").and_then(Value::as_array);
    let extra = extra.into_iter().flatten().filter_map(Value::as_str).map(PathBuf::from);
    extra.chain([config_directory.join(DIRECTORY)]).chain(SYSTEM_DIRECTORIES.map(PathBuf::from)).collect()
}

/// What docker wants of its plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Its metadata.
    Metadata,
    /// What it has to say after a command; the request as JSON.
    Hook {
        /// See [`plugin_hooks`](crate::plugin_hooks).
        request: OsString,
    },
    /// What completes a line, of which these are the words after `docker seal`, the last one unfinished.
    Complete {
        /// The words.
        words: Vec<OsString>,
    },
    /// A command.
    Command {
        /// docker's own flags, which come first.
        flags: TlsFlags,
        /// What follows `seal`.
        arguments: Vec<OsString>,
    },
}

impl Call {
    /// Reads the arguments after the program's name; `None` where docker did not make them.
    ///
    /// # Errors
    /// Flags before `seal` that docker takes for none.
    pub fn read(arguments: &[OsString]) -> Result<Option<Self>, FlagError> {
        let words: Vec<_> = arguments.iter().map(|word| word.to_string_lossy()).collect();
        let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
        match words.as_slice() {
            [METADATA, ..] => return Ok(Some(Self::Metadata)),
            [NAME, HOOKS, ..] => {
                return Ok(Some(Self::Hook { request: arguments.get(2).cloned().unwrap_or_default() }));
            }
            [complete, NAME, ..] if COMPLETE.contains(complete) => {
                return Ok(Some(Self::Complete { words: arguments.get(2..).unwrap_or_default().to_vec() }));
            }
            _ => {}
        }
        let (flags, rest) = TlsFlags::split(Program::Docker, &words)?;
        let (name, asks_for_help) = match rest {
            ["help", NAME, ..] => (1, true),
            [NAME, ..] => (0, flags.given.iter().any(|(flag, _)| flag == "help")),
            _ => return Ok(None),
        };
        let first = arguments.len() - rest.len() + name + 1;
        let mut arguments = arguments.get(first..).unwrap_or_default().to_vec();
        if asks_for_help {
            arguments.push("--help".into());
        }
        Ok(Some(Self::Command { flags, arguments }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(line: &str) -> Option<Call> {
        let words: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        Call::read(&words).unwrap()
    }

    #[test]
    fn what_docker_wants() {
        assert_eq!(call("docker-cli-plugin-metadata"), Some(Call::Metadata));
        assert_eq!(call("seal docker-cli-plugin-hooks {}"), Some(Call::Hook { request: "{}".into() }));
        assert_eq!(call("__complete seal a b"), Some(Call::Complete { words: vec!["a".into(), "b".into()] }));
        assert_eq!(call("verify seal"), None, "not docker's");
        for (line, context, arguments) in [
            ("--context far seal verify --context x", Some("far"), "verify --context x"),
            ("seal", None, ""),
            ("--help seal verify", None, "verify --help"),
            ("help seal verify", None, "verify --help"),
            ("-c far help seal", Some("far"), "--help"),
        ] {
            let Some(Call::Command { flags, arguments: found }) = call(line) else { panic!("{line}") };
            assert_eq!(flags.context.as_deref(), context, "{line}");
            assert_eq!(found.join(OsStr::new(" ")), arguments, "{line}");
        }
    }

    #[test]
    fn who_is_called() {
        for name in ["docker-seal", "/a/docker-seal", "docker-seal.exe"] {
            assert!(is_called_as_plugin(OsStr::new(name)), "{name}");
        }
        for name in ["dockseal", "", "/docker-seal/dockseal", "docker-sealx"] {
            assert!(!is_called_as_plugin(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn extra_directories_come_first() {
        let found = search_directories(br#"{"cliPluginsExtraDirs":["/x"]}"#, Path::new("/c"));
        assert_eq!(found.len(), 6);
        assert_eq!(found[..2], [PathBuf::from("/x"), PathBuf::from("/c/cli-plugins")]);
        assert_eq!(search_directories(b"garbage", Path::new("/c")).len(), 5);
    }
}
