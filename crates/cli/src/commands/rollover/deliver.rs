//! Another set of anchors for endpoints that keep their certificate and their key.

use dockseal_docker::trust_plan;
use dockseal_inventory::{Destination, Entry, Kind};
use dockseal_pki::{Bundle, Certificate, TrustAnchors};
use dockseal_store::{Batch, Displaced, Existing, Generations, Home, Staged, remove_stale, stage_for_batch};

use super::{
    WHAT,
    report::Report,
    stage::{Course, Seen, Standing, each_batch},
};
use crate::{
    commands::{issue::check_not_here, renew::look},
    failure::Failure,
    held,
    hints::{home_failure, inventory_failure, write_failure},
    hosts::renewal::{self, Trust},
    invocation::Invocation,
    judgement,
    ledger::Ledger,
    output::Output,
    reissue::fitted,
};

/// A roll-over in the hands of one run, which has the authority to itself meanwhile.
pub(super) struct Work<'w> {
    pub(super) home: Home,
    pub(super) ledger: Ledger,
    pub(super) course: Course,
    pub(super) report: Report,
    pub(super) invocation: &'w Invocation,
}

impl<'w> Work<'w> {
    pub(super) fn open(
        home: Home,
        report: Report,
        invocation: &'w Invocation,
        output: &mut Output,
    ) -> Result<Self, Failure> {
        let ledger = Ledger::open(&home, invocation.around(), output)?;
        // Read again: nobody changes it from here on.
        let course = Course::read(&home)?;
        Ok(Self { home, ledger, course, report, invocation })
    }

    /// Says which generations count from now on.
    pub(super) fn set(&mut self, counting: &Generations, what: &str, detail: &str) -> Result<(), Failure> {
        self.home.set_generations(counting).map_err(|error| home_failure(WHAT, &error))?;
        self.take_up()?;
        self.ledger.recorder().note(what, detail).map_err(|error| inventory_failure(WHAT, &error))
    }

    /// Goes on with what the home says now.
    pub(super) fn take_up(&mut self) -> Result<(), Failure> {
        self.course = Course::read(&self.home)?;
        let issuer = self.course.generation(self.course.counting.signing)?.issuer().clone();
        let generation = self.ledger.recorder().generation(&issuer);
        self.ledger.generation = generation.map_err(|error| inventory_failure(WHAT, &error))?;
        Ok(())
    }

