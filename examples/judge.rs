//! Says whether a docker with one directory gets through to a dockerd with another: `judge DAEMON_DIR CLIENT_DIR HOST`.
//! Without arguments it judges a pair that it issues itself, dialled by a name that the daemon has and by one that it has not.
#![expect(clippy::print_stdout, reason = "an example shows its result")]

use std::{fs, path::Path};

use dockseal_examples::{Failure, issue_pair};
use dockseal_pki::Bundle;
use dockseal_verify::{Material, Scenario, Verdict, judge};
use time::{OffsetDateTime, macros::datetime};

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [daemon, client, host] = arguments.as_slice() {
        #[expect(clippy::disallowed_methods, reason = "a program that speaks reads the clock")]
        let now = OffsetDateTime::now_utc();
        show(host, &judge(&directory(daemon)?, &directory(client)?, &Scenario::mutual(host), now));
        return Ok(());
    }

    let now = datetime!(2026-11-23 12:00 UTC);
    let (_, daemon, client) = issue_pair(&["build.example.com", "10.0.0.5"], "ada", now)?;
    let (daemon, client) = (material("daemon", &daemon)?, material("client", &client)?);
    for host in ["build.example.com", "10.0.0.5", "other.example.com"] {
        show(host, &judge(&daemon, &client, &Scenario::mutual(host), now));
    }
    Ok(())
}

fn directory(dir: &str) -> Result<Material, Failure> {
    let read = |file: &str| fs::read(Path::new(dir).join(file)).map_err(|error| format!("{dir}/{file}: {error}"));
    Ok(Material::from_bytes(dir, read("ca.pem")?, read("cert.pem")?, read("key.pem")?))
}

fn material(dir: &str, bundle: &Bundle) -> Result<Material, Failure> {
    let key = bundle.key_pem().ok_or("the key stayed elsewhere")?;
    Ok(Material::from_bytes(dir, bundle.anchors.to_pem(), bundle.chain_pem(), key.as_bytes()))
}

fn show(host: &str, verdict: &Verdict) {
    println!("tcp://{host}:2376  {:?}", verdict.outcome());
    for finding in verdict.refusals() {
        println!("  {}: {}", finding.check.id(), finding.text);
        println!("  {}", finding.check.remedy());
    }
}
