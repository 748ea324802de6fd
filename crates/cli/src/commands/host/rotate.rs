//! `dockseal host rotate`: new certificates for daemons on hosts, delivered, restarted and proved.

use std::process::ExitCode;

use dockseal_inventory::{Entry, Inventory, Kind, State};

use crate::{
    commands::renew::{look, renew_entries},
    failure::Failure,
    groups::{PassphraseArgs, parse_lifetime},
    hints::inventory_failure,
    hosts::reach::parse_target,
    invocation::Invocation,
    ledger::refuse_a_clock_that_went_back,
    output::Output,
    reissue::{KeyChoice, Order},
};

const WHAT: &str = "cannot rotate";

#[derive(clap::Args)]
#[command(
    after_help = "Each host gets a new key, made there, and a certificate for the same names, below the same dead-man switch as at\n\
    bootstrap; dockerd is restarted and proved to serve it. dockseal renew --due does the same from a timer for what is due.\n\n\
    Examples:\n  \
    dockseal host rotate root@build.example.com\n  \
    dockseal host rotate --all --passphrase-file /run/secrets/ca"
)]
pub(super) struct Args {
    /// The hosts, as they were bootstrapped
    #[arg(value_name = "HOST", required_unless_present = "all", conflicts_with = "all")]
    hosts: Vec<String>,
    /// Every host
    #[arg(long)]
    all: bool,
    /// Keep the private keys
    #[arg(long)]
    reuse_key: bool,
    /// How long the new certificates live [default: as long as the old ones were to live]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    lifetime: Option<String>,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

pub(super) fn run(args: &Args, invocation: &Invocation, output: &mut Output) -> Result<ExitCode, Failure> {
    let lifetime = args.lifetime.as_deref().map(parse_lifetime).transpose()?;
    let home = invocation.home()?;
    crate::authority::read(&home)?;
    let inventory = look(&home, invocation, output)?;
    refuse_a_clock_that_went_back(&inventory, invocation, WHAT)?;
    let known = recorded(&inventory)?;
    let mut entries: Vec<Entry> = Vec::new();
    let wanted: Vec<String> = if args.all {
        known.iter().map(|(host, _)| host.clone()).collect()
    } else {
        args.hosts.iter().map(|text| parse_target(text).map(|target| target.to_string())).collect::<Result<_, _>>()?
    };
    for host in wanted {
        let Some((_, entry)) = known.iter().find(|(name, _)| *name == host) else {
            let names: Vec<&str> = known.iter().map(|(name, _)| name.as_str()).collect();
            let cause = match names.as_slice() {
                [] => "no host was bootstrapped over ssh by this authority".to_owned(),
                names => format!("{host} is none of the hosts that this authority bootstrapped: {}", names.join(", ")),
            };
            return Err(Failure::no(WHAT).cause(cause).hint("dockseal bootstrap NAME… --ssh HOST sets one up"));
        };
        if !entries.iter().any(|other| other.id == entry.id) {
            entries.push(entry.clone());
        }
    }
    if entries.is_empty() {
        return Err(Failure::no(WHAT)
            .cause("no host was bootstrapped over ssh by this authority")
            .hint("dockseal bootstrap NAME… --ssh HOST sets one up"));
    }
    let key = if args.reuse_key { KeyChoice::Same } else { KeyChoice::New };
    let order = Order { key, lifetime, command_follows: false };
    renew_entries(entries, order, &args.passphrase, invocation, output)
}

/// Every host, and the certificate that counts there.
fn recorded(inventory: &Inventory) -> Result<Vec<(String, Entry)>, Failure> {
    const PAGE: u32 = 500;
    let failure = |error| inventory_failure(WHAT, &error);
    let mut hosts = Vec::new();
    let mut after = None;
    loop {
        let page = inventory.destinations(after, PAGE).map_err(failure)?;
        let Some(last) = page.last().map(|destination| destination.id) else { return Ok(hosts) };
        after = Some(last);
        for destination in page.into_iter().filter(|destination| destination.place.kind == Kind::Ssh) {
            let Some(id) = destination.certificate else { continue };
            let entry = inventory.entry(id).map_err(failure)?.filter(|entry| entry.state == State::Issued);
            hosts.extend(entry.map(|entry| (destination.place.machine_name, entry)));
        }
    }
}
