//! Unix sockets: whoever may write to one is root on the host (docs.docker.com "Docker daemon attack surface").

use std::{collections::BTreeSet, path::Path};

use dockseal_docker::{
    daemon_settings::DaemonSettings,
    endpoint::Endpoint,
    env::{Shell, word_of_command},
};

use crate::{
    accounts,
    facts::{Daemon, Facts, Presence, one_name},
    finding::{Finding, Severity},
};

/// Where the API is when nobody says otherwise.
const API_SOCKET: &str = "/run/docker.sock";

pub(super) fn judge(facts: &Facts, daemon: &Daemon, settings: Option<&DaemonSettings>, found: &mut Vec<Finding>) {
    for path in paths(facts, daemon, settings) {
        one(facts, &path, daemon.uid, found);
    }
}

/// Where no dockerd was seen: systemd may hold the socket and start one for whoever comes.
pub(super) fn of_the_host(facts: &Facts, found: &mut Vec<Finding>) {
    if facts.files.contains_key(API_SOCKET) {
        one(facts, API_SOCKET, None, found);
    }
}

fn one(facts: &Facts, path: &str, daemon: Option<u32>, found: &mut Vec<Finding>) {
    let socket = match facts.files.get(path) {
        Some(Presence::There(socket)) => socket,
        Some(Presence::Hidden) => {
            found.push(Finding::new("unseen", Severity::Warning, path, "closed to this user").fix("look as root"));
            return;
        }
        Some(Presence::Absent) => return,
        None => {
            found.push(Finding::new("unseen", Severity::Warning, path, "not looked at").fix("look again"));
            return;
        }
    };
    let (owner, group) = (accounts::user(facts, socket.uid), accounts::group(facts, socket.gid));
    let seen = format!("{owner}:{group}, mode {:04o}", socket.mode);
    let word = word_of_command(Shell::Sh, path);
    if socket.mode & 0o002 != 0 {
        let open = Finding::new("socket-open", Severity::Critical, path, format!("{seen}: every user here is root"));
        found.push(open.fix(format!("chmod 0660 {word}, and SocketMode=0660 in docker.socket")).bench(&["3.16"]));
    } else if socket.mode & !0o660 != 0 {
        let loose = Finding::new("socket-mode", Severity::Warning, path, &seen);
        found.push(loose.fix(format!("chmod 0660 {word}")).bench(&["3.16"]));
    } else {
        found.push(Finding::new("socket-mode", Severity::Ok, path, &seen).bench(&["3.16"]));
    }
    if socket.uid != 0 && Some(socket.uid) != daemon {
        let owner = Finding::new("socket-owner", Severity::Critical, path, format!("{owner} owns it and so is root"));
        found.push(owner.fix(format!("chown root {word}")).bench(&["3.15"]));
    } else if !matches!(group.as_str(), "docker" | "root") && socket.uid == 0 {
        let other = Finding::new("socket-owner", Severity::Advice, path, format!("its group is {group}, not docker"));
        found.push(other.bench(&["3.15"]));
    } else {
        found.push(Finding::new("socket-owner", Severity::Ok, path, format!("{owner}:{group}")).bench(&["3.15"]));
    }
    if socket.mode & 0o020 != 0 {
        found.push(members(facts, socket.gid, &group, path));
    }
}

fn members(facts: &Facts, gid: u32, group: &str, path: &str) -> Finding {
    let Some(members) = accounts::members(facts, gid) else {
        let seen = format!("the host knows no group {gid}, and so not who is in it: each of them is root here");
        return Finding::new("socket-group", Severity::Warning, path, seen)
            .fix("have the group looked up again, or give the socket to a group that is in /etc/group");
    };
    let members: Vec<String> = members.into_iter().collect();
    if members.is_empty() {
        return Finding::new("socket-group", Severity::Ok, path, format!("nobody is in the group {group}"));
    }
    let word = word_of_command(Shell::Sh, group);
    let seen = format!("in the group {group}, and so root here: {}", members.join(", "));
    let fix = format!(
        "take out who needs no Docker: gpasswd -d USER {word}; a client certificate can be taken back, a login cannot"
    );
    Finding::new("socket-group", Severity::Warning, path, seen).fix(fix)
}

/// The sockets of the API, each once.
fn paths(facts: &Facts, daemon: &Daemon, settings: Option<&DaemonSettings>) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    let listeners = settings.map(|settings| settings.listeners.as_slice()).unwrap_or_default();
    for listener in listeners {
        if let Endpoint::Local { path } = listener {
            paths.insert(daemon.absolute(Path::new(path)));
        }
    }
    match &daemon.unix {
        Some(unix) => {
            let root = |option, default: &str| {
                let configured = facts.configured(daemon, option, option).pop();
                configured.filter(|root| !root.is_empty()).unwrap_or_else(|| default.to_owned())
            };
            let (exec_root, data_root) = (root("exec-root", "/run/docker"), root("data-root", "/var/lib/docker"));
            // Sockets for its own use, swarm's and libnetwork's, lie below these.
            let own =
                [exec_root.as_str(), data_root.as_str(), "/run/docker"].map(|top| daemon.absolute(Path::new(top)));
            let is_own = |path: &String| own.iter().any(|top| Path::new(path).starts_with(top) && path != top);
            paths.extend(unix.iter().map(|path| one_name(path)).filter(|path| !is_own(path)));
        }
        None if facts.file(API_SOCKET).is_some() => drop(paths.insert(API_SOCKET.to_owned())),
        None => {}
    }
    paths
}
