//! Every example runs, in an empty directory and without arguments.

use std::fs;
use std::process::Command;

use dockseal_tests::Sandbox;
use serde_json::Value;

#[test]
fn every_example_runs() {
    let top = dockseal_tests::repository();
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(top)
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let mut sources = Vec::new();
    for package in metadata["packages"].as_array().unwrap() {
        for target in package["targets"].as_array().unwrap() {
            let kind = target["kind"].to_string();
            let example = kind.contains("example") || (package["name"] == "dockseal-examples" && kind.contains("bin"));
            if !example {
                continue;
            }
            sources.push(target["src_path"].as_str().unwrap().to_owned());
            let (package, name) = (package["name"].as_str().unwrap(), target["name"].as_str().unwrap());
            let flag = if kind.contains("bin") { "--bin" } else { "--example" };
            println!("{package} {name}");
            let built = Command::new(env!("CARGO"))
                .args(["build", "--quiet", "--offline", "--package", package, flag, name, "--message-format=json"])
                .current_dir(top)
                .output()
                .unwrap();
            assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
            let executable = String::from_utf8_lossy(&built.stdout)
                .lines()
                .filter_map(|line| serde_json::from_str::<Value>(line).ok())
                .filter(|message| message["target"]["name"] == name)
                .find_map(|message| message["executable"].as_str().map(ToOwned::to_owned))
                .unwrap();
            let sandbox = Sandbox::new();
            let ran = sandbox.program(executable).run().success();
            assert!(!ran.stdout.is_empty(), "an example that shows nothing\n{ran}");
        }
    }
    // No source below examples/ is in no target.
    for entry in fs::read_dir(top.join("examples")).unwrap().flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "rs") && path.file_name().unwrap() != "lib.rs" {
            let path = path.to_str().unwrap();
            assert!(sources.iter().any(|source| source == path), "{path} is in no target");
        }
    }
}
