//! What a change puts where, and what it takes for granted.

use dockseal_docker::{
    Contents,
    daemon_json::{Document, INSTALL_DIRECTORY},
    host::HostFacts,
    host_plan::{HostPlan, UNIX_SOCKET},
    layout,
};
use dockseal_remote::{Item, Replacement, Sighting};

use super::{KeyWish, Need, Ready};

/// What goes where.
pub(super) fn items(plan: &HostPlan, facts: &HostFacts, need: &Need, ready: Option<&Ready>) -> Vec<Item> {
    let mut items = Vec::new();
    let bundle = ready.map(|ready| &ready.bundle);
    let public = |text: String| Contents::Public(text);
    if let (Need::Certificate { .. } | Need::Trust { .. }, Some(bundle)) = (need, bundle) {
        let mut files = vec![
            (layout::CA_FILE.to_owned(), layout::PUBLIC_MODE, public(bundle.anchors.to_pem())),
            (layout::CERT_FILE.to_owned(), layout::PUBLIC_MODE, public(bundle.chain_pem())),
        ];
        if let Some(key) = bundle.key_pem() {
            files.push((
                layout::KEY_FILE.to_owned(),
                layout::key_mode(dockseal_docker::Role::Daemon),
                Contents::Secret(key),
            ));
        }
        // The whole directory is swapped, and what others put there comes along.
        let mut kept = facts.other_entries.clone();
        if matches!(need, Need::Trust { .. } | Need::Certificate { key: KeyWish::Same(_), .. }) {
            kept.push(layout::KEY_FILE.to_owned());
        }
        let mode = facts.other_entries.is_empty().then_some(layout::DIRECTORY_MODE);
        let replacement = Replacement::Directory { mode, files, kept };
        items.push(Item { path: INSTALL_DIRECTORY.to_owned(), replacement });
    }
    for file in &plan.files {
        let replacement = match &file.after {
            Some(text) => Replacement::File { mode: file.mode, contents: public(text.clone()) },
            None => Replacement::Nothing,
        };
        items.push(Item { path: file.path.clone(), replacement });
    }
    // Last: what is named in daemon.json is there as long as it is named.
    if matches!(need, Need::Removal) {
        let kept = facts.other_entries.clone();
        let replacement = if kept.is_empty() {
            Replacement::Nothing
        } else {
            Replacement::Directory { mode: None, files: Vec::new(), kept }
        };
        items.push(Item { path: INSTALL_DIRECTORY.to_owned(), replacement });
    }
    items
}

/// What the plan was made from.
pub(super) fn sightings(plan: &HostPlan, facts: &HostFacts, need: &Need) -> Vec<Sighting> {
    let of_plan = plan.files.iter().map(|file| Sighting { path: file.path.clone(), contents: file.before.clone() });
    let mut seen: Vec<Sighting> = of_plan.collect();
    if !matches!(need, Need::Restart { .. }) {
        let of_tls = [&facts.ca, &facts.cert].into_iter();
        // What could not be read then cannot be compared now.
        let of_tls = of_tls.filter(|file| file.kind.is_none() || file.contents.is_some());
        seen.extend(of_tls.map(|file| Sighting { path: file.path.clone(), contents: file.contents.clone() }));
    }
    seen
}

/// The unix socket on which dockerd is to answer, where that is not its usual one.
pub(super) fn socket(plan: &HostPlan) -> Option<&str> {
    let host = plan.hosts.iter().find(|host| host.starts_with("unix:///"))?;
    host.strip_prefix("unix://").filter(|_| host != UNIX_SOCKET)
}

/// daemon.json as it will be.
pub(super) fn configuration(plan: &HostPlan, facts: &HostFacts) -> Option<String> {
    let changed = plan.files.iter().find(|file| file.path == facts.daemon_json.path);
    match changed {
        Some(file) => file.after.clone(),
        None => facts.daemon_json.contents.as_ref().and_then(|bytes| String::from_utf8(bytes.clone()).ok()),
    }
}

/// As `Prepared::validate` wants it.
pub(super) fn without_log_level(json: String) -> String {
    match Document::parse(json.as_bytes()) {
        Ok(mut document) if document.value("log-level").is_some() => {
            document.remove("log-level");
            document.text()
        }
        _ => json,
    }
}
