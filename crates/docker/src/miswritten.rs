//! Values that docker takes as they stand, and that were meant otherwise: the quotation marks and carriage returns of an
//! env file, `~` where no shell expands it, `https://`.
//!
//! docker trims blanks around a host and nothing else (docker/cli opts/hosts.go `ParseHost`); a directory it takes octet for
//! octet (docker/cli cli/flags/options.go `InstallFlags`).

use std::path::{Path, PathBuf};

use crate::{
    daemon_json::TLS_PORT,
    endpoint::Endpoint,
    env::{CERT_PATH, HOST},
};

/// What is wrong with a value, and what was meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Miswritten {
    /// What is wrong, to be put after the value.
    pub wrong: String,
    /// What to write instead.
    pub meant: String,
}

/// A host as `-H` and DOCKER_HOST have it; `None` where nothing is wrong with it, or nobody can tell what was meant.
#[must_use]
pub fn host(text: &str, uses_tls: bool, home: Option<&Path>) -> Option<Miswritten> {
    let mut value = Value::new(text.trim());
    value.clean(HOST);
    value.expand(home, |home, rest| format!("unix://{home}{rest}"));
    value.take_first();
    value.correct_scheme();
    value.drop_inner();
    if let Some(named) = port(&value.text, uses_tls) {
        value.text = named.meant;
    }
    Endpoint::parse(&value.text, uses_tls).ok()?;
    value.done()
}

/// A host without a port.
#[must_use]
pub fn port(text: &str, uses_tls: bool) -> Option<Miswritten> {
    let text = text.trim();
    if !uses_tls || !needs_port(text) {
        return None;
    }
    let scheme = if text.contains("://") { "" } else { "tcp://" };
    Some(Miswritten {
        wrong: format!("has no port, for which docker takes {} even with TLS", Endpoint::PLAIN_PORT),
        meant: format!("{scheme}{}:{TLS_PORT}", text.trim_end_matches(':')),
    })
}

/// A directory as DOCKER_CERT_PATH has it. Whether there is one of the name that was meant, the caller has to look.
#[must_use]
pub fn directory(text: &str, home: Option<&Path>) -> Option<Miswritten> {
    let mut value = Value::new(text);
    value.clean(CERT_PATH);
    value.expand(home, |home, rest| format!("{home}{rest}"));
    if let Some(rest) = value.text.strip_prefix("file://") {
        value.replace(rest.to_owned(), "is a URL, and docker takes a path");
    }
    if let Some(rest) = value.text.strip_suffix(':') {
        value.replace(rest.to_owned(), "ends with \":\"");
    }
    value.done()
}

/// Of a file, the directory that holds it.
#[must_use]
pub fn file_for_directory(path: &Path) -> Option<Miswritten> {
    let meant: PathBuf = path.parent()?.to_owned();
    Some(Miswritten {
        wrong: "is a file, and docker takes the directory that holds ca.pem, cert.pem and key.pem".to_owned(),
        meant: meant.to_str().map(|text| if text.is_empty() { "." } else { text })?.to_owned(),
    })
}

/// A value that is being put right.
struct Value {
    text: String,
    wrong: Vec<&'static str>,
}

impl Value {
    fn new(text: &str) -> Self {
        Self { text: text.to_owned(), wrong: Vec::new() }
    }

    fn replace(&mut self, text: String, wrong: &'static str) {
        if text != self.text {
            self.text = text;
            if !self.wrong.contains(&wrong) {
                self.wrong.push(wrong);
            }
        }
    }

    fn done(self) -> Option<Miswritten> {
        if self.wrong.is_empty() || self.text.is_empty() {
            return None;
        }
        Some(Miswritten { wrong: self.wrong.join(" and "), meant: self.text })
    }

    /// Takes off what surrounds the value, however it is nested.
    fn clean(&mut self, variable: &str) {
        const MARKS: [char; 7] = ['"', '\'', '`', '\u{201c}', '\u{201d}', '\u{2018}', '\u{2019}'];
        loop {
            let before = self.text.len();
            self.replace(self.text.trim_matches('\r').to_owned(), "has a carriage return in it");
            self.replace(self.text.trim().to_owned(), "has blanks around it");
            self.replace(self.text.trim_matches(MARKS).to_owned(), "has quotation marks in it");
            self.replace(self.text.trim_end_matches([';', ',']).to_owned(), "ends with a separator");
            let rest = self.text.strip_prefix("export ").unwrap_or(&self.text).trim_start();
            if let Some(value) = rest.strip_prefix(variable).and_then(|rest| rest.strip_prefix('=')) {
                self.replace(value.to_owned(), "has the variable's name in it");
            }
            if self.text.len() == before {
                break;
            }
        }
    }

