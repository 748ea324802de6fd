//! What is said of hosts: the plan, what came of it, and what did not work.

use std::process::ExitCode;

use dockseal_docker::daemon_json::INSTALL_DIRECTORY;
use serde_json::{Value, json};

use super::{Ended, Planned, context::Context};
use crate::{
    commands::bootstrap::{Args, Done, Wanted, client_rows},
    contexts::docker_line,
    failure::Failure,
    hosts::show,
    invocation::Invocation,
    next,
    output::{Output, table},
    report::{CertificateReport, SCHEMA, until},
};

pub(super) fn show_plan(planned: &[(usize, Planned)], args: &Args, invocation: &Invocation, output: &mut Output) {
    let mut text = String::new();
    for (_, one) in planned {
        let facts = &one.reached.facts;
        text.push_str(&format!(
            "{} ({}; {}; today: {})\n",
            one.reached.target,
            dockseal_pki::printable(&facts.os),
            dockseal_pki::printable(facts.docker_version.as_deref().unwrap_or("dockerd")),
            show::mode(facts)
        ));
        match (&one.need, &one.present) {
            (None, Some(leaf)) => {
                text.push_str(&format!(
                    "  nothing to do: it has its certificate until {}\n",
                    until(leaf.validity, invocation.now)
                ));
            }
            _ => text.push_str(&show::diff(&one.plan, &one.what)),
        }
        text.push('\n');
    }
    // The plan is a dry run's result, and talk otherwise.
    if !args.ssh.dry_run || output.format() == crate::output::Format::Json {
        output.talk_plainly(&text);
    } else {
        output.raw(&text);
    }
    for (_, one) in planned {
        for note in &one.plan.notes {
            output.note(&format!("{}: {note}", one.reached.target));
        }
        for warning in &one.plan.warnings {
            output.warn(&format!("{}: {warning}", one.reached.target));
        }
    }
}

pub(super) fn finish_dry(
    planned: &[(usize, Planned)],
    ended: Vec<(usize, Ended)>,
    output: &mut Output,
) -> Result<ExitCode, Failure> {
    let hosts: Vec<Value> = planned
        .iter()
        .map(|(_, one)| {
            let files: Vec<Value> = one
                .plan
                .files
                .iter()
                .map(|file| {
                    json!({
                        "path": file.path,
                        "before": file.before.as_ref().map(|bytes| show::masked(&String::from_utf8_lossy(bytes))),
                        "after": file.after.as_deref().map(show::masked),
                    })
                })
                .collect();
            json!({
                "target": one.reached.target.to_string(),
                "changes": one.need.is_some(),
                "certificate": one.what,
                "files": files,
                "commands": show::commands(&one.plan),
                "notes": one.plan.notes,
                "warnings": one.plan.warnings,
            })
        })
        .collect();
    if output.format() == crate::output::Format::Json {
        let failed: Vec<Value> = ended.iter().filter_map(|(_, one)| failed_wire(one)).collect();
        output.result("", &json!({ "schema": SCHEMA, "dry_run": true, "hosts": hosts, "failed": failed }));
    }
    failures(ended, planned.len(), output)
}

fn failed_wire(one: &Ended) -> Option<Value> {
    let failure = one.result.as_ref().err()?;
    Some(
        json!({ "target": one.target.to_string(), "error": failure.what, "cause": failure.cause, "hint": failure.hint }),
    )
}

/// One host's failure is the run's; of several each is said. `others` are hosts besides those that ended.
fn failures(ended: Vec<(usize, Ended)>, others: usize, output: &mut Output) -> Result<ExitCode, Failure> {
    let total = ended.len() + others;
    let mut failed: Vec<Failure> = ended.into_iter().filter_map(|(_, one)| one.result.err()).collect();
    match (failed.pop(), failed.len()) {
        (None, _) => Ok(ExitCode::SUCCESS),
        (Some(only), 0) => Err(only),
        (Some(last), others) => {
            let code = failed.iter().map(|failure| failure.code).chain([last.code]).max().unwrap_or(2);
            for failure in failed.iter().chain([&last]) {
                output.trouble(failure);
            }
            Err(Failure { code, ..Failure::no(format!("{} of {total} hosts failed", others + 1)) }
                .hint("run it again when that is seen to; the others stay as they are"))
        }
    }
}

pub(super) fn finish(
    mut ended: Vec<(usize, Ended)>,
    done: Option<&Done>,
    wanted: &[Wanted],
    contexts: &[Context],
    invocation: &Invocation,
    output: &mut Output,
) -> Result<ExitCode, Failure> {
    ended.sort_by_key(|(at, _)| *at);
    let Some(done) = done else { return failures(ended, 0, output) };
    let (mut rows, mut bundles, clients_changed) = client_rows(done, wanted, invocation, output);
    let mut changed = clients_changed;
    let mut reached = None;
    let mut hosts = Vec::new();
    for (row, (_, one)) in ended.iter().filter(|(_, one)| one.result.is_ok()).enumerate() {
        let Ok(settled) = &one.result else { continue };
        changed |= settled.state == "made";
        for note in &settled.notes {
            output.note(&format!("{}: {note}", one.target));
        }
        reached = reached
            .or_else(|| settled.dialled.clone().or_else(|| one.names.iter().find(|name| !name.is_wildcard()).cloned()));
        let ends = settled.certificate.as_ref().map(|leaf| until(leaf.validity, invocation.now)).unwrap_or_default();
        rows.insert(
            row + 1,
            [settled.state.to_owned(), "daemon".to_owned(), format!("{}:{INSTALL_DIRECTORY}", one.target), ends],
        );
        hosts.push(json!({
            "target": one.target.to_string(),
            "state": settled.state,
            "directory": INSTALL_DIRECTORY,
            "names": one.names.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "certificate": settled.certificate.as_ref().map(|leaf| CertificateReport::new(dockseal_docker::Role::Daemon, leaf)),
            "notes": settled.notes,
        }));
    }
    for context in contexts {
        changed |= context.state != "unchanged";
        let state = if context.state == "unchanged" { "kept" } else { context.state };
        rows.push([state.to_owned(), "context".to_owned(), context.name.clone(), String::new()]);
    }
    let mut human = String::new();
    if !changed && ended.iter().all(|(_, one)| one.result.is_ok()) {
        human.push_str("Nothing to do: everything is there and right.\n\n");
    }
    human.push_str(&table(&["", "who", "in", "valid until"], &rows));
    let mut commands = Vec::new();
    if let (Some(name), Some(client)) = (&reached, wanted.first()) {
        commands.push(next::talk(name, &client.directory));
    }
    // A context is shorter, and there.
    let ps = |context: &Context| docker_line(&format!("--context {} ps", context.name), invocation);
    commands.splice(0..0, contexts.iter().map(ps));
    if let Some(talk) = commands.first() {
        human.push_str(&format!("\nNow, from here:\n  {talk}\n"));
    }
    let failed: Vec<Value> = ended.iter().filter_map(|(_, one)| failed_wire(one)).collect();
    let wire = json!({
        "schema": SCHEMA,
        "changed": changed,
        "authority": {
            "directory": done.home.display().to_string(),
            "made": done.made_authority,
            "certificate": CertificateReport::new(dockseal_docker::Role::Authority, &done.authority),
        },
        "hosts": hosts,
        "bundles": std::mem::take(&mut bundles),
        "contexts": contexts.iter().map(|one| json!({ "name": one.name, "host": one.host, "state": one.state })).collect::<Vec<_>>(),
        "failed": failed,
        "next": commands,
    });
    output.result(&human, &wire);
    failures(ended, 0, output)
}
