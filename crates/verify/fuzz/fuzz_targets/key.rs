//! A certificate and any bytes as the DER of its key.
#![no_main]

use dockseal_docker::mode::{ClientMode, DaemonMode};
use dockseal_docker::version::Version;
use dockseal_verify::{Material, Scenario, judge};
use dockseal_verify_fuzz::{NOW, pem};

/// P-256 and RSA leaves of the recorded scenarios.
const CERTIFICATES: [&[u8]; 2] = [include_bytes!("../seeds/certificate-p256"), include_bytes!("../seeds/certificate-rsa")];

libfuzzer_sys::fuzz_target!(|der: &[u8]| {
    let key = pem("PRIVATE KEY", der);
    for certificate in CERTIFICATES {
        let material = Material::from_bytes("", certificate, certificate, key.as_bytes());
        for version in Version::ALL {
            let scenario = Scenario::mutual("a.test")
                .in_modes(ClientMode::TlsVerifyCert, DaemonMode::TlsVerify)
                .between(version, version);
            let _ = judge(&material, &material, &scenario, NOW);
        }
    }
});
