//! Flags, variables and daemon.json against what the real programs did with them, recorded on 2026-11-23.
//!
//! Only what settings decide is predicted here: which files are read, which protocol is spoken, who verifies. The
//! certificates of the recording were all good, and `other-ca.pem` was the only CA that had issued none of them.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::{collections::HashMap, path::Path};

use dockseal_docker::{
    client_settings::{Choice, ClientRequest, ClientTls},
    daemon_settings::DaemonRequest,
    flags::{Program, TlsFlags},
    mode::{ClientMode, DaemonMode},
    settings::{Environment, FileSetting},
};
use serde_json::Value;

const FULL: [&str; 3] = ["ca.pem", "cert.pem", "key.pem"];

fn exists(path: &Path) -> bool {
    let Ok(path) = path.strip_prefix("/W/config-material") else { return false };
    if path == Path::new("other-ca.pem") {
        return true;
    }
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else { return false };
    let files: &[&str] = match directory.to_str().unwrap() {
        "daemon" | "client" | "dir-full" => &FULL,
        "dir-noca" => &FULL[1..],
        "dir-nocert" => &["ca.pem", "key.pem"],
        "dir-nokey" => &FULL[..2],
        "dir-caonly" => &FULL[..1],
        "dir-certonly" => &FULL[1..2],
        "dir-keyonly" => &FULL[2..],
        _ => &[],
    };
    files.iter().any(|file| *file == name)
}

fn words(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|word| word.as_str().unwrap().replace("{W}", "/W")).collect()
}

fn variables(value: &Value) -> HashMap<String, String> {
    let set = value.as_object().unwrap();
    let home = ("HOME".to_owned(), "/W/run/home".to_owned());
    set.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap().replace("{W}", "/W"))).chain([home]).collect()
}

fn environment(variables: &HashMap<String, String>) -> Environment {
    Environment::read(|name| variables.get(name).map(Into::into))
}

/// What a side trusts, as far as it matters here.
#[derive(PartialEq)]
enum Trust {
    Right,
    Other,
}

fn trust(ca: &FileSetting, variables: &HashMap<String, String>) -> Trust {
    match ca.path() {
        Some(path) if path.ends_with("other-ca.pem") => Trust::Other,
        Some(_) => Trust::Right,
        None if variables.contains_key("SSL_CERT_FILE") => Trust::Right,
        None => Trust::Other,
    }
}

/// The daemon, or the text with which it stops.
fn daemon(config: &Value, version: &str) -> Result<(DaemonMode, Trust), String> {
    let given = &config["daemon"];
    let variables = variables(&given["env"]);
    // The recorder listened where every client of it dials, by a flag wherever daemon.json does not say.
    let request = DaemonRequest {
        flags: TlsFlags::parse(Program::Dockerd, &words(&given["args"])).unwrap(),
        environment: environment(&variables),
        daemon_json: given["json"].as_str().map(|json| json.replace("{W}", "/W").into_bytes()),
        version: version.parse().unwrap(),
    };
    let settings = request.resolve().map_err(|fault| fault.to_string())?;
    let Some(files) = settings.files else { return Ok((settings.mode, Trust::Other)) };
    for file in [&files.cert, &files.key] {
        match file {
            FileSetting::Default(path) | FileSetting::Named(path) if exists(path) => {}
            FileSetting::Default(_) | FileSetting::Empty => return Err("could not load X509 key pair".into()),
            FileSetting::Named(_) => return Err("no such file".into()),
        }
    }
    let trusted = trust(&files.ca, &variables);
    match files.ca.path() {
        Some(path) if settings.mode.verifies_client() && !exists(path) => Err("could not read CA certificate".into()),
        _ => Ok((settings.mode, trusted)),
    }
}

fn client(given: &Value, version: &str, daemon: DaemonMode, daemon_trust: &Trust) -> &'static str {
    let variables = variables(&given["env"]);
    let request = ClientRequest {
        flags: TlsFlags::parse(Program::Docker, &words(&given["args"])).unwrap(),
        environment: environment(&variables),
        version: version.parse().unwrap(),
    };
    let Ok((choice, ranking)) = request.choose(None) else { return "client-config" };
    assert_eq!(choice, Choice::Default);
    let Ok(settings) = request.resolve_default(ranking) else { return "client-config" };
    assert_eq!(settings.endpoint.to_string(), "tcp://127.0.0.1:24376");
    let mut uses_tls = false;
    let mut offers = false;
    let mut accepts = true;
    if let ClientTls::On { verify, files } = &settings.tls {
        let present = |file: &FileSetting| match file {
            FileSetting::Empty => Ok(false),
            FileSetting::Default(path) if !exists(path) => Ok(false),
            FileSetting::Default(path) | FileSetting::Named(path) if exists(path) => Ok(true),
            _ => Err(()),
        };
        if files.ca.path().is_some_and(|path| !exists(path)) {
            return "client-config";
        }
        let (Ok(cert), Ok(key)) = (present(&files.cert), present(&files.key)) else { return "client-config" };
        // An empty CA without certificate and key leaves no TLS (cli/context/docker/load.go).
        uses_tls = !*verify || files.ca != FileSetting::Empty || cert || key;
        offers = cert && key;
        accepts = !verify || trust(&files.ca, &variables) == Trust::Right;
    }
    assert_eq!(settings.tls == ClientTls::Off, settings.tls.mode() == ClientMode::None);
    match (uses_tls, daemon.uses_tls()) {
        (false, false) => "ok",
        (true, false) => "tls-to-plain-http",
        (false, true) => "plain-http-to-tls",
        (true, true) if !accepts => "client-verify",
        (true, true) if daemon.verifies_client() && !(offers && *daemon_trust == Trust::Right) => "daemon-verify",
        (true, true) => "ok",
    }
}

#[test]
fn agrees_with_every_recorded_configuration() {
    let lines: Vec<Value> =
        include_str!("docker-truth/configs.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let configs: HashMap<&str, &Value> =
        lines.iter().filter(|line| line["kind"] == "config").map(|line| (line["id"].as_str().unwrap(), line)).collect();
    assert_eq!(configs.len(), 21);
    let mut judged = 0;
    for line in lines.iter().filter(|line| line["kind"] != "config") {
        let text = |key: &str| line[key].as_str().unwrap();
        let config = configs[text("config")];
        let predicted = match daemon(config, text("dockerd")) {
            Err(said) => {
                // What dockerd says is the same from the first word of ours on.
                let recorded = text("error").to_lowercase();
                let said = said.to_lowercase();
                let panics = said.contains("crashes on an empty") && recorded.starts_with("panic: ");
                assert!(panics || recorded.contains(&said), "{config}: {said} is not in {recorded}");
                "daemon-start"
            }
            Ok((mode, trust)) => {
                let given = config["clients"].as_array().unwrap();
                let given = given.iter().find(|given| given["id"] == line["client"]).unwrap();
                client(given, text("docker"), mode, &trust)
            }
        };
        assert_eq!(predicted, text("outcome"), "{line}");
        judged += 1;
    }
    assert_eq!(judged, 707);
}
