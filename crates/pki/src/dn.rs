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

    /// Whether every RDN holds exactly one attribute and no attribute type stands twice.
    ///
    /// Names beyond that are legal (RFC 5280 section 4.1.2.4) and cannot be written again by rcgen, whose names are a map.
    pub fn is_plain(&self) -> bool {
        let Ok((rest, name)) = X509Name::from_der(&self.0) else { return false };
        let mut types = Vec::new();
        let single = name.iter_rdn().all(|rdn| {
            types.extend(rdn.iter().map(|attribute| attribute.attr_type().clone()));
            rdn.iter().count() == 1
        });
        let all = types.len();
        types.sort_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
        types.dedup();
        rest.is_empty() && single && types.len() == all
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
            Ok((_, name)) => f.write_str(&printable(&name.to_string())),
            Err(_) => f.write_str("(unreadable name)"),
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
