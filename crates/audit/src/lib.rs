//! Judges what a Docker host lets in: its sockets and who may use them, its listeners, the files that decide about
//! them, and user namespaces.
//!
//! ```text
//! script(&[])                    -> String        what to run on the host with `sh -s`, as root if possible
//! Facts::read(output)            -> Facts         what it printed
//! facts.questions()              -> [Question]    what to ask next, until nothing is new: script(&questions), facts.add(output)
//! judge(&facts, now)             -> [Finding]     the worst first
//! ```
//! Nothing is run here: whoever speaks to the host runs the script, here or over ssh. The script changes nothing; dialling
//! the listeners leaves a line in dockerd's log.
//!
//! The `bench` numbers of a [`Finding`] are those of docker-bench-security (tests/2_docker_daemon_configuration.sh and
//! 3_docker_daemon_configuration_files.sh) since section 2 begins with rootless mode: TLS is 2.7 and user namespaces are 2.9;
//! older releases have one less there.
//!
//! ```
//! use dockseal_audit::{Facts, script};
//!
//! // Run on the host with `sh -s`; what it prints is read here.
//! let script = script(&[]);
//! assert!(script.contains("daemon.json"));
//! assert!(Facts::read(b"no such answer").is_err());
//! ```

mod accounts;
mod addresses;
mod facts;
mod finding;
mod judge;
mod read;
mod script;
mod sockets;

pub use addresses::LocalAddresses;
pub use facts::{Daemon, Described, Facts, Listener, Presence, Processes};
pub use finding::{Finding, Severity};
pub use judge::judge;
pub use read::FactsError;
pub use script::{Question, script};
