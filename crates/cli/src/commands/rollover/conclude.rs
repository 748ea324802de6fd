//! `dockseal rollover finish` and `abort`: one generation is left, the newer or the older.

use std::process::ExitCode;

use dockseal_store::{Change, Generations};

use super::{
    Last, WHAT,
    advance::{anybody_behind, list, open_as, reissue_all},
    deliver::{Which, Work},
    refuse_going_back,
    report::Report,
    running::{self, Running, dockerds},
    stage::{Course, Stage, Standing, each_batch},
};
use crate::{
    commands::renew::look,
    failure::Failure,
    hints::home_failure,
    hosts::renewal::is_on_host,
    invocation::Invocation,
    output::Output,
    passphrase::{confirm, is_interactive},
};

pub(super) fn finish(args: &Last, invocation: &Invocation, output: &mut Output) -> Result<ExitCode, Failure> {
    let home = invocation.home()?;
    let course = Course::read(&home)?;
    refuse_going_back(&course.counting)?;
    let report = Report::new(output.format(), args.dry_run, invocation);
    if args.dry_run {
        let doing = "take the old anchor out of ca.pem";
        return plan(&home, &course, report, doing, invocation, output);
    }
    let mut work = Work::open(home, report, invocation, output)?;
    refuse_going_back(&work.course.counting)?;
    if let Some(change) = work.course.counting.change.filter(|_| !work.course.counting.is_concluding()) {
        refuse_to_lock_out(&mut work, args.force, output)?;
        let next = Generations { signing: change.toward, trusted: vec![change.toward], change: Some(change) };
        work.set(&next, "roll-over being finished", "the old anchor goes")?;
    }
    conclude(work, args.force, "finished", output)
}

pub(super) fn abort(args: &Last, invocation: &Invocation, output: &mut Output) -> Result<ExitCode, Failure> {
    let home = invocation.home()?;
    let course = Course::read(&home)?;
    refuse_after_finish(&course.counting)?;
    let report = Report::new(output.format(), args.dry_run, invocation);
    if args.dry_run {
        let mut course = course;
        course.turn_back();
        let doing = "go back to the old authority";
        return plan(&home, &course, report, doing, invocation, output);
    }
    let mut work = Work::open(home, report, invocation, output)?;
    refuse_after_finish(&work.course.counting)?;
    if let Some(Change { from, toward }) = work.course.counting.change.filter(|change| !change.is_taken_back()) {
        let back = Change { from: toward, toward: from };
        let counting = Generations { signing: from, trusted: work.course.counting.trusted.clone(), change: Some(back) };
        work.set(&counting, "roll-over being aborted", "the old generation signs again")?;
    }
    if work.course.counting.change.is_some() && !work.course.counting.is_concluding() {
        if anybody_behind(&mut work, &[])? {
            let authority = open_as(&work.home, &work.course.counting, &args.passphrase, invocation, output)?;
            reissue_all(&mut work, &authority, &[], output)?;
        }
        refuse_to_lock_out(&mut work, args.force, output)?;
        let goal = work.course.counting.goal();
        let next = Generations { signing: goal, trusted: vec![goal], change: work.course.counting.change };
        work.set(&next, "roll-over being aborted", "the new anchor goes")?;
    }
    conclude(work, args.force, "aborted", output)
}

fn refuse_after_finish(counting: &Generations) -> Result<(), Failure> {
    match counting.change {
        Some(change) if !change.is_taken_back() && counting.is_concluding() => {
            Err(Failure::no("cannot abort the roll-over")
                .cause("it is being finished, and some trust the new authority alone")
                .hint("run dockseal rollover finish to the end; a new roll-over can begin then"))
        }
        _ => Ok(()),
    }
}

/// The anchor that is left goes out of every `ca.pem`; when it is nowhere any more, that was it.
fn conclude(mut work: Work<'_>, force: bool, word: &str, output: &mut Output) -> Result<ExitCode, Failure> {
    let was_under_way = work.course.counting.change;
    work.deliver_trust(Which::OfGoal, output)?;
    if work.report.troubles > 0 && !force {
        let next = format!(
            "The roll-over is not {word} yet: see to what was left as it was and run this again, or end it with --force."
        );
        return Ok(work.report.finish(&next, output));
    }
    let mut next = "No roll-over is under way.".to_owned();
    if let Some(change) = was_under_way {
        let what = format!("roll-over {word}");
        work.set(&Generations::only(change.toward), &what, &format!("generation {} alone", change.toward))?;
        next = format!("The roll-over is {word}: {} is the authority.", work.course.goal()?.issuer().subject);
    }
    work.home.remove_unused_generations().map_err(|error| home_failure(WHAT, &error))?;
    if let Some(change) = was_under_way.filter(|change| !change.is_taken_back() && work.report.troubles == 0) {
        let key = work.home.generation_path(change.from).join("ca-key.pem");
        let key = key.display();
        next.push_str(&match work.report.elsewhere {
            0 => format!(
                "\nNobody recorded here trusts the old one any more; when no copy elsewhere does, its key can be destroyed: {key}"
            ),
            places => format!(
                "\nWhat is on other machines was not looked at ({places}, see the notes) and may still trust the old one. \
                 Run it there too, or deliver ca.pem to it, before its key is destroyed: {key}"
            ),
        });
    }
    Ok(work.report.finish(&next, output))
}

