//! What docker's flags, variables, config.json and contexts mean together.
//!
//! Source: docker/cli cli/flags/options.go (`InstallFlags`, `SetDefaultOptions`; C20 cli/flags/common.go),
//! cli/command/cli.go (`resolveContextName`, `resolveDefaultDockerEndpoint`, `getServerHost`), cli/context/docker/load.go
//! (`tlsConfig`, `ClientOpts`). Pure: the caller reads config.json and the context between the two steps.

use std::{fmt, path::PathBuf};

use crate::{
    context::{self, ContextEndpoint, ContextFiles},
    endpoint::{self, Endpoint, EndpointError},
    flags::TlsFlags,
    mode::ClientMode,
    settings::{Environment, FileSetting, Setting, TlsFiles},
    version::Version,
};

/// The effect of settings that name files where nothing turns TLS on.
pub const NO_TLS_ALONE: &str = "alone it does not turn TLS on";

/// What docker was given.
#[derive(Clone, Debug, Default)]
pub struct ClientRequest {
    /// Its command line.
    pub flags: TlsFlags,
    /// Its environment.
    pub environment: Environment,
    /// Its release.
    pub version: Version,
}

/// Which context counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Flags and variables count.
    Default,
    /// A named context counts, and every TLS flag and variable is passed over without a word.
    Named {
        /// Its name.
        name: String,
        /// Where it is stored.
        files: ContextFiles,
    },
}

/// What docker will do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientSettings {
    /// What it dials.
    pub endpoint: Endpoint,
    /// The path that it puts before every request's: empty, or from a slash on.
    pub base_path: String,
    /// Whether it uses TLS, and how.
    pub tls: ClientTls,
    /// The settings that decided, the strongest first.
    pub decided: Vec<Setting>,
    /// The settings that are passed over.
    pub ignored: Vec<Setting>,
}

/// TLS as docker was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientTls {
    /// Plain HTTP.
    Off,
    /// TLS.
    On {
        /// Whether the daemon is verified.
        verify: bool,
        /// The files.
        files: TlsFiles,
    },
}

impl ClientSettings {
    /// What it dials, with the path, as DOCKER_HOST says it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}{}", self.endpoint, self.base_path)
    }
}

impl ClientTls {
    /// The mode; with TLS a certificate is taken to be there, and the judge knows what happens where it is not.
    #[must_use]
    pub const fn mode(&self) -> ClientMode {
        match self {
            Self::Off => ClientMode::None,
            Self::On { verify: true, .. } => ClientMode::TlsVerifyCert,
            Self::On { verify: false, .. } => ClientMode::TlsCert,
        }
    }
}

/// Why docker stops before it reads a file.
#[derive(Debug)]
pub enum ClientFault {
    /// `-H` and `--context` together.
    HostAndContext,
    /// More than one `-H`.
    SeveralHosts,
    /// A host that is none.
    Endpoint(EndpointError),
    /// `fd://`, which is dockerd's. Of the empty one `docker version` 28.2.2 crashes; what follows is dialled over TCP
    /// without TLS.
    Handed {
        /// The host as it was given.
        host: String,
    },
    /// docker 20.10 crashes on an empty file flag (C20 opts/quotedstring.go `trimQuotes`).
    EmptyFlagPanics {
        /// The flag.
        flag: &'static str,
    },
    /// A name that no context can have.
    ContextName {
        /// The name.
        name: String,
    },
}

impl fmt::Display for ClientFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HostAndContext => f.write_str("conflicting options: cannot specify both --host and --context"),
            Self::SeveralHosts => f.write_str("specify only one -H"),
            Self::Endpoint(error) => error.fmt(f),
            Self::Handed { host } => write!(f, "unable to parse docker host `{host}`: fd:// is for dockerd alone"),
            Self::EmptyFlagPanics { flag } => {
                write!(f, "docker 20.10 crashes on an empty {flag}: index out of range [0] with length 0")
            }
            Self::ContextName { name } => write!(f, "context name {name:?} is invalid"),
        }
    }
}

impl std::error::Error for ClientFault {}

impl From<EndpointError> for ClientFault {
    fn from(error: EndpointError) -> Self {
        Self::Endpoint(error)
    }
}

