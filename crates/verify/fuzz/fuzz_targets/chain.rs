//! Certificates, each after its length in two bytes: the first half is sent, the second half is trusted.
#![no_main]

use dockseal_docker::version::Version;
use dockseal_verify::{Purpose, judge_chain};
use dockseal_verify_fuzz::{NOW, pem};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut rest = bytes;
    let mut blocks = Vec::new();
    while let [high, low, after @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(after.len());
        let (der, next) = after.split_at(length);
        blocks.push(pem("CERTIFICATE", der));
        rest = next;
    }
    let (sent, trusted) = blocks.split_at(blocks.len().div_ceil(2));
    let (sent, trusted) = (sent.concat(), trusted.concat());
    for version in Version::ALL {
        for (purpose, host) in [(Purpose::Server, Some("127.0.0.1")), (Purpose::Client, None)] {
            let _ = judge_chain(sent.as_bytes(), trusted.as_bytes(), purpose, host, NOW, version);
        }
    }
});
