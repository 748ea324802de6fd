//! What Docker reads and does.
//!
//! The files that it looks for, their names and modes, its configuration, its environment. Pure: nothing is read or written
//! here. Every fact names the file in moby, docker/cli or go-connections that makes it true.
//!
//! ```
//! use dockseal_docker::{Layout, Role, env::host_url};
//!
//! // What people type, and what docker dials.
//! assert_eq!(host_url("build.example.com").unwrap(), "tcp://build.example.com:2376");
//! assert_eq!(Layout::Docker.names(Role::Client).key, "key.pem");
//! ```

pub mod client_settings;
pub mod context;
pub mod daemon_json;
pub mod daemon_keys;
pub mod daemon_settings;
pub mod endpoint;
pub mod env;
pub mod exec_start;
pub mod flags;
pub mod gate;
pub mod host;
pub mod host_plan;
mod host_record;
pub mod layout;
pub mod miswritten;
pub mod mode;
mod plan;
pub mod plugin;
pub mod plugin_hooks;
pub mod registry;
mod role;
pub mod settings;
pub mod unit;
mod url;
pub mod userns;
pub mod version;

pub use layout::Layout;
pub use plan::{Contents, FilePlan, Ownership, PlannedFile, dind_authority_plan, plan, trust_plan};
pub use registry::RegistryHost;
pub use role::Role;
