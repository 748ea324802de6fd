//! By what a registry is called, and what its directory in `certs.d` is called therefore.
//!
//! The directory's name is the host as it stands in an image's name, port and all (moby registry/config.go, HostCertsDir);
//! what may stand there: distribution/reference regexp.go, and normalize.go (splitDockerDomain), which takes a first part
//! without a dot or a port for a user of Docker Hub, unless it is `localhost`.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
};

/// A registry's host, and its port where image names have one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryHost(String);

/// Why a text names no registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistryHostError {
    /// It begins as an URL does, or goes on with a path.
    Url,
    /// Something that no host name has.
    Host,
    /// Not 1 to 65535.
    Port,
    /// Docker would look for it on Docker Hub.
    User,
}

impl fmt::Display for RegistryHostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Url => "it is not to have a scheme or a path",
            Self::Host => "it has something that no host name has",
            Self::Port => "its port is not a number from 1 to 65535",
            Self::User => "docker takes a name without a dot and a port for a user of Docker Hub",
        })
    }
}

impl std::error::Error for RegistryHostError {}

impl RegistryHost {
    /// Reads `HOST` or `HOST:PORT`, as it stands in the names of images.
    ///
    /// # Errors
    /// When docker would not take it for a registry.
    pub fn parse(text: &str) -> Result<Self, RegistryHostError> {
        if text.contains('/') {
            return Err(RegistryHostError::Url);
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (text, None),
        };
        let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        match address {
            Some(address) if address.parse::<Ipv6Addr>().is_err() => return Err(RegistryHostError::Host),
            None if !host.split('.').all(is_label) => return Err(RegistryHostError::Host),
            Some(_) | None => {}
        }
        let is_number = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
        if port.is_some_and(|port| !is_number(port) || port.parse::<u16>().map_or(true, |port| port == 0)) {
            return Err(RegistryHostError::Port);
        }
        if address.is_none() && port.is_none() && !host.contains('.') && host != "localhost" {
            return Err(RegistryHostError::User);
        }
        Ok(Self(text.to_owned()))
    }

    /// Whether dockerd takes it for insecure whatever its settings say: then it looks for nothing in `certs.d`, verifies nothing
    /// and shows no certificate (moby registry/config.go `isSecureIndex`, registry/registry.go `newTLSConfig`). It does so for
    /// every name that resolves to a loopback address; which those are, nobody can tell from here.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let host =
            self.0.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')).map_or(self.0.as_str(), |(host, _)| host);
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        match bare.parse::<IpAddr>() {
            Ok(address) => address.is_loopback(),
            Err(_) => bare.eq_ignore_ascii_case("localhost"),
        }
    }

    /// As it was given: the directory's name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_label(label: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    !label.is_empty() && label.bytes().all(inner) && !label.starts_with('-') && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of which dockerd 20.10.24 opened certs.d, and of which not.
    #[test]
    fn loopback_registries() {
        for (text, expected) in [
            ("localhost", true),
            ("localhost:5000", true),
            ("LOCALHOST:5000", true),
            ("127.0.0.1:5000", true),
            ("127.5.5.5", true),
            ("[::1]:5000", true),
            ("[::1]", true),
            ("10.98.0.1:5000", false),
            ("registry.example.com", false),
            ("localhost.example.com:5000", false),
            ("128.0.0.1:5000", false),
        ] {
            assert_eq!(RegistryHost::parse(text).unwrap().is_loopback(), expected, "{text}");
        }
    }

    #[test]
    fn a_registry_is_called_as_in_the_names_of_images() {
        use RegistryHostError::{Host, Port, Url, User};
        let cases = [
            ("registry.example.com:5000", None),
            ("registry.example.com", None),
            ("localhost", None),
            ("build:5000", None),
            ("127.0.0.1:443", None),
            ("[2001:db8::1]:5000", None),
            ("[::1]", None),
            ("MY-registry.test:1", None),
            ("", Some(Host)),
            (":5000", Some(Host)),
            (".", Some(Host)),
            ("..", Some(Host)),
            ("a..b:5000", Some(Host)),
            ("-a.test", Some(Host)),
            ("a_b.test:5000", Some(Host)),
            ("a b.test", Some(Host)),
            ("bücher.test:5000", Some(Host)),
            ("*.example.com:5000", Some(Host)),
            ("::1", Some(Host)),
            ("[zz]:5000", Some(Host)),
            ("user@registry.test", Some(Host)),
            ("registry.test:", Some(Port)),
            ("registry.test:0", Some(Port)),
            ("registry.test:65536", Some(Port)),
            ("registry.test:+5", Some(Port)),
            ("registry.test:http", Some(Port)),
            ("https://registry.test:5000", Some(Url)),
            ("registry.test:5000/v2/", Some(Url)),
            ("../../etc", Some(Url)),
            ("library", Some(User)),
        ];
        for (text, expected) in cases {
            assert_eq!(RegistryHost::parse(text).err(), expected, "{text}");
        }
    }
}
