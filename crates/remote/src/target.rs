//! Which host: as ssh takes it.

use std::{fmt, str::FromStr};

/// A destination of ssh: `USER@HOST`, an alias of its configuration, or `ssh://USER@HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Target {
    user: Option<String>,
    host: String,
    port: Option<u16>,
}

impl Target {
    /// The host, or what ssh's configuration calls it; an IPv6 address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The arguments that name it, the last one preceded by `--`.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let mut arguments = Vec::new();
        if let Some(port) = self.port {
            arguments.extend(["-p".to_owned(), port.to_string()]);
        }
        arguments.push("--".to_owned());
        arguments.push(match &self.user {
            Some(user) => format!("{user}@{}", self.host),
            None => self.host.clone(),
        });
        arguments
    }
}

impl fmt::Display for Target {
    /// As it can be read again; the short form where there is no port.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
        match (self.port, self.host.contains(':')) {
            (None, _) => write!(f, "{user}{}", self.host),
            (Some(port), true) => write!(f, "ssh://{user}[{}]:{port}", self.host),
            (Some(port), false) => write!(f, "ssh://{user}{}:{port}", self.host),
        }
    }
}

impl FromStr for Target {
    type Err = TargetError;

    /// ssh(1): a destination may be `[user@]hostname` or `ssh://[user@]hostname[:port]`.
    fn from_str(text: &str) -> Result<Self, TargetError> {
        let (rest, is_url) = match text.strip_prefix("ssh://") {
            Some(rest) => (rest.strip_suffix('/').unwrap_or(rest), true),
            None => (text, false),
        };
        if !is_url && rest.contains("://") {
            return Err(TargetError::Scheme);
        }
        let (user, host) = match rest.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, rest),
        };
        let (host, port) = match host.strip_prefix('[').and_then(|host| host.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, after)) => (host, Some(after.strip_prefix(':').ok_or(TargetError::Port)?)),
            None if is_url => match host.rsplit_once(':') {
                Some((host, port)) if !host.contains(':') => (host, Some(port)),
                _ => (host, None),
            },
            None => (host, None),
        };
        let port = port.map(|port| port.parse().map_err(|_| TargetError::Port)).transpose()?;
        if port == Some(0) {
            return Err(TargetError::Port);
        }
        // A leading hyphen would be an option; whatever a shell or a log could trip over is no host name either.
        let odd = |text: &str| {
            text.is_empty()
                || text.starts_with('-')
                || text.contains(|c: char| c.is_whitespace() || c.is_control() || "'\"`$;&|<>(){}\\*?!/".contains(c))
        };
        if odd(host) {
            return Err(TargetError::Host);
        }
        if user.is_some_and(odd) {
            return Err(TargetError::User);
        }
        Ok(Self { user: user.map(str::to_owned), host: host.to_owned(), port })
    }
}

/// Why a text names no host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetError {
    /// It has another scheme than ssh://.
    Scheme,
    /// It has no host, or none that ssh could dial.
    Host,
    /// Its user is none.
    User,
    /// Its port is none.
    Port,
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheme => "it has another scheme than ssh://",
            Self::Host => "it has no host name that ssh could dial",
            Self::User => "it has no user name that could log in",
            Self::Port => "its port is no number from 1 to 65535",
        })
    }
}

impl std::error::Error for TargetError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations() {
        for (text, arguments, shown) in [
            ("root@h", vec!["--", "root@h"], "root@h"),
            ("box", vec!["--", "box"], "box"),
            ("ssh://h", vec!["--", "h"], "h"),
            ("ssh://a@h:2222", vec!["-p", "2222", "--", "a@h"], "ssh://a@h:2222"),
            ("ssh://a@h:2222/", vec!["-p", "2222", "--", "a@h"], "ssh://a@h:2222"),
            ("ssh://a@[2001:db8::1]:22", vec!["-p", "22", "--", "a@2001:db8::1"], "ssh://a@[2001:db8::1]:22"),
            ("a@2001:db8::1", vec!["--", "a@2001:db8::1"], "a@2001:db8::1"),
            ("dom@in@h", vec!["--", "dom@in@h"], "dom@in@h"),
        ] {
            let target: Target = text.parse().unwrap();
            assert_eq!(target.arguments(), arguments, "{text}");
            assert_eq!(target.to_string(), shown);
            assert_eq!(shown.parse::<Target>().unwrap(), target);
        }
    }

    #[test]
    fn what_is_no_destination() {
        for (text, error) in [
            ("", TargetError::Host),
            ("root@", TargetError::Host),
            ("-oProxyCommand=x", TargetError::Host),
            ("root@-x", TargetError::Host),
            ("a b", TargetError::Host),
            ("h;rm", TargetError::Host),
            ("-l@h", TargetError::User),
            ("@h", TargetError::User),
            ("tcp://h", TargetError::Scheme),
            ("ssh://h:0", TargetError::Port),
            ("ssh://h:99999", TargetError::Port),
            ("ssh://h:x", TargetError::Port),
            ("h/path", TargetError::Host),
        ] {
            assert_eq!(text.parse::<Target>(), Err(error), "{text}");
        }
    }
}
