//! dockseal-docker

pub mod gate;
pub mod mode;
pub mod version;
