//! `--userns-remap`: what dockerd will say to it on that host, by its own rules, before anything is written.

use std::{cell::RefCell, path::Path, time::Duration};

use dockseal_docker::{
    daemon_json::Document,
    env::{Shell, word_of_command},
    flags::{Program, TlsFlags},
    host::HostFacts,
    userns::{Accounts, Database, Parent, Remapping, SubIdRules, judge},
};
use dockseal_pki::printable;
use dockseal_remote::quoted;

use crate::{failure::Failure, hints::reach_failure, hosts::reach::Reached};

const PATIENCE: Duration = Duration::from_secs(20);
const DATA_ROOT: &str = "/var/lib/docker";

/// What it means there.
pub(super) fn check(reached: &mut Reached, remap: &str) -> Result<Vec<String>, Failure> {
    let target = reached.target.clone();
    let release = reached.facts.docker_version.as_deref().unwrap_or_default();
    let release = release.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    let rules = SubIdRules::of_release(release.unwrap_or_default());
    let data_root = data_root(&reached.facts);
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
    let parents: Vec<&Path> =
        Path::new(&data_root).ancestors().skip(1).filter(|path| path.parent().is_some()).collect();
    let stat = |path: &&Path| format!("stat -L -c '%a %u %g' {} 2>/dev/null || echo", quoted(&path.to_string_lossy()));
    let seen = read(&parents.iter().map(stat).collect::<Vec<_>>().join("\n"))?.unwrap_or_default();
    let seen = String::from_utf8_lossy(&seen);
    let parents: Vec<Parent> = parents.iter().zip(seen.lines()).filter_map(|(path, line)| parent(path, line)).collect();
    if let Some((refusal, parent)) = remapping.blocked(&data_root, &parents) {
        return Err(Failure::no(format!("cannot set up {target}"))
            .cause(printable(&format!("dockerd would not start with --userns-remap {remap}: {refusal}")))
            .hint(format!("on the host: chmod o+x {}", word_of_command(Shell::Sh, &printable(&parent.path)))));
    }
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

/// Where dockerd keeps what it has, by its configuration or its flags.
fn data_root(facts: &HostFacts) -> String {
    let document = facts.daemon_json.contents.as_ref().and_then(|bytes| Document::parse(bytes).ok());
    let of_file = document.and_then(|document| document.value("data-root")?.as_str().map(str::to_owned));
    let of_flags = || {
        let flags = TlsFlags::parse(Program::Dockerd, facts.daemons.first()?.arguments()).ok()?;
        flags.given.into_iter().rfind(|(name, _)| name == "data-root").map(|(_, value)| value)
    };
    of_file.or_else(of_flags).unwrap_or_else(|| DATA_ROOT.to_owned())
}

/// A directory, by what stat(1) says of it: nothing where it is not there.
fn parent(path: &Path, line: &str) -> Option<Parent> {
    let mut words = line.split_whitespace();
    Some(Parent {
        path: path.to_string_lossy().into_owned(),
        mode: u32::from_str_radix(words.next()?, 8).ok()?,
        uid: words.next()?.parse().ok()?,
        gid: words.next()?.parse().ok()?,
    })
}