impl ClientRequest {
    /// Where config.json and the contexts are: `--config`, DOCKER_CONFIG, `~/.docker`.
    #[must_use]
    pub fn config_directory(&self) -> PathBuf {
        match self.flags.config.as_deref().filter(|path| !path.is_empty()) {
            Some(path) => path.into(),
            None => self.environment.config_directory(),
        }
    }

    /// Which context counts: `--context`, `-H`, DOCKER_HOST, DOCKER_CONTEXT, config.json's currentContext, default.
    ///
    /// # Errors
    /// docker stops.
    pub fn choose(&self, current_context: Option<&str>) -> Result<(Choice, Vec<Setting>), ClientFault> {
        for (flag, value) in [
            ("--tlscacert", &self.flags.tlscacert),
            ("--tlscert", &self.flags.tlscert),
            ("--tlskey", &self.flags.tlskey),
        ] {
            if self.version == Version::V20_10 && value.as_deref() == Some("") {
                return Err(ClientFault::EmptyFlagPanics { flag });
            }
        }
        let flag = self.flags.context.as_deref().filter(|name| !name.is_empty());
        if flag.is_some() && !self.flags.hosts.is_empty() {
            return Err(ClientFault::HostAndContext);
        }
        let host_flag = self.flags.hosts.first().map(|host| format!("-H {host}"));
        let host_variable = self.environment.docker_host.as_deref().map(|host| format!("DOCKER_HOST={host}"));
        let variable = self.environment.docker_context.as_deref();
        let mut candidates = [
            (flag.map(|name| format!("--context {name}")), flag),
            (host_flag, Some(context::DEFAULT)),
            (host_variable, Some(context::DEFAULT)),
            (variable.map(|name| format!("DOCKER_CONTEXT={name}")), variable),
            (current_context.map(|name| format!("currentContext {name:?} of config.json")), current_context),
        ]
        .into_iter()
        .filter_map(|(setting, name)| Some((setting?, name?)));
        let Some((setting, name)) = candidates.next() else {
            return Ok((Choice::Default, Vec::new()));
        };
        let mut ranking = vec![Setting::new(setting, "decides where docker goes")];
        ranking.extend(
            candidates.map(|(setting, _)| Setting::new(setting, "a stronger setting decides where docker goes")),
        );
        if name == context::DEFAULT {
            return Ok((Choice::Default, ranking));
        }
        if !context::is_valid_name(name) {
            return Err(ClientFault::ContextName { name: name.to_owned() });
        }
        let files = ContextFiles::of(&self.config_directory(), name);
        Ok((Choice::Named { name: name.to_owned(), files }, ranking))
    }

    fn verifies(&self) -> bool {
        self.flags.tlsverify.unwrap_or(self.environment.docker_tls_verify)
    }

    /// Whether flags and variables turn TLS on. Flags start from the environment; --tlsverify given at all, even =false,
    /// turns it on.
    #[must_use]
    pub fn uses_tls(&self) -> bool {
        self.flags.tls.unwrap_or(self.environment.docker_tls) || self.flags.tlsverify.is_some() || self.verifies()
    }

