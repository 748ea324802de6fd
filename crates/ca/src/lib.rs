//! dockseal-ca
