//! A line of docker's flags and variables, and any bytes as its config.json and as a context's meta.json.
#![no_main]

use dockseal_docker::client_settings::{Choice, ClientRequest};
use dockseal_docker::context::{self, ContextEndpoint};
use dockseal_docker::flags::{Program, TlsFlags};
use dockseal_docker::settings::Environment;
use dockseal_docker::version::Version;
use dockseal_verify_fuzz::{command_line, first_line};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let (line, json) = first_line(bytes);
    let current = context::current_context(json).unwrap_or_default();
    let endpoint = ContextEndpoint::from_meta(json).unwrap_or_default();
    let Some((variables, words)) = command_line(line) else { return };
    let Ok(flags) = TlsFlags::parse(Program::Docker, &words) else { return };
    let find = |name: &str| variables.iter().find(|(key, _)| key == name).map(|(_, value)| value.into());
    for version in Version::ALL {
        let request = ClientRequest { flags: flags.clone(), environment: Environment::read(find), version };
        match request.choose(current.as_deref()) {
            Ok((Choice::Default, ranking)) => drop(request.resolve_default(ranking)),
            Ok((Choice::Named { files, .. }, ranking)) => {
                for there in [[true; 3], [false; 3], [true, false, false]] {
                    let _ = request.resolve_context(&endpoint, &files, there, ranking.clone());
                }
            }
            Err(_) => {}
        }
    }
});
