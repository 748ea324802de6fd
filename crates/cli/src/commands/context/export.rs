//! `dockseal context export`.

use std::{
    io::IsTerminal,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::ExitCode,
};

use dockseal_docker::context::{EndpointFiles, archive};
use dockseal_store::write_new;
use serde_json::json;
use zeroize::Zeroizing;

use super::update::damaged;
use crate::{
    contexts::{self, read_meta},
    failure::Failure,
    hints::{read_hint, write_failure},
    invocation::Invocation,
    output::Output,
    report::SCHEMA,
};

/// Whoever has it has the key in it.
const MODE: u32 = 0o600;
/// How often a directory is read that another one takes the place of meanwhile.
const TRIES: u32 = 16;

/// A file's name and content.
type File = (String, Zeroizing<Vec<u8>>);

#[derive(clap::Args)]
#[command(
    after_help = "The archive holds the private key: whoever has it is that user. docker context import NAME FILE takes it.\n\n\
    Examples:\n  \
    dockseal context export prod\n  \
    dockseal context export prod - | ssh laptop docker context import prod -"
)]
pub(super) struct Args {
    /// The context
    #[arg(value_name = "NAME")]
    name: String,
    /// The file to make, or - for standard output [default: NAME.dockercontext]
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

pub(super) fn run(args: &Args, invocation: &Invocation, output: &mut Output) -> Result<ExitCode, Failure> {
    let what = format!("cannot export the context {}", args.name);
    contexts::check_name(&args.name, &what)?;
    let to_stdout = args.file.as_deref() == Some(Path::new("-"));
    if to_stdout && std::io::stdout().is_terminal() {
        return Err(Failure::trouble(what)
            .cause("an archive with a private key is no text for a terminal")
            .hint("name a file, or pipe it to another program"));
    }
    let files = contexts::store(invocation)?.files(&args.name);
    if files.meta.symlink_metadata().is_err() {
        return Err(contexts::unknown(&args.name, &what));
    }
    let meta = read_meta(&files.meta).map_err(|trouble| damaged(&what, &trouble))?;
    let endpoints = endpoints(files.tls.parent().unwrap_or(Path::new("")), &what)?;
    let bytes = archive(&meta, &endpoints).map_err(|error| {
        Failure::trouble(&what)
            .cause(error)
            .hint("give the files shorter names; docker reads ca.pem, cert.pem and key.pem")
    })?;
    if to_stdout {
        output.raw(bytes.as_slice());
        return Ok(ExitCode::SUCCESS);
    }
    let path = args.file.clone().unwrap_or_else(|| format!("{}.dockercontext", args.name).into());
    write_new(&path, MODE, &bytes).map_err(|error| {
        let failure = write_failure(&what, &error);
        match error {
            dockseal_store::WriteError::AlreadyThere { .. } => failure.hint("name a file that is not there yet"),
            _ => failure,
        }
    })?;
    let path = invocation.absolute(&path)?.display().to_string();
    output.result(
        &format!(
            "Wrote {path}, with the private key in it.\n\nNext, where docker is to use it:\n  docker context import {} {}\n",
            args.name,
            dockseal_docker::env::word_of_command(dockseal_docker::env::Shell::Sh, &path)
        ),
        &json!({ "schema": SCHEMA, "context": args.name, "file": path }),
    );
    Ok(ExitCode::SUCCESS)
}

/// The TLS files of every endpoint, as docker lists them: directories with files in them.
fn endpoints(directory: &Path, what: &str) -> Result<Vec<EndpointFiles>, Failure> {
    let mut endpoints = Vec::new();
    for (endpoint, path) in entries(directory, what)? {
        let files = files_in(&path, what)?;
        if !files.is_empty() {
            endpoints.push(EndpointFiles { endpoint, files });
        }
    }
    Ok(endpoints)
}

/// The files of one endpoint, none of them older than another: a renewal puts a whole directory in the place of one.
fn files_in(directory: &Path, what: &str) -> Result<Vec<File>, Failure> {
    let which = || {
        let found = std::fs::metadata(directory).ok();
        found.map(|found| (found.dev(), found.ino(), found.ctime(), found.ctime_nsec()))
    };
    for _ in 0..TRIES {
        let before = which();
        let files = read_all(directory, what);
        if which() == before {
            return files;
        }
    }
    Err(Failure::trouble(what).cause(format!("{} changes all the time", directory.display())).hint("run it again"))
}

fn read_all(directory: &Path, what: &str) -> Result<Vec<File>, Failure> {
    let mut files = Vec::new();
    for (name, path) in if directory.is_dir() { entries(directory, what)? } else { Vec::new() } {
        if path.is_file() {
            let file = dockseal_store::read(&path);
            let file = file.map_err(|error| read_hint(Failure::trouble(what).cause(&error), &error))?;
            files.push((name, file.bytes));
        }
    }
    Ok(files)
}

/// What is in a directory, by name; nothing where there is none.
fn entries(directory: &Path, what: &str) -> Result<Vec<(String, PathBuf)>, Failure> {
    let failed = |error: std::io::Error| Failure::trouble(what).cause(format!("{}: {error}", directory.display()));
    let listed = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(failed)?,
    };
    let mut found = Vec::new();
    for entry in listed {
        let entry = entry.map_err(failed)?;
        found.push((entry.file_name().to_string_lossy().into_owned(), entry.path()));
    }
    found.sort();
    Ok(found)
}
