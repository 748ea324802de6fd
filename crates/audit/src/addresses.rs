//! The addresses that a host has, as its kernel lists them.
//!
//! Source: Linux net/ipv4/fib_trie.c (`fib_trie_seq_show`), net/ipv6/addrconf.c (`if6_seq_show`); ip_nonlocal_bind is in
//! Documentation/networking/ip-sysctl.rst.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// What a socket of the host may be bound to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalAddresses {
    /// Of IPv4: an address, and how many bits of it count.
    v4: Vec<(Ipv4Addr, u32)>,
    /// Of IPv6.
    v6: BTreeSet<Ipv6Addr>,
    /// Whether addresses that the host does not have may be bound as well.
    any: bool,
}

impl LocalAddresses {
    pub(crate) fn read(trie: &str, inet6: &str, nonlocal: &str) -> Self {
        let mut v4 = Vec::new();
        let mut address = None;
        for line in trie.lines().map(str::trim_start) {
            if let Some(text) = line.strip_prefix("|-- ") {
                address = text.trim().parse().ok();
            } else if let (Some(address), Some(rest)) = (address, line.strip_prefix('/')) {
                let mut words = rest.split_ascii_whitespace();
                let bits = words.next().and_then(|bits| bits.parse().ok()).filter(|bits| *bits <= 32);
                v4.extend(bits.filter(|_| words.any(|word| word == "LOCAL")).map(|bits| (address, bits)));
            }
        }
        let v6 = inet6.lines().filter_map(|line| u128::from_str_radix(line.get(..32)?, 16).ok()).map(Ipv6Addr::from);
        Self { v4, v6: v6.collect(), any: nonlocal.lines().any(|line| line.trim() == "1") }
    }

    /// Whether dockerd could listen there; nothing where the kernel did not tell.
    pub(crate) fn has(&self, address: IpAddr) -> Option<bool> {
        if address.is_unspecified() || self.any {
            return Some(true);
        }
        match address {
            IpAddr::V4(_) if self.v4.is_empty() => None,
            IpAddr::V4(address) => Some(self.v4.iter().any(|(local, bits)| {
                let differs = u32::from(address) ^ u32::from(*local);
                differs.checked_shr(32 - bits).unwrap_or_default() == 0
            })),
            IpAddr::V6(_) if self.v6.is_empty() => None,
            IpAddr::V6(address) => Some(self.v6.contains(&address)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_lists() {
        let trie =
            "           |-- 10.0.0.5\n              /32 host LOCAL\n        |-- 127.0.0.0\n           /8 host LOCAL\n";
        let inet6 = "fd000000000000000000000000000001 02 40 00 80     eth0\n";
        let local = LocalAddresses::read(trie, inet6, "0\n0\n");
        for (address, expected) in [
            ("10.0.0.5", true),
            ("10.0.0.6", false),
            ("127.3.2.1", true),
            ("0.0.0.0", true),
            ("::", true),
            ("fd00::1", true),
            ("fd00::2", false),
        ] {
            assert_eq!(local.has(address.parse().unwrap()), Some(expected), "{address}");
        }
        assert_eq!(LocalAddresses::read("", "", "").has("10.0.0.5".parse().unwrap()), None);
        assert_eq!(LocalAddresses::read(trie, "", "1").has("10.9.9.9".parse().unwrap()), Some(true));
    }
}
