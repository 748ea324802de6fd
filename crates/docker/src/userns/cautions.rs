//! What dockerd does not look at in the ranges, and containers then fail of.

use std::fmt;

use super::{Accounts, IdRange, subid};

/// How many octets of text the kernel takes for a uid_map: less than a page (kernel/user_namespace.c `map_write`).
const LONGEST_MAP: usize = 4096;
/// How many ids an image may expect: `nobody` is 65534, and 16 bits were the limit once.
const USUAL_IDS: i64 = 65_536;
/// Below these the host has accounts of its own (Debian policy 9.2.2, systemd's UIDS-GIDS).
const HOST_IDS: i64 = 65_536;
/// One more than the greatest id; 4294967295 is (uid_t) -1.
const ID_LIMIT: i64 = u32::MAX as i64;

/// Trouble that dockerd starts in spite of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caution {
    /// Container root is root of the host: nothing is gained.
    RootIsHostRoot,
    /// The ranges hold ids that the host uses itself.
    HostIds {
        /// The least of them.
        start: i64,
    },
    /// The kernel refuses the mapping, so that no container starts.
    KernelRefuses {
        /// Why.
        why: &'static str,
    },
    /// The ids overlap those of another user, whose containers can then reach these.
    SharedWith {
        /// The other's name or number in the file.
        owner: String,
    },
    /// Images that hold files of higher ids cannot be unpacked.
    Few {
        /// How many ids there are.
        count: i64,
    },
}

impl fmt::Display for Caution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RootIsHostRoot => {
                f.write_str("root in a container is root on the host: the remapping protects nothing")
            }
            Self::HostIds { start } => {
                write!(
                    f,
                    "the range from {start} holds ids of the host's own accounts, whose files containers then own"
                )
            }
            Self::KernelRefuses { why } => write!(f, "no container will start: {why}"),
            Self::SharedWith { owner } => {
                write!(f, "the ids overlap those of {owner:?}, who can reach the containers' files")
            }
            Self::Few { count } => {
                write!(f, "only {count} ids: images with files of higher ids cannot be unpacked; 65536 are usual")
            }
        }
    }
}

pub(super) fn cautions(user: &str, uids: &[IdRange], gids: &[IdRange], accounts: &Accounts<'_>) -> Vec<Caution> {
    let mut found: Vec<Caution> = Vec::new();
    let mut add = |caution: Option<Caution>| match caution {
        // The same of both files is said once.
        Some(caution) if !found.contains(&caution) => found.push(caution),
        _ => {}
    };
    let is_host_root = |ranges| subid::to_host(0, ranges) == Some(0);
    add((is_host_root(uids) || is_host_root(gids)).then_some(Caution::RootIsHostRoot));
    let numbers: Vec<Vec<u8>> = subid::lines(accounts.passwd)
        .map(super::account)
        .filter(|account| account.name == user.as_bytes())
        .map(|account| account.id.to_string().into_bytes())
        .collect();
    let own = |owner: &[u8]| owner == user.as_bytes() || numbers.iter().any(|number| number == owner);
    let files = [(uids, accounts.subuid), (gids, accounts.subgid)];
    for (ranges, _) in files {
        let sorted = sorted(ranges);
        let low = sorted.iter().find(|range| (0..HOST_IDS).contains(&range.start));
        add(low.map(|range| Caution::HostIds { start: range.start }));
        add(kernel_refuses(ranges, &sorted).map(|why| Caution::KernelRefuses { why }));
    }
    for (ranges, bytes) in files {
        add(shared_with(&sorted(ranges), bytes.unwrap_or_default(), own).map(|owner| Caution::SharedWith { owner }));
    }
    let totals = [uids, gids].map(|ranges| ranges.iter().fold(0_i64, |sum, range| sum.saturating_add(range.count)));
    let least = totals.into_iter().min().filter(|&count| count < USUAL_IDS);
    add(least.map(|count| Caution::Few { count }));
    found
}

fn sorted(ranges: &[IdRange]) -> Vec<IdRange> {
    let mut sorted = ranges.to_vec();
    sorted.sort_by_key(|range| range.start);
    sorted
}

/// kernel/user_namespace.c `map_write`, as far as it looks at the numbers.
fn kernel_refuses(ranges: &[IdRange], sorted: &[IdRange]) -> Option<&'static str> {
    let mut first = 0_i64;
    let mut length = 0_usize;
    for range in ranges {
        length = length.saturating_add(format!("{first} {} {}\n", range.start, range.count).len());
        first = first.saturating_add(range.count);
    }
    if length >= LONGEST_MAP {
        return Some("more ranges than fit in the kernel's map, which is less than 4096 octets of text");
    }
    if ranges.iter().any(|range| range.count < 1) {
        return Some("a range without ids");
    }
    if ranges.iter().any(|range| range.start < 0 || range.end() > ID_LIMIT) {
        return Some("a range beyond the greatest id, 4294967294");
    }
    let overlap = sorted.iter().zip(sorted.iter().skip(1)).any(|(one, next)| one.end() > next.start);
    overlap.then_some("two of the ranges overlap")
}

/// The first owner of a range that overlaps one of these.
fn shared_with(sorted: &[IdRange], bytes: &[u8], own: impl Fn(&[u8]) -> bool) -> Option<String> {
    // The furthest end of all ranges up to each, so that one search per line is enough.
    let mut furthest = i64::MIN;
    let ends: Vec<i64> = sorted
        .iter()
        .map(|range| {
            furthest = furthest.max(range.end());
            furthest
        })
        .collect();
    subid::lines(bytes).find_map(|line| {
        let mut fields = line.split(|&byte| byte == b':');
        let owner = fields.next().unwrap_or_default();
        let (start, start_parsed) = fields.next().map_or((0, false), subid::go_parse_int);
        let (count, count_parsed) = fields.next().map_or((0, false), subid::go_parse_int);
        if !start_parsed || !count_parsed || count < 1 || own(owner) {
            return None;
        }
        let before = sorted.partition_point(|range| range.start < start.saturating_add(count));
        let end = before.checked_sub(1).and_then(|last| ends.get(last))?;
        (*end > start).then(|| String::from_utf8_lossy(owner).into_owned())
    })
}
