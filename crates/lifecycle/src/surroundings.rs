//! What a run is given: the time, randomness, who runs it and how patiently. Nothing in this crate asks the system for them.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use dockseal_docker::context::ContextFiles;
use dockseal_inventory::{Kind, Place, Run};
use dockseal_pki::Validity;
use dockseal_store::resolve;
use ring::rand::SystemRandom;
use time::OffsetDateTime;

/// What surrounds a run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Surroundings {
    /// The present, in whole seconds as certificates have them.
    pub now: OffsetDateTime,
    /// Where keys and serial numbers come from.
    pub random: SystemRandom,
    /// Who runs which command, where and when, for the authority's trail.
    pub run: Run,
    /// What a run that waits for this one is told of it: which command, process, user and machine.
    pub lock_owner: String,
    /// How long to wait for another run.
    pub patience: Duration,
    /// What paths that are not absolute begin at.
    pub working_directory: PathBuf,
}

impl Surroundings {
    /// A run at `run.at`, in the directory `working_directory`, that waits for others for `patience`.
    pub fn new(run: Run, working_directory: PathBuf, patience: Duration) -> Self {
        let now = run.at.replace_nanosecond(0).unwrap_or(run.at);
        let lock_owner = format!("{} (by {} on {})", run.command, run.user, run.machine_name);
        Self { now, random: SystemRandom::new(), run, lock_owner, patience, working_directory }
    }

    /// Whether this machine's clock went back since it said `last`: by more than the clocks of machines that share an
    /// authority differ. A person who says what time it is, is believed.
    pub fn went_back(&self, last: Option<OffsetDateTime>) -> Option<OffsetDateTime> {
        last.filter(|last| !self.run.time_is_given && self.now < *last - Validity::BACKDATE)
    }

    /// A directory of this machine, by the one name that it has; one with a context's TLS files is that context.
    pub fn place(&self, path: &Path) -> Place {
        let absolute = self.working_directory.join(path);
        let path = resolve(&std::path::absolute(&absolute).unwrap_or(absolute));
        let kind = if ContextFiles::of_tls(&path).is_some() { Kind::Context } else { Kind::Directory };
        Place { kind, machine: self.run.machine.clone(), machine_name: self.run.machine_name.clone(), path }
    }

    /// Whether a place is a directory, of whatever use, on this machine.
    pub fn has(&self, place: &Place) -> bool {
        matches!(place.kind, Kind::Directory | Kind::Context) && place.machine == self.run.machine
    }
}
