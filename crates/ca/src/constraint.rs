//! Name constraints of an authority (RFC 5280 section 4.2.1.10): what it may certify at all.

use std::{fmt, net::IpAddr};

use dockseal_pki::{NameError, SubjectAltName};

/// One thing that a constrained authority may certify.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PermittedName {
    /// This DNS name and everything below it.
    DnsSuffix(String),
    /// These addresses.
    IpRange {
        /// The first address.
        network: IpAddr,
        /// How many leading bits are fixed.
        prefix: u8,
    },
}

/// Why a text is not a permitted name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PermitError {
    /// Not a DNS suffix.
    Name(NameError),
    /// A wildcard; a suffix covers what is below it anyway.
    Wildcard,
    /// A leading dot; Go reads that as "only below", other stacks differently.
    LeadingDot,
    /// The prefix is no number, or longer than the address.
    Prefix,
    /// Bits are set beyond the prefix.
    HostBits {
        /// The range that was probably meant.
        network: IpAddr,
        /// Its prefix.
        prefix: u8,
    },
}

impl fmt::Display for PermitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(error) => error.fmt(f),
            Self::Wildcard => f.write_str("a permitted suffix covers everything below it and takes no wildcard"),
            Self::LeadingDot => f.write_str("a permitted suffix begins with a dot, which programs read differently"),
            Self::Prefix => f.write_str("an address range is an address, a slash and the number of its fixed bits"),
            Self::HostBits { network, prefix } => {
                write!(f, "the range has bits set beyond its prefix; the range that contains it is {network}/{prefix}")
            }
        }
    }
}

impl std::error::Error for PermitError {}

impl PermittedName {
    /// Reads `example.com`, `10.0.0.0/8`, `2001:db8::/32` or a single address.
    ///
    /// # Errors
    /// When it is none of these.
    pub fn parse(text: &str) -> Result<Self, PermitError> {
        let text = text.trim();
        if let Some((address, prefix)) = text.split_once('/') {
            let address: IpAddr = address.parse().map_err(|_| PermitError::Prefix)?;
            let prefix: u8 = prefix.parse().map_err(|_| PermitError::Prefix)?;
            return range(address, prefix);
        }
        if text.starts_with('.') {
            return Err(PermitError::LeadingDot);
        }
        if text.starts_with('*') {
            return Err(PermitError::Wildcard);
        }
        match SubjectAltName::parse(text).map_err(PermitError::Name)?.name {
            SubjectAltName::Dns(suffix) => Ok(Self::DnsSuffix(suffix)),
            SubjectAltName::Ip(address) => range(address, if address.is_ipv4() { 32 } else { 128 }),
        }
    }
}

fn range(address: IpAddr, prefix: u8) -> Result<PermittedName, PermitError> {
    // Go 1.27 takes no certificate with an IPv4 range in the form of IPv6 (crypto/x509 parser.go parseNameConstraints).
    let (address, prefix) = match (address.to_canonical(), prefix.checked_sub(96)) {
        (v4 @ IpAddr::V4(_), Some(prefix)) if address.is_ipv6() => (v4, prefix),
        _ => (address, prefix),
    };
    let network = match address {
        IpAddr::V4(v4) if prefix <= 32 => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V4((u32::from(v4) & mask).into())
        }
        IpAddr::V6(v6) if prefix <= 128 => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V6((u128::from(v6) & mask).into())
        }
        _ => return Err(PermitError::Prefix),
    };
    if network != address {
        return Err(PermitError::HostBits { network, prefix });
    }
    Ok(PermittedName::IpRange { network, prefix })
}

/// The constraints that permit exactly these: a kind of name that is not mentioned is excluded whole, since RFC 5280 would
/// otherwise leave it free (an authority for `example.com` alone could certify any address).
pub(crate) fn name_constraints(permitted: &[PermittedName]) -> Option<rcgen::NameConstraints> {
    use rcgen::{CidrSubnet, GeneralSubtree};
    if permitted.is_empty() {
        return None;
    }
    let permitted_subtrees = permitted
        .iter()
        .map(|name| match name {
            PermittedName::DnsSuffix(suffix) => GeneralSubtree::DnsName(suffix.clone()),
            PermittedName::IpRange { network, prefix } => {
                GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(*network, *prefix))
            }
        })
        .collect();
    let mut excluded_subtrees = Vec::new();
    let any = |test: fn(&PermittedName) -> bool| permitted.iter().any(test);
    if !any(|name| matches!(name, PermittedName::DnsSuffix(_))) {
        excluded_subtrees.push(GeneralSubtree::DnsName(String::new()));
    }
    if !any(|name| matches!(name, PermittedName::IpRange { .. })) {
        excluded_subtrees.push(GeneralSubtree::IpAddress(CidrSubnet::V4([0; 4], [0; 4])));
        excluded_subtrees.push(GeneralSubtree::IpAddress(CidrSubnet::V6([0; 16], [0; 16])));
    }
    Some(rcgen::NameConstraints { permitted_subtrees, excluded_subtrees })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_and_ranges_are_read_strictly() {
        let range = |network: &str, prefix| PermittedName::IpRange { network: network.parse().unwrap(), prefix };
        assert_eq!(PermittedName::parse("Example.com"), Ok(PermittedName::DnsSuffix("example.com".into())));
        assert_eq!(PermittedName::parse("10.0.0.0/8"), Ok(range("10.0.0.0", 8)));
        assert_eq!(PermittedName::parse("0.0.0.0/0"), Ok(range("0.0.0.0", 0)));
        assert_eq!(PermittedName::parse("10.0.0.7"), Ok(range("10.0.0.7", 32)));
        assert_eq!(PermittedName::parse("2001:db8::/32"), Ok(range("2001:db8::", 32)));
        let host_bits = PermitError::HostBits { network: "10.0.0.0".parse().unwrap(), prefix: 8 };
        assert_eq!(PermittedName::parse("10.0.0.5/8"), Err(host_bits));
        assert_eq!(PermittedName::parse("10.0.0.0/33"), Err(PermitError::Prefix));
        assert_eq!(PermittedName::parse("10.0.0.0/"), Err(PermitError::Prefix));
        assert_eq!(PermittedName::parse(".example.com"), Err(PermitError::LeadingDot));
        assert_eq!(PermittedName::parse("*.example.com"), Err(PermitError::Wildcard));
        assert!(matches!(PermittedName::parse("a b"), Err(PermitError::Name(_))));
    }
}
