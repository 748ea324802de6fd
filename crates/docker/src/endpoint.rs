//! Where docker dials: the meaning of `-H`, DOCKER_HOST and a context's host.
//!
//! Source: docker/cli opts/hosts.go (`ParseHost`, `parseDockerDaemonHost`, `ParseTCPAddr`); moby client/client.go
//! (`ParseHostURL`) for contexts.

use std::fmt;

use crate::url::{self, Authority};

/// What is dialled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// TCP: the host as in the URL without brackets, and its port where one is known.
    Tcp {
        /// A name or an address.
        host: String,
        /// The port.
        port: Option<u16>,
    },
    /// A unix socket, or a Windows named pipe.
    Local {
        /// Its path.
        path: String,
    },
    /// `ssh://…`: docker runs ssh, and TLS plays no part.
    Ssh {
        /// The whole URL.
        url: String,
    },
    /// `fd://`, for dockerd: the sockets that systemd hands over.
    Handed,
}

impl Endpoint {
    /// The port of `tcp://host` without one, TLS or not.
    pub const PLAIN_PORT: u16 = 2375;

    /// What docker dials for this text; the empty text is the default.
    ///
    /// # Errors
    /// docker refuses the text.
    pub fn parse(text: &str, uses_tls: bool) -> Result<Self, EndpointError> {
        let text = text.trim();
        let refused = || EndpointError { text: text.to_owned() };
        let local = |path: &str, default: &str| {
            if path.contains("://") {
                return Err(refused());
            }
            Ok(Self::Local { path: if path.is_empty() { default } else { path }.to_owned() })
        };
        if text.is_empty() {
            return Ok(if uses_tls {
                Self::Tcp { host: "localhost".into(), port: Some(crate::daemon_json::TLS_PORT) }
            } else {
                Self::Local { path: "/var/run/docker.sock".into() }
            });
        }
        match text.split_once("://") {
            None if text.starts_with('/') || text.starts_with("./") => local(text, ""),
            None => tcp_option(text).ok_or_else(refused),
            Some(("tcp", rest)) => tcp_option(strip_second(rest)).ok_or_else(refused),
            Some(("unix", path)) => local(path, "/var/run/docker.sock"),
            Some(("npipe", path)) => local(path, "//./pipe/docker_engine"),
            Some(("fd", _)) => Ok(Self::Handed),
            Some(("ssh", _)) => Ok(Self::Ssh { url: text.to_owned() }),
            // https:// as well.
            Some(_) => Err(refused()),
        }
    }

    /// What docker dials for the host stored in a context, which is taken as it is.
    ///
    /// # Errors
    /// docker refuses the text.
    pub fn of_context(text: &str) -> Result<Self, EndpointError> {
        match text.split_once("://") {
            Some((_, "")) | None => Err(EndpointError { text: text.to_owned() }),
            Some(("unix" | "npipe", path)) => Ok(Self::Local { path: path.to_owned() }),
            Some(("ssh", _)) => Ok(Self::Ssh { url: text.to_owned() }),
            // Only after tcp:// is it read as a URL; a user is then part of the host's name, which nobody has.
            Some((scheme, rest)) if scheme == "tcp" || !rest.contains('@') => {
                tcp(rest, None).ok_or_else(|| EndpointError { text: text.to_owned() })
            }
            Some(_) => Err(EndpointError { text: text.to_owned() }),
        }
    }

    /// The host that a certificate must name, for TCP.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        match self {
            Self::Tcp { host, .. } => Some(host),
            Self::Local { .. } | Self::Ssh { .. } | Self::Handed => None,
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } => {
                let (open, close) = if host.contains(':') { ("[", "]") } else { ("", "") };
                write!(f, "tcp://{open}{host}{close}")?;
                port.map_or(Ok(()), |port| write!(f, ":{port}"))
            }
            Self::Local { path } => write!(f, "unix://{path}"),
            Self::Ssh { url } => f.write_str(url),
            Self::Handed => f.write_str("fd://"),
        }
    }
}

/// The path that docker puts before every request's for `-H` or DOCKER_HOST; empty, or from a slash on. It takes the
/// escapes out twice (docker/cli opts/hosts.go `ParseTCPAddr`, then as for a context).
#[must_use]
pub fn base_path(text: &str) -> String {
    let text = text.trim();
    let path = match text.split_once("://") {
        None if text.starts_with('/') || text.starts_with("./") => None,
        None => twice(text),
        Some(("tcp", rest)) => twice(strip_second(rest)),
        Some(_) => None,
    };
    url::joined(&path.unwrap_or_default())
}

