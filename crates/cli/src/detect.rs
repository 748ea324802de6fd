//! `--detect`: being written.

use dockseal_pki::SubjectAltName;

use crate::{failure::Failure, output::Output};

pub(crate) fn add_this_machine(_names: &mut Vec<SubjectAltName>, _output: &mut Output) -> Result<(), Failure> {
    Err(Failure::trouble("cannot detect names yet"))
}
