//! `dockseal rollover status`: who is at which stage.

use std::process::ExitCode;

use dockseal_docker::Role;
use dockseal_pki::moment;
use serde::Serialize;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::{
    report::restart,
    running::{self, Running, changed, dockerds},
    stage::{Course, Stage, Standing, each_batch},
};
use crate::{
    commands::renew::look,
    failure::Failure,
    hosts::renewal::is_on_host,
    invocation::Invocation,
    output::{Format, Output, table},
    report::{SCHEMA, rfc3339},
};

/// How many of one kind are named to people; programs get all.
const SHOWN: usize = 20;

#[derive(Default)]
struct Survey {
    running: Vec<Running>,
    /// Daemons and clients at each stage.
    counts: [[u64; 2]; 4],
    /// In words, those who are not where the others are to be.
    behind: Lines,
    unclear: Lines,
    /// Daemons, and since when their files are what they are.
    restart: Lines,
    /// All of them, where programs ask.
    wires: Option<Vec<Wire>>,
}

/// Lines of which people are shown the first few.
#[derive(Default)]
struct Lines {
    count: u64,
    first: Vec<String>,
}

impl Lines {
    fn push(&mut self, line: String) {
        self.count += 1;
        if self.first.len() < SHOWN {
            self.first.push(line);
        }
    }

    fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// One endpoint in one place, for programs.
#[derive(Serialize)]
struct Wire {
    role: &'static str,
    name: String,
    directory: Option<String>,
    stage: &'static str,
    problem: Option<String>,
    changed: Option<String>,
}

pub(super) fn run(invocation: &Invocation, output: &mut Output) -> Result<ExitCode, Failure> {
    let home = invocation.home()?;
    // Tells a missing authority from one without an inventory.
    crate::authority::read(&home)?;
    let mut inventory = look(&home, invocation, output)?;
    let course = Course::read(&home)?;
    let wires = (output.format() == Format::Json).then(Vec::new);
    let mut survey = Survey { running: dockerds(invocation.clock()), wires, ..Survey::default() };
    each_batch(
        &mut inventory,
        |inventory| inventory,
        &course,
        &[],
        invocation,
        |_, standings| {
            standings.into_iter().for_each(|standing| survey.add(&course, standing));
            Ok(())
        },
    )?;
    let under_way = course.counting.change.is_some();
    let open = under_way || !survey.behind.is_empty();
    output.result(&survey.text(&course)?, &survey.wire(&course)?);
    Ok(ExitCode::from(u8::from(open)))
}

impl Survey {
    fn add(&mut self, course: &Course, Standing { entry, places }: Standing) {
        let who = format!("{} {}", entry.role, dockseal_pki::printable(&entry.name));
        let daemon = entry.role == Role::Daemon;
        let done = |stage: Stage| {
            if course.counting.change.is_some() && !course.counting.is_concluding() && !going_back(course) {
                stage >= Stage::Reissued
            } else {
                stage == Stage::After
            }
        };
        let mut wire = |directory: Option<String>,
                        stage: &'static str,
                        problem: Option<String>,
                        changed: Option<OffsetDateTime>| {
            if let Some(wires) = &mut self.wires {
                let (role, name, changed) = (entry.role.word(), entry.name.clone(), changed.map(rfc3339));
                wires.push(Wire { role, name, directory, stage, problem, changed });
            }
        };
        if places.is_empty() && !course.is_of_goal(&entry.certificate) {
            let problem = format!("handed out, serial {}, and in no directory that is known", entry.serial());
            wire(None, "unknown", Some(problem.clone()), None);
            self.unclear.push(format!("{who}: {problem}"));
        }
        for (destination, seen) in places {
            let directory = destination.place.to_string();
            match seen {
                Err(failure) => {
                    let problem = failure.cause.unwrap_or(failure.what);
                    wire(Some(directory.clone()), "unknown", Some(problem.clone()), None);
                    self.unclear.push(format!("{who} in {directory}: {problem}"));
                }
                Ok(seen) => {
                    let on_host = is_on_host(&destination);
                    let changed = if on_host { destination.delivered_at } else { changed(&destination.place.path) };
                    wire(Some(directory.clone()), seen.stage.word(), None, changed);
                    if let Some(counts) = self.counts.get_mut(seen.stage as usize) {
                        counts[usize::from(!daemon)] += 1;
                    }
                    if !done(seen.stage) {
                        self.behind.push(format!("{who} in {directory}: {}", phrase(course, seen.stage)));
                    }
                    // A host's daemon was restarted when it got its files.
                    if daemon && !on_host && seen.stage != Stage::Before && course.counting.change.is_some() {
                        let path = &destination.place.path;
                        match running::of(&self.running, path) {
                            Some(_) => {
                                let why = running::not_restarted(&self.running, path);
                                why.into_iter().for_each(|why| self.restart.push(format!("{who} {why}")));
                            }
                            None => {
                                let since = changed.map_or_else(|| "its files changed".to_owned(), moment);
                                self.restart
                                    .push(format!("{who} in {directory}, where dockerd runs since before {since}"));
                            }
                        }
                    }
                }
            }
        }
    }