    /// What flags and variables mean where no named context counts.
    ///
    /// # Errors
    /// docker stops.
    pub fn resolve_default(&self, ranking: Vec<Setting>) -> Result<ClientSettings, ClientFault> {
        let (mut decided, mut ignored) = split(ranking);
        let flags = &self.flags;
        let environment = &self.environment;
        let verify = self.verifies();
        let on = self.uses_tls();
        let by = match (flags.tlsverify, environment.docker_tls_verify, flags.tls) {
            (Some(value), ..) => format!("--tlsverify={value}"),
            (None, true, _) => "DOCKER_TLS_VERIFY".to_owned(),
            (None, false, Some(value)) => format!("--tls={value}"),
            (None, false, None) if environment.docker_tls => "DOCKER_TLS".to_owned(),
            _ => String::new(),
        };
        if by.is_empty() {
            decided.push(Setting::new("no TLS flag or variable", "turns TLS off"));
        } else {
            decided.push(Setting::new(
                by,
                match (on, verify) {
                    (false, _) => "turns TLS off",
                    (true, true) => "turns TLS and the verification of the daemon on",
                    (true, false) => "turns TLS on, and nobody verifies the daemon",
                },
            ));
        }
        if flags.tls == Some(false) && on {
            ignored.push(Setting::new("--tls=false", "TLS is on by --tlsverify or DOCKER_TLS_VERIFY"));
        }
        if flags.tlsverify == Some(false) && environment.docker_tls_verify {
            ignored.push(Setting::new("DOCKER_TLS_VERIFY", "--tlsverify=false is stronger"));
        }
        let host = match flags.hosts.as_slice() {
            [] => environment.docker_host.as_deref().unwrap_or_default(),
            [host] => host,
            _ => return Err(ClientFault::SeveralHosts),
        };
        let endpoint = Endpoint::parse(host, on)?;
        let base_path = endpoint::base_path(host);
        if endpoint == Endpoint::Handed {
            return Err(ClientFault::Handed { host: host.to_owned() });
        }
        let default = TlsFiles::in_directory(&environment.certificate_directory());
        let from = |flag: &Option<String>, default: FileSetting| match default {
            FileSetting::Default(path) => FileSetting::from_flag(flag.as_deref(), path, self.version),
            other => other,
        };
        let files = TlsFiles {
            ca: from(&flags.tlscacert, default.ca),
            cert: from(&flags.tlscert, default.cert),
            key: from(&flags.tlskey, default.key),
        };
        let file_flags = flags.tlscacert.is_some() || flags.tlscert.is_some() || flags.tlskey.is_some();
        let cert_path =
            environment.docker_cert_path.as_ref().map(|path| format!("DOCKER_CERT_PATH={}", path.display()));
        if !on {
            if file_flags {
                ignored.push(Setting::new("--tlscacert, --tlscert, --tlskey", NO_TLS_ALONE));
            }
            ignored.extend(cert_path.map(|setting| Setting::new(setting, NO_TLS_ALONE)));
            return Ok(ClientSettings { endpoint, base_path, tls: ClientTls::Off, decided, ignored });
        }
        if file_flags {
            decided.push(Setting::new("--tlscacert, --tlscert, --tlskey", "name files"));
        }
        let all_flags = flags.tlscacert.is_some() && flags.tlscert.is_some() && flags.tlskey.is_some();
        match cert_path {
            Some(setting) if all_flags => ignored.push(Setting::new(setting, "every file is named by a flag")),
            Some(setting) => decided.push(Setting::new(setting, "holds the files that no flag names")),
            None if all_flags => {}
            None => decided.push(Setting::new(
                environment.certificate_directory().display().to_string(),
                "holds the files that no flag names",
            )),
        }
        Ok(ClientSettings { endpoint, base_path, tls: ClientTls::On { verify, files }, decided, ignored })
    }

    /// What a named context means. `has` says which of ca.pem, cert.pem and key.pem are stored with it.
    ///
    /// # Errors
    /// Its host is none.
    pub fn resolve_context(
        &self,
        endpoint: &ContextEndpoint,
        files: &ContextFiles,
        has: [bool; 3],
        ranking: Vec<Setting>,
    ) -> Result<ClientSettings, ClientFault> {
        let (decided, mut ignored) = split(ranking);
        let why = "a named context is used, and docker passes over every TLS flag and variable without a word";
        let flags = &self.flags;
        let environment = &self.environment;
        for (given, name) in [
            (flags.tls.is_some(), "--tls"),
            (flags.tlsverify.is_some(), "--tlsverify"),
            (flags.tlscacert.is_some(), "--tlscacert"),
            (flags.tlscert.is_some(), "--tlscert"),
            (flags.tlskey.is_some(), "--tlskey"),
            (environment.docker_tls, "DOCKER_TLS"),
            (environment.docker_tls_verify, "DOCKER_TLS_VERIFY"),
            (environment.docker_cert_path.is_some(), "DOCKER_CERT_PATH"),
        ] {
            if given {
                ignored.push(Setting::new(name, why));
            }
        }
        let stored = |name: &str, has: bool| {
            if has { FileSetting::Named(files.tls.join(name)) } else { FileSetting::Empty }
        };
        let [ca, cert, key] = has;
        // Without files and without skip-tls-verify the context has no TLS at all (load.go ClientOpts).
        let tls = if ca || cert || key || endpoint.skip_tls_verify {
            ClientTls::On {
                verify: !endpoint.skip_tls_verify,
                files: TlsFiles {
                    ca: stored(crate::layout::CA_FILE, ca),
                    cert: stored(crate::layout::CERT_FILE, cert),
                    key: stored(crate::layout::KEY_FILE, key),
                },
            }
        } else {
            ClientTls::Off
        };
        let base_path = endpoint::base_path_of_context(&endpoint.host);
        let endpoint = if endpoint.host.is_empty() {
            Endpoint::parse("", tls != ClientTls::Off)?
        } else {
            Endpoint::of_context(&endpoint.host)?
        };
        Ok(ClientSettings { endpoint, base_path, tls, decided, ignored })
    }
}