    /// `~` and `$HOME`, which a shell expands and docker does not.
    fn expand(&mut self, home: Option<&Path>, put: impl Fn(&str, &str) -> String) {
        let Some(home) = home.and_then(Path::to_str) else { return };
        let rest = ["~", "$HOME", "${HOME}"].iter().find_map(|prefix| self.text.strip_prefix(prefix));
        if let Some(rest) = rest.filter(|rest| rest.is_empty() || rest.starts_with('/')) {
            self.replace(put(home, rest), "has the home directory unexpanded");
        }
    }

    /// Of several hosts the first.
    fn take_first(&mut self) {
        if let Some((first, _)) = self.text.split_once([',', ';']) {
            self.replace(first.to_owned(), "names several hosts");
        }
    }

    fn correct_scheme(&mut self) {
        let Some((scheme, rest)) = scheme_and_rest(&self.text) else { return };
        let lower = scheme.to_ascii_lowercase();
        let (docker_has, wrong) = match lower.as_str() {
            "tcp" if self.text.starts_with("tcp://") => ("tcp", "has more than the host after tcp://"),
            "tcp" | "tls" | "ssl" | "tcps" => ("tcp", "does not begin with tcp://"),
            "http" | "https" => ("tcp", "does not begin with tcp://: docker takes no http:// or https:// address"),
            "unix" => ("unix", "does not begin with unix://"),
            "ssh" => ("ssh", "does not begin with ssh://"),
            _ => return,
        };
        let rest = match docker_has {
            "unix" => format!("/{}", rest.trim_start_matches('/')),
            "tcp" if lower != "tcp" => rest.trim_matches('/').to_owned(),
            _ => rest.trim_start_matches('/').to_owned(),
        };
        self.replace(format!("{docker_has}://{rest}"), wrong);
    }

    /// What no host has within it.
    fn drop_inner(&mut self) {
        let Some(rest) = self.text.strip_prefix("tcp://") else { return };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let no_blanks = authority.replace(|c: char| c.is_whitespace() || c.is_control(), "");
        let no_marks = no_blanks.replace(['"', '\''], "");
        let [no_blanks, no_marks] = [no_blanks, no_marks].map(|authority| format!("tcp://{authority}{path}"));
        self.replace(no_blanks, "has blanks in it");
        self.replace(no_marks, "has quotation marks in it");
    }
}

/// `https://…`, and what was to be one of docker's schemes: `TCP://`, `tcp:`, `tcp//`, `unix:/`.
fn scheme_and_rest(text: &str) -> Option<(&str, &str)> {
    const KNOWN: [&str; 8] = ["tcp", "tcps", "http", "https", "tls", "ssl", "unix", "ssh"];
    let (scheme, rest) = text.split_at(text.find([':', '/'])?);
    let is_port = rest.strip_prefix(':').is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
    (KNOWN.iter().any(|known| scheme.eq_ignore_ascii_case(known)) && !is_port)
        .then(|| (scheme, rest.strip_prefix(':').unwrap_or(rest).trim_start_matches('/')))
        .map(|(scheme, rest)| (scheme, rest.strip_prefix("tcp://").unwrap_or(rest)))
}

