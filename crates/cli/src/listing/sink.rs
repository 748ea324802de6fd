//! Where a list goes: standard output, or a file that others read meanwhile.

use std::{io::Write, path::Path};

use dockseal_store::{Replacement, WriteError};

use crate::{failure::Failure, hints::write_failure, invocation::Invocation, output::Output};

/// Everybody may read a list: a collector of metrics is another user.
const MODE: u32 = 0o644;

pub(crate) enum Sink<'o> {
    Stdout(&'o mut Output),
    File { file: Replacement, what: String },
}

impl<'o> Sink<'o> {
    pub(crate) fn open(
        out: Option<&Path>,
        invocation: &Invocation,
        output: &'o mut Output,
        what: &str,
    ) -> Result<Self, Failure> {
        match out.filter(|path| path.as_os_str() != "-") {
            None => Ok(Self::Stdout(output)),
            Some(path) => Replacement::new(&invocation.absolute(path)?, MODE)
                .map(|file| Self::File { file, what: what.to_owned() })
                .map_err(|error| write_failure(what, &error)),
        }
    }

    pub(crate) fn write(&mut self, text: &str) -> Result<(), Failure> {
        match self {
            Self::Stdout(output) => {
                output.raw(text);
                Ok(())
            }
            Self::File { file, what } => file.write_all(text.as_bytes()).map_err(|source| {
                write_failure(what, &WriteError::Io { doing: "write", path: file.destination().to_owned(), source })
            }),
        }
    }

    /// All of it is there.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        match self {
            Self::Stdout(_) => Ok(()),
            Self::File { file, what } => file.put_in_place().map_err(|error| write_failure(&what, &error)),
        }
    }
}
