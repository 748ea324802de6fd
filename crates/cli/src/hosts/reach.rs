//! Getting to hosts.

use std::{path::PathBuf, process::Command, time::Duration};

use dockseal_docker::{daemon_json::INSTALL_DIRECTORY, host::HostFacts};
use dockseal_inventory::{Kind, Place};
use dockseal_remote::{Dial, ReachError, Session, Target, inspect};
use ring::rand::{SecureRandom, SystemRandom};

use crate::{failure::Failure, hints::reach_failure, passphrase};

/// How long a connection may take to come about.
const PATIENCE: Duration = Duration::from_secs(15);

/// What programs say about a full disk, in the C locale.
pub(crate) const NO_SPACE: &str = "No space left";
/// A host as typed.
pub(crate) fn parse_target(text: &str) -> Result<Target, Failure> {
    text.parse().map_err(|error| {
        Failure::trouble(format!("cannot use {:?} as a host", dockseal_pki::printable(text)))
            .cause(error)
            .hint("give it as ssh takes it: USER@HOST, an alias of your ssh configuration, or ssh://USER@HOST:PORT")
    })
}

/// How to dial. Of several at once none may ask: nobody could tell which.
pub(crate) fn dial(alone: bool) -> Result<Dial, Failure> {
    let mut octets = [0; 12];
    SystemRandom::new().fill(&mut octets).map_err(|_| Failure::trouble("this system has no randomness to give"))?;
    let nonce = octets.iter().map(|octet| format!("{octet:02x}")).collect();
    Ok(Dial { may_ask: alone && passphrase::is_interactive(), patience: PATIENCE, nonce })
}

/// A host that was looked at.
pub(crate) struct Reached {
    pub(crate) target: Target,
    pub(crate) session: Session,
    pub(crate) facts: HostFacts,
    /// How far its clock is ahead of this machine's, in seconds.
    pub(crate) skew: i64,
}

/// Connects and looks.
pub(crate) fn reach(target: &Target, dial: &Dial, now: impl Fn() -> i64) -> Result<Reached, Failure> {
    let failure = |error: ReachError| reach_failure(target, &error);
    let mut session = Session::open(target, dial).map_err(failure)?;
    let before = now();
    let facts = inspect(&mut session).map_err(failure)?;
    // The clock is the first that is looked at.
    let skew = facts.clock.map_or(0, |clock| ahead(clock, before));
    Ok(Reached { target: target.clone(), session, facts, skew })
}

/// How far a clock is ahead of this machine's; any number may stand there, and a moment passes on the way.
fn ahead(clock: i64, here: i64) -> i64 {
    let ahead = clock.saturating_sub(here);
    if ahead.unsigned_abs() <= 2 { 0 } else { ahead }
}

/// The name that ssh dials for it, which an alias of its configuration may stand for.
pub(crate) fn dialled_name(target: &Target) -> String {
    let asked = Command::new("ssh").args(["-G", "--", target.host()]).output();
    let text = asked.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("hostname "));
    name.unwrap_or(target.host()).to_owned()
}

/// Where a daemon's bundle is on that host, as the inventory has it.
pub(crate) fn place(target: &Target, facts: &HostFacts) -> Place {
    Place {
        kind: Kind::Ssh,
        machine: facts.machine.clone(),
        machine_name: target.to_string(),
        path: PathBuf::from(INSTALL_DIRECTORY),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_of_every_kind() {
        let now = 1_800_000_000;
        for (clock, skew) in [
            (now, 0),
            (now + 2, 0),
            (now - 2, 0),
            (now + 3, 3),
            (now - 7200, -7200),
            (i64::MAX, i64::MAX - now),
            (i64::MIN, i64::MIN),
        ] {
            assert_eq!(ahead(clock, now), skew);
        }
        assert_eq!(ahead(i64::MAX, -1), i64::MAX);
    }
}
