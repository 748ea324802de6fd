//! What the docker client makes of its flags and variables.

use super::ClientMode;
use super::settings::{Environment, FilePaths, Flags, SettingsError};
use crate::version::Version;

/// How docker will connect, where no named context is in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientSettings {
    /// The mode; with TLS always the one that offers a certificate, which is dropped where the files are missing.
    pub mode: ClientMode,
    /// The files that docker opens if the mode has TLS.
    pub files: FilePaths,
}

impl ClientSettings {
    /// Resolves the arguments before the command, such as `--tlsverify --tlscacert=ca.pem`, and the environment.
    ///
    /// A named context makes docker ignore all of it: whoever calls has to look for one first.
    ///
    /// # Errors
    /// docker stops while it reads its flags.
    pub fn resolve(
        args: &[String],
        environment: &Environment,
        version: Version,
    ) -> Result<Self, SettingsError> {
        let flags = Flags::parse(args, version < Version::V29, version == Version::V20_10)?;
        let verify = flags
            .tlsverify
            .unwrap_or_else(|| Environment::is_on(environment.docker_tls_verify.as_ref()));
        let tls = flags
            .tls
            .unwrap_or_else(|| Environment::is_on(environment.docker_tls.as_ref()));
        // --tlsverify given at all, even false, turns TLS on.
        let mode = match (tls || verify || flags.tlsverify.is_some(), verify) {
            (false, _) => ClientMode::None,
            (true, false) => ClientMode::TlsCert,
            (true, true) => ClientMode::TlsVerifyCert,
        };
        Ok(Self {
            mode,
            files: flags.paths(&environment.certificate_directory()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::settings::FilePath;
    use super::*;

    fn resolve(args: &[&str], environment: &Environment) -> ClientSettings {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        ClientSettings::resolve(&args, environment, Version::V29).unwrap()
    }

    #[test]
    fn any_text_turns_verification_on() {
        for value in ["1", "0", "false", "no", " "] {
            let environment = Environment {
                docker_tls_verify: Some(value.into()),
                ..Environment::default()
            };
            assert_eq!(
                resolve(&[], &environment).mode,
                ClientMode::TlsVerifyCert,
                "{value:?}"
            );
        }
        let empty = Environment {
            docker_tls_verify: Some(String::new()),
            ..Environment::default()
        };
        assert_eq!(resolve(&[], &empty).mode, ClientMode::None);
    }

    #[test]
    fn flags_against_variables() {
        let verify = Environment {
            docker_tls_verify: Some("1".into()),
            ..Environment::default()
        };
        assert_eq!(
            resolve(&["--tls=false"], &verify).mode,
            ClientMode::TlsVerifyCert
        );
        assert_eq!(
            resolve(&["--tlsverify=false"], &verify).mode,
            ClientMode::TlsCert
        );
        let tls = Environment {
            docker_tls: Some("1".into()),
            ..Environment::default()
        };
        assert_eq!(resolve(&["--tls=false"], &tls).mode, ClientMode::None);
        assert_eq!(
            resolve(&["--tlscacert=ca.pem"], &Environment::default()).mode,
            ClientMode::None
        );
    }

    #[test]
    fn quotes_and_empty_paths() {
        let args = ["--tlsverify", "--tlscacert='a'"].map(str::to_owned);
        let ca = |version| {
            ClientSettings::resolve(&args, &Environment::default(), version)
                .unwrap()
                .files
                .ca
        };
        assert_eq!(ca(Version::V28), FilePath::Named("a".into()));
        assert_eq!(ca(Version::V29), FilePath::Named("'a'".into()));
        let empty = ["--tlscacert=".to_owned()];
        assert!(ClientSettings::resolve(&empty, &Environment::default(), Version::V20_10).is_err());
        assert_eq!(
            ClientSettings::resolve(&empty, &Environment::default(), Version::V28)
                .unwrap()
                .files
                .ca,
            FilePath::Empty
        );
    }

    #[test]
    fn directories() {
        let environment = Environment {
            docker_config: Some("/c".into()),
            home: Some("/h".into()),
            ..Environment::default()
        };
        assert_eq!(
            resolve(&["-H", "tcp://x:1", "--tls"], &environment)
                .files
                .ca,
            FilePath::Default("/c/ca.pem".into())
        );
        let environment = Environment {
            docker_config: None,
            ..environment
        };
        assert_eq!(
            resolve(&["--tls"], &environment).files.key,
            FilePath::Default("/h/.docker/key.pem".into())
        );
    }
}
