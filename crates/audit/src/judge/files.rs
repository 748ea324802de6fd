//! Files that decide who is root: who may write them, and who may read keys.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use dockseal_docker::{
    env::{Shell, word_of_command},
    settings::TlsFiles,
};

use crate::{
    accounts,
    facts::{Daemon, Described, Facts, Presence},
    finding::{Finding, Severity},
};

/// What is asked of a file.
struct Rule {
    /// What it is.
    what: &'static str,
    /// The most that its mode may say.
    most: u32,
    /// Whether who reads it has something.
    secret: Secrecy,
    /// The items of docker-bench-security for owner and mode.
    owner_item: &'static [&'static str],
    mode_item: &'static [&'static str],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Secrecy {
    Secret,
    Public,
}

const fn public(what: &'static str, most: u32, owner: &'static [&'static str], mode: &'static [&'static str]) -> Rule {
    Rule { what, most, secret: Secrecy::Public, owner_item: owner, mode_item: mode }
}

const CA: Rule = public("the CA file", 0o444, &["3.9"], &["3.10"]);
const CERTIFICATE: Rule = public("the daemon's certificate", 0o444, &["3.11"], &["3.12"]);
const KEY: Rule = Rule {
    what: "the daemon's key",
    most: 0o400,
    secret: Secrecy::Secret,
    owner_item: &["3.13"],
    mode_item: &["3.14"],
};
const DAEMON_JSON: Rule = public("the daemon's configuration", 0o644, &["3.17"], &["3.18"]);
const SERVICE: Rule = public("systemd's docker.service", 0o644, &["3.1"], &["3.2"]);
const SOCKET_UNIT: Rule = public("systemd's docker.socket", 0o644, &["3.3"], &["3.4"]);
const DIRECTORY: Rule = public("Docker's configuration directory", 0o755, &["3.5"], &["3.6"]);
const REGISTRY: Rule = public("a registry's certificate", 0o444, &["3.7"], &["3.8"]);
const REGISTRY_KEY: Rule = Rule {
    what: "a registry client's key",
    most: 0o400,
    secret: Secrecy::Secret,
    owner_item: &["3.7"],
    mode_item: &[],
};
const DEFAULTS: Rule = public("the daemon's environment", 0o644, &["3.19"], &["3.22"]);
const SYSCONFIG: Rule = public("the daemon's environment", 0o644, &["3.21"], &["3.20"]);
const CONTAINERD: Rule = Rule {
    what: "containerd's socket",
    most: 0o660,
    secret: Secrecy::Secret,
    owner_item: &["3.23"],
    mode_item: &["3.24"],
};

/// The three files of TLS.
pub(super) fn of_tls(facts: &Facts, daemon: &Daemon, tls: &TlsFiles, found: &mut Vec<Finding>) {
    for (setting, rule) in [(&tls.ca, &CA), (&tls.cert, &CERTIFICATE), (&tls.key, &KEY)] {
        let Some(path) = setting.path() else { continue };
        let path = daemon.absolute(path);
        match facts.files.get(&path) {
            Some(Presence::There(file)) => look(facts, daemon.uid, &path, file, rule, found),
            Some(Presence::Absent) => {
                let gone =
                    Finding::new("file-missing", Severity::Warning, &path, format!("{} is not there", rule.what));
                found.push(gone.fix("put it back: dockerd will not start again without it"));
            }
            Some(Presence::Hidden) | None => {
                let seen = format!("{} is closed to this user", rule.what);
                found.push(Finding::new("unseen", Severity::Warning, &path, seen).fix("look as root"));
            }
        }
    }
}

/// Everything else.
pub(super) fn of_the_host(facts: &Facts, found: &mut Vec<Finding>) {
    let mut looked: BTreeSet<&str> = BTreeSet::new();
    let daemon_json: Vec<(String, Option<u32>)> =
        facts.daemons.iter().map(|daemon| (daemon.daemon_json_path(), daemon.uid)).collect();
    for (path, presence) in &facts.files {
        let Presence::There(file) = presence else { continue };
        let unit = facts.units.iter().find(|(_, unit)| unit == path).map(|(name, _)| name.as_str());
        let configured = daemon_json.iter().find(|(json, _)| json == path);
        let rule = match (path.as_str(), unit) {
            (_, Some("docker.service")) => &SERVICE,
            (_, Some(_)) => &SOCKET_UNIT,
            ("/etc/default/docker", _) => &DEFAULTS,
            ("/etc/sysconfig/docker", _) => &SYSCONFIG,
            ("/run/containerd/containerd.sock", _) => &CONTAINERD,
            ("/etc/docker/daemon.json", _) => &DAEMON_JSON,
            _ if configured.is_some() => &DAEMON_JSON,
            (path, _) if path.starts_with("/etc/docker/certs.d/") => {
                if path.ends_with(".key") {
                    &REGISTRY_KEY
                } else {
                    &REGISTRY
                }
            }
            _ => continue,
        };
        if looked.insert(path) {
            look(facts, configured.and_then(|(_, uid)| *uid), path, file, rule, found);
        }
    }
    if let Some(directory) = facts.directories.get("/etc/docker") {
        look(facts, None, "/etc/docker", directory, &DIRECTORY, found);
    }
    directories(facts, found);
}

fn look(facts: &Facts, uid: Option<u32>, path: &str, file: &Described, rule: &Rule, found: &mut Vec<Finding>) {
    let what = rule.what;
    let word = word_of_command(Shell::Sh, path);
    let seen =
        format!("{}:{}, mode {:04o}", accounts::user(facts, file.uid), accounts::group(facts, file.gid), file.mode);
    let foreign_group = file.gid != 0;
    if is_foreign(file.uid, uid) {
        let owner =
            Finding::new("file-owner", Severity::Critical, path, format!("{seen}: the owner of {what} is not root"));
        found.push(owner.fix(format!("chown root:root {word}")).bench(rule.owner_item));
    } else if foreign_group && rule.secret == Secrecy::Public && file.mode & 0o020 == 0 {
        let group =
            Finding::new("file-owner", Severity::Advice, path, format!("{seen}: the group of {what} is not root"));
        found.push(group.fix(format!("chown root:root {word}")).bench(rule.owner_item));
    } else {
        found.push(Finding::new("file-owner", Severity::Ok, path, &seen).bench(rule.owner_item));
    }
    let writers = writers(file);
    let fix = format!("chmod {:04o} {word}", file.mode & rule.most);
    let readers = file.mode & if foreign_group { 0o077 } else { 0o007 };
    if rule.secret == Secrecy::Secret && readers != 0 {
        let who = if file.mode & 0o007 != 0 { "everybody" } else { "a group" };
        let loose = Finding::new("key-readable", Severity::Critical, path, format!("{seen}: {what} is open to {who}"));
        let again = if what.ends_with("key") { ", and issue it anew: it may have been copied" } else { "" };
        found.push(loose.fix(format!("{fix}{again}")).bench(rule.mode_item));
    } else if let Some(who) = writers {
        let open = Finding::new("file-writable", Severity::Critical, path, format!("{seen}: {who} can change {what}"));
        found.push(open.fix(fix).bench(rule.mode_item));
    } else if file.mode & 0o777 & !rule.most != 0 {
        let more =
            Finding::new("file-mode", Severity::Advice, path, format!("{seen}: more than {:04o} on {what}", rule.most));
        found.push(more.fix(fix).bench(rule.mode_item));
    } else {
        found.push(Finding::new("file-mode", Severity::Ok, path, &seen).bench(rule.mode_item));
    }
}

/// Directories in which others than root can put another file in the place of one that was looked at.
fn directories(facts: &Facts, found: &mut Vec<Finding>) {
    let daemons: Vec<Option<u32>> = facts.daemons.iter().map(|daemon| daemon.uid).collect();
    for (path, directory) in &facts.directories {
        let owned = is_foreign(directory.uid, None) && !daemons.contains(&Some(directory.uid));
        // In a sticky directory nobody can move another's file.
        let written = if directory.mode & 0o1000 == 0 { writers(directory) } else { None };
        let why = match (owned, written) {
            (true, _) => format!("{} owns the directory", accounts::user(facts, directory.uid)),
            (false, Some(who)) => format!("mode {:04o}: {who} can write in the directory", directory.mode),
            (false, None) => continue,
        };
        let open =
            Finding::new("directory-open", Severity::Critical, path, format!("{why}, and put other files there"));
        found.push(open.fix(match home_of(facts, path, directory.uid) {
            // Whose home it is needs it, and can move whatever lies in it.
            Some(home) => format!("move the files that dockerd reads out of {home}, to below /etc/docker, say"),
            None => {
                let word = word_of_command(Shell::Sh, path);
                format!("chown root {word} && chmod go-w {word}")
            }
        }));
    }
}

/// The home in which a directory of this user lies, if that is one's of people.
fn home_of(facts: &Facts, path: &str, uid: u32) -> Option<String> {
    if uid == 0 {
        return None;
    }
    let known = accounts::home(facts, uid).filter(|home| Path::new(home) != Path::new("/"));
    // A user who is in no file of the host has a home all the same.
    let usual = || Path::new(path).strip_prefix("/home").ok()?.iter().next().map(|name| Path::new("/home").join(name));
    let home = known.map(PathBuf::from).filter(|home| Path::new(path).starts_with(home)).or_else(usual)?;
    Some(home.to_string_lossy().into_owned())
}

fn is_foreign(owner: u32, daemon: Option<u32>) -> bool {
    owner != 0 && Some(owner) != daemon
}

fn writers(file: &Described) -> Option<&'static str> {
    if file.mode & 0o002 != 0 {
        Some("everybody")
    } else if file.mode & 0o020 != 0 && file.gid != 0 {
        Some("its group")
    } else {
        None
    }
}