/// The same for the host stored in a context (moby client/client.go `ParseHostURL`, client/request.go).
#[must_use]
pub fn base_path_of_context(text: &str) -> String {
    let path = text.strip_prefix("tcp://").and_then(Authority::parse).map(|url| url.path);
    url::joined(&path.unwrap_or_default())
}

/// `tcp://tcp://…` is the same as with one of them.
fn strip_second(rest: &str) -> &str {
    rest.strip_prefix("tcp://").unwrap_or(rest)
}

/// The path of a URL, read once more as a part of one.
fn twice(rest: &str) -> Option<Vec<u8>> {
    let path = Authority::parse(rest)?.path;
    if path.iter().any(u8::is_ascii_control) {
        return None;
    }
    let parts: Vec<&[u8]> = path.splitn(2, |octet| *octet == b'#').collect();
    parts.get(1).map_or(Some(Vec::new()), |fragment| url::unescaped(fragment))?;
    url::unescaped(parts[0].split(|octet| *octet == b'?').next()?)
}

/// `ParseTCPAddr`: `net.SplitHostPort` with a default, after `url.Parse`. A user is read and dropped: what goes on is the
/// URL's `Host`.
fn tcp_option(text: &str) -> Option<Endpoint> {
    twice(text)?;
    let address = Authority::parse(text)?.address;
    if text.contains("://") || address.starts_with('[') && address.ends_with(']') {
        return None;
    }
    let port = |text: &str| text.bytes().all(|digit| digit.is_ascii_digit());
    match address.rsplit_once(':') {
        // With several colons and no brackets all of it is the host, to which the default port is added.
        Some((before, last)) if before.contains(':') && !address.starts_with('[') => {
            port(last).then(|| Endpoint::Tcp { host: address.to_owned(), port: Some(Endpoint::PLAIN_PORT) })
        }
        _ => tcp(text, Some(Endpoint::PLAIN_PORT)),
    }
}

/// A URL's host and port.
fn tcp(text: &str, default: Option<u16>) -> Option<Endpoint> {
    if text.contains("://") {
        return None;
    }
    let address = Authority::parse(text)?.address;
    let (host, port) = if let Some(rest) = address.strip_prefix('[') {
        let (host, after) = rest.split_once(']')?;
        (host, if after.is_empty() { "" } else { after.strip_prefix(':')? })
    } else {
        match address.split_once(':') {
            Some((_, port)) if port.contains(':') => return None,
            Some(_) if address.contains(['[', ']']) => return None,
            Some((host, port)) => (host, port),
            None => (address, ""),
        }
    };
    if !port.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let port = if port.is_empty() { default } else { Some(port.parse().ok()?) };
    let host = if host.is_empty() { "localhost" } else { host };
    Some(Endpoint::Tcp { host: host.to_owned(), port })
}

/// A text that docker takes for no endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointError {
    /// The text.
    pub text: String,
}

impl fmt::Display for EndpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid bind address format: {}", self.text)
    }
}

