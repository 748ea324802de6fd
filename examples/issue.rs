//! Issues an authority, a daemon and a client in memory, and prints who they are.
//!
//! The time is an argument throughout: this example works at noon of a day of its choosing.
#![expect(clippy::print_stdout, reason = "an example shows its result")]

use dockseal_docker::{Layout, Role, plan};
use dockseal_examples::{Failure, issue_pair};
use time::macros::datetime;

fn main() -> Result<(), Failure> {
    let now = datetime!(2026-11-23 12:00 UTC);
    let (authority, daemon, client) = issue_pair(&["build.example.com", "10.0.0.5", "::1"], "ada", now)?;

    println!("authority  {}", authority.issuer().subject);
    for (role, bundle) in [(Role::Daemon, &daemon), (Role::Client, &client)] {
        let leaf = bundle.leaf().ok_or("a bundle has a certificate")?;
        println!(
            "{:<9}  {} until {}, SHA-256 {}",
            role.to_string(),
            leaf.subject,
            leaf.validity.not_after.date(),
            leaf.fingerprint()
        );
        // What dockseal-store would write for Docker to read.
        for file in plan(bundle, role, Layout::Docker, Default::default()).files {
            println!("           {:04o} {}", file.mode, file.path);
        }
    }
    println!("{}", daemon.chain_pem());
    Ok(())
}
