//! `dockseal plugin remove`.

use std::process::ExitCode;

use serde_json::json;

use super::{
    Remove, destination, hooks,
    place::{self, Whose},
};
use crate::{failure::Failure, hints::write_failure, invocation::Invocation, output::Output, report::SCHEMA};

const WHAT: &str = "cannot remove the plugin";

pub(super) fn run(args: &Remove, invocation: &Invocation, output: &mut Output) -> Result<ExitCode, Failure> {
    let path = destination(&args.place, WHAT, invocation)?;
    let found = place::look(&path, &invocation.program()?)
        .map_err(|error| Failure::trouble(WHAT).cause(format!("{}: {error}", path.display())))?;
    if let Some(Whose::Foreign(why)) = found.as_ref().map(|found| &found.whose) {
        return Err(Failure::no(WHAT)
            .cause(format!("{} is not dockseal's: {why}", path.display()))
            .hint("see whose it is, and remove it if nobody needs it"));
    }
    // First the hooks: docker would look for a plugin that is gone.
    let hooks = if args.place.system { false } else { hooks::switch_off(invocation)? };
    if found.is_some() {
        dockseal_store::remove(&path).map_err(|error| write_failure(WHAT, &error))?;
    }
    let mut human = match found {
        Some(_) => format!("Removed {}\n", path.display()),
        None => format!("There is no {}; nothing was changed\n", path.display()),
    };
    if hooks {
        human.push_str("Took its hooks out of docker's config.json\n");
    }
    let removed = found.map(|_| path.to_string_lossy());
    output.result(&human, &json!({ "schema": SCHEMA, "removed": removed, "hooks_removed": hooks }));
    Ok(ExitCode::SUCCESS)
}
