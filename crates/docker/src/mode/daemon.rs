//! What dockerd makes of its flags, variables and daemon.json.

use serde_json::{Map, Value};

use super::DaemonMode;
use super::settings::{Environment, FilePath, FilePaths, Flags, SettingsError};
use crate::version::Version;

/// How dockerd will listen on TCP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DaemonSettings {
    /// The mode.
    pub mode: DaemonMode,
    /// The files that dockerd opens if the mode has TLS.
    pub files: FilePaths,
}

impl DaemonSettings {
    /// Resolves dockerd's arguments, its environment and the text of its daemon.json.
    ///
    /// # Errors
    /// dockerd stops while it reads its configuration.
    pub fn resolve(
        args: &[String],
        environment: &Environment,
        daemon_json: Option<&str>,
        version: Version,
    ) -> Result<Self, SettingsError> {
        let flags = Flags::parse(args, version < Version::V29, version == Version::V20_10)?;
        let file = FileSettings::read(daemon_json.unwrap_or("{}"), &flags.given)?;

        // The variable alone counts for the files, not for TLS itself (loadDaemonCliConfig looks at flags only).
        let variable = Environment::is_on(environment.docker_tls_verify.as_ref());
        let verify = flags.tlsverify.unwrap_or(variable);
        let tls_on = flags.tls == Some(true) || flags.tlsverify.is_some() || verify;
        let tls_flag = if flags.tlsverify.is_some() {
            Some(true)
        } else {
            flags.tls.map(|_| tls_on)
        };

        // What the file says goes before what the flags say; where both are given dockerd has stopped already.
        let tls = if file.tlsverify.is_some() {
            Some(true)
        } else {
            file.tls.or(tls_flag)
        };
        let tlsverify = file.tlsverify.or(flags.tlsverify);
        let mode = match (tls.unwrap_or(false), tlsverify) {
            (false, _) => DaemonMode::None,
            (true, Some(false)) => DaemonMode::TlsVerifyFalse,
            (true, Some(true)) => DaemonMode::TlsVerify,
            (true, None) => DaemonMode::Tls,
        };
        // Files given as flags, and the default ones, count only if flags or the variable turned TLS on.
        let from_flags = if tls_on {
            flags.paths(&environment.certificate_directory())
        } else {
            FilePaths {
                ca: FilePath::Empty,
                cert: FilePath::Empty,
                key: FilePath::Empty,
            }
        };
        let choose = |file: Option<String>, flag: FilePath| match file {
            Some(path) if !path.is_empty() => FilePath::Named(path.into()),
            _ => flag,
        };
        let files = FilePaths {
            ca: choose(file.ca, from_flags.ca),
            cert: choose(file.cert, from_flags.cert),
            key: choose(file.key, from_flags.key),
        };
        Ok(Self { mode, files })
    }
}

#[derive(Default)]
struct FileSettings {
    tls: Option<bool>,
    tlsverify: Option<bool>,
    ca: Option<String>,
    cert: Option<String>,
    key: Option<String>,
}

impl FileSettings {
    fn read(text: &str, given: &[String]) -> Result<Self, SettingsError> {
        let malformed = |reason: String| SettingsError::MalformedJson { reason };
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let object: Map<String, Value> =
            serde_json::from_str(text).map_err(|error| malformed(error.to_string()))?;
        let unknown: Vec<String> = object
            .keys()
            .filter(|key| !KEYS.contains(&key.as_str()))
            .cloned()
            .collect();
        if !unknown.is_empty() {
            return Err(SettingsError::UnknownKeys { keys: unknown });
        }
        let conflicts: Vec<String> = object
            .keys()
            .filter(|key| given.iter().any(|flag| names_key(flag, key)))
            .cloned()
            .collect();
        if !conflicts.is_empty() {
            return Err(SettingsError::Conflicts { keys: conflicts });
        }
        let switch = |key: &str| match object.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(*value)),
            Some(_) => Err(malformed(format!("{key} is not true or false"))),
        };
        let path = |key: &str| match object.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(value)) => Ok(Some(value.clone())),
            Some(_) => Err(malformed(format!("{key} is no string"))),
        };
        Ok(Self {
            tls: switch("tls")?,
            tlsverify: switch("tlsverify")?,
            ca: path("tlscacert")?,
            cert: path("tlscert")?,
            key: path("tlskey")?,
        })
    }
}

/// Whether a flag sets a key of daemon.json; flags that can be repeated have a key in the plural.
fn names_key(flag: &str, key: &str) -> bool {
    flag == key
        || match flag {
            "insecure-registry" => key == "insecure-registries",
            "default-address-pool" => key == "default-address-pools",
            "node-generic-resource" => key == "node-generic-resources",
            "add-runtime" => key == "runtimes",
            "feature" => key == "features",
            _ => key.strip_suffix('s') == Some(flag),
        }
}

