//! `dockseal plugin status`.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::{
    Status, hooks,
    place::{self, Whose},
};
use crate::{failure::Failure, invocation::Invocation, output::Output, report::SCHEMA};

pub(super) fn run(args: &Status, invocation: &Invocation, output: &mut Output) -> Result<ExitCode, Failure> {
    let found = place::search(&args.place, invocation)?;
    let first = found.first();
    let runs = first.is_some_and(|first| matches!(first.whose, Whose::This | Whose::Ours(_)));
    let mut human = match first {
        None => "docker has no plugin seal; dockseal plugin install makes it one\n".to_owned(),
        Some(first) => {
            format!("docker seal runs {} ({}, {})\n", first.path.display(), first.kind(), first.description())
        }
    };
    for later in found.iter().skip(1) {
        human.push_str(&format!("  and passes over {} ({})\n", later.path.display(), later.description()));
    }
    let (said, hooks) = hooks::report(invocation)?;
    human.push_str(&said);
    if first.is_some_and(|first| first.target.is_none() && matches!(first.whose, Whose::Ours(_))) {
        output.note("that copy is another release than this program: dockseal plugin install renews it");
    }
    let places: Vec<Value> = found
        .iter()
        .map(|found| {
            let whose = match found.whose {
                Whose::This => "this",
                Whose::Ours(_) => "ours",
                Whose::Gone => "gone",
                Whose::Foreign(_) => "foreign",
            };
            let path = found.path.to_string_lossy();
            let target = found.target.as_ref().map(|target| target.to_string_lossy());
            json!({ "path": path, "kind": found.kind(), "target": target, "whose": whose })
        })
        .collect();
    output.result(&human, &json!({ "schema": SCHEMA, "runs": runs, "found": places, "hooks": hooks }));
    Ok(ExitCode::from(u8::from(!runs)))
}
