//! The keys of daemon.json: which dockerd takes, and which one somebody meant who wrote another.
//!
//! Source: moby daemon/config/config.go (`findConfigurationConflicts`, `flatOptions`, `skipValidateOptions`) and
//! daemon/command/config.go, config_unix.go, options.go (the flags); tried with dockerd 20.10 and 26.1. A key is taken if
//! it is the name of a flag or of a named option, letter for letter; what a flag is called and the option is not has no
//! effect.

use crate::version::Version;

/// Whether dockerd takes the key, be it without effect.
pub(crate) fn is_known(key: &str, version: Version) -> bool {
    let is_flag = option_of_flag(key).is_some() || FLAGS_ALONE.contains(&key);
    has_effect(key, version) || is_flag && !(version == Version::V20_10 && FLAGS_SINCE_23_0.contains(&key))
}

/// The key that has the effect for which one is named that dockerd takes and passes over.
pub(crate) fn option_of_flag(key: &str) -> Option<&'static str> {
    NAMED_OPTIONS.iter().find(|(flag, option)| *flag == key && *option != key).map(|(_, option)| *option)
}

/// The key that somebody meant who wrote this one, if one is near: in other letters, cut off, or a slip away.
pub fn meant_key(written: &str, version: Version) -> Option<&'static str> {
    if let Some((_, now)) = RENAMED.iter().find(|(former, _)| *former == written) {
        return Some(now);
    }
    let written = squeezed(written);
    let known = || KEYS.iter().chain(since(version)).copied();
    let flag = || NAMED_OPTIONS.iter().find(|(flag, _)| squeezed(flag) == written).map(|(_, option)| *option);
    let same = known().find(|key| squeezed(key) == written).or_else(flag);
    same.or_else(|| the_one_that_begins_with(&written, known())).or_else(|| nearest(&written, known()))
}

/// What to write in place of keys that dockerd does not take: the rest of a sentence that begins with daemon.json.
pub fn meant_keys(unknown: &[String], version: Version) -> String {
    let each = |key: &String| match meant_key(key, version) {
        Some(meant) => format!("write {meant:?} in place of {key:?} (did you mean {meant}?)"),
        None => format!("remove {key:?}, which no key of dockerd's is like"),
    };
    unknown.iter().map(each).collect::<Vec<_>>().join("; ")
}

/// Letters and digits alone, in lower case.
fn squeezed(key: &str) -> String {
    key.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

fn the_one_that_begins_with(written: &str, known: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let mut begin = known.filter(|key| written.len() >= 4 && squeezed(key).starts_with(written));
    let first = begin.next()?;
    begin.next().is_none().then_some(first)
}

/// At most one slip in four letters.
fn nearest(written: &str, known: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let most = written.len().div_ceil(4).min(3);
    let slips = |key: &&'static str| strsim::osa_distance(written, &squeezed(key));
    known.map(|key| (slips(&key), key)).min().filter(|(slips, _)| *slips <= most).map(|(_, key)| key)
}

fn has_effect(key: &str, version: Version) -> bool {
    KEYS.contains(&key) || since(version).contains(&key)
}

/// The keys that only some releases take.
fn since(version: Version) -> &'static [&'static str] {
    if version == Version::V20_10 { &UNTIL_20_10 } else { &SINCE_23_0 }
}

/// Options that are objects (config.go flatOptions).
pub(crate) const FLAT_OPTIONS: [&str; 7] =
    ["cluster-store-opts", "default-network-opts", "log-opts", "runtimes", "default-ulimits", "features", "builder"];

/// Flags whose key in daemon.json has another name (opts.NamedOption).
pub(crate) const NAMED_OPTIONS: [(&str, &str); 17] = [
    ("host", "hosts"),
    ("authorization-plugin", "authorization-plugins"),
    ("label", "labels"),
    ("dns-opt", "dns-opts"),
    ("exec-opt", "exec-opts"),
    ("log-opt", "log-opts"),
    ("storage-opt", "storage-opts"),
    ("insecure-registry", "insecure-registries"),
    ("registry-mirror", "registry-mirrors"),
    ("default-ulimit", "default-ulimits"),
    ("node-generic-resource", "node-generic-resources"),
    ("default-address-pool", "default-address-pools"),
    ("host-gateway-ip", "host-gateway-ips"),
    ("cdi-spec-dir", "cdi-spec-dirs"),
    ("add-runtime", "runtimes"),
    ("default-network-opt", "default-network-opts"),
    ("feature", "features"),
];

