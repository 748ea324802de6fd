//! What people name as input, and whether it could be read once more.

use std::{
    io::Read,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use dockseal_store::ReadError;
use zeroize::Zeroizing;

use crate::{failure::Failure, hints::read_hint};

/// Something was read that is gone then: standard input, a pipe, a descriptor.
static USED_UP: AtomicBool = AtomicBool::new(false);

/// Whether this run has read something that another attempt would not find again.
pub(crate) fn is_used_up() -> bool {
    USED_UP.load(Ordering::Relaxed)
}

/// Standard input, for as much as one wants of it.
pub(crate) fn standard_input() -> std::io::Stdin {
    USED_UP.store(true, Ordering::Relaxed);
    std::io::stdin()
}

/// All of what can be read once.
pub(crate) fn read_stream(stream: impl Read, path: &Path) -> Result<Zeroizing<Vec<u8>>, ReadError> {
    USED_UP.store(true, Ordering::Relaxed);
    dockseal_store::read_from(stream, path)
}

/// The bytes of a file that a person names, or of standard input for `-`.
pub(crate) fn read_input(path: &Path, what: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let read = if path.as_os_str() == "-" {
        read_stream(standard_input().lock(), Path::new("standard input"))
    } else {
        dockseal_store::read(path).map(|file| file.bytes)
    };
    read.map_err(|error| read_hint(Failure::trouble(what).cause(&error), &error))
}
