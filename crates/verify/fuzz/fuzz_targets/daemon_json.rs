//! Any text as daemon.json.
#![no_main]

use dockseal_docker::mode::{DaemonSettings, Environment};
use dockseal_docker::version::Version;

libfuzzer_sys::fuzz_target!(|text: &str| {
    for version in Version::ALL {
        let _ = DaemonSettings::resolve(&["--tlsverify".to_owned()], &Environment::default(), Some(text), version);
    }
});
