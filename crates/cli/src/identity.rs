//! Whom a certificate is for.

pub(crate) use dockseal_lifecycle::identity::*;
