//! Asking the judge, for the command line: a refusal says what was tried.

use dockseal_ca::Endpoint;
use dockseal_docker::FilePlan;
use dockseal_lifecycle::judgement;
use dockseal_pki::Bundle;
use time::OffsetDateTime;

use crate::{failure::Failure, hints::not_accepted_failure};

/// Has Docker's rules applied to a bundle, and returns what the judge advises.
pub(crate) fn of_bundle(
    bundle: &Bundle,
    endpoint: &Endpoint,
    now: OffsetDateTime,
    what: &str,
) -> Result<Vec<String>, Failure> {
    judgement::of_bundle(bundle, endpoint, now).map_err(|error| not_accepted_failure(what, &error))
}

/// The same for a client's files as they are.
pub(crate) fn of_client_files(plan: &FilePlan, now: OffsetDateTime, what: &str) -> Result<Vec<String>, Failure> {
    judgement::of_client_files(plan, now).map_err(|error| not_accepted_failure(what, &error))
}
