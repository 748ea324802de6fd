//! `dockseal host remove`: takes back out what bootstrap put on a host.

use std::{process::ExitCode, sync::Mutex, time::Duration};

use dockseal_docker::{
    daemon_json::INSTALL_DIRECTORY,
    host_plan::{HostPlan, remove},
};
use dockseal_pki::printable;
use serde_json::json;

use crate::{
    failure::Failure,
    hints::{inventory_failure, plan_failure, reach_failure},
    hosts::{
        agree,
        change::{Need, Work, apply},
        lines::Lines,
        reach::{Reached, dial, parse_target, place, reach},
        show, unfinished,
    },
    invocation::Invocation,
    ledger::Ledger,
    output::Output,
    report::SCHEMA,
};

#[derive(clap::Args)]
#[command(
    after_help = "dockerd goes back to what it listened on before, and is restarted below the same dead-man switch as at bootstrap. The\n\
    certificate counts until it ends: revoke it if its key may have been copied.\n\n\
    Examples:\n  \
    dockseal host remove root@build.example.com --dry-run\n  \
    dockseal host remove root@build.example.com --yes"
)]
pub(super) struct Args {
    /// The host, as ssh takes it
    #[arg(value_name = "HOST")]
    host: String,
    /// Show what would be changed, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long, short = 'y')]
    yes: bool,
}

pub(super) fn run(args: &Args, invocation: &Invocation, output: &mut Output) -> Result<ExitCode, Failure> {
    let target = parse_target(&args.host)?;
    let mut reached = reach(&target, &dial(true)?, || invocation.clock().unix_timestamp())?;
    reached.session.require_root().map_err(|error| reach_failure(&target, &error))?;
    unfinished(&mut reached, !args.dry_run)?;
    let plan = remove(&reached.facts).map_err(|refusal| {
        let failure = plan_failure(&target, &refusal);
        Failure { what: format!("cannot take anything out of {target}"), ..failure }
    })?;
    let gone = format!("{INSTALL_DIRECTORY}: removed, with the daemon's key");
    let text = format!("{target}\n{}", show::diff(&plan, &[gone]));
    if args.dry_run {
        output.result(&text, &wire(&reached, &plan, false));
        return Ok(ExitCode::SUCCESS);
    }
    output.talk_plainly(&format!("{text}\n"));
    agree(args.yes, 1)?;
    let home = invocation.home()?;
    let mut ledger = Ledger::open(&home, invocation.around(), output)?;
    let lines = Lines::new(vec![target.to_string()]);
    let work = Work {
        authority: None,
        ledger: Mutex::new(&mut ledger),
        invocation,
        lines: &lines,
        within: Duration::from_secs(120),
    };
    apply(&work, 0, &mut reached, &plan, &Need::Removal)?;
    let failure = |error| inventory_failure("cannot take the host out of the authority's books", &error);
    let known = ledger.inventory.destination_at(&place(&target, &reached.facts)).map_err(failure)?;
    if let Some(destination) = known {
        ledger.recorder().forget(destination.id).map_err(failure)?;
    }
    let hosts: Vec<String> = plan.hosts.iter().map(|host| printable(host)).collect();
    let human = format!("{target} is as it was before: dockerd listens on {} again\n", hosts.join(", "));
    output.result(&human, &wire(&reached, &plan, true));
    Ok(ExitCode::SUCCESS)
}

fn wire(reached: &Reached, plan: &HostPlan, changed: bool) -> serde_json::Value {
    let files: Vec<_> = plan
        .files
        .iter()
        .map(|file| json!({ "path": file.path, "after": file.after.as_deref().map(show::masked) }))
        .collect();
    json!({
        "schema": SCHEMA,
        "target": reached.target.to_string(),
        "changed": changed,
        "removed": INSTALL_DIRECTORY,
        "files": files,
        "commands": show::commands(plan),
    })
}
