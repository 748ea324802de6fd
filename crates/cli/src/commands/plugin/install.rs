//! `dockseal plugin install`.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::ExitCode,
};

use dockseal_docker::plugin;
use dockseal_store::{WriteError, link, make_directories, make_parents, supplant};
use serde_json::json;

use super::{
    Install, destination, hooks,
    place::{self, Found, Whose},
};
use crate::{
    failure::Failure, groups::parse_lifetime, hints::write_failure, invocation::Invocation, output::Output,
    report::SCHEMA,
};

const WHAT: &str = "cannot install the plugin";
/// Everybody runs programs.
const PROGRAM_MODE: u32 = 0o755;
/// The directories of the system are everybody's to look into.
const DIRECTORY_MODE: u32 = 0o755;
/// No program is larger, in bytes.
const LARGEST: u64 = 1 << 30;

pub(super) fn run(args: &Install, invocation: &Invocation, output: &mut Output) -> Result<ExitCode, Failure> {
    parse_lifetime(&args.within)?;
    let program = program(invocation)?;
    let path = destination(&args.place, WHAT, invocation)?;
    let no_link =
        Some(&program).filter(|_| args.place.system && !args.copy).and_then(|program| not_for_everybody(program));
    let is_copy = args.copy || no_link.is_some();
    let before = place::look(&path, &program).map_err(|error| refused(&path).cause(error))?;
    let state = match &before {
        Some(Found { whose: Whose::Foreign(why), .. }) => {
            return Err(Failure::no(WHAT)
                .cause(format!("{} is there and not dockseal's: {why}", path.display()))
                .hint("see whose it is, and remove it if nobody needs it"));
        }
        // The copy itself is what runs; or what was wanted is there.
        Some(found) if found.whose == Whose::This && (found.target.is_none() == is_copy || path == program) => {
            "unchanged"
        }
        Some(_) => "replaced",
        None => "installed",
    };
    if state != "unchanged" {
        let directory = path.parent().unwrap_or(Path::new("/"));
        let made =
            if args.place.system { make_directories(directory, DIRECTORY_MODE) } else { make_parents(directory) };
        made.map_err(|error| write_failure(WHAT, &error))?;
        put(&program, &path, args, no_link.as_deref(), output)?;
    }
    let now = place::look(&path, &program).ok().flatten();
    let hooks = args.hooks.then(|| hooks::switch_on(&args.within, invocation, output)).transpose()?;
    let first = warn_of_others(&path, args, invocation, output)?;

    let kind = now.as_ref().map_or("link", Found::kind);
    let shown = match (&now, kind) {
        (Some(Found { target: Some(target), .. }), _) => format!("a link to {}", target.display()),
        _ => format!("a copy of {}; install it again after an upgrade", program.display()),
    };
    let mut human = match state {
        "unchanged" => format!("{} is there already ({shown}); nothing was changed\n", path.display()),
        "replaced" => format!("Put {} in the place of what was there: {shown}\n", path.display()),
        _ => format!("Installed {}: {shown}\n", path.display()),
    };
    match hooks {
        Some(true) => human.push_str("docker shows notices on a terminal from now on (26.1 or newer)\n"),
        Some(false) => human.push_str("docker shows notices already\n"),
        None => {}
    }
    if state == "installed" {
        human.push_str("\nTry it: docker seal status\n");
    }
    let wire = json!({
        "schema": SCHEMA,
        "state": state,
        "path": path.to_string_lossy(),
        "kind": kind,
        "program": program.to_string_lossy(),
        "docker_runs": first.to_string_lossy(),
        "hooks": hooks.map(|changed| if changed { "installed" } else { "unchanged" }),
    });
    output.result(&human, &wire);
    Ok(ExitCode::SUCCESS)
}

fn program(invocation: &Invocation) -> Result<PathBuf, Failure> {
    let program = invocation.program()?;
    fs::canonicalize(&program).map_err(|error| {
        Failure::trouble(WHAT)
            .cause(format!("this program is no longer at {}: {error}", program.display()))
            .hint("run it again from where it is now")
    })
}

fn refused(path: &Path) -> Failure {
    Failure::trouble(format!("cannot look at {}", path.display()))
        .hint("run it as somebody who may, or choose --system")
}

/// `no_link` says why it is to be a copy though nobody asked for one.
fn put(program: &Path, path: &Path, args: &Install, no_link: Option<&str>, output: &mut Output) -> Result<(), Failure> {
    if args.copy {
        return copy(program, path);
    }
    if let Some(why) = no_link {
        output.note(&format!("it becomes a copy and no link, since {why}"));
        return copy(program, path);
    }
    match link(program, path) {
        Ok(()) => Ok(()),
        Err(WriteError::Io { doing: "make the link", source, .. }) => {
            output.note(&format!("it becomes a copy and no link, which cannot be made there: {source}"));
            copy(program, path)
        }
        Err(error) => Err(write_failure(WHAT, &error)),
    }
}

fn copy(program: &Path, path: &Path) -> Result<(), Failure> {
    let bytes = dockseal_store::open(program).and_then(|file| file.read(LARGEST));
    let bytes = bytes.map_err(|error| Failure::trouble(WHAT).cause(error).hint("make this program readable"))?.bytes;
    supplant(path, PROGRAM_MODE, &bytes).map_err(|error| write_failure(WHAT, &error))
}

/// Why a link from a directory of the system would not do: others could not follow it, or could change what it leads to.
fn not_for_everybody(program: &Path) -> Option<String> {
    program.ancestors().find_map(|part| {
        let found = fs::metadata(part).ok()?;
        let is_sticky = found.is_dir() && found.mode() & 0o1000 != 0;
        let why = match () {
            () if found.mode() & 0o001 == 0 => "not everybody gets to",
            () if found.uid() != 0 => "somebody other than root may change",
            () if found.mode() & 0o022 != 0 && !is_sticky => "others than root may change",
            () => return None,
        };
        Some(format!("{why} {}", part.display()))
    })
}

/// Says what keeps docker from running it, and what it keeps docker from running; what docker runs.
fn warn_of_others(
    path: &Path,
    args: &Install,
    invocation: &Invocation,
    output: &mut Output,
) -> Result<PathBuf, Failure> {
    let found = place::search(&args.place.root, invocation)?;
    let Some(first) = found.first() else { return Ok(path.to_owned()) };
    if first.path != path {
        output.warn(&format!(
            "docker looks into {} first (cliPluginsExtraDirs of config.json, then the user's directory, then the system's), \
             and runs what is there: {}, {}",
            first.path.parent().unwrap_or(Path::new("/")).display(),
            plugin::FILE,
            first.description()
        ));
    }
    for later in found.iter().skip(1).filter(|later| later.path != path && first.path == path) {
        output.note(&format!("docker now passes over {} ({})", later.path.display(), later.description()));
    }
    Ok(first.path.clone())
}
