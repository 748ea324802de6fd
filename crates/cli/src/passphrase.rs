//! Where a passphrase comes from: a file, a file descriptor, a systemd credential or a person.

use std::{
    fs::File,
    io::IsTerminal,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use dockseal_pki::Passphrase;
use zeroize::Zeroizing;

use crate::{
    failure::Failure,
    groups::{PassphraseArgs, Pkcs12PassphraseArgs},
    input::read_stream,
    invocation::Invocation,
    output::Output,
};

/// The name that a unit gives the credential: `LoadCredential=dockseal.passphrase:/path` (systemd.exec(5)).
const CREDENTIAL: &str = "dockseal.passphrase";
/// The flag that says that the authority's key has none.
const NO_PASSPHRASE: &str = "--no-passphrase";

/// A passphrase that exists, and whether a person may be asked again when it is wrong.
pub(crate) enum Source {
    Given(Passphrase),
    Typed(Passphrase),
}

impl Source {
    pub(crate) fn into_passphrase(self) -> Passphrase {
        match self {
            Self::Given(passphrase) | Self::Typed(passphrase) => passphrase,
        }
    }

    pub(crate) fn passphrase(&self) -> &Passphrase {
        match self {
            Self::Given(passphrase) | Self::Typed(passphrase) => passphrase,
        }
    }
}

/// The passphrase for a new key. `None` when there is to be none.
pub(crate) fn for_new_key(
    args: &PassphraseArgs,
    invocation: &Invocation,
    output: &mut Output,
) -> Result<Option<Passphrase>, Failure> {
    if args.no_passphrase {
        return Ok(None);
    }
    if let Some(passphrase) = given(args, invocation, output)? {
        return Ok(Some(passphrase));
    }
    if !is_interactive() {
        return Err(missing("the authority's key needs a passphrase, or the word that it is to have none"));
    }
    ask_twice("Passphrase for the new authority: ", NO_PASSPHRASE, output).map(Some)
}

/// The passphrase for a `.p12` that is being made. `None` when there is to be none.
pub(crate) fn for_new_file(args: &Pkcs12PassphraseArgs, output: &mut Output) -> Result<Option<Passphrase>, Failure> {
    const NONE: &str = "--no-p12-passphrase";
    if args.no_p12_passphrase {
        return Ok(None);
    }
    if let Some(path) = &args.p12_passphrase_file {
        return read(path, NONE, output).map(Some);
    }
    if let Some(descriptor) = args.p12_passphrase_fd {
        return read_descriptor(descriptor, "--p12-passphrase-fd", NONE).map(Some);
    }
    if !is_interactive() {
        return Err(Failure::trouble("cannot go on without a passphrase")
            .cause("a .p12 holds a private key, and needs a passphrase or the word that it is to have none")
            .hint(
                "use --p12-passphrase-file FILE or --p12-passphrase-fd N, or run it on a terminal;\n\
                 --no-p12-passphrase makes one that everybody can open",
            ));
    }
    ask_twice("Passphrase for the .p12: ", NONE, output).map(Some)
}

fn ask_twice(prompt: &str, none: &str, output: &mut Output) -> Result<Passphrase, Failure> {
    loop {
        let first = ask(prompt)?;
        if first.is_empty() {
            output.warn(&format!("an empty passphrase protects nothing; {none} says that there is to be none"));
            continue;
        }
        if *ask("The same again: ")? == *first {
            return passphrase(first, none);
        }
        output.warn("the two differ");
    }
}

/// The passphrase of a key that is encrypted.
pub(crate) fn for_locked_key(
    args: &PassphraseArgs,
    path: &Path,
    invocation: &Invocation,
    output: &mut Output,
) -> Result<Source, Failure> {
    if args.no_passphrase {
        return Err(Failure::trouble(format!("cannot open {}", path.display()))
            .cause("it is encrypted, and --no-passphrase was given")
            .hint("give its passphrase with --passphrase-file, --passphrase-fd or at the prompt"));
    }
    if let Some(passphrase) = given(args, invocation, output)? {
        return Ok(Source::Given(passphrase));
    }
    if !is_interactive() {
        return Err(missing(&format!("{} is encrypted and no passphrase was given", path.display())));
    }
    passphrase(ask(&format!("Passphrase of {}: ", path.display()))?, NO_PASSPHRASE).map(Source::Typed)
}

fn missing(cause: &str) -> Failure {
    Failure::trouble("cannot go on without a passphrase").cause(cause).hint(
        "use --passphrase-file FILE, --passphrase-fd N or a systemd credential dockseal.passphrase, or run it on a terminal;\n\
         a new authority also takes --no-passphrase",
    )
}

fn given(args: &PassphraseArgs, invocation: &Invocation, output: &mut Output) -> Result<Option<Passphrase>, Failure> {
    if let Some(path) = &args.passphrase_file {
        return read(path, NO_PASSPHRASE, output).map(Some);
    }
    if let Some(descriptor) = args.passphrase_fd {
        return read_descriptor(descriptor, "--passphrase-fd", NO_PASSPHRASE).map(Some);
    }
    if let Some(directory) = invocation.variable("CREDENTIALS_DIRECTORY") {
        let path = Path::new(&directory).join(CREDENTIAL);
        if path.exists() {
            return read(&path, NO_PASSPHRASE, output).map(Some);
        }
    }
    Ok(None)
}

fn read_descriptor(descriptor: u32, flag: &str, none: &str) -> Result<Passphrase, Failure> {
    let path = PathBuf::from(format!("/dev/fd/{descriptor}"));
    let trouble = || Failure::trouble(format!("cannot read the passphrase from file descriptor {descriptor}"));
    let file = File::open(&path).map_err(|error| {
        trouble().cause(error).hint(format!("open it for reading, e.g. dockseal … {flag} 3 3</run/secrets/passphrase"))
    })?;
    let bytes = read_stream(file, &path).map_err(|error| trouble().cause(error))?;
    passphrase(first_line(&bytes), none)
}

/// Unlike a key, a passphrase may well come through a pipe: `--passphrase-file <(pass show docker-ca)`.
fn read(path: &Path, none: &str, output: &mut Output) -> Result<Passphrase, Failure> {
    let trouble = |cause: &dyn std::fmt::Display| {
        Failure::trouble("cannot read the passphrase")
            .cause(format!("{}: {cause}", path.display()))
            .hint("name a file whose first line is the passphrase")
    };
    let file = File::open(path).map_err(|error| trouble(&error))?;
    let metadata = file.metadata().map_err(|error| trouble(&error))?;
    let mode = metadata.permissions().mode() & 0o7777;
    if metadata.is_file() && mode & 0o044 != 0 {
        output.warn(&format!("{} can be read by others (mode {mode:04o})", path.display()));
    }
    let read = if metadata.is_file() { dockseal_store::read_from(file, path) } else { read_stream(file, path) };
    let bytes = read.map_err(|error| trouble(&error))?;
    passphrase(first_line(&bytes), none)
}

fn first_line(bytes: &[u8]) -> Zeroizing<Vec<u8>> {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    Zeroizing::new(line.strip_suffix(b"\r").unwrap_or(line).to_vec())
}

/// `none` is the flag that says that there is to be none.
fn passphrase(bytes: Zeroizing<Vec<u8>>, none: &str) -> Result<Passphrase, Failure> {
    Passphrase::new(bytes).ok_or_else(|| {
        Failure::trouble("cannot use an empty passphrase").hint(format!("{none} says that there is to be none"))
    })
}

/// Whether a person is there. Asked for are standard input and error, since output may well be piped.
pub(crate) fn is_interactive() -> bool {
    std::io::stdin().is_terminal() || std::io::stderr().is_terminal()
}

/// Asks a person for a yes, and reads it from the terminal.
pub(crate) fn confirm(question: &str) -> Result<bool, Failure> {
    use std::io::{BufRead, Write};
    let cannot = |error: std::io::Error| Failure::trouble("cannot ask").cause(error).hint("say --yes");
    let mut terminal = std::fs::OpenOptions::new().read(true).write(true).open("/dev/tty").map_err(cannot)?;
    write!(terminal, "{question} [y/N] ").and_then(|()| terminal.flush()).map_err(cannot)?;
    let mut answer = String::new();
    std::io::BufReader::new(terminal).read_line(&mut answer).map_err(cannot)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

fn ask(prompt: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let typed = rpassword::prompt_password(prompt)
        .map_err(|error| Failure::trouble("cannot ask for the passphrase").cause(error))?;
    Ok(Zeroizing::new(typed.into_bytes()))
}
