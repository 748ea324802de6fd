//! What other programs say about our material: the real docker and dockerd first,
//! then every TLS stack and linter there is. Each oracle also sees a control made by
//! openssl alone, and material that it must refuse: an oracle that says yes to
//! everything proves nothing.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "test code"
)]

mod adopt;
mod certificates;
mod completions;
mod configuration;
mod context;
mod crl;
mod detect;
mod docker;
mod handover;
mod inspect;
mod keys;
mod layouts;
mod lint;
mod matrix;
mod named;
mod opinions;
mod plugin;
mod probe;
mod renew;
mod renew_ca;
mod repair;
mod request;
mod rollover;
mod shells;
mod stacks;
mod timer;
mod userns;
