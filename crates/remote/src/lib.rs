//! Reaches Docker hosts with the system's ssh: looks at them, and changes them so that nobody is locked out.
//!
//! A [`Session`] is one `ssh` process with a POSIX shell at its other end. Everything that goes there, keys included, goes
//! through its standard input: nothing is in an argument list, and nothing is written on this side. [`inspect`] looks and
//! changes nothing. Below a [`Switch`], a dead-man switch, files are replaced and dockerd restarts: it brings the former
//! state back unless the change is confirmed.
//!
//! What the files say is decided elsewhere: `dockseal_docker::host` knows, this crate does. The clock is not read.
//!
//! ```
//! use dockseal_remote::Target;
//!
//! let target: Target = "root@build.example.com".parse()?;
//! assert_eq!(target.host(), "build.example.com");
//! assert!("-oProxyCommand=id".parse::<Target>().is_err());
//! # Ok::<(), dockseal_remote::TargetError>(())
//! ```

mod change;
mod error;
mod inspect;
mod session;
mod target;

pub use change::{Item, Prepared, Replacement, Restart, Sighting, Switch, Terms, Undone, bring_back};
pub use error::{ReachError, Refusal};
pub use inspect::{facts, inspect};
pub use session::{Dial, Done, Root, Session, quoted};
pub use target::{Target, TargetError};
