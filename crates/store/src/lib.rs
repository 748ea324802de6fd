//! dockseal-store
