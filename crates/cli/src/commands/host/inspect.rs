//! `dockseal host inspect`: what is on hosts, without changing anything.

use std::process::ExitCode;

use serde_json::json;

use crate::{
    failure::Failure,
    hosts::{
        reach::{dial, parse_target, reach},
        show, side_by_side,
    },
    invocation::Invocation,
    output::Output,
    report::SCHEMA,
};

#[derive(clap::Args)]
#[command(
    after_help = "The system's ssh is used, with its configuration, agent and known hosts. Nothing is changed on the host.\n\
    Without root it sees less.\n\n\
    Examples:\n  \
    dockseal host inspect root@build.example.com\n  \
    dockseal host inspect ssh://deploy@10.0.0.5:2222 --format json"
)]
pub(super) struct Args {
    /// The hosts, as ssh takes them: USER@HOST, an alias, ssh://USER@HOST:PORT
    #[arg(value_name = "HOST", required = true)]
    hosts: Vec<String>,
}

pub(super) fn run(args: &Args, invocation: &Invocation, output: &mut Output) -> Result<ExitCode, Failure> {
    let targets = args.hosts.iter().map(|text| parse_target(text)).collect::<Result<Vec<_>, _>>()?;
    let dial = dial(targets.len() == 1)?;
    let total = targets.len();
    let looked = side_by_side(targets, |target| reach(&target, &dial, || invocation.clock().unix_timestamp()));
    let mut texts = Vec::new();
    let mut wires = Vec::new();
    let mut failed = Vec::new();
    for one in looked {
        match one {
            Ok(reached) => {
                texts.push(show::text(&reached));
                wires.push(show::wire(&reached));
            }
            Err(failure) => failed.push(failure),
        }
    }
    let human = texts.join("\n");
    output.result(&human, &json!({ "schema": SCHEMA, "hosts": wires }));
    match (failed.pop(), failed.len()) {
        (None, _) => Ok(ExitCode::SUCCESS),
        (Some(only), 0) => Err(only),
        (Some(last), others) => {
            for failure in failed.iter().chain([&last]) {
                output.trouble(failure);
            }
            Err(Failure::trouble(format!("{} of {total} hosts could not be looked at", others + 1)))
        }
    }
}
