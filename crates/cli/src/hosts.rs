//! Docker hosts that are reached by ssh: what is wanted there, and carrying it out on many side by side.

pub(crate) mod change;
pub(crate) mod lines;
pub(crate) mod reach;
pub(crate) mod renewal;
pub(crate) mod show;

use dockseal_lifecycle::at_once;
use dockseal_remote::{ReachError, bring_back, inspect};

use self::reach::Reached;
use crate::{failure::Failure, hints, passphrase};

/// How many hosts are worked on at once. A connection and some kilobytes each.
const AT_ONCE: usize = 32;

/// Sees to what an unfinished change left on a host: brings it back where nothing else will, and looks again.
pub(crate) fn unfinished(reached: &mut Reached, may_change: bool) -> Result<(), Failure> {
    let Some(found) = reached.facts.unfinished.clone() else { return Ok(()) };
    let target = reached.target.clone();
    let failure = |error: ReachError| hints::reach_failure(&target, &error);
    if found.awaited || !may_change {
        return Err(failure(ReachError::Busy { who: found.who }));
    }
    bring_back(&mut reached.session).map_err(failure)?;
    reached.facts = inspect(&mut reached.session).map_err(failure)?;
    match &reached.facts.unfinished {
        None => Ok(()),
        Some(found) => Err(failure(ReachError::Busy { who: found.who.clone() })),
    }
}

/// Asks a person; a script says --yes.
pub(crate) fn agree(yes: bool, hosts: usize) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !passphrase::is_interactive() {
        return Err(Failure::trouble("cannot ask whether to go on")
            .cause("there is no terminal")
            .hint("look at it with --dry-run, and say --yes"));
    }
    let what = if hosts == 1 { "Change this host?".to_owned() } else { format!("Change these {hosts} hosts?") };
    if passphrase::confirm(&what)? {
        return Ok(());
    }
    Err(Failure::no("nothing was changed").cause("it was not agreed to"))
}

/// Does the same with each, many at once; the results keep their order.
pub(crate) fn side_by_side<T: Send, R: Send>(items: Vec<T>, each: impl Fn(T) -> R + Sync) -> Vec<R> {
    at_once(AT_ONCE, items, each)
}