impl std::error::Error for EndpointError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_changes_the_port_only_where_nothing_is_said() {
        let shown = |text: &str, tls| Endpoint::parse(text, tls).unwrap().to_string();
        assert_eq!(shown("", true), "tcp://localhost:2376");
        assert_eq!(shown("", false), "unix:///var/run/docker.sock");
        for tls in [false, true] {
            assert_eq!(shown("tcp://h", tls), "tcp://h:2375");
            assert_eq!(shown("tcp://", tls), "tcp://localhost:2375");
            assert_eq!(shown("h:1", tls), "tcp://h:1");
            assert_eq!(shown("tcp://[::1]:2376/prefix", tls), "tcp://[::1]:2376");
            assert_eq!(shown("/run/x.sock", tls), "unix:///run/x.sock");
            assert_eq!(shown(" ssh://me@h ", tls), "ssh://me@h");
        }
    }

    /// Each tried with docker 28.2.2, as `-H` and in a context.
    #[test]
    fn a_user_is_dropped() {
        for user in ["me", "me:pw", "me:", "", "a@b", "me%41", "m:e:f", "127.0.0.1:16104"] {
            let text = format!("tcp://{user}@localhost:16104");
            let dialled = Endpoint::Tcp { host: "localhost".into(), port: Some(16104) };
            assert_eq!(Endpoint::parse(&text, true), Ok(dialled.clone()), "{text}");
            assert_eq!(Endpoint::parse(&text["tcp://".len()..], true), Ok(dialled.clone()), "{text}");
            assert_eq!(Endpoint::of_context(&text), Ok(dialled), "{text}");
        }
        for user in ["me%zz", "m e", "[me", "m[e", "é", "me%4", "m%"] {
            let text = format!("tcp://{user}@localhost:16104");
            assert!(Endpoint::parse(&text, true).is_err() && Endpoint::of_context(&text).is_err(), "{text}");
        }
        let shown = |text: &str| Endpoint::parse(text, true).unwrap().to_string();
        assert_eq!(shown("tcp://me@"), "tcp://localhost:2375");
        assert_eq!(shown("tcp://me/x@127.0.0.1:16104"), "tcp://me:2375");
        assert_eq!(shown("tcp://me@[::1]:1"), "tcp://[::1]:1");
    }

    /// Each seen in docker 28.2.2's "dial tcp" or "Cannot connect to".
    #[test]
    fn odd_texts_that_are_dialled() {
        for (text, shown) in [
            ("tcp://tcp://h:1", "tcp://h:1"),
            ("tcp://tcp://", "tcp://localhost:2375"),
            ("::1", "tcp://[::1]:2375"),
            ("tcp://fe80::1:2376", "tcp://[fe80::1:2376]:2375"),
            ("tcp:h:1", "tcp://[tcp:h:1]:2375"),
            ("tcp//h:1", "tcp://tcp:2375"),
            ("tcp:///h:1", "tcp://localhost:2375"),
            ("tcp://[::1]:", "tcp://[::1]:2375"),
            ("tcp://h:1\r", "tcp://h:1"),
            ("tcp://h:1?%zz", "tcp://h:1"),
        ] {
            assert_eq!(Endpoint::parse(text, true).unwrap().to_string(), shown, "{text}");
        }
    }

    /// The paths that docker 28.2.2 asked a listener for, before `/v1.41/version`: as DOCKER_HOST and in a context.
    #[test]
    fn a_path_goes_before_every_request() {
        for (path, by_option, by_context) in [
            ("", "", ""),
            ("/", "", ""),
            ("//", "", ""),
            ("/x", "/x", "/x"),
            ("/x/", "/x", "/x"),
            ("/a%20b", "/a%20b", "/a%20b"),
            ("/../x/./y//z/", "/x/y/z", "/x/y/z"),
            ("/a\"b", "/a%22b", "/a%22b"),
            ("/é", "/%C3%A9", "/%C3%A9"),
            ("/%2541", "/A", "/%2541"),
            ("/a?b", "/a", "/a"),
            ("/a%3fb", "/a", "/a%3Fb"),
            ("/a#b", "/a", "/a"),
            ("/%2e%2e/x", "/x", "/x"),
        ] {
            let text = format!("tcp://h:1{path}");
            assert_eq!(
                (base_path(&text).as_str(), base_path_of_context(&text).as_str()),
                (by_option, by_context),
                "{path}"
            );
            assert_eq!(base_path(&text["tcp://".len()..]), by_option, "{path}");
        }
        assert_eq!((base_path("unix:///x"), base_path("/x")), (String::new(), String::new()));
    }

    #[test]
    fn some_texts_are_refused() {
        // Each tried with docker 20.10.24 and 28.2.2.
        for text in [
            "https://h:1",
            "http://h",
            "tcp://h:x",
            "tcp://h:+1",
            "tcp://fe80::1%lo",
            "tcp://unix://x",
            "TCP://h:1",
            "\"tcp://h:1\"",
            "tcp://[::1]",
            "tcp://[h",
            "tcp://h]:1",
            "a:b:c",
            "tcp://h|x:1",
            "tcp://h\\:1",
            "tcp://h :1",
            "tcp://h\t:1",
            "tcp://h:1\r/x",
            "tcp://h:1;",
            "tcp://h:1,tcp://i:1",
            "tcp://h:1/%zz",
            "tcp://h:1#%zz",
            "tcp://h:1/%25zz",
            "tcp://h:1/%0a",
            "tcp://h:1/%2523%25zz",
        ] {
            assert!(Endpoint::parse(text, true).is_err(), "{text}");
        }
        for text in ["http://me@h:1", "https://me@h:1", "h:1"] {
            assert!(Endpoint::of_context(text).is_err(), "{text}");
        }
    }
}