    /// Looks at every endpoint.
    pub(super) fn each_batch(
        &mut self,
        names: &[Entry],
        mut each: impl FnMut(&mut Self, Vec<Standing>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        // The course is read, not changed, while endpoints are looked at.
        let course = Course::read(&self.home)?;
        let invocation = self.invocation;
        each_batch(self, |work| &work.ledger.inventory, &course, names, invocation, &mut each)
    }

    /// Gives every endpoint that keeps its certificate the anchors that it is to have now.
    pub(super) fn deliver_trust(&mut self, which: Which, output: &mut Output) -> Result<(), Failure> {
        self.each_batch(&[], |work, standings| work.deliver_to(standings, which, output))
    }

    /// The same for these.
    pub(super) fn deliver_to(
        &mut self,
        standings: Vec<Standing>,
        which: Which,
        output: &mut Output,
    ) -> Result<(), Failure> {
        let mut batch = Batch::default();
        let mut waiting = Vec::new();
        let mut on_hosts = Vec::new();
        for Standing { entry, places } in standings {
            if which == Which::OfGoal && !self.course.is_of_goal(&entry.certificate) {
                continue;
            }
            for (destination, seen) in places {
                let place = destination.place;
                let wanted = seen.map(|seen| {
                    let wanted = seen.is_to_have(&self.course, &entry.certificate);
                    (seen, wanted)
                });
                match wanted {
                    Err(failure) if self.report.is_elsewhere(&place) && which == Which::OfGoal => {
                        self.report.note_elsewhere(&entry, &place, &failure, output);
                    }
                    Err(failure) => self.report.trouble(&entry, Some(&place), &failure, output),
                    Ok((_, None)) if place.kind == Kind::Ssh => {}
                    Ok((seen, Some((anchors, chain)))) if place.kind == Kind::Ssh => {
                        let destination = seen.site.destination;
                        on_hosts.push(Trust { entry: entry.clone(), destination, anchors, chain });
                    }
                    // As it is to be; a run that was killed may have left what it displaced.
                    Ok((_, None)) => {
                        if let Err(error) = remove_stale(&place.path) {
                            let failure = write_failure(&format!("cannot look at {}", place.path.display()), &error);
                            self.report.trouble(&entry, Some(&place), &failure, output);
                        }
                    }
                    Ok((seen, Some((anchors, chain)))) => {
                        match stage_trust(&entry, seen, anchors, chain, self.invocation) {
                            Ok(staged) => {
                                batch.push(staged);
                                waiting.push((entry.clone(), place));
                            }
                            Err(failure) => self.report.trouble(&entry, Some(&place), &failure, output),
                        }
                    }
                }
            }
        }
        for (entry, destination, result) in renewal::deliver_trust(&mut self.ledger, on_hosts, self.invocation)? {
            match result {
                Ok(_) => self.report.trusts(&entry, &destination.place, &self.course, output),
                Err(failure) => self.report.trouble(&entry, Some(&destination.place), &failure, output),
            }
        }
        if waiting.is_empty() {
            return Ok(());
        }
        let swapped = batch.put_in_place().map_err(|error| write_failure(WHAT, &error))?;
        for ((entry, place), swapped) in waiting.into_iter().zip(swapped) {
            match swapped {
                Ok(placed) => {
                    self.report.trusts(&entry, &place, &self.course, output);
                    if let Err(error) = placed.check() {
                        let failure = write_failure(&format!("{} may not be safe", place.path.display()), &error);
                        self.report.trouble(&entry, Some(&place), &failure, output);
                    }
                }
                Err(error) => {
                    let failure = write_failure(&format!("{} was left as it is", place.path.display()), &error);
                    self.report.trouble(&entry, Some(&place), &failure, output);
                }
            }
        }
        Ok(())
    }
}

/// Says who would get other anchors; all, where those that they are to have are not made yet.
pub(super) fn plan_trust(
    home: &Home,
    is_all: bool,
    doing: &str,
    report: &mut Report,
    invocation: &Invocation,
    output: &mut Output,
) -> Result<(), Failure> {
    let mut inventory = look(home, invocation, output)?;
    let course = Course::read(home)?;
    each_batch(
        &mut inventory,
        |inventory| inventory,
        &course,
        &[],
        invocation,
        |_, standings| {
            for Standing { entry, places } in standings {
                for (destination, seen) in &places {
                    match seen {
                        Err(failure) => report.trouble(&entry, Some(&destination.place), failure, output),
                        Ok(seen) if is_all || seen.is_to_have(&course, &entry.certificate).is_some() => {
                            report.would(doing, &entry, &destination.place, output);
                        }
                        Ok(_) => {}
                    }
                }
            }
            Ok(())
        },
    )
}

/// Who gets other anchors.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// Everybody.
    All,
    /// Those whose certificate is the goal's.
    OfGoal,
}

/// The bundle with other anchors, judged, beside its place.
fn stage_trust(
    entry: &Entry,
    seen: Seen,
    anchors: Vec<Certificate>,
    chain: Vec<Certificate>,
    invocation: &Invocation,
) -> Result<Staged, Failure> {
    let site = seen.site;
    let path = &site.destination.place.path;
    let what = format!("{} was left as it is", path.display());
    check_not_here(path, invocation, &what)?;
    let anchors = TrustAnchors::new(anchors).ok_or_else(|| Failure::trouble(what.clone()))?;
    let bundle = Bundle { anchors, chain, key: site.key };
    judgement::of_bundle(&bundle, &held::endpoint(&entry.certificate, entry.role)?, invocation.now, &what)?;
    let Destination { place, layout, .. } = &site.destination;
    let plan = fitted(trust_plan(&bundle, entry.role, *layout, site.ownership), place);
    stage_for_batch(&plan, path, Existing::Replace, Displaced::Remove).map_err(|error| write_failure(&what, &error))
}
