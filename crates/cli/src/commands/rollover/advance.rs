//! `dockseal rollover advance`: certificates of the new generation for those who have one of the old.

use std::process::ExitCode;

use dockseal_ca::Authority;
use dockseal_inventory::{Entry, Kind};
use dockseal_store::{Generations, Home};

use super::{
    WHAT,
    deliver::{Which, Work},
    refuse_going_back,
    report::Report,
    running::{self, dockerds},
    stage::{Course, Stage, Standing, each_batch},
};
use crate::{
    authority::{chains, unlock},
    commands::renew::look,
    failure::Failure,
    groups::PassphraseArgs,
    hints::home_failure,
    invocation::Invocation,
    named,
    output::Output,
    reissue::{Job, KeyChoice, Order, reissue},
};

#[derive(clap::Args)]
pub(super) struct Args {
    /// Whose certificates: a user, a daemon's name, ROLE/NAME, or a serial number [default: everybody's]
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Go on although some do not trust the new authority yet, and would refuse the new certificates
    #[arg(long)]
    force: bool,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

pub(super) fn run(args: &Args, invocation: &Invocation, output: &mut Output) -> Result<ExitCode, Failure> {
    let home = invocation.home()?;
    let mut inventory = look(&home, invocation, output)?;
    let course = Course::read(&home)?;
    refuse_going_back(&course.counting)?;
    let mut names: Vec<Entry> = Vec::new();
    for name in &args.names {
        names.extend(named::counting(&inventory, name, None, WHAT)?);
    }
    let mut report = Report::new(output.format(), args.dry_run, invocation);
    if args.dry_run {
        each_batch(
            &mut inventory,
            |inventory| inventory,
            &course,
            &names,
            invocation,
            |_, standings| {
                plan(&course, &standings, &mut report, output);
                Ok(())
            },
        )?;
        return Ok(report.finish("", output));
    }
    drop(inventory);
    let mut work = Work::open(home, report, invocation, output)?;
    refuse_going_back(&work.course.counting)?;
    // Once the new one signs, that was so, or was not wanted.
    if work.course.needs_all_to_trust_first() && work.course.counting.signing != work.course.counting.goal() {
        work.deliver_trust(Which::All, output)?;
        let missing = without_goal(&mut work)?;
        match missing.first() {
            Some(_) if args.force => {
                output.warn(&format!("these do not trust the new authority yet: {}", list(&missing)));
            }
            Some(_) => {
                return Err(Failure::no("cannot issue certificates of the new authority yet")
                    .cause(format!(
                        "the old authority has no room for a cross-certificate, and these do not trust the new one, as \
                         far as is known: {}",
                        list(&missing)
                    ))
                    .hint("see to them and run it again, or lock them out with --force"));
            }
            None => {}
        }
    }
    if work.course.counting.signing != work.course.counting.goal() || anybody_behind(&mut work, &names)? {
        let goal = Generations { signing: work.course.counting.goal(), ..work.course.counting.clone() };
        let authority = open_as(&work.home, &goal, &args.passphrase, invocation, output)?;
        if work.course.counting.signing != goal.signing {
            work.set(&goal, "roll-over advanced", &format!("{} signs", authority.issuer().subject))?;
        }
        reissue_all(&mut work, &authority, &names, output)?;
    }
    // What was renewed before may still have had the chain of another stage.
    if names.is_empty() {
        work.deliver_trust(Which::OfGoal, output)?;
    }
    let next = if work.course.counting.change.is_none() {
        "No roll-over is under way."
    } else {
        "Next: copy what changed to where it is used and restart the daemons (hosts over ssh and contexts have theirs). When \
         dockseal rollover status shows that all are there, dockseal rollover finish takes the old authority out."
    };
    Ok(work.report.finish(next, output))
}

/// The authority as it is when these generations count.
pub(super) fn open_as(
    home: &Home,
    counting: &Generations,
    passphrase: &PassphraseArgs,
    invocation: &Invocation,
    output: &mut Output,
) -> Result<Authority, Failure> {
    let files = home.read_as(counting.clone()).map_err(|error| home_failure(WHAT, &error))?;
    chains(home, &files)?;
    Ok(unlock(home.clone(), &files, passphrase, invocation, output)?.authority)
}

/// Whether somebody has a certificate of another generation than the goal.
pub(super) fn anybody_behind(work: &mut Work<'_>, names: &[Entry]) -> Result<bool, Failure> {
    let mut behind = false;
    work.each_batch(names, |work, standings| {
        let is_behind = |one: &Standing| {
            !work.course.is_of_goal(&one.entry.certificate) && one.places.iter().any(|(_, seen)| seen.is_ok())
        };
        behind |= standings.iter().any(is_behind);
        Ok(())
    })?;
    Ok(behind)
}

/// Certificates of the goal for all who have another one.
pub(super) fn reissue_all(
    work: &mut Work<'_>,
    authority: &Authority,
    names: &[Entry],
    output: &mut Output,
) -> Result<(), Failure> {
    let order = Order { key: KeyChoice::New, lifetime: None, command_follows: false };
    work.each_batch(names, |work, standings| {
        let mut jobs = Vec::new();
        for Standing { entry, places } in standings {
            if work.course.is_of_goal(&entry.certificate) {
                continue;
            }
            let mut destinations = Vec::new();
            for (destination, seen) in places {
                match seen {
                    Ok(_) => destinations.push(destination),
                    Err(failure) => work.report.trouble(&entry, Some(&destination.place), &failure, output),
                }
            }
            // Without any, the engine says what to do about it; with none that can be reached, that was said.
            if !destinations.is_empty() || is_handed_out(work, &entry)? {
                jobs.push(Job { entry, destinations });
            }
        }
        for outcome in reissue(authority, &mut work.ledger, jobs, order, work.invocation)? {
            work.report.reissued(&outcome, output);
        }
        Ok(())
    })
}

fn is_handed_out(work: &Work<'_>, entry: &Entry) -> Result<bool, Failure> {
    let places = work.ledger.inventory.destinations_of(entry.id);
    places.map(|places| places.is_empty()).map_err(|error| crate::hints::inventory_failure(WHAT, &error))
}

/// Those who do not trust the goal, or of whom nobody can tell.
fn without_goal(work: &mut Work<'_>) -> Result<Vec<String>, Failure> {
    let mut missing = Vec::new();
    let running = dockerds(work.invocation.clock());
    work.each_batch(&[], |_, standings| {
        for Standing { entry, places } in standings {
            let who = |why: &str| format!("{} {} ({why})", entry.role, dockseal_pki::printable(&entry.name));
            if places.is_empty() {
                missing.push(who("handed out, and in no directory that is known"));
            }
            for (destination, seen) in &places {
                let path = destination.place.to_string();
                match seen {
                    Ok(seen) if seen.stage > Stage::Before => {
                        // A host's daemon was restarted when it got them.
                        if destination.place.kind != Kind::Ssh {
                            let path = &destination.place.path;
                            missing.extend(running::not_restarted(&running, path).map(|why| who(&why)));
                        }
                    }
                    Ok(_) => missing.push(who(&format!("in {path}"))),
                    Err(failure) => {
                        missing.push(who(&format!("in {path}: {}", failure.cause.as_deref().unwrap_or(&failure.what))));
                    }
                }
            }
        }
        Ok(())
    })?;
    Ok(missing)
}

/// The first few, and how many more.
pub(super) fn list(names: &[String]) -> String {
    const SHOWN: usize = 10;
    let shown: Vec<&str> = names.iter().take(SHOWN).map(String::as_str).collect();
    let more = names.len().saturating_sub(SHOWN);
    if more == 0 { shown.join("; ") } else { format!("{}; and {more} more", shown.join("; ")) }
}

fn plan(course: &Course, standings: &[Standing], report: &mut Report, output: &mut Output) {
    for Standing { entry, places } in standings {
        let behind = !course.is_of_goal(&entry.certificate);
        for (destination, seen) in places {
            match seen {
                Err(failure) => report.trouble(entry, Some(&destination.place), failure, output),
                Ok(_) if behind => {
                    report.would("issue a certificate of the new authority", entry, &destination.place, output);
                }
                Ok(_) => {}
            }
        }
    }
}
