//! What Docker reads and does.
//!
//! The files that it looks for, their names and modes, its configuration, its environment. Pure: nothing is read or written
//! here. Every fact names the file in moby, docker/cli or go-connections that makes it true.

pub mod daemon_json;
pub mod env;
pub mod gate;
pub mod layout;
pub mod mode;
mod plan;
mod role;
pub mod unit;
pub mod version;

pub use plan::{Contents, FilePlan, Ownership, PlannedFile, plan};
pub use role::Role;
