//! The same for hosts that are reached over ssh.

use dockseal_docker::{host::Flavour, host_plan::PlanRefusal};
use dockseal_remote::{ReachError, Refusal, Target};

use crate::{failure::Failure, hosts::reach::NO_SPACE};

/// What to do about a full disk there.
pub(crate) const MAKE_ROOM: &str = "make room on the host, and run it again";

/// What to do about a directory on the host that is not root's alone.
const GIVE_TO_ROOT: &str = "whoever can change that directory is as good as root there: make it root's alone (chown root:root and chmod go-w), \
                            or keep dockerd's configuration in /etc/docker";

/// What to do about a host that cannot be talked to.
pub(crate) fn reach_failure(target: &Target, error: &ReachError) -> Failure {
    let failure = Failure::trouble(format!("cannot reach {target}")).cause(error);
    match error {
        ReachError::NoSsh(source) => {
            failure.cause(format!("{error}: {source}")).hint("install the OpenSSH client, or put ssh into PATH")
        }
        ReachError::Refused { refusal, .. } => failure.hint(match refusal {
            Refusal::HostKey => format!(
                "log in once by hand and compare the key's fingerprint: ssh {target}\nif its key changed and you know \
                 why, remove the old one with ssh-keygen -R; if you do not know why, somebody may sit in between"
            ),
            Refusal::Login => format!("make this work first, without a question: ssh -o BatchMode=yes {target} true"),
            Refusal::Name => "check the spelling, or the Host entries of your ssh configuration".to_owned(),
            Refusal::Network => format!("see whether the host is up and sshd listens: ssh -v {target} true"),
            Refusal::Shell => "the user needs a shell there that can run sh".to_owned(),
            Refusal::Other => format!("see what ssh says: ssh -v {target} true"),
        }),
        ReachError::NotRoot { user, .. } => Failure { what: format!("cannot work on {target}"), code: 2, ..failure }.hint(
            format!(
                "log in as root, or let {user} use sudo without a password there: a line \"{user} ALL=(root) NOPASSWD: ALL\" \
                 in /etc/sudoers.d"
            ),
        ),
        ReachError::Cut { .. } | ReachError::TimedOut { .. } => {
            failure.hint("run it again; what a change had begun there is taken back by the host itself")
        }
        ReachError::Busy { .. } => Failure { what: format!("cannot change {target}"), ..failure }
            .hint("wait until it is done; what was not finished is taken back by itself within a few minutes"),
        ReachError::Changeable { .. } => {
            Failure { what: format!("cannot change {target}"), ..failure }.hint(GIVE_TO_ROOT)
        }
        ReachError::Failed { said, .. } if said.contains(NO_SPACE) => {
            Failure { what: format!("cannot work on {target}"), ..failure }.hint(MAKE_ROOM)
        }
        ReachError::Failed { .. } => Failure { what: format!("cannot work on {target}"), ..failure }
            .hint("see to that on the host, and run it again"),
        ReachError::Garbled(_) => failure.hint("see what it answers: ssh HOST sh -c 'echo hello'"),
    }
}

/// What to do about a host that cannot be set up.
pub(crate) fn plan_failure(target: &Target, refusal: &PlanRefusal) -> Failure {
    let failure = Failure::no(format!("cannot set up {target}")).cause(refusal);
    let hint = match refusal {
        PlanRefusal::Flavour(Flavour::Absent) => "install Docker there first: docker.io or docker-ce".to_owned(),
        PlanRefusal::Flavour(Flavour::Snap) => {
            "its configuration is /var/snap/docker/current/config/daemon.json, and it reads certificates only from below \
             /var/snap/docker: issue them with dockseal issue daemon, and copy them there; or install Docker's own package"
                .to_owned()
        }
        PlanRefusal::Flavour(Flavour::Rootless) => {
            "issue its certificates with dockseal issue daemon, name them in ~/.config/docker/daemon.json, and publish the \
             port with DOCKERD_ROOTLESS_ROOTLESSKIT_FLAGS='-p 0.0.0.0:2376:2376/tcp'"
                .to_owned()
        }
        PlanRefusal::Flavour(_) => "use Docker Desktop by its own context, or install dockerd on a host of its own".to_owned(),
        PlanRefusal::NoService => "start dockerd as a service there".to_owned(),
        PlanRefusal::SeveralDaemons(_) => "set them up by hand: dockseal issue daemon makes what each needs".to_owned(),
        PlanRefusal::ReadOnly => {
            "where the system itself is built from a description (NixOS, Fedora CoreOS), put the files there: dockseal \
             bootstrap without --ssh writes them all"
                .to_owned()
        }
        PlanRefusal::Changeable(_) => GIVE_TO_ROOT.to_owned(),
        PlanRefusal::NotAFile { .. } => "set it up where that file comes from".to_owned(),
        PlanRefusal::Document { .. } => "mend the file there; nothing was changed".to_owned(),
        PlanRefusal::ExecStart(_) => "see systemctl cat docker.service; nothing was changed".to_owned(),
        PlanRefusal::FlagsFromElsewhere(_) => {
            "take the flags out where they come from: /etc/default/docker, /etc/sysconfig/docker or /etc/conf.d/docker"
                .to_owned()
        }
        PlanRefusal::OtherTls(_) => {
            "its clients would be refused afterwards; if that is meant, run it with --replace".to_owned()
        }
        PlanRefusal::PortTaken { .. } => "see what that is, on the host: ss -ltnp".to_owned(),
        PlanRefusal::ListensElsewhere { .. } => {
            "take that out of hosts in daemon.json there, leave --listen out, or run it with --replace".to_owned()
        }
        PlanRefusal::WouldNotStart(_) | PlanRefusal::NotMutual(_) => {
            "correct its daemon.json or its flags; nothing was changed".to_owned()
        }
        PlanRefusal::LiveRestoreInSwarm => "leave --live-restore out; drain the node first, and its tasks move".to_owned(),
        PlanRefusal::NothingInstalled => "name a host that dockseal bootstrap --ssh set up".to_owned(),
        PlanRefusal::ChangedSince { .. } => {
            "take out by hand what stands there: hosts, tlsverify and the tls… paths in daemon.json, and the drop-in"
                .to_owned()
        }
    };
    failure.hint(hint)
}
