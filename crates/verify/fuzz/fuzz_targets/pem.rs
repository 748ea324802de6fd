//! Any bytes as certificate and CA file.
#![no_main]

use dockseal_docker::version::Version;
use dockseal_verify::{Purpose, judge_chain};
use dockseal_verify_fuzz::NOW;

libfuzzer_sys::fuzz_target!(|text: &[u8]| {
    for version in Version::ALL {
        let _ = judge_chain(text, text, Purpose::Client, None, NOW, version);
    }
});