/// Whether it is a TCP host alone, without a port and a path.
fn needs_port(text: &str) -> bool {
    let rest = text.strip_prefix("tcp://").unwrap_or(text);
    let bare = match rest.strip_prefix('[') {
        Some(bracketed) => bracketed.strip_suffix(']').is_some_and(|host| host.contains(':')),
        None => !rest.trim_end_matches(':').contains(':'),
    };
    !rest.is_empty() && bare && !rest.contains(['/', '?', '#', '@'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        let home = Path::new("/home/ada");
        for (text, wrong, meant) in [
            ("\"tcp://h:2376\"", "quotation marks", "tcp://h:2376"),
            ("'tcp://h:2376", "quotation marks", "tcp://h:2376"),
            ("\u{201c}tcp://h:2376\u{201d}\r", "quotation marks", "tcp://h:2376"),
            ("\"tcp://h:2376\r\"", "carriage return", "tcp://h:2376"),
            ("DOCKER_HOST=tcp://h:2376", "variable's name", "tcp://h:2376"),
            ("export DOCKER_HOST=\"tcp://h:2376\";", "separator", "tcp://h:2376"),
            ("tcp://h:2376,tcp://i:2376", "several hosts", "tcp://h:2376"),
            ("http://h:2376", "does not begin with tcp://", "tcp://h:2376"),
            ("https://h:2376/", "does not begin with tcp://", "tcp://h:2376"),
            ("https://h", "does not begin with tcp://", "tcp://h:2376"),
            ("https:h", "does not begin with tcp://", "tcp://h:2376"),
            ("TCP://h:2376", "does not begin with tcp://", "tcp://h:2376"),
            ("tcp:h:2376", "does not begin with tcp://", "tcp://h:2376"),
            ("tcp:/h:2376", "does not begin with tcp://", "tcp://h:2376"),
            ("tcp//h:2376", "does not begin with tcp://", "tcp://h:2376"),
            ("tcp:///h:2376", "more than the host after tcp://", "tcp://h:2376"),
            ("tcp://tcp://h:2376", "more than the host after tcp://", "tcp://h:2376"),
            ("tcp://h :2376", "blanks", "tcp://h:2376"),
            ("tcp://\"h\":2376", "quotation marks", "tcp://h:2376"),
            ("unix:/run/x.sock", "does not begin with unix://", "unix:///run/x.sock"),
            ("~/x.sock", "home directory", "unix:///home/ada/x.sock"),
        ] {
            let found = host(text, true, Some(home)).unwrap_or_else(|| panic!("{text}"));
            assert!(found.wrong.contains(wrong), "{text}: {found:?}");
            assert_eq!(found.meant, meant, "{text}");
        }
        for text in [
            "",
            " tcp://h:2376\r\n",
            "tcp://h:2376",
            "h:1",
            "tcp:2376",
            "tcp://h:1/x",
            "tcp://h:1/x y",
            "h 1",
            "unix:///x",
            "ssh://a@h",
            "/x",
            "{}",
        ] {
            assert_eq!(host(text, true, Some(home)), None, "{text}");
        }
        for (text, meant) in [
            ("tcp://h", "tcp://h:2376"),
            ("h", "tcp://h:2376"),
            ("tcp://h:", "tcp://h:2376"),
            ("tcp://[::1]", "tcp://[::1]:2376"),
        ] {
            assert_eq!(host(text, true, Some(home)), None, "{text}");
            assert_eq!(port(text, true).unwrap().meant, meant, "{text}");
            assert_eq!(port(text, false), None, "2375 is the port without TLS");
        }
        for text in ["h:1", "tcp://h:1", "tcp://h/x", "tcp://", "", "/x", "unix:///x", "ssh://h"] {
            assert_eq!(port(text, true), None, "{text}");
        }
    }

    #[test]
    fn directories() {
        let home = Path::new("/home/ada");
        for (text, wrong, meant) in [
            ("~/x", "home directory", "/home/ada/x"),
            ("$HOME/x", "home directory", "/home/ada/x"),
            ("\"/x\"", "quotation marks", "/x"),
            ("'~/x'", "quotation marks in it and has the home directory", "/home/ada/x"),
            ("/x\r", "carriage return", "/x"),
            (" /x ", "blanks around", "/x"),
            ("DOCKER_CERT_PATH=/x", "variable's name", "/x"),
            ("file:///x", "URL", "/x"),
            ("/x:", "\":\"", "/x"),
        ] {
            let found = directory(text, Some(home)).unwrap_or_else(|| panic!("{text}"));
            assert!(found.wrong.contains(wrong), "{text}: {found:?}");
            assert_eq!(found.meant, meant, "{text}");
        }
        for text in ["/x", "x", "/a b/c", "~user/x", "", "\"\""] {
            assert_eq!(directory(text, Some(home)), None, "{text}");
        }
    }
}
