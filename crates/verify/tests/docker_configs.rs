//! Flags, variables and daemon.json against what real docker and dockerd made of them, recorded on 2026-11-23.
//!
//! The recording keeps the configurations and not their files; any good pair of one CA stands in for them.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::collections::HashMap;
use std::path::Path;

use dockseal_docker::mode::{
    ClientMode, ClientSettings, DaemonSettings, Environment, FilePath, FilePaths,
};
use dockseal_docker::version::Version;
use dockseal_verify::{Designation, Material, MaterialFile, Scenario, SystemRoots, Verdict, judge};
use serde_json::Value;

mod recorded;

/// The recorded files by their path below the configurations' folder.
fn config_material() -> HashMap<String, Vec<u8>> {
    let materials = recorded::materials();
    let good = |side: &str, name: &str| {
        materials[&format!("materials/client-ext-unknown/{side}/{name}.pem")].clone()
    };
    let mut files = HashMap::new();
    let mut add = |folder: &str, side: &str, names: &[&str]| {
        for name in names {
            files.insert(format!("{folder}/{name}.pem"), good(side, name));
        }
    };
    add("daemon", "daemon", &["ca", "cert", "key"]);
    add("client", "client", &["ca", "cert", "key"]);
    add("dir-full", "client", &["ca", "cert", "key"]);
    add("dir-noca", "client", &["cert", "key"]);
    add("dir-nocert", "client", &["ca", "key"]);
    add("dir-nokey", "client", &["ca", "cert"]);
    add("dir-caonly", "client", &["ca"]);
    add("dir-keyonly", "client", &["key"]);
    add("dir-certonly", "client", &["cert"]);
    files.insert(
        "other-ca.pem".into(),
        materials["materials/ca-wrong/client/ca.pem"].clone(),
    );
    files
}

fn material(paths: &FilePaths, files: &HashMap<String, Vec<u8>>) -> Material {
    let file = |path: &FilePath| {
        let (path, designation) = match path {
            FilePath::Default(path) => (path, Designation::Default),
            FilePath::Named(path) => (path, Designation::Named),
            FilePath::Empty => return MaterialFile::not_named(),
        };
        let name = path
            .to_str()
            .unwrap()
            .strip_prefix("{W}/config-material/")
            .unwrap_or_default();
        match files.get(name) {
            Some(bytes) => MaterialFile::from_bytes(path, designation, bytes.clone()),
            None => MaterialFile::missing(path, designation),
        }
    };
    Material {
        ca: file(&paths.ca),
        cert: file(&paths.cert),
        key: file(&paths.key),
    }
}

fn strings(value: &Value) -> Vec<String> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|text| text.as_str().unwrap().to_owned())
        .collect()
}

fn environment(value: &Value) -> Environment {
    Environment::from_lookup(|name| value[name].as_str().map(str::to_owned))
}

/// The roots of a machine that SSL_CERT_FILE may replace, and that do not know our CA.
fn system_roots(environment: &Value, files: &HashMap<String, Vec<u8>>) -> SystemRoots {
    let path = environment["SSL_CERT_FILE"]
        .as_str()
        .map(|path| path.replace("{W}/config-material/", ""));
    SystemRoots::Pem(path.map(|path| files[&path].clone()).unwrap_or_default())
}

struct Recorded<'r> {
    daemon: &'r Value,
    client: Option<&'r Value>,
    docker: Version,
    dockerd: Version,
}

fn predict(recorded: &Recorded<'_>, files: &HashMap<String, Vec<u8>>) -> String {
    let daemon = recorded.daemon;
    let Ok(daemon_settings) = DaemonSettings::resolve(
        &strings(&daemon["args"]),
        &environment(&daemon["env"]),
        daemon["json"].as_str(),
        recorded.dockerd,
    ) else {
        return "daemon-start".into();
    };
    let daemon_material = material(&daemon_settings.files, files);
    let ask = |client: &Material, mode: ClientMode, roots: SystemRoots| -> Verdict {
        let mut scenario = Scenario::mutual("127.0.0.1")
            .in_modes(mode, daemon_settings.mode)
            .between(recorded.docker, recorded.dockerd);
        scenario.system_roots = roots;
        judge(&daemon_material, client, &scenario, recorded::AT)
    };
    let Some(client) = recorded.client else {
        let verdict = ask(
            &daemon_material,
            ClientMode::None,
            system_roots(&daemon["env"], files),
        );
        return recorded::word(&verdict);
    };
    let settings = match ClientSettings::resolve(
        &strings(&client["args"]),
        &environment(&client["env"]),
        recorded.docker,
    ) {
        Ok(settings) => settings,
        Err(_) => return "client-config".into(),
    };
    // One side at most looks at the system's roots in any of these configurations.
    let roots = [client, daemon]
        .into_iter()
        .find(|side| side["env"]["SSL_CERT_FILE"].is_string())
        .unwrap_or(client);
    let verdict = ask(
        &material(&settings.files, files),
        settings.mode,
        system_roots(&roots["env"], files),
    );
    recorded::word(&verdict)
}

#[test]
fn agrees_with_every_recorded_configuration() {
    let files = config_material();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/docker-truth/configs.jsonl");
    let lines: Vec<Value> = std::fs::read_to_string(path)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let (definitions, outcomes): (Vec<&Value>, Vec<&Value>) =
        lines.iter().partition(|line| line["id"].is_string());
    let mut disagreements = Vec::new();
    for outcome in &outcomes {
        let definition = definitions
            .iter()
            .find(|definition| definition["id"] == outcome["config"])
            .unwrap();
        let client = definition["clients"]
            .as_array()
            .unwrap()
            .iter()
            .find(|client| client["id"] == outcome["client"]);
        let version = |name: &str| outcome[name].as_str().unwrap().parse().unwrap_or_default();
        let recorded = Recorded {
            daemon: &definition["daemon"],
            client,
            docker: version("docker"),
            dockerd: version("dockerd"),
        };
        let predicted = predict(&recorded, &files);
        if Some(predicted.as_str()) != outcome["outcome"].as_str() {
            disagreements.push(format!("{outcome}: predicted {predicted}"));
        }
    }
    assert_eq!((definitions.len(), outcomes.len()), (21, 707));
    assert!(
        disagreements.is_empty(),
        "{} disagree:\n{}",
        disagreements.len(),
        disagreements.join("\n")
    );
}
