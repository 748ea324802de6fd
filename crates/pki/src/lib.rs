//! dockseal-pki
