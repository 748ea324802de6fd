//! User namespaces: whether containers' root is the host's.

use dockseal_docker::userns::{Accounts, Caution, Database, Remapping, SubIdRules, judge as remapping};

use crate::{
    facts::{Daemon, Facts},
    finding::{Finding, Severity},
};

const BENCH: &[&str] = &["2.9"];

pub(super) fn judge(facts: &Facts, daemon: &Daemon, found: &mut Vec<Finding>) {
    let spec = facts.configured(daemon, "userns-remap", "userns-remap").pop().unwrap_or_default();
    let data_root = facts.configured(daemon, "data-root", "data-root").pop();
    let getent = |database, key: &str| {
        let said = match database {
            Database::Group => &facts.groups,
            Database::Passwd => &facts.users,
        };
        said.get(key).filter(|line| !line.is_empty()).cloned()
    };
    let accounts = Accounts {
        passwd: facts.content("/etc/passwd").unwrap_or_default(),
        group: facts.content("/etc/group").unwrap_or_default(),
        subuid: facts.content("/etc/subuid"),
        subgid: facts.content("/etc/subgid"),
        data_root: data_root.as_deref().unwrap_or("/var/lib/docker"),
        getent: &getent,
    };
    let rules = facts.release_number().map_or(SubIdRules::Lenient, SubIdRules::of_release);
    let subject = if spec.is_empty() { "userns-remap".to_owned() } else { format!("userns-remap {spec}") };
    let finding = |id, severity, seen: String| Finding::new(id, severity, subject.as_str(), seen).bench(BENCH);
    let remapping = match remapping(&spec, &accounts, rules) {
        Ok(remapping) => remapping,
        Err(refusal) => {
            found.push(
                finding("userns-refused", Severity::Warning, refusal.text)
                    .fix("mend the files: dockerd will not start again"),
            );
            return;
        }
    };
    match &remapping {
        // A rootless daemon is in a user namespace itself.
        Remapping::Off if daemon.uid.is_some_and(|uid| uid != 0) => {
            found.push(finding("userns", Severity::Ok, "the daemon is rootless".to_owned()));
        }
        Remapping::Off => found.push(
            finding("userns-off", Severity::Advice, "root in a container is root on the host".to_owned())
                .fix("userns-remap in daemon.json; images and volumes move, and host volumes need other owners"),
        ),
        Remapping::OffForRoot => found.push(
            finding("userns-off", Severity::Warning, "it names root, and so remaps nothing".to_owned())
                .fix("name another user, or default"),
        ),
        Remapping::Created { .. } | Remapping::Remapped { .. } => {
            let root = remapping.root().map(|(uid, gid)| format!("{uid}:{gid}")).unwrap_or_default();
            found.push(finding("userns", Severity::Ok, format!("root in a container is {root} on the host")));
        }
    }
    for caution in remapping.cautions(&accounts) {
        let severity = match caution {
            Caution::RootIsHostRoot => Severity::Critical,
            _ => Severity::Warning,
        };
        found.push(
            finding("userns-ranges", severity, caution.to_string())
                .fix("give the user ranges of its own in /etc/subuid and /etc/subgid"),
        );
    }
}
