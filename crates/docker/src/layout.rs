//! The names and modes of the files that Docker, and what is built of it, reads.
//!
//! Names: docker/cli cli/flags/options.go (DefaultCaFile, DefaultCertFile, DefaultKeyFile), the same for dockerd
//! (moby daemon/command/options.go). Docker checks no modes at all; these are docker-bench-security's items 3.9 to 3.14,
//! whose script compares the octal digits as decimals, so that 0600 on a certificate fails and 0444 passes.

use std::fmt;

use crate::Role;

/// The trust anchors.
pub const CA_FILE: &str = "ca.pem";
/// The endpoint's certificate, then its intermediates.
pub const CERT_FILE: &str = "cert.pem";
/// The endpoint's private key.
pub const KEY_FILE: &str = "key.pem";
/// A request that waits for its certificate. A name of our own; Docker does not look at it.
pub const REQUEST_FILE: &str = "request.csr";
/// The key of that request, until its certificate is installed and it becomes `key.pem`. A name of our own as well.
pub const RENEWAL_KEY_FILE: &str = "renewal-key.pem";
/// The daemon's configuration (moby daemon/config).
pub const DAEMON_JSON_FILE: &str = "daemon.json";
/// The drop-in for docker.service, as a path inside a daemon's directory.
pub const DROP_IN_FILE: &str = "docker.service.d/dockseal.conf";

/// The mode of what everybody may read: certificates.
pub const PUBLIC_MODE: u32 = 0o444;
/// The mode of configuration.
pub const CONFIGURATION_MODE: u32 = 0o644;
/// The mode of a directory that holds nothing but directories.
pub const OPEN_DIRECTORY_MODE: u32 = 0o755;
/// The mode of a directory that holds a key.
pub const DIRECTORY_MODE: u32 = 0o700;

/// The mode of the private key. A daemon's is 0400 (docker-bench-security 3.14); a person may replace their own.
pub fn key_mode(role: Role) -> u32 {
    match role {
        Role::Authority | Role::Daemon => 0o400,
        Role::Client => 0o600,
    }
}

/// The mode of the directory around a key: whoever may read the key may enter, nobody else.
pub fn directory_mode(key_mode: u32) -> u32 {
    let readers = key_mode & 0o444;
    DIRECTORY_MODE | readers | readers >> 2
}

/// Whose habits a bundle's directory follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Layout {
    /// Docker's own: `ca.pem`, `cert.pem` and `key.pem` in the directory itself.
    #[default]
    Docker,
    /// The image docker:dind's `$DOCKER_TLS_CERTDIR` (docker-library/docker dockerd-entrypoint.sh, `_tls_generate_certs`).
    Dind,
    /// BuildKit's (moby/buildkit examples/create-certs; `buildctl --tlsdir` wants just these three names:
    /// cmd/buildctl/common/common.go, ResolveClient).
    Buildkitd,
    /// A registry's, with the names of its manual (distribution docs/about/deploying.md), and for its clients the daemon's
    /// `certs.d` (moby registry/registry.go, ReadCertsDirectory): every `.crt` is a root, and every `.cert` needs its `.key`.
    Registry,
}

/// What the three files of a bundle are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Names {
    /// The trust anchors.
    pub anchors: &'static str,
    /// The endpoint's certificate, then its intermediates.
    pub chain: &'static str,
    /// The endpoint's private key.
    pub key: &'static str,
}

impl Names {
    /// Docker's own.
    pub const DOCKER: Self = Self { anchors: CA_FILE, chain: CERT_FILE, key: KEY_FILE };
    /// The daemon's by Docker's own instructions, which keep the client's in the same directory (docker/docs
    /// content/manuals/engine/security/protect-access.md); dockerd is told of them by flags or daemon.json.
    pub const INSTRUCTED_DAEMON: Self = Self { anchors: CA_FILE, chain: "server-cert.pem", key: "server-key.pem" };
    const REGISTRY: Self = Self { anchors: "ca.crt", chain: "domain.crt", key: "domain.key" };
    const REGISTRY_CLIENT: Self = Self { anchors: "ca.crt", chain: "client.cert", key: "client.key" };

    /// All that a directory may have.
    pub const ALL: [Self; 3] = [Self::DOCKER, Self::REGISTRY, Self::REGISTRY_CLIENT];

    /// What the daemon's files are called in a directory: by Docker's instructions where one of those is there.
    pub fn of_daemon(is_there: impl Fn(&str) -> bool) -> Self {
        let by_instructions = [Self::INSTRUCTED_DAEMON.chain, Self::INSTRUCTED_DAEMON.key].into_iter().any(is_there);
        if by_instructions { Self::INSTRUCTED_DAEMON } else { Self::DOCKER }
    }

    /// The three, in the order in which they are written.
    pub const fn each(self) -> [&'static str; 3] {
        [self.anchors, self.chain, self.key]
    }
}

impl Layout {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Docker, Self::Dind, Self::Buildkitd, Self::Registry];

    /// Its name, in lower case.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Dind => "dind",
            Self::Buildkitd => "buildkitd",
            Self::Registry => "registry",
        }
    }

    /// The layout of this name.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|layout| layout.word() == word)
    }

    /// What the files of this role are called.
    pub const fn names(self, role: Role) -> Names {
        match (self, role) {
            (Self::Docker | Self::Dind | Self::Buildkitd, _) => Names::DOCKER,
            (Self::Registry, Role::Authority | Role::Daemon) => Names::REGISTRY,
            (Self::Registry, Role::Client) => Names::REGISTRY_CLIENT,
        }
    }

    /// Where in the layout's tree the bundle of this role is, `/` between the parts; nothing where the tree is that one
    /// directory. Below it, a registry's client has a directory for each registry.
    pub const fn directory(self, role: Role) -> Option<&'static str> {
        match (self, role) {
            (Self::Docker, _) => None,
            (Self::Dind, Role::Authority | Role::Daemon) => Some("server"),
            (Self::Buildkitd, Role::Authority | Role::Daemon) => Some("daemon"),
            (Self::Dind | Self::Buildkitd, Role::Client) => Some("client"),
            (Self::Registry, Role::Authority | Role::Daemon) => Some("registry"),
            (Self::Registry, Role::Client) => Some("certs.d"),
        }
    }

    /// By what names a daemon of this kind is dialled besides those that it is given: what docker:dind has in its own
    /// certificate (`_tls_san`), since CI reaches it as `docker`.
    pub const fn usual_names(self) -> &'static [&'static str] {
        match self {
            Self::Dind => &["docker", "localhost"],
            Self::Docker | Self::Buildkitd | Self::Registry => &[],
        }
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// docker:dind's directory for its own authority.
pub const DIND_AUTHORITY_DIRECTORY: &str = "ca";
/// With this file there, docker:dind signs new certificates over what is in `server` and `client` at every start.
pub const DIND_AUTHORITY_KEY: &str = "key.pem";
/// docker:dind before 23.0 makes an authority of its own, and signs over the others, unless this file is there.
pub const DIND_AUTHORITY_FILE: &str = "cert.pem";
/// What we put there: a link, since nothing that is read there says what to trust, and a copy would go stale.
pub const DIND_AUTHORITY_LINK: &str = "../server/ca.pem";
