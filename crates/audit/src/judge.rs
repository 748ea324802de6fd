//! From what was seen to what it means.

mod certificates;
mod files;
mod listeners;
mod sockets;
mod userns;

use std::cmp::Reverse;

use dockseal_docker::{
    daemon_keys::meant_keys,
    daemon_settings::{DaemonFault, DaemonSettings},
};
use time::OffsetDateTime;

use crate::{
    facts::{Daemon, Facts, Processes},
    finding::{Finding, Severity},
};

/// What the facts mean at `now`, the worst first.
#[must_use]
pub fn judge(facts: &Facts, now: OffsetDateTime) -> Vec<Finding> {
    let mut found = Vec::new();
    if facts.processes == Processes::Hidden {
        let seen = "the processes of others are hidden from this user: whether another dockerd runs cannot be told";
        found.push(Finding::new("unseen", Severity::Warning, "dockerd", seen).fix("look as root"));
    } else if facts.daemons.is_empty() {
        let none = Finding::new("daemon-none", Severity::Warning, "dockerd", "no dockerd runs here");
        found.push(none.fix("start it and look again: its listeners show only while it runs"));
    }
    for pid in &facts.elsewhere {
        let seen = "it runs in a process namespace of its own, a container's perhaps, and was not looked at";
        found.push(Finding::new("daemon-elsewhere", Severity::Advice, format!("dockerd, process {pid}"), seen));
    }
    if facts.daemons.is_empty() {
        sockets::of_the_host(facts, &mut found);
        let idle = facts.idle();
        if let Some(settings) = settings(facts, &idle, "dockerd does not start with it", &mut found) {
            listeners::unbindable(facts, &settings, &mut found);
        }
        listeners::authorization_bypass(facts, &idle, &mut found);
    }
    for daemon in &facts.daemons {
        one(facts, daemon, now, &mut found);
    }
    files::of_the_host(facts, &mut found);
    found.sort_by_key(|finding| Reverse(finding.severity));
    found.dedup();
    found
}

fn one(facts: &Facts, daemon: &Daemon, now: OffsetDateTime, found: &mut Vec<Finding>) {
    if daemon.tcp.is_none() {
        let seen = "its sockets and its environment are closed to this user; the listeners are taken from its settings";
        let unseen = Finding::new("unseen", Severity::Warning, format!("dockerd, process {}", daemon.pid), seen);
        found.push(unseen.fix("look as root"));
    }
    let consequence = "dockerd runs with what it read before and will not start again";
    let settings = settings(facts, daemon, consequence, found);
    if let Some(settings) = settings.as_ref().filter(|_| daemon.uid == Some(0)) {
        listeners::unbindable(facts, settings, found);
    }
    let settings = settings.as_ref();
    sockets::judge(facts, daemon, settings, found);
    let strangers = listeners::judge(facts, daemon, settings, found);
    let tls = settings.and_then(|settings| settings.files.as_ref());
    if let Some(tls) = tls {
        files::of_tls(facts, daemon, tls, found);
    }
    certificates::judge(facts, daemon, tls, now, found);
    listeners::authorization(facts, daemon, strangers, found);
    listeners::authorization_bypass(facts, daemon, found);
    userns::judge(facts, daemon, found);
}

/// What a daemon's settings mean, or a finding that it does not start with them.
fn settings(facts: &Facts, daemon: &Daemon, consequence: &str, found: &mut Vec<Finding>) -> Option<DaemonSettings> {
    let fault = match facts.settings(daemon) {
        Ok(settings) => return Some(settings),
        Err(fault) => fault,
    };
    let fix = match &fault {
        DaemonFault::UnknownKeys { keys } => format!("{}: {consequence}", meant_keys(keys, facts.version())),
        _ => format!("mend it: {consequence}"),
    };
    let broken = Finding::new("settings-broken", Severity::Warning, daemon.daemon_json_path(), fault.to_string());
    found.push(broken.fix(fix));
    None
}
