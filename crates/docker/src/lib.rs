//! dockseal-docker
