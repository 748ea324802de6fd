//! Dockseal against remote Docker hosts that are as real as one machine allows: booted
//! systems with systemd, sshd and docker.service, reached by the system's ssh.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods, reason = "test code")]

mod audit;
mod bootstrap;
mod containers;
mod far;
mod hosts;
mod inits;
mod quoting;
mod refused;
mod rotation;
mod secrets;
mod taken_back;
mod timer;
mod userns;
mod validated;
