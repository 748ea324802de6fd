//! What the command line finds beside the judge: settings, permissions, versions.

use dockseal_verify::{Check, Severity};

macro_rules! notes {
    ($($name:ident, $id:literal, $severity:ident, $means:literal, $mend:literal, $source:literal;)*) => {
        /// A finding of the command line's own.
        #[derive(Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Note { $($name,)* }

        impl Note {
            pub(crate) const ALL: &'static [Self] = &[$(Self::$name,)*];

            fn entry(self) -> Entry {
                match self {
                    $(Self::$name => Entry {
                        id: $id, severity: Severity::$severity, means: $means, remedy: $mend, source: $source,
                    },)*
                }
            }
        }
    };
}

/// One line of the catalogue.
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) id: &'static str,
    pub(crate) severity: Severity,
    pub(crate) means: &'static str,
    pub(crate) remedy: &'static str,
    pub(crate) source: &'static str,
}

notes! {
    SettingsRefused, "settings-refused", Refusal,
        "docker or dockerd stops because of its own flags, variables or configuration, before it reads a certificate.",
        "Mend the setting that is named.",
        "docker/cli cli/command/cli.go; moby daemon/config/config.go (findConfigurationConflicts)";
    SettingPassedOver, "setting-passed-over", Warning,
        "A setting about TLS is there and has no effect, because another one is stronger or it means nothing alone.",
        "Remove it, or the stronger one.",
        "docker/cli cli/command/cli.go (resolveContextName), cli/flags/options.go (SetDefaultOptions)";
    DoubtfulValue, "doubtful-value", Warning,
        "docker takes a host and a directory as they are written: quotation marks, carriage returns, a tilde and https:// too.",
        "Write the value that is named instead.",
        "docker/cli opts/hosts.go (ParseHost), cli/flags/options.go (InstallFlags); moby client/client.go (ParseHostURL)";
    TlsOnASocket, "tls-on-a-socket", Refusal,
        "docker 20.10 speaks TLS even on a unix socket, where no daemon does.",
        "Unset DOCKER_TLS_VERIFY and DOCKER_TLS, or dial the daemon over TCP.",
        "docker/cli 67f029ec02 (28.2.0 ignores TLS there)";
    TlsUnused, "tls-unused", Warning,
        "TLS is turned on and what is dialled is no TCP address: the files are read and then not used.",
        "Unset the TLS settings, or dial the daemon over TCP.",
        "docker/cli 67f029ec02; moby daemon/listeners (TLS is never applied to unix sockets)";
    NotMutual, "not-mutual", Refusal,
        "What docker is set to do is no mutual TLS: the daemon is not verified, or the client shows no certificate.",
        "Set DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH to a directory with ca.pem, cert.pem and key.pem; dockseal env prints both.",
        "docker/cli cli/flags/options.go (SetDefaultOptions)";
    DefaultPort, "default-port", Warning,
        "An address without a port means 2375 even with TLS, and by custom TLS is on 2376.",
        "Name the port.",
        "docker/cli opts/hosts.go (ParseTCPAddr); the manual page says 2376";
    VersionDependent, "version-dependent", Warning,
        "Docker's releases are built with different releases of Go, and they decide differently here.",
        "Use material that every release accepts, or say which release is meant with --docker and --dockerd.",
        "Go src/crypto/x509, src/crypto/tls of 1.19, 1.24 and 1.26";
    CertificateOverlooked, "certificate-overlooked", Warning,
        "Docker overlooks a certificate of the file, because the file is not PEM as Go reads it: a byte order mark, blocks on one line, blanks before BEGIN or END, another label.",
        "Write the files anew, as Docker reads them: dockseal repair DIR",
        "Go src/encoding/pem/pem.go (Decode)";
    KeyReadable, "key-readable-by-others", Advice,
        "The private key can be read by others than its owner. Docker does not look at permissions.",
        "chmod 0600 the key, or 0400 for the daemon's.",
        "docker-bench-security 3.14; docker/cli and moby check no modes";
    WorldWritable, "world-writable", Advice,
        "Anybody on the machine may change a key, a certificate or a CA file, or its directory: who writes the CA file says whom Docker trusts. Docker does not look at permissions.",
        "chmod o-w what is named.",
        "docker-bench-security 3.9 to 3.14; docker/cli and moby check no modes";
    HostAssumed, "host-assumed", Advice,
        "Nobody said what clients dial, so the first name of the daemon's certificate is taken.",
        "Say it with --host.",
        "none: a choice of this program";
}

impl Note {
    pub(crate) fn id(self) -> &'static str {
        self.entry().id
    }

    pub(crate) fn severity(self) -> Severity {
        self.entry().severity
    }

    pub(crate) fn remedy(self) -> &'static str {
        self.entry().remedy
    }
}

/// Every check of the judge, then every note.
pub(crate) fn catalogue() -> impl Iterator<Item = Entry> {
    let checks = Check::ALL.iter().map(|check| Entry {
        id: check.id(),
        severity: check.severity(),
        means: check.explanation(),
        remedy: check.remedy(),
        source: check.source(),
    });
    checks.chain(Note::ALL.iter().map(|note| note.entry()))
}