/// Those whose certificate is not the goal's would be refused by all the others.
fn refuse_to_lock_out(work: &mut Work<'_>, force: bool, output: &mut Output) -> Result<(), Failure> {
    let mut locked_out = Vec::new();
    // On the way back, what a dockerd still works with is accepted by its cross-certificate, if it has one.
    let back = work.course.counting.change.filter(|change| change.is_taken_back());
    let is_vouched_for = back.is_some_and(|change| work.home.read_link(change.from).is_ok_and(|link| link.is_some()));
    let running = if is_vouched_for { Vec::new() } else { dockerds(work.invocation.clock()) };
    let mut elsewhere = 0;
    work.each_batch(&[], |work, standings| {
        locked_out.extend(standings.iter().flat_map(|standing| reasons(&work.course, standing, &running)));
        let places = standings.iter().flat_map(|standing| &standing.places);
        elsewhere += places.filter(|(destination, _)| work.report.is_elsewhere(&destination.place)).count();
        Ok(())
    })?;
    if locked_out.is_empty() {
        return if force { Ok(()) } else { agree_without_others(elsewhere) };
    }
    if force {
        output.warn(&format!("these will be locked out: {}", list(&locked_out)));
        return Ok(());
    }
    Err(Failure::no("cannot take the other authority out yet")
        .cause(format!("these would be locked out: {}", list(&locked_out)))
        .hint("run dockseal rollover advance, see to them (dockseal rollover status), or go on with --force"))
}

/// What other machines hold is known from the inventory alone: a person says whether that is enough. A script goes on, and the
/// notes and the last words name those machines.
fn agree_without_others(places: usize) -> Result<(), Failure> {
    if places == 0 || !is_interactive() {
        return Ok(());
    }
    let question = format!(
        "What is on other machines was not looked at ({places}). A certificate of the other authority that came back there, \
         from a backup perhaps, would be refused from now on. Go on?"
    );
    if confirm(&question)? {
        return Ok(());
    }
    Err(Failure::no("the other authority stays trusted")
        .cause("nobody agreed")
        .hint("run dockseal inventory check on those machines first"))
}

/// Why taking the other anchor away would lock this one out; none where it would not.
fn reasons(course: &Course, standing: &Standing, running: &[Running]) -> Vec<String> {
    let Standing { entry, places } = standing;
    let who = format!("{} {}", entry.role, dockseal_pki::printable(&entry.name));
    if course.is_of_goal(&entry.certificate) {
        // What is recorded was delivered; but a dockerd may not have read it, and what is there instead may be anything.
        let missed = places.iter().filter_map(|(destination, seen)| {
            let path = &destination.place.path;
            match seen {
                Err(failure) => {
                    let cause = failure.cause.as_deref().unwrap_or(&failure.what);
                    cause.contains("changed by hand").then(|| format!("{who} in {}: {cause}", destination.place))
                }
                Ok(seen) if seen.stage == Stage::After || is_on_host(destination) => None,
                Ok(_) => running::not_restarted(running, path).map(|why| format!("{who} {why}: restart it")),
            }
        });
        return missed.collect();
    }
    if places.is_empty() {
        return vec![format!(
            "{who}: its certificate, {}, was handed out and is of the other authority",
            entry.serial()
        )];
    }
    let reason = |(destination, seen): &(dockseal_inventory::Destination, Result<_, Failure>)| {
        let path = &destination.place;
        match seen {
            Ok(_) => format!("{who} in {path}: its certificate is of the other authority"),
            Err(failure) => format!("{who} in {path}: {}", failure.cause.as_deref().unwrap_or(&failure.what)),
        }
    };
    places.iter().map(reason).collect()
}

/// What would be done.
fn plan(
    home: &dockseal_store::Home,
    course: &Course,
    mut report: Report,
    doing: &str,
    invocation: &Invocation,
    output: &mut Output,
) -> Result<ExitCode, Failure> {
    let mut inventory = look(home, invocation, output)?;
    let mut locked_out = Vec::new();
    let running = dockerds(invocation.clock());
    each_batch(
        &mut inventory,
        |inventory| inventory,
        course,
        &[],
        invocation,
        |_, standings| {
            for standing in &standings {
                let reasons = reasons(course, standing, &running);
                for (destination, seen) in &standing.places {
                    match seen {
                        Err(failure) => report.trouble(&standing.entry, Some(&destination.place), failure, output),
                        Ok(seen) if seen.stage != Stage::After => {
                            report.would(doing, &standing.entry, &destination.place, output);
                        }
                        Ok(_) => {}
                    }
                }
                locked_out.extend(reasons);
            }
            Ok(())
        },
    )?;
    if !locked_out.is_empty() && !course.counting.change.is_some_and(Change::is_taken_back) {
        output.warn(&format!("these would be locked out: {}", list(&locked_out)));
        report.troubles += 1;
    }
    Ok(report.finish("", output))
}