/// The keys of daemon.json (moby daemon/config/config.go, `Config` and `CommonConfig`; 20.10's own included).
const KEYS: &[&str] = &[
    "allow-direct-routing",
    "allow-nondistributable-artifacts",
    "api-cors-header",
    "authorization-plugins",
    "bip",
    "bip6",
    "bridge",
    "bridge-accept-fwmark",
    "builder",
    "cdi-spec-dirs",
    "cgroup-parent",
    "cluster-advertise",
    "cluster-store",
    "cluster-store-opts",
    "containerd",
    "containerd-namespace",
    "containerd-plugin-namespace",
    "cpu-rt-period",
    "cpu-rt-runtime",
    "data-root",
    "debug",
    "default-address-pools",
    "default-cgroupns-mode",
    "default-gateway",
    "default-gateway-v6",
    "default-ipc-mode",
    "default-network-opts",
    "default-runtime",
    "default-shm-size",
    "default-ulimits",
    "deprecated-key-path",
    "dns",
    "dns-opts",
    "dns-search",
    "exec-opts",
    "exec-root",
    "experimental",
    "features",
    "firewall-backend",
    "fixed-cidr",
    "fixed-cidr-v6",
    "graph",
    "group",
    "host-gateway-ip",
    "host-gateway-ips",
    "hosts",
    "http-proxy",
    "https-proxy",
    "icc",
    "init",
    "init-path",
    "insecure-registries",
    "ip",
    "ip-forward",
    "ip-forward-no-drop",
    "ip-masq",
    "ip6tables",
    "iptables",
    "ipv6",
    "labels",
    "live-restore",
    "log-driver",
    "log-format",
    "log-level",
    "log-opts",
    "max-concurrent-downloads",
    "max-concurrent-uploads",
    "max-download-attempts",
    "metrics-addr",
    "min-api-version",
    "mtu",
    "network-control-plane-mtu",
    "network-diagnostic-port",
    "no-new-privileges",
    "no-proxy",
    "node-generic-resources",
    "oom-score-adjust",
    "pidfile",
    "proxies",
    "raw-logs",
    "registry-mirrors",
    "rootless",
    "runtimes",
    "seccomp-profile",
    "selinux-enabled",
    "shutdown-timeout",
    "storage-driver",
    "storage-opts",
    "swarm-default-advertise-addr",
    "swarm-raft-election-tick",
    "swarm-raft-heartbeat-tick",
    "tls",
    "tlscacert",
    "tlscert",
    "tlskey",
    "tlsverify",
    "userland-proxy",
    "userland-proxy-path",
    "userns-remap",
    "validate",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(
        args: &[&str],
        environment: &Environment,
        json: &str,
    ) -> Result<DaemonSettings, SettingsError> {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        DaemonSettings::resolve(&args, environment, Some(json), Version::V29)
    }

    fn mode(args: &[&str], environment: &Environment, json: &str) -> DaemonMode {
        resolve(args, environment, json).unwrap().mode
    }

    #[test]
    fn flags_and_file() {
        let none = Environment::default();
        assert_eq!(mode(&["--tls"], &none, "{}"), DaemonMode::Tls);
        assert_eq!(
            mode(&["--tlsverify=false"], &none, "{}"),
            DaemonMode::TlsVerifyFalse
        );
        assert_eq!(
            mode(&["--tls=false", "--tlsverify=false"], &none, "{}"),
            DaemonMode::TlsVerifyFalse
        );
        assert_eq!(mode(&["--tls=false"], &none, "{}"), DaemonMode::None);
        assert_eq!(mode(&[], &none, r#"{"tls": true}"#), DaemonMode::Tls);
        assert_eq!(
            mode(&[], &none, r#"{"tls": false, "tlsverify": true}"#),
            DaemonMode::TlsVerify
        );
        assert_eq!(
            mode(&[], &none, r#"{"tlsverify": false}"#),
            DaemonMode::TlsVerifyFalse
        );
        assert_eq!(
            mode(&["--tls"], &none, r#"{"tlsverify": false}"#),
            DaemonMode::TlsVerifyFalse
        );
    }

    #[test]
    fn the_variable_alone_turns_nothing_on() {
        let variable = Environment {
            docker_tls_verify: Some("1".into()),
            ..Environment::default()
        };
        assert_eq!(mode(&[], &variable, "{}"), DaemonMode::None);
        assert_eq!(mode(&["--tls=false"], &variable, "{}"), DaemonMode::Tls);
    }

    #[test]
    fn conflicts_and_unknown_keys() {
        let none = Environment::default();
        assert!(matches!(
            resolve(&["-H", "fd://"], &none, r#"{"hosts": []}"#),
            Err(SettingsError::Conflicts { .. })
        ));
        assert!(matches!(
            resolve(&["--tlsverify"], &none, r#"{"tlsverify": true}"#),
            Err(SettingsError::Conflicts { .. })
        ));
        assert!(matches!(
            resolve(&[], &none, r#"{"tls-verify": true}"#),
            Err(SettingsError::UnknownKeys { .. })
        ));
        assert!(matches!(
            resolve(&[], &none, r#"{"tls": "yes"}"#),
            Err(SettingsError::MalformedJson { .. })
        ));
    }

    #[test]
    fn file_flags_without_a_tls_flag_are_dropped() {
        let settings = resolve(
            &["--tlscert=a", "--tlskey=b"],
            &Environment::default(),
            r#"{"tlsverify": true}"#,
        )
        .unwrap();
        assert_eq!(settings.files.cert, FilePath::Empty);
        let settings = resolve(
            &["--tlsverify"],
            &Environment::default(),
            r#"{"tlscert": "a"}"#,
        )
        .unwrap();
        assert_eq!(settings.files.cert, FilePath::Named("a".into()));
    }
}
