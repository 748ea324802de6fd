//! A line of dockerd's flags and variables, and any bytes as its daemon.json.
#![no_main]

use dockseal_docker::daemon_settings::DaemonRequest;
use dockseal_docker::flags::{Program, TlsFlags};
use dockseal_docker::settings::Environment;
use dockseal_docker::version::Version;
use dockseal_verify_fuzz::{command_line, first_line};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let (line, json) = first_line(bytes);
    let Some((variables, words)) = command_line(line) else { return };
    let Ok(flags) = TlsFlags::parse(Program::Dockerd, &words) else { return };
    let find = |name: &str| variables.iter().find(|(key, _)| key == name).map(|(_, value)| value.into());
    for version in Version::ALL {
        for daemon_json in [Some(json.to_vec()), None] {
            let environment = Environment::read(find);
            let _ = DaemonRequest { flags: flags.clone(), environment, daemon_json, version }.resolve();
        }
    }
});
