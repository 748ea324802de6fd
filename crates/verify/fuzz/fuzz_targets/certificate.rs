//! Any bytes as the DER of a certificate that is its own anchor.
#![no_main]

use dockseal_docker::version::Version;
use dockseal_verify::{Purpose, judge_chain};
use dockseal_verify_fuzz::{NOW, pem};

libfuzzer_sys::fuzz_target!(|der: &[u8]| {
    let text = pem("CERTIFICATE", der);
    for version in Version::ALL {
        let _ = judge_chain(text.as_bytes(), text.as_bytes(), Purpose::Server, Some("a.test"), NOW, version);
    }
});
