//! The house rules that no compiler keeps: who may see whom, that what the README says
//! runs, and that every example does.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "test code"
)]

mod edges;
mod examples;
mod readme;
mod repository;
