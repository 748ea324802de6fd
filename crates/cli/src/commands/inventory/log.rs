//! `dockseal inventory log`: the trail.

use std::process::ExitCode;

use dockseal_inventory::{Event, Run};
use dockseal_pki::{SerialNumber, moment, printable};
use serde_json::{Value, json};

use crate::{
    failure::Failure,
    hints::{home_failure, inventory_failure},
    invocation::Invocation,
    ledger::open_to_read,
    output::Output,
    report::{SCHEMA, rfc3339},
};

const WHAT: &str = "cannot show the authority's trail";

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  dockseal inventory log --last 10\n  dockseal inventory log --last 1000 --format json"
)]
pub(crate) struct Args {
    /// How many of the latest events
    #[arg(long, value_name = "N", default_value_t = 50)]
    last: u32,
}

pub(crate) fn run(args: &Args, invocation: &Invocation, output: &mut Output) -> Result<ExitCode, Failure> {
    let home = invocation.home()?;
    home.check_there().map_err(|error| home_failure(WHAT, &error))?;
    let events = open_to_read(&home)?.events(args.last).map_err(|error| inventory_failure(WHAT, &error))?;
    let mut human = String::new();
    let mut run: Option<&Run> = None;
    for event in &events {
        if run != Some(&event.run) {
            human.push_str(&heading(&event.run));
            run = Some(&event.run);
        }
        human.push_str(&line(event));
    }
    let wire: Vec<Value> = events.iter().map(wire).collect();
    output.result(&human, &json!({ "schema": SCHEMA, "events": wire }));
    Ok(ExitCode::SUCCESS)
}

fn heading(run: &Run) -> String {
    let [user, machine, command] = [&run.user, &run.machine_name, &run.command].map(|text| printable(text));
    format!("{}  {user} on {machine}: {command}\n", moment(run.at))
}

fn line(event: &Event) -> String {
    let mut parts = vec![format!("{:13}", event.what)];
    parts.extend(event.endpoint.as_ref().map(|(role, name)| format!("{role} {}", printable(name))));
    parts.extend(event.serial.as_ref().map(SerialNumber::to_string));
    parts.extend(event.path.as_ref().map(|path| printable(&path.to_string_lossy())));
    parts.extend(event.detail.as_deref().map(printable));
    format!("  {}\n", parts.join("  ").trim_end())
}

fn wire(event: &Event) -> Value {
    json!({
        "at": rfc3339(event.at),
        "what": event.what,
        "role": event.endpoint.as_ref().map(|(role, _)| role.word()),
        "name": event.endpoint.as_ref().map(|(_, name)| name),
        "serial": event.serial.as_ref().map(SerialNumber::to_string),
        "path": event.path.as_ref().map(|path| path.to_string_lossy()),
        "detail": event.detail,
        "user": event.run.user,
        "machine": event.run.machine_name,
        "command": event.run.command,
    })
}
