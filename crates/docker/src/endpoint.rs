//! Where docker dials: the meaning of `-H`, DOCKER_HOST and a context's host.
//!
//! Source: docker/cli opts/hosts.go (`ParseHost`, `parseDockerDaemonHost`, `ParseTCPAddr`); moby client/client.go
//! (`ParseHostURL`) for contexts.

use std::fmt;

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
            None => tcp(text, Some(Self::PLAIN_PORT)).ok_or_else(refused),
            Some(("tcp", "")) => Ok(Self::Tcp { host: "localhost".into(), port: Some(Self::PLAIN_PORT) }),
            Some(("tcp", rest)) => tcp(rest, Some(Self::PLAIN_PORT)).ok_or_else(refused),
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

/// `net.SplitHostPort` with a default, after `url.Parse`. A user is read and dropped: what goes on is the URL's `Host`.
fn tcp(text: &str, default: Option<u16>) -> Option<Endpoint> {
    if text.contains("://") {
        return None;
    }
    let authority = text.split(['/', '?', '#']).next()?;
    let address = match authority.rsplit_once('@') {
        Some((user, address)) if is_userinfo(user) => address,
        Some(_) => return None,
        None => authority,
    };
    if address.contains(['%', ' ']) {
        return None;
    }
    let (host, port) = if let Some(rest) = address.strip_prefix('[') {
        let (host, after) = rest.split_once(']')?;
        (host, if after.is_empty() { "" } else { after.strip_prefix(':')? })
    } else {
        match address.split_once(':') {
            Some((_, port)) if port.contains(':') => return None,
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

/// What may stand before the last `@` (Go net/url url.go `parseAuthority`, `validUserinfo`, `unescape`).
fn is_userinfo(text: &str) -> bool {
    let may_stand = |c: char| c.is_ascii_alphanumeric() || "-._:~!$&'()*+,;=%@".contains(c);
    text.chars().all(may_stand)
        && text.split('%').skip(1).all(|after| after.bytes().take_while(u8::is_ascii_hexdigit).take(2).count() == 2)
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

    #[test]
    fn some_texts_are_refused() {
        for text in
            ["https://h:1", "http://h", "tcp://h:x", "tcp://h:+1", "tcp://fe80::1%lo", "tcp://1:2:3", "tcp://unix://x"]
        {
            assert!(Endpoint::parse(text, true).is_err(), "{text}");
        }
        for text in ["http://me@h:1", "https://me@h:1", "h:1"] {
            assert!(Endpoint::of_context(text).is_err(), "{text}");
        }
    }
}
