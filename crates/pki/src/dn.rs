//! Distinguished names (RFC 5280 section 4.1.2.4), kept as DER and shown as text.

use std::fmt;

use x509_parser::{
    prelude::FromDer,
    x509::{AttributeTypeAndValue, X509Name},
};

use crate::user::is_invisible;

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
            Ok((rest, name))
                if rest.is_empty() && name.iter_attributes().all(|attribute| attribute.as_str().is_ok()) =>
            {
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
