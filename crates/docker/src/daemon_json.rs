//! The part of `daemon.json` that turns mutual TLS on (moby daemon/config/config.go, daemon/command/options.go).

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{Value, json, value::RawValue};

use crate::layout;

/// The port of the Docker API over TLS. `tcp://host` without a port means 2375 even with TLS (docker/cli opts/hosts.go).
pub const TLS_PORT: u16 = 2376;

/// Where the daemon's three files are to be on its machine.
pub const INSTALL_DIRECTORY: &str = "/etc/docker/tls";

/// The keys of a daemon that listens on its usual socket and, for mutual TLS, on every address: Go listens on IPv6 as well
/// for `0.0.0.0`, where the kernel has it (net ipsock_posix.go favoriteAddrFamily).
///
/// `fd://` is the socket that systemd hands over; it stands here because `hosts` in this file and `-H` on the command
/// line together stop dockerd (moby daemon/command/daemon.go getConflictFreeConfiguration), see [`crate::unit`]. All three
/// paths are given: without `tlscacert` the daemon accepts client certificates of every public authority
/// (go-connections tlsconfig/config.go Server), and the default locations are not used for this file.
pub fn fragment(directory: &str) -> String {
    let path = |file: &str| format!("{}/{file}", directory.trim_end_matches('/'));
    let fragment = json!({
        "hosts": ["fd://", format!("tcp://0.0.0.0:{TLS_PORT}")],
        "tlsverify": true,
        "tlscacert": path(layout::CA_FILE),
        "tlscert": path(layout::CERT_FILE),
        "tlskey": path(layout::KEY_FILE),
    });
    format!("{fragment:#}\n")
}

/// A daemon.json whose other keys stay as they are: their order, their values to the letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    members: Vec<(String, String)>,
    indent: String,
}

impl Document {
    /// Reads a file; an empty one is an empty object, a byte order mark is passed over.
    ///
    /// # Errors
    /// It is no JSON object, or has a key twice, of which dockerd takes one without a word.
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let text = std::str::from_utf8(bytes).map_err(|_| DocumentError::NotUtf8)?;
        if text.trim().is_empty() {
            return Ok(Self::empty());
        }
        let Members(members) = serde_json::from_str(text).map_err(DocumentError::Json)?;
        for (at, (key, _)) in members.iter().enumerate() {
            if members.iter().skip(at + 1).any(|(other, _)| other == key) {
                return Err(DocumentError::Twice { key: key.clone() });
            }
        }
        let indent = text.lines().skip(1).find(|line| !line.trim().is_empty() && !line.trim_start().starts_with('}'));
        let indent = indent.map(|line| line.chars().take_while(|c| matches!(c, ' ' | '\t')).collect::<String>());
        Ok(Self { members, indent: indent.filter(|indent| !indent.is_empty()).unwrap_or_else(|| "  ".to_owned()) })
    }

    /// That of a host that has none.
    #[must_use]
    pub fn empty() -> Self {
        Self { members: Vec::new(), indent: "  ".to_owned() }
    }

    /// The value of a key.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<Value> {
        let (_, raw) = self.members.iter().find(|(name, _)| name == key)?;
        serde_json::from_str(raw).ok()
    }

    /// Gives a key a value: in its place, or at the end. A value that means the same stays as it is written.
    pub fn set(&mut self, key: &str, value: &Value) {
        if self.value(key).as_ref() == Some(value) {
            return;
        }
        let raw = value.to_string().replace("\",\"", "\", \"");
        match self.members.iter_mut().find(|(name, _)| name == key) {
            Some((_, old)) => *old = raw,
            None => self.members.push((key.to_owned(), raw)),
        }
    }

    /// Takes a key out.
    pub fn remove(&mut self, key: &str) {
        self.members.retain(|(name, _)| name != key);
    }

    /// Whether nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The file, a key on each line.
    #[must_use]
    pub fn text(&self) -> String {
        if self.members.is_empty() {
            return "{}\n".to_owned();
        }
        let members: Vec<String> = self
            .members
            .iter()
            .map(|(key, raw)| format!("{}{}: {raw}", self.indent, Value::from(key.as_str())))
            .collect();
        format!("{{\n{}\n}}\n", members.join(",\n"))
    }
}

/// The members of an object, in order, the values unread.
struct Members(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some((key, value)) = map.next_entry::<String, Box<RawValue>>()? {
                    members.push((key, value.get().to_owned()));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Each)
    }
}

/// Why a daemon.json cannot be added to.
#[derive(Debug)]
pub enum DocumentError {
    /// It is not UTF-8.
    NotUtf8,
    /// It is no JSON object.
    Json(serde_json::Error),
    /// A key stands in it twice.
    Twice {
        /// The key.
        key: String,
    },
}

impl fmt::Display for DocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotUtf8 => f.write_str("it is not UTF-8"),
            Self::Json(error) => write!(f, "it is no JSON object: {error}"),
            Self::Twice { key } => write!(f, "{key:?} stands in it twice"),
        }
    }
}

impl std::error::Error for DocumentError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_keys_stay_to_the_letter() {
        let old = "\u{feff}{\n    \"log-opts\": {\"max-size\":   \"10m\"},\n    \"tlsverify\": false,\n    \"mtu\": 1450.0\n}";
        let mut document = Document::parse(old.as_bytes()).unwrap();
        document.set("tlsverify", &json!(true));
        document.set("hosts", &json!(["fd://", "tcp://0.0.0.0:2376"]));
        document.set("mtu", &json!(1450.0));
        assert_eq!(
            document.text(),
            "{\n    \"log-opts\": {\"max-size\":   \"10m\"},\n    \"tlsverify\": true,\n    \"mtu\": 1450.0,\n    \
             \"hosts\": [\"fd://\", \"tcp://0.0.0.0:2376\"]\n}\n"
        );
        document.remove("hosts");
        assert_eq!(document.value("hosts"), None);
        assert_eq!(Document::parse(b" \n").unwrap().text(), "{}\n");
    }

    #[test]
    fn what_cannot_be_added_to() {
        assert!(matches!(Document::parse(b"{\"a\":1,}"), Err(DocumentError::Json(_))));
        assert!(matches!(Document::parse(b"[]"), Err(DocumentError::Json(_))));
        assert!(matches!(Document::parse(b"{} {}"), Err(DocumentError::Json(_))));
        assert!(matches!(Document::parse(b"\xff"), Err(DocumentError::NotUtf8)));
        assert!(matches!(Document::parse(b"{\"a\":1,\"a\":2}"), Err(DocumentError::Twice { .. })));
    }
}
