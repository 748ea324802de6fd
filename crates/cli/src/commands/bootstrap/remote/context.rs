//! A Docker context for each host, with the first client's files.

use dockseal_docker::{Ownership, env::host_url};
use dockseal_store::Existing;

use super::Ended;
use crate::{
    commands::bootstrap::{Args, Wanted},
    contexts::{self, Books, files_in, put},
    failure::Failure,
    hints::inventory_failure,
    invocation::Invocation,
    ledger::Ledger,
    output::Output,
};

/// A context, and what was done about it.
pub(super) struct Context {
    pub(super) name: String,
    pub(super) host: String,
    pub(super) state: &'static str,
}

/// Makes what is missing. One that cannot be made is said, and ends nothing: the host is set up, and the client's
/// directory works.
pub(super) fn make(
    args: &Args,
    client: &Wanted,
    ended: &[(usize, Ended)],
    ledger: &mut Ledger,
    invocation: &Invocation,
    output: &mut Output,
) -> Result<Vec<Context>, Failure> {
    const WHAT: &str = "cannot make a context";
    let mut made = Vec::new();
    let leaf = crate::ledger::leaf_in(&client.directory, dockseal_docker::layout::Names::DOCKER);
    let id = match leaf {
        Some(leaf) => ledger.inventory.entry_of(leaf).map_err(|error| inventory_failure(WHAT, &error))?,
        None => None,
    }
    .map(|entry| entry.id);
    for (_, one) in ended {
        let Ok(settled) = &one.result else { continue };
        let dialled = settled.dialled.as_ref().or_else(|| one.names.iter().find(|name| !name.is_wildcard()));
        let Some(dialled) = dialled else { continue };
        let name = args.ssh.context.clone().unwrap_or_else(|| name_for(&dialled.to_string()));
        let Ok(host) = host_url(&dialled.to_string()) else { continue };
        let existing = if args.replace { Existing::Replace } else { Existing::Keep };
        let wanted = contexts::Wanted { name: &name, host: &host, description: None, source: None, existing };
        let plan = files_in(&client.directory, Ownership::default(), WHAT)?;
        let books = match id {
            Some(id) => Books::Known(ledger, id),
            None => Books::Unknown(Some(ledger)),
        };
        match put(&wanted, plan, books, invocation) {
            Ok((done, _)) => made.push(Context { name, host, state: done.word() }),
            Err(failure) => output.warn(&format!(
                "{}: {}; make it with dockseal context create",
                failure.what,
                failure.cause.unwrap_or_default()
            )),
        }
    }
    Ok(made)
}

/// A context's name may have no colon (docker/cli cli/context/store `ValidateContextName`).
fn name_for(dialled: &str) -> String {
    let name = dialled.replace(':', "-");
    let name = name.trim_start_matches('-');
    if name.len() < 2 { format!("host-{name}") } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_docker_takes() {
        for (dialled, name) in
            [("10.0.0.5", "10.0.0.5"), ("2001:db8::5", "2001-db8--5"), ("::1", "host-1"), ("h", "host-h")]
        {
            assert_eq!(name_for(dialled), name);
            assert!(dockseal_docker::context::is_valid_name(&name_for(dialled)));
        }
    }
}