/// The first decides, the others are passed over.
fn split(mut ranking: Vec<Setting>) -> (Vec<Setting>, Vec<Setting>) {
    let rest = ranking.split_off(ranking.len().min(1));
    (ranking, rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::{Program, words};

    fn request(line: &str, variables: &[(&str, &str)]) -> ClientRequest {
        let flags = TlsFlags::parse(Program::Docker, &words(line).unwrap()).unwrap();
        let find = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).into());
        ClientRequest { flags, environment: Environment::read(find), version: Version::V29 }
    }

    fn settings(line: &str, variables: &[(&str, &str)]) -> ClientSettings {
        let request = request(line, variables);
        let (choice, ranking) = request.choose(None).unwrap();
        assert_eq!(choice, Choice::Default);
        request.resolve_default(ranking).unwrap()
    }

    #[test]
    fn what_turns_tls_on() {
        type Variables = &'static [(&'static str, &'static str)];
        const VERIFY: Variables = &[("DOCKER_TLS_VERIFY", "0")];
        let cases: [(&str, Variables, ClientMode); 10] = [
            ("", &[], ClientMode::None),
            ("--tls", &[], ClientMode::TlsCert),
            ("--tlsverify=false", &[], ClientMode::TlsCert),
            ("--tls=false --tlsverify", &[], ClientMode::TlsVerifyCert),
            ("", VERIFY, ClientMode::TlsVerifyCert),
            ("--tls=false", VERIFY, ClientMode::TlsVerifyCert),
            ("--tlsverify=false", VERIFY, ClientMode::TlsCert),
            ("", &[("DOCKER_TLS_VERIFY", "")], ClientMode::None),
            ("--tls=false", &[("DOCKER_TLS", "1")], ClientMode::None),
            ("--tlscacert=x", &[("DOCKER_CERT_PATH", "/x")], ClientMode::None),
        ];
        for (line, variables, mode) in cases {
            assert_eq!(settings(line, variables).tls.mode(), mode, "{line} {variables:?}");
        }
    }

    #[test]
    fn the_order_of_contexts() {
        let all = [("DOCKER_HOST", "tcp://h:1"), ("DOCKER_CONTEXT", "from-env")];
        let chosen = |line: &str, variables: &[(&str, &str)], current: Option<&str>| match request(line, variables)
            .choose(current)
            .unwrap()
            .0
        {
            Choice::Default => "default".to_owned(),
            Choice::Named { name, .. } => name,
        };
        assert_eq!(chosen("--context mine", &all, Some("current")), "mine");
        assert_eq!(chosen("-H tcp://x", &all, Some("current")), "default");
        assert_eq!(chosen("", &all, Some("current")), "default");
        assert_eq!(chosen("", &all[1..], Some("current")), "from-env");
        assert_eq!(chosen("", &[], Some("current")), "current");
        assert_eq!(chosen("--context default", &[], Some("current")), "default");
        assert!(matches!(request("-H x --context y2", &[]).choose(None), Err(ClientFault::HostAndContext)));
    }

    #[test]
    fn a_context_passes_over_the_environment() {
        let variables = [("DOCKER_TLS_VERIFY", "1"), ("DOCKER_CERT_PATH", "/x")];
        let request = request("", &variables);
        let (Choice::Named { files, .. }, ranking) = request.choose(Some("far")).unwrap() else { panic!() };
        let endpoint = ContextEndpoint { host: "tcp://far:2376".into(), skip_tls_verify: false };
        let without = request.resolve_context(&endpoint, &files, [false; 3], ranking.clone()).unwrap();
        assert_eq!(without.tls, ClientTls::Off);
        assert_eq!(without.ignored.len(), 2);
        let with = request.resolve_context(&endpoint, &files, [false, true, true], ranking).unwrap();
        let ClientTls::On { verify: true, files } = with.tls else { panic!() };
        assert_eq!(files.ca, FileSetting::Empty, "the system's roots");
    }
}