/// Flags that are no option at all.
const FLAGS_ALONE: [&str; 5] = ["config-file", "help", "restart", "validate", "version"];

/// Flags that dockerd 20.10 does not have.
const FLAGS_SINCE_23_0: [&str; 4] = ["cdi-spec-dir", "default-network-opt", "feature", "validate"];

/// Keys of former releases or other places, and what does the same now.
const RENAMED: [(&str, &str); 2] =
    [("graph", "data-root"), ("containerd-plugin-namespace", "containerd-plugins-namespace")];

/// Keys that dockerd 20.10 takes and 23.0 does not.
const UNTIL_20_10: [&str; 5] =
    ["cluster-advertise", "cluster-store", "cluster-store-opts", "graph", "oom-score-adjust"];

/// Keys that dockerd 20.10 does not take and one from 23.0 to 29 does.
const SINCE_23_0: [&str; 13] = [
    "allow-direct-routing",
    "bip6",
    "bridge-accept-fwmark",
    "cdi-spec-dirs",
    "default-network-opts",
    "firewall-backend",
    "host-gateway-ips",
    "http-proxy",
    "https-proxy",
    "ip-forward-no-drop",
    "log-format",
    "no-proxy",
    "nri-opts",
];

/// Every other key from 20.10 to 29 on Linux (docker/docs engine/daemon).
const KEYS: &[&str] = &[
    "allow-nondistributable-artifacts",
    "api-cors-header",
    "authorization-plugins",
    "bip",
    "bridge",
    "builder",
    "cgroup-parent",
    "containerd",
    "containerd-namespace",
    "containerd-plugins-namespace",
    "cpu-rt-period",
    "cpu-rt-runtime",
    "cri-containerd",
    "data-root",
    "debug",
    "default-address-pools",
    "default-cgroupns-mode",
    "default-gateway",
    "default-gateway-v6",
    "default-ipc-mode",
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
    "fixed-cidr",
    "fixed-cidr-v6",
    "group",
    "host-gateway-ip",
    "hosts",
    "icc",
    "init",
    "init-path",
    "insecure-registries",
    "ip",
    "ip-forward",
    "ip-masq",
    "ip6tables",
    "iptables",
    "ipv6",
    "labels",
    "live-restore",
    "log-driver",
    "log-level",
    "log-opts",
    "max-concurrent-downloads",
    "max-concurrent-uploads",
    "max-download-attempts",
    "metrics-addr",
    "mtu",
    "network-control-plane-mtu",
    "network-diagnostic-port",
    "no-new-privileges",
    "node-generic-resources",
    "pidfile",
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
    "tls",
    "tlscacert",
    "tlscert",
    "tlskey",
    "tlsverify",
    "userland-proxy",
    "userland-proxy-path",
    "userns-remap",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_keys_are_found() {
        for (written, meant) in [
            ("tlscert ", Some("tlscert")),
            (" tls", Some("tls")),
            ("TLSCert", Some("tlscert")),
            ("tlscret", Some("tlscert")),
            ("tlscacrt", Some("tlscacert")),
            ("tls-verify", Some("tlsverify")),
            ("tls_ca_cert", Some("tlscacert")),
            ("tlsca", Some("tlscacert")),
            ("Hosts", Some("hosts")),
            ("Host", Some("hosts")),
            ("hosst", Some("hosts")),
            ("dataRoot", Some("data-root")),
            ("graph", Some("data-root")),
            ("log_driver", Some("log-driver")),
            ("insecure_registry", Some("insecure-registries")),
            ("registry-mirorrs", Some("registry-mirrors")),
            ("live-restart", Some("live-restore")),
            ("swarm", Some("swarm-default-advertise-addr")),
            ("nonsense", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(meant_key(written, Version::V29), meant, "{written:?}");
        }
        assert_eq!(meant_key("Graph", Version::V20_10), Some("graph"));
    }
}
