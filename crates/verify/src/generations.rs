//! The same files with every generation of Docker on either side.

use dockseal_docker::version::Version;
use time::OffsetDateTime;

use crate::check::Check;
use crate::judge::Judge;
use crate::material::Material;
use crate::scenario::Scenario;
use crate::verdict::{Finding, Outcome, Verdict};

/// The verdicts of all pairs of generations in this scenario, docker's generation first.
#[must_use]
pub fn judge_generations(
    daemon: &Material,
    client: &Material,
    scenario: &Scenario,
    now: OffsetDateTime,
) -> Vec<(Version, Version, Verdict)> {
    let pairs = Version::ALL.into_iter().flat_map(|docker| Version::ALL.map(|dockerd| (docker, dockerd)));
    let judge = Judge::default();
    pairs
        .map(|(docker, dockerd)| {
            let scenario = scenario.clone().between(docker, dockerd);
            (docker, dockerd, judge.verdict(daemon, client, &scenario, now))
        })
        .collect()
}

/// Says where other generations than the scenario's answer otherwise; nothing where all agree.
#[must_use]
pub fn differences(verdicts: &[(Version, Version, Verdict)], scenario: &Scenario) -> Option<Finding> {
    let own = verdicts.iter().find(|(docker, dockerd, _)| (*docker, *dockerd) == (scenario.docker, scenario.dockerd));
    let own = own.map(|(_, _, verdict)| verdict.outcome())?;
    let others: Vec<String> = verdicts
        .iter()
        .filter(|(_, _, verdict)| verdict.outcome() != own)
        .map(|(docker, dockerd, verdict)| {
            let answer = match verdict.outcome() {
                Outcome::Accepted => "accepted".to_owned(),
                Outcome::Refused(gate) => format!("refused at {gate}"),
                Outcome::Undetermined(gate) => format!("undetermined at {gate}"),
            };
            format!("docker {docker} with dockerd {dockerd}: {answer}")
        })
        .collect();
    let check = Check::VersionDependent;
    (!others.is_empty()).then(|| Finding {
        check,
        severity: check.severity(),
        gate: None,
        place: None,
        text: format!("the answer depends on the versions: {}", others.join("; ")),
        remedy: check.remedy(),
    })
}
