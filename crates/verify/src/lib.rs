//! dockseal-verify
