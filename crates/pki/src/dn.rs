//! Distinguished names (RFC 5280 section 4.1.2.4), kept as DER and shown as text.

use std::fmt;

use x509_parser::{
    prelude::FromDer,
    x509::{AttributeTypeAndValue, X509Name},
};

use crate::user::is_invisible;

/// What keeps a name from being written again byte for byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameObstacle {
    /// A type of attribute stands in it more than once, as in DC=local, DC=corp.
    Repeated,
    /// One part of it joins several attributes, as in CN=x + UID=y.
    Joined,
    /// A text in it has octets that its type of string does not have.
    Unreadable,
}

impl fmt::Display for NameObstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Repeated => "has a type of attribute more than once",
            Self::Joined => "joins several attributes in one part",
            Self::Unreadable => "has a text that its type of string does not allow",
        })
    }
}

/// A distinguished name as its DER bytes, which is how Go compares names (crypto/x509 cert_pool.go findPotentialParents).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct DistinguishedName(Vec<u8>);

impl DistinguishedName {
    /// A name from its DER.
    pub(crate) fn from_der(der: &[u8]) -> Self {
        Self(der.to_vec())
    }

    /// The DER of the RDNSequence.
    pub fn der(&self) -> &[u8] {
        &self.0
    }

    /// Why it cannot be written again by rcgen, whose names are a map from types to text; `None` where it can. Such names are
    /// legal (RFC 5280 section 4.1.2.4).
    pub fn obstacle(&self) -> Option<NameObstacle> {
        let Ok((rest, name)) = X509Name::from_der(&self.0) else { return Some(NameObstacle::Unreadable) };
        if !rest.is_empty() || name.iter_attributes().any(|attribute| attribute.as_str().is_err()) {
            return Some(NameObstacle::Unreadable);
        }
        if name.iter_rdn().any(|rdn| rdn.iter().count() != 1) {
            return Some(NameObstacle::Joined);
        }
        let mut types: Vec<&[u8]> = name.iter_attributes().map(|attribute| attribute.attr_type().as_bytes()).collect();
        let all = types.len();
        types.sort_unstable();
        types.dedup();
        (types.len() != all).then_some(NameObstacle::Repeated)
    }

    /// The first common name, if it is text.
    pub fn common_name(&self) -> Option<String> {
        self.text(|name| name.iter_common_name().next())
    }

    /// The first emailAddress (PKCS#9), if it is text.
    pub fn email_address(&self) -> Option<String> {
        self.text(|name| name.iter_email().next())
    }

    /// The first organizational unit, if it is text.
    pub fn organizational_unit(&self) -> Option<String> {
        self.text(|name| name.iter_organizational_unit().next())
    }

    /// The first organization, if it is text.
    pub fn organization(&self) -> Option<String> {
        self.text(|name| name.iter_organization().next())
    }

    fn text(
        &self,
        attribute: impl for<'n> FnOnce(&'n X509Name<'n>) -> Option<&'n AttributeTypeAndValue<'n>>,
    ) -> Option<String> {
        let (_, name) = X509Name::from_der(&self.0).ok()?;
        attribute(&name).and_then(|value| value.as_str().ok()).map(str::to_owned)
    }
}

/// `CN=name, O=organisation`, in the order of the certificate, with everything unprintable escaped.
impl fmt::Display for DistinguishedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match X509Name::from_der(&self.0) {
            Ok((_, name)) if self.obstacle() != Some(NameObstacle::Unreadable) => {
                f.write_str(&printable(&name.to_string()))
            }
            Ok(_) | Err(_) => f.write_str("(unreadable name)"),
        }
    }
}

impl fmt::Debug for DistinguishedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `text` with control and invisible characters escaped, so that no certificate can write to a terminal.
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_invisible(c) { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown
}
