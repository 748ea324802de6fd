//! `--userns-remap`: what dockerd will say to it on that host, by its own rules, before anything is written.

use std::{cell::RefCell, time::Duration};

use dockseal_docker::{
    daemon_json::Document,
    userns::{Accounts, Database, Remapping, SubIdRules, judge},
};
use dockseal_pki::printable;
use dockseal_remote::quoted;

use crate::{
    failure::Failure,
    hosts::reach::{Reached, reach_failure},
};

const PATIENCE: Duration = Duration::from_secs(20);
const DATA_ROOT: &str = "/var/lib/docker";

/// What it means there.
pub(super) fn check(reached: &mut Reached, remap: &str) -> Result<Vec<String>, Failure> {
    let target = reached.target.clone();
    let release = reached.facts.docker_version.as_deref().unwrap_or_default();
    let release = release.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    let rules = SubIdRules::of_release(release.unwrap_or_default());
    let document = reached.facts.daemon_json.contents.as_ref().and_then(|bytes| Document::parse(bytes).ok());
    let data_root = document.and_then(|document| document.value("data-root")?.as_str().map(str::to_owned));
    let data_root = data_root.unwrap_or_else(|| DATA_ROOT.to_owned());
    let session = RefCell::new(&mut reached.session);
    let read = |script: &str| -> Result<Option<Vec<u8>>, Failure> {
        let done = session.borrow_mut().run(script, &[], PATIENCE).map_err(|error| reach_failure(&target, &error))?;
        Ok((done.status == 0).then_some(done.stdout))
    };
    let passwd = read("cat /etc/passwd")?.unwrap_or_default();
    let group = read("cat /etc/group")?.unwrap_or_default();
    let (subuid, subgid) = (read("cat /etc/subuid")?, read("cat /etc/subgid")?);
    let getent = |database: Database, key: &str| {
        let database = match database {
            Database::Passwd => "passwd",
            Database::Group => "group",
        };
        read(&format!("getent {database} {}", quoted(key))).ok().flatten()
    };
    let accounts = Accounts {
        passwd: &passwd,
        group: &group,
        subuid: subuid.as_deref(),
        subgid: subgid.as_deref(),
        data_root: &data_root,
        getent: &getent,
    };
    let remapping = judge(remap, &accounts, rules).map_err(|refusal| {
        Failure::no(format!("cannot set up {target}"))
            .cause(printable(&format!("dockerd would not start with --userns-remap {remap}: {refusal}")))
            .hint("see /etc/subuid and /etc/subgid there, or give default, which makes what it needs")
    })?;
    let mut warnings: Vec<String> = remapping.cautions(&accounts).iter().map(ToString::to_string).collect();
    match (&remapping, remapping.data_root_suffix()) {
        (Remapping::Off | Remapping::OffForRoot, _) => {
            warnings.push(format!("--userns-remap {remap} names root, and remaps nothing"));
        }
        (_, Some(suffix)) => warnings.push(format!(
            "user namespaces: images, containers and volumes move to {data_root}/{suffix}, so those that are there are not seen \
             any more; host directories that containers write to need the owner {}; privileged containers and those with the \
             host's network or processes need --userns=host",
            suffix.replace('.', ":")
        )),
        (_, None) => {}
    }
    // Paths and accounts of the host are in them.
    Ok(warnings.iter().map(|warning| printable(warning)).collect())
}