    fn text(&self, course: &Course) -> Result<String, Failure> {
        let goal = course.goal()?;
        let Some(change) = course.counting.change else {
            let mut text = format!("No roll-over is under way. The authority is {}.\n", goal.issuer().subject);
            push_list(
                &mut text,
                "\nLeft behind by the one before (dockseal rollover advance, then finish):\n",
                &self.behind,
            );
            return Ok(text);
        };
        let from = course.generation(change.from)?;
        let mut text = format!(
            "{}\n  from    {} (generation {})\n  toward  {} (generation {})\n\n",
            headline(course),
            from.issuer().subject,
            from.number,
            goal.issuer().subject,
            goal.number,
        );
        let rows: Vec<[String; 3]> = Stage::ALL
            .into_iter()
            .zip(&self.counts)
            .map(|(stage, [daemons, clients])| {
                [daemons.to_string(), clients.to_string(), phrase(course, stage).to_owned()]
            })
            .collect();
        text.push_str(&table(&["daemons", "clients", ""], &rows));
        push_list(&mut text, "\nStill to come:\n", &self.behind);
        push_list(&mut text, "\nNobody can tell from here:\n", &self.unclear);
        if !self.restart.is_empty() {
            push_list(&mut text, "\nTo be restarted, unless it was:\n", &self.restart);
            text.push_str(&format!("{}.\n", restart(self.restart.count)));
        }
        text.push_str(&format!("\nNext: {}\n", next(course, self)));
        Ok(text)
    }

    fn wire(&self, course: &Course) -> Result<Value, Failure> {
        let stages = Stage::ALL.into_iter().zip(&self.counts).map(|(stage, [daemons, clients])| {
            (stage.word().to_owned(), json!({ "daemons": daemons, "clients": clients }))
        });
        let change = course.counting.change;
        let subject = |number| course.generation(number).map(|generation| generation.issuer().subject.to_string());
        Ok(json!({
            "schema": SCHEMA,
            "under_way": change.is_some(),
            "aborting": change.is_some_and(|change| change.is_taken_back()),
            "finishing": course.counting.is_concluding(),
            "signing": course.counting.signing,
            "trusted": course.counting.trusted,
            "from": change.map(|change| subject(change.from)).transpose()?,
            "toward": subject(course.counting.goal())?,
            "all_must_trust_first": course.needs_all_to_trust_first(),
            "stages": Value::Object(stages.collect()),
            "unknown": self.unclear.count,
            "endpoints": self.wires,
            "restart_daemons": self.restart.count,
        }))
    }
}

fn going_back(course: &Course) -> bool {
    course.counting.change.is_some_and(|change| change.is_taken_back())
}

fn headline(course: &Course) -> &'static str {
    match (going_back(course), course.counting.is_concluding()) {
        (true, _) => "The roll-over is being aborted.",
        (false, true) => "The roll-over is being finished.",
        (false, false) => "A roll-over is under way.",
    }
}

fn phrase(course: &Course, stage: Stage) -> &'static str {
    match (stage, going_back(course)) {
        (Stage::Before, _) => "trust the old authority alone",
        (Stage::TrustsBoth, false) => "trust both, with a certificate of the old",
        (Stage::TrustsBoth, true) => "trust both, with a certificate of the new",
        (Stage::Reissued, false) => "trust both, with a certificate of the new",
        (Stage::Reissued, true) => "trust both, with a certificate of the old",
        (Stage::After, false) => "trust the new authority alone",
        (Stage::After, true) => "trust the old authority alone",
    }
}

fn next(course: &Course, survey: &Survey) -> &'static str {
    if going_back(course) {
        "dockseal rollover abort"
    } else if course.counting.is_concluding() {
        "dockseal rollover finish"
    } else if course.needs_all_to_trust_first() && survey.counts[0] != [0, 0] {
        "dockseal rollover begin, until all trust both authorities"
    } else if survey.behind.is_empty() && survey.unclear.is_empty() {
        "dockseal rollover finish, when the daemons were restarted and every copy was replaced"
    } else if survey.behind.is_empty() {
        "see to those, then dockseal rollover finish"
    } else {
        "dockseal rollover advance"
    }
}

fn push_list(text: &mut String, heading: &str, lines: &Lines) {
    if lines.is_empty() {
        return;
    }
    text.push_str(heading);
    for line in &lines.first {
        text.push_str(&format!("  {line}\n"));
    }
    match lines.count.saturating_sub(lines.first.len() as u64) {
        0 => {}
        more => text.push_str(&format!("  and {more} more (--format json has all)\n")),
    }
}
