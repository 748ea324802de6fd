//! Users and groups by number, from /etc/passwd, /etc/group and what getent said.

use std::collections::BTreeSet;

use crate::facts::Facts;

/// A user's name, or its number.
pub(crate) fn user(facts: &Facts, uid: u32) -> String {
    named(facts.content("/etc/passwd").unwrap_or_default(), uid).unwrap_or_else(|| uid.to_string())
}

/// A user's home.
pub(crate) fn home(facts: &Facts, uid: u32) -> Option<String> {
    let passwd = facts.content("/etc/passwd").unwrap_or_default();
    lines(passwd).find(|fields| id(fields) == Some(uid)).and_then(|fields| fields.get(5).map(|&home| home.to_owned()))
}

/// A group's name, or its number.
pub(crate) fn group(facts: &Facts, gid: u32) -> String {
    let known = || facts.groups.values().find_map(|line| named(line, gid));
    named(facts.content("/etc/group").unwrap_or_default(), gid).or_else(known).unwrap_or_else(|| gid.to_string())
}

/// Who is in a group, root aside: those it lists, and those whose own group it is. `None` where nothing that was read knows of
/// the group: then there is no telling who is in it.
pub(crate) fn members(facts: &Facts, gid: u32) -> Option<BTreeSet<String>> {
    let group = facts.content("/etc/group").unwrap_or_default();
    let lists = std::iter::once(group).chain(facts.groups.values().map(Vec::as_slice));
    let entries: Vec<_> = lists.flat_map(lines).filter(|fields| id(fields) == Some(gid)).collect();
    if entries.is_empty() {
        return None;
    }
    let listed = entries.into_iter().flat_map(|fields| {
        let list = fields.get(3).copied().unwrap_or_default().to_owned();
        list.split(',').map(str::to_owned).collect::<Vec<_>>()
    });
    let passwd = facts.content("/etc/passwd").unwrap_or_default();
    let own = lines(passwd)
        .filter(|fields| fields.get(3).and_then(|field| field.parse().ok()) == Some(gid))
        .filter_map(|fields| fields.first().map(|&name| name.to_owned()));
    let names: Vec<String> = listed.chain(own).collect();
    Some(names.into_iter().filter(|name| !name.is_empty() && name != "root").collect())
}

fn named(bytes: &[u8], number: u32) -> Option<String> {
    lines(bytes)
        .find(|fields| id(fields) == Some(number))
        .and_then(|fields| fields.first().map(|&name| name.to_owned()))
}

fn id(fields: &[&str]) -> Option<u32> {
    fields.get(2)?.parse().ok()
}

/// The fields of every line; a line that is no UTF-8 is no account's.
fn lines(bytes: &[u8]) -> impl Iterator<Item = Vec<&str>> {
    bytes
        .split(|&byte| byte == b'\n')
        .filter_map(|line| std::str::from_utf8(line).ok())
        .map(|line| line.trim().split(':').collect())
}
