//! The kernel's tables of sockets (proc(5): /proc/net/tcp, tcp6 and unix).

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

/// TCP_LISTEN (linux/tcp_states.h).
const LISTENS: &str = "0A";

/// __SO_ACCEPTCON (linux/net.h).
const ACCEPTS: u32 = 1 << 16;

/// A socket that listens: where, and the inode by which a process has it.
pub(crate) fn tcp_listeners(table: &[u8]) -> Vec<(SocketAddr, u64)> {
    let text = String::from_utf8_lossy(table);
    text.lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            let [_, local, _, state, _, _, _, _, _, inode, ..] = fields.as_slice() else { return None };
            if *state != LISTENS {
                return None;
            }
            Some((address(local)?, inode.parse().ok()?))
        })
        .collect()
}

/// `0100007F:0947`: 32-bit words in the host's byte order, which is taken to be little-endian, then the port.
fn address(field: &str) -> Option<SocketAddr> {
    let (ip, port) = field.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |place: usize| u32::from_str_radix(ip.get(place * 8..place * 8 + 8)?, 16).ok().map(u32::swap_bytes);
    let ip = match ip.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?];
            let whole = words.iter().fold(0_u128, |whole, word| whole << 32 | u128::from(*word));
            IpAddr::V6(Ipv6Addr::from(whole))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// The paths of the unix sockets that listen and are among these inodes.
pub(crate) fn unix_paths(table: &[u8], inodes: &BTreeSet<u64>) -> BTreeSet<String> {
    let text = String::from_utf8_lossy(table);
    text.lines()
        .skip(1)
        .filter_map(|line| {
            // Num: RefCount Protocol Flags Type St Inode Path; a path may hold blanks.
            let mut rest = line;
            let mut next = || {
                let (field, after) = rest.trim_start_matches(' ').split_once(' ')?;
                rest = after;
                Some(field)
            };
            let flags = u32::from_str_radix((0..4).map(|_| next()).last()??, 16).ok()?;
            let inode: u64 = (0..3).map(|_| next()).last()??.parse().ok()?;
            let listens = flags & ACCEPTS != 0;
            (listens && inodes.contains(&inode) && rest.starts_with('/')).then(|| rest.to_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_tables() {
        let tcp = b"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:0948 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4242 1 x\n\
            1: 0100007F:0948 0100007F:1234 01 00000000:00000000 00:00000000 00000000     0        0 4243 1 x\n";
        assert_eq!(tcp_listeners(tcp), [("127.0.0.1:2376".parse().unwrap(), 4242)]);
        let six = b"head\n 0: 00000000000000000000000001000000:0947 0:0 0A 0:0 0:0 0 0 0 7 1\n\
            1: 00000000000000000000000000000000:0947 0:0 0A 0:0 0:0 0 0 0 8 1\n";
        assert_eq!(tcp_listeners(six), [("[::1]:2375".parse().unwrap(), 7), ("[::]:2375".parse().unwrap(), 8)]);
        let unix = b"Num       RefCount Protocol Flags    Type St Inode Path\n\
            ffff: 00000002 00000000 00010000 0001 01 77 /run/docker a.sock\n\
            ffff: 00000002 00000000 00010000 0001 01 78 @/abstract\n\
            ffff: 00000003 00000000 00000000 0001 03 79 /run/docker a.sock\n";
        assert_eq!(unix_paths(unix, &[77, 78, 79].into()), ["/run/docker a.sock".to_owned()].into());
        for junk in [&b"\n\n:::\n"[..], b"", b"a b c d e f g h i j k\n0: zz:zz x 0A 1 2 3 4 5 x", b"\xff\n\xff"] {
            let _ = (tcp_listeners(junk), unix_paths(junk, &BTreeSet::new()));
        }
    }
}
