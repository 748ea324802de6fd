//! The commands, one file each.

pub(crate) mod adopt;
pub(crate) mod audit;
pub(crate) mod bootstrap;
pub(crate) mod completions;
pub(crate) mod context;
pub(crate) mod crl;
pub(crate) mod env;
pub(crate) mod explain;
pub(crate) mod export;
pub(crate) mod host;
pub(crate) mod init;
pub(crate) mod inspect;
pub(crate) mod install;
pub(crate) mod inventory;
pub(crate) mod issue;
pub(crate) mod list;
pub(crate) mod man;
pub(crate) mod plugin;
pub(crate) mod probe;
pub(crate) mod renew;
pub(crate) mod repair;
pub(crate) mod request;
pub(crate) mod revoke;
pub(crate) mod rollback;
pub(crate) mod rollover;
pub(crate) mod status;
pub(crate) mod timer;
pub(crate) mod verify;

use clap::{Parser, Subcommand};

use crate::groups::Global;

/// Mutual TLS for Docker: a certificate authority, the daemon's and the clients' material, and what Docker will make of it
#[derive(Parser)]
#[command(
    name = "dockseal",
    version,
    after_help = "From nothing to a daemon that only your certificate opens:\n  \
        dockseal bootstrap 10.0.0.5 build.example.com --client alice\n\n\
        Exit codes: 0 yes or done, 1 no (refused, there already, not permitted), 2 could not tell or could not run."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Command {
    /// Whether it has something for Prometheus.
    pub(crate) fn has_metrics(&self) -> bool {
        matches!(self, Self::List(_) | Self::Status(_))
    }
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Do the main job in one step: authority, daemon, clients and the daemon's configuration
    Bootstrap(bootstrap::Args),
    /// Look at Docker hosts over ssh, renew their certificates, take everything back out
    Host(host::Args),
    /// Make a new authority
    Init(init::Args),
    /// Take over an authority that was made elsewhere
    Adopt(adopt::Args),
    /// Issue the material of one daemon or one client
    Issue(issue::Args),
    /// Make a key and a certificate request on the machine that will use them
    Request(request::Args),
    /// List the certificates: whose, where, how long they still live
    List(list::Args),
    /// Tell whether anything is due, by the exit code too
    Status(status::Args),
    /// Put the certificate that answers a request in place
    Install(install::Args),
    /// Make the three files that Docker reads of what other tools left in other forms
    Repair(repair::Args),
    /// Hand over what a directory holds as one file: a tar or PKCS#12
    Export(export::Args),
    /// Put new certificates in the place of those that are due
    Renew(renew::Args),
    /// Print or install what runs renew --due every day: a systemd timer, or a cron line
    Timer(timer::Args),
    /// Bring back the bundle that a renewal replaced
    Rollback(rollback::Args),
    /// Give the authority another certificate of the same name and key, before or after its own has ended
    RenewCa(rollover::renew_ca::Args),
    /// Let a new authority take over from the present one, without an outage
    Rollover(rollover::Args),
    /// Revoke what was issued to somebody, for proxies that ask
    Revoke(revoke::Args),
    /// Write a new revocation list
    Crl(crl::Args),
    /// Check, rebuild and read the authority's inventory
    Inventory(inventory::Args),
    /// Make, mend, list, export and remove contexts of the docker client
    Context(context::Args),
    /// Print the variables that make docker use a client's directory
    Env(env::Args),
    /// Show certificates, keys, requests and revocation lists
    Inspect(inspect::Args),
    /// Dial a daemon as docker would, and say what it serves, asks for and accepts
    Probe(probe::Args),
    /// Install this program as a plugin of docker, so that docker seal … runs it
    Plugin(plugin::Args),
    /// Read what a Docker host lets in: sockets, listeners, files, user namespaces; and say what to mend
    Audit(audit::Args),
    /// Tell what docker and dockerd will do with certificates, and why
    Verify(verify::Args),
    /// Explain a check of verify, or list them all
    Explain(explain::Args),
    /// Print what makes a shell complete the commands and flags of dockseal
    Completions(completions::Args),
    /// Print the manual page, or write those of all commands
    Man(man::Args),
}
