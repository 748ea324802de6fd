//! A directory with a bundle, for the command line: errors say what was tried.

use std::path::Path;

use dockseal_lifecycle::bundle_directory;
pub(crate) use dockseal_lifecycle::bundle_directory::{
    StoredBundle as Held, StoredKey as HeldKey, endpoint, endpoint_in, keep_what_a_kill_left, layout_of, names_in,
    ownership,
};
use dockseal_pki::Bundle;
use dockseal_store::Sight;

use crate::{
    failure::Failure,
    hints::{bundle_failure, not_accepted_failure, open_key_failure},
    invocation::Invocation,
};

/// Reads a directory with ca.pem, cert.pem and, unless the key is elsewhere, key.pem, or what they are called there.
pub(crate) fn read(directory: &Path, what: &str) -> Result<Held, Failure> {
    bundle_directory::read(directory).map_err(|error| bundle_failure(what, error))
}

/// The same, whoever it is for.
pub(crate) fn bundle(directory: &Path, what: &str) -> Result<Bundle, Failure> {
    bundle_directory::bundle(directory).map_err(|error| bundle_failure(what, error))
}

/// The key in this file of a directory, if the file is there.
pub(crate) fn key(directory: &Path, name: &'static str, what: &str) -> Result<Option<HeldKey>, Failure> {
    bundle_directory::key(directory, name).map_err(|error| bundle_failure(what, error))
}

/// The same in a directory that is held already.
pub(crate) fn key_in(
    sight: &Sight,
    directory: &Path,
    name: &'static str,
    what: &str,
) -> Result<Option<HeldKey>, Failure> {
    bundle_directory::key_in(sight, directory, name).map_err(|error| bundle_failure(what, error))
}

/// A directory, held while it is read.
pub(crate) fn look(directory: &Path, what: &str) -> Result<Sight, Failure> {
    Sight::of(directory).map_err(|error| bundle_failure(what, error.into()))
}

/// Asks the judge, and returns what it advises.
pub(crate) fn judge(held: &Held, invocation: &Invocation, what: &str) -> Result<Vec<String>, Failure> {
    held.judge(invocation.now).map_err(|error| not_accepted_failure(what, &error))
}

/// A key that everybody on the machine could have copied gets no new certificate.
pub(crate) fn refuse_if_open(key: &HeldKey, what: &str) -> Result<(), Failure> {
    if key.is_open_to_all() { Err(open_key_failure(what, key)) } else { Ok(()) }
}
