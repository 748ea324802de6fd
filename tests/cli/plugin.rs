//! `dockseal plugin`, and what docker says to its plugins, word by word. What docker makes of it is among the oracles.

use std::ffi::OsStr;
use std::fs;
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dockseal_tests::{Program, Ran, Random, Sandbox, dockseal_binary, require, require_root, tree};
use serde_json::{Value, json};

use crate::{at, refused_with_hint};

fn docker_directory(sandbox: &Sandbox) -> PathBuf {
    sandbox.root().join("home/.docker")
}

fn plugin_file(sandbox: &Sandbox) -> PathBuf {
    docker_directory(sandbox).join("cli-plugins/docker-seal")
}

fn install(sandbox: &Sandbox, args: &[&str]) -> Ran {
    sandbox.dockseal(["plugin", "install"]).args(args).run()
}

/// The program as docker runs it.
pub(crate) fn called(sandbox: &Sandbox) -> Program {
    let path = sandbox.path("docker-seal");
    if !path.exists() {
        symlink(dockseal_binary(), &path).unwrap();
    }
    sandbox.program(path).env("DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND", "docker")
}

fn script(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn config(sandbox: &Sandbox) -> Value {
    serde_json::from_slice(&fs::read(docker_directory(sandbox).join("config.json")).unwrap()).unwrap()
}

#[test]
fn metadata_is_what_docker_demands() {
    let sandbox = Sandbox::new();
    let ran = called(&sandbox).arg("docker-cli-plugin-metadata").run().success();
    let metadata: Value = serde_json::from_str(&ran.stdout).unwrap();
    // docker/cli cli-plugins/metadata/metadata.go.
    assert_eq!(metadata["SchemaVersion"], "0.1.0");
    for field in ["Vendor", "Version", "ShortDescription", "URL"] {
        assert!(metadata[field].as_str().is_some_and(|text| !text.is_empty()), "{field}: {metadata}");
    }
    assert!(metadata["URL"].as_str().unwrap().starts_with("https://"));
    // By its own name it is no plugin.
    let _ = sandbox.dockseal(["docker-cli-plugin-metadata"]).run().exits(2);
    // And without docker it is what it is.
    assert!(called(&sandbox).args(["explain"]).run().success().stdout.contains("daemon-not-verified"));
}

#[test]
fn a_link_once_and_again() {
    let sandbox = Sandbox::new();
    let before = tree(sandbox.root());
    let _ = sandbox.dockseal(["plugin", "status"]).run().exits(1);
    before.assert_same(&tree(sandbox.root()), "status");
    let _ = install(&sandbox, &[]).success().says("a link to");
    let plugin = plugin_file(&sandbox);
    assert_eq!(fs::read_link(&plugin).unwrap(), dockseal_binary().canonicalize().unwrap());
    let after = tree(sandbox.root());
    let _ = install(&sandbox, &[]).success().says("nothing was changed");
    after.assert_same(&tree(sandbox.root()), "a second time");
    let _ = sandbox.dockseal(["plugin", "status"]).run().success().says(&plugin.display().to_string());
    assert_eq!(tree(sandbox.root()).leftovers(), Vec::<String>::new());
    let _ = sandbox.dockseal(["plugin", "remove"]).run().success().says("Removed");
    assert!(!plugin.is_symlink() && dockseal_binary().is_file());
    let _ = sandbox.dockseal(["plugin", "remove"]).run().success().says("nothing was changed");
}

#[test]
fn a_copy_where_it_is_wanted() {
    let sandbox = Sandbox::new();
    let plugin = plugin_file(&sandbox);
    let _ = install(&sandbox, &[]).success();
    let _ = install(&sandbox, &["--copy"]).success().says("a copy of");
    assert!(!plugin.is_symlink());
    assert_eq!(fs::read(&plugin).unwrap(), fs::read(dockseal_binary()).unwrap());
    assert_eq!(fs::metadata(&plugin).unwrap().permissions().mode() & 0o777, 0o755);
    assert!(dockseal_binary().is_file(), "where the link led is left alone");
    let _ = install(&sandbox, &["--copy"]).success().says("nothing was changed");
    // The copy runs, and does not become a link to itself.
    let by_itself = sandbox.program(&plugin).args(["seal", "plugin", "install"]).run().success();
    assert!(!plugin.is_symlink(), "{by_itself}");
    let _ = install(&sandbox, &[]).success().says("a link to");
    assert!(plugin.is_symlink());
    let _ = install(&sandbox, &["--copy"]).success();
    let _ = sandbox.dockseal(["plugin", "remove"]).run().success();
    assert!(!plugin.exists());
}

#[test]
fn file_systems_without_links() {
    require!("strace");
    let sandbox = Sandbox::new();
    let fault = "inject=symlink,symlinkat:error=EPERM";
    let strace = sandbox.program("strace").args(["-f", "-qq", "-o", "trace", "-e", fault]).arg(dockseal_binary());
    let ran = strace.args(["plugin", "install"]).run();
    if ran.holds("ptrace") {
        return dockseal_tests::note_skip("no right to trace");
    }
    let ran = ran.success();
    assert!(ran.holds("a copy and no link") && !plugin_file(&sandbox).is_symlink(), "{ran}");
    assert!(plugin_file(&sandbox).is_file());
    assert_eq!(tree(&docker_directory(&sandbox)).leftovers(), Vec::<String>::new());
}

#[test]
fn what_is_not_ours_stays() {
    let sandbox = Sandbox::new();
    let plugin = plugin_file(&sandbox);
    let foreign = [
        r#"echo '{"SchemaVersion":"0.1.0","Vendor":"Somebody","Version":"1"}'"#,
        "exit 3",
        "echo nonsense",
        "sleep 60",
    ];
    for text in foreign {
        script(&plugin, text);
        let before = tree(sandbox.root());
        for command in ["install", "remove"] {
            let started = Instant::now();
            let ran = sandbox.dockseal(["plugin", command]).run();
            refused_with_hint(&ran, &[1]);
            assert!(started.elapsed() < Duration::from_secs(10), "{ran}");
            before.assert_same(&tree(sandbox.root()), &ran);
        }
        let _ = sandbox.dockseal(["plugin", "status"]).run().exits(1).says("not dockseal");
    }
    fs::remove_file(&plugin).unwrap();
    for target in ["/nowhere/else", "/etc/passwd", "."] {
        symlink(target, &plugin).unwrap();
        refused_with_hint(&install(&sandbox, &[]), &[1]);
        assert_eq!(fs::read_link(&plugin).unwrap(), Path::new(target));
        fs::remove_file(&plugin).unwrap();
    }
    fs::create_dir(&plugin).unwrap();
    refused_with_hint(&install(&sandbox, &[]), &[1]);
}

#[test]
fn what_is_ours_is_renewed() {
    let sandbox = Sandbox::new();
    let plugin = plugin_file(&sandbox);
    script(&plugin, r#"echo '{"SchemaVersion":"0.1.0","Vendor":"Dockseal","Version":"0.0.1"}'"#);
    let _ = sandbox.dockseal(["plugin", "status"]).run().success().says("version 0.0.1");
    let _ = install(&sandbox, &[]).success().says("in the place of what was there");
    assert!(plugin.is_symlink());
    // A program that moved away.
    fs::remove_file(&plugin).unwrap();
    symlink("/nowhere/dockseal", &plugin).unwrap();
    let _ = sandbox.dockseal(["plugin", "status"]).run().exits(1).says("no longer there");
    let _ = install(&sandbox, &[]).success();
    assert!(plugin.exists());
}

#[test]
fn directories_that_come_first() {
    let sandbox = Sandbox::new();
    let extra = sandbox.path("extra");
    script(&extra.join("docker-seal"), r#"echo '{"SchemaVersion":"0.1.0","Vendor":"Somebody"}'"#);
    fs::create_dir_all(docker_directory(&sandbox)).unwrap();
    let text = json!({ "cliPluginsExtraDirs": ["/nowhere", extra] }).to_string();
    fs::write(docker_directory(&sandbox).join("config.json"), text).unwrap();
    let ran = install(&sandbox, &[]).success();
    assert!(ran.stderr.contains("warning:") && ran.stderr.contains(extra.to_str().unwrap()), "{ran}");
    let _ = sandbox.dockseal(["plugin", "status"]).run().exits(1).says("\"Somebody\"").says("passes over");
    // The user's directory comes before the system's.
    fs::remove_dir_all(&extra).unwrap();
    let root = sandbox.path("root");
    let for_all = root.join("usr/local/lib/docker/cli-plugins/docker-seal");
    let ran = install(&sandbox, &["--system", "--root", root.to_str().unwrap()]).success();
    assert!(ran.stderr.contains("warning:") && for_all.exists(), "{ran}");
    let mode = fs::metadata(for_all.parent().unwrap()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o755, "everybody looks into it");
    let _ = sandbox.dockseal(["plugin", "remove"]).run().success();
    let status = sandbox.dockseal(["plugin", "status", "--root", root.to_str().unwrap()]).run().success();
    assert!(status.stdout.contains(for_all.to_str().unwrap()), "{status}");
    let _ = sandbox.dockseal(["plugin", "remove", "--system", "--root", root.to_str().unwrap()]).run().success();
    assert!(!for_all.exists());
}

/// A link to a program that only some can reach, or that others can change, would be no good for all.
#[test]
fn for_all_users() {
    require_root!();
    let sandbox = Sandbox::new();
    let public = PathBuf::from("/usr/local").join(format!("dockseal-test-{}", std::process::id()));
    fs::create_dir(&public).unwrap();
    let program = public.join("dockseal");
    fs::copy(dockseal_binary(), &program).unwrap();
    let installed = |mode: u32, root: &str| {
        fs::set_permissions(&public, fs::Permissions::from_mode(mode)).unwrap();
        let ran = sandbox.program(&program).args(["plugin", "install", "--system", "--root", root]).run().success();
        let path = sandbox.path(root).join("usr/local/lib/docker/cli-plugins/docker-seal");
        (path.is_symlink(), ran)
    };
    let outcomes = [installed(0o755, "a"), installed(0o700, "b"), installed(0o777, "c")];
    let again = [installed(0o755, "a"), installed(0o777, "c"), installed(0o700, "c")];
    // A link that was fine, until others could change what it leads to.
    let loose = installed(0o777, "a");
    fs::remove_dir_all(&public).unwrap();
    assert!(outcomes[0].0, "{}", outcomes[0].1);
    assert!(!outcomes[1].0 && outcomes[1].1.holds("not everybody gets to"), "{}", outcomes[1].1);
    assert!(!outcomes[2].0 && outcomes[2].1.holds("others than root may change"), "{}", outcomes[2].1);
    for (_, ran) in again {
        assert!(ran.holds("nothing was changed"), "{ran}");
    }
    assert!(!loose.0 && loose.1.holds("in the place of what was there"), "{}", loose.1);
}

#[test]
fn hooks_come_and_go() {
    let sandbox = Sandbox::new();
    let file = docker_directory(&sandbox).join("config.json");
    fs::create_dir(docker_directory(&sandbox)).unwrap();
    let before = json!({
        "auths": { "registry": { "auth": "c2VjcmV0" } },
        "plugins": { "debug": { "hooks": "exec" } },
        "features": { "buildkit": "true" },
        "unknown": [1, null, { "k": "ä" }],
    });
    fs::write(&file, before.to_string()).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    let ran = install(&sandbox, &["--hooks", "--within", "14d"]).success();
    assert!(ran.stderr.contains("debug"), "its hooks run now as well\n{ran}");
    let after = config(&sandbox);
    for key in ["auths", "unknown"] {
        assert_eq!(after[key], before[key]);
    }
    assert_eq!(after["plugins"]["debug"], before["plugins"]["debug"]);
    assert_eq!(after["features"], json!({ "buildkit": "true", "hooks": "true" }));
    let ours = &after["plugins"]["seal"];
    assert!(ours["hooks"].as_str().unwrap().split(',').any(|command| command == "ps"), "{ours}");
    assert!(ours["error-hooks"].is_string() && ours["within"] == "14d", "{ours}");
    // docker reads a map of strings to strings and nothing else.
    assert!(ours.as_object().unwrap().values().all(Value::is_string), "{ours}");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
    let bytes = fs::read(&file).unwrap();
    let _ = install(&sandbox, &["--hooks", "--within", "14d"]).success().says("docker shows notices already");
    assert_eq!(fs::read(&file).unwrap(), bytes);
    let _ = sandbox.dockseal(["plugin", "status"]).run().success().says("from 14d before");
    let off = sandbox.dockseal(["plugin", "status"]).env("DOCKER_CLI_HOOKS", "0").run().success();
    assert!(off.holds("no notices, since DOCKER_CLI_HOOKS"), "{off}");
    let _ = sandbox.dockseal(["plugin", "remove"]).run().success();
    // The switch stays: another plugin has hooks now that run.
    let mut left = before;
    left["features"]["hooks"] = "true".into();
    assert_eq!(config(&sandbox), left);
}

#[test]
fn a_configuration_that_is_none() {
    for text in ["{", "[]", "\"x\"", r#"{"plugins":[]}"#, r#"{"features":"x"}"#, r#"{"plugins":{"seal":1}}"#] {
        let sandbox = Sandbox::new();
        let file = docker_directory(&sandbox).join("config.json");
        fs::create_dir(docker_directory(&sandbox)).unwrap();
        fs::write(&file, text).unwrap();
        refused_with_hint(&install(&sandbox, &["--hooks"]), &[2]);
        assert_eq!(fs::read_to_string(&file).unwrap(), text);
    }
    // An empty one is one to docker.
    let sandbox = Sandbox::new();
    fs::create_dir(docker_directory(&sandbox)).unwrap();
    fs::write(docker_directory(&sandbox).join("config.json"), "\n").unwrap();
    let _ = install(&sandbox, &["--hooks"]).success();
    let _ = sandbox.dockseal(["plugin", "remove"]).run().success();
    assert_eq!(config(&sandbox), json!({}));
    refused_with_hint(&install(&sandbox, &["--hooks", "--within", "soon"]), &[2]);
}

/// Many at once, while the file is a link, as those have it who keep such files elsewhere.
#[test]
fn many_at_once() {
    let sandbox = Sandbox::new();
    fs::create_dir(docker_directory(&sandbox)).unwrap();
    let real = sandbox.write("dotfiles/config.json", json!({ "detachKeys": "ctrl-e,e" }).to_string());
    symlink(&real, docker_directory(&sandbox).join("config.json")).unwrap();
    for command in [&["plugin", "install", "--hooks"][..], &["plugin", "remove"]] {
        let mut running: Vec<_> = (0..8).map(|_| sandbox.dockseal(command).start_quietly()).collect();
        let codes: Vec<_> = running.iter_mut().map(|child| child.wait().unwrap().code()).collect();
        if command.contains(&"install") {
            assert!(codes.iter().all(|code| *code == Some(0)), "{codes:?}");
            assert_eq!(config(&sandbox)["plugins"].as_object().unwrap().len(), 1);
        }
        assert_eq!(config(&sandbox)["detachKeys"], "ctrl-e,e");
        assert!(docker_directory(&sandbox).join("config.json").is_symlink());
    }
    assert_eq!(config(&sandbox), json!({ "detachKeys": "ctrl-e,e" }));
    assert_eq!(tree(sandbox.root()).leftovers(), Vec::<String>::new());
}

/// A client that ends soon, for docker's environment.
fn client_due(sandbox: &Sandbox) -> PathBuf {
    let then = "2020-01-01T00:00:00Z";
    let _ = at(sandbox, then, "bootstrap localhost --client alice --no-passphrase --out h").success();
    sandbox.path("h/clients/alice")
}

fn hook(sandbox: &Sandbox, client: &Path, host: &str, request: &str) -> Ran {
    let program = called(sandbox).args(["seal", "docker-cli-plugin-hooks", request]);
    program.env("DOCKER_HOST", host).env("DOCKER_TLS_VERIFY", "1").env("DOCKER_CERT_PATH", client).run().success()
}

/// What the template comes to, which has nothing to fill in.
fn said(ran: &Ran) -> String {
    let response: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{ran}"));
    assert_eq!(response["Type"], 0, "the only kind there is");
    let template = response["Template"].as_str().unwrap();
    let text = template.replace("{{\"{{\"}}", "\u{1}");
    assert!(!text.contains("{{"), "{template}");
    text.replace('\u{1}', "{{")
}

const OK: &str = r#"{"RootCmd":"ps","Flags":{},"CommandError":""}"#;

#[test]
fn a_hook_by_the_protocol() {
    let sandbox = Sandbox::new();
    let client = client_due(&sandbox);
    let ran = hook(&sandbox, &client, "tcp://localhost:1", OK);
    let text = said(&ran);
    assert!(text.contains("\"alice\"") && text.contains("ended") && text.contains("docker seal renew alice"), "{text}");
    assert_eq!(ran.stderr, "");
    // 26.0 sends no CommandError, and later ones may send more.
    for request in [r#"{"RootCmd":"ps","Flags":null}"#, r#"{"RootCmd":"ps","Flags":{},"CommandError":"","New":[1]}"#] {
        assert_eq!(said(&hook(&sandbox, &client, "tcp://localhost:1", request)), text);
    }
    // Where there is no authority, somebody else has to.
    fs::remove_dir_all(sandbox.root().join("home/.local")).unwrap();
    assert!(said(&hook(&sandbox, &client, "tcp://localhost:1", OK)).contains("where its authority is"));
    // A name that Go's templates would take for theirs, and a terminal for its own.
    let _ = at(&sandbox, "2020-01-01T00:00:00Z", "init --no-passphrase").success();
    let dockseal = sandbox.dockseal(["--at", "2020-01-01T00:00:00Z", "issue", "client", "{{.Name}}", "--out", "odd"]);
    if dockseal.run().code == Some(0) {
        assert!(said(&hook(&sandbox, &sandbox.path("odd"), "tcp://localhost:1", OK)).contains("{{.Name}}"));
    }
}

/// Nothing is said where there is nothing to say, and nothing at all of trouble of its own.
#[test]
fn a_hook_is_silent() {
    let sandbox = Sandbox::new();
    let client = client_due(&sandbox);
    let silent = |ran: Ran| assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", ""), "{ran}");
    silent(hook(&sandbox, Path::new("/nowhere"), "tcp://localhost:1", OK));
    silent(hook(&sandbox, &client, "nonsense://x", OK));
    for request in ["", "{", "[]", "null", "{}", r#"{"RootCmd":""}"#, "\u{1b}[2J"] {
        silent(hook(&sandbox, &client, "tcp://localhost:1", request));
    }
    silent(called(&sandbox).args(["seal", "docker-cli-plugin-hooks"]).run().success());
    silent(called(&sandbox).args(["seal", "docker-cli-plugin-hooks"]).arg(OsStr::from_bytes(b"\xff")).run().success());
    // Fresh ones, short-lived ones too: less than thirty days are all they ever have.
    let fresh = Sandbox::new();
    let _ = fresh.dockseal(["init", "--no-passphrase"]).run().success();
    for (name, lifetime) in [("bob", "1y"), ("ci", "7d")] {
        let issue = ["issue", "client", name, "--lifetime", lifetime, "--out", name];
        let _ = fresh.dockseal(issue).run().success();
        silent(hook(&fresh, &fresh.path(name), "tcp://localhost:1", OK));
    }
    // Files that are none.
    let garbage = fresh.path("garbage");
    fs::create_dir(&garbage).unwrap();
    for (file, text) in [("ca.pem", "x"), ("cert.pem", "-----BEGIN CERTIFICATE-----\n"), ("key.pem", "")] {
        fs::write(garbage.join(file), text).unwrap();
    }
    silent(hook(&fresh, &garbage, "tcp://localhost:1", OK));
}

/// `error-hooks` of 29 and hooks of 28 send the same: the error, after which the cause is looked for, here of files alone.
#[test]
fn the_cause_by_the_protocol() {
    let sandbox = Sandbox::new();
    let client = client_due(&sandbox);
    let failed = r#"{"RootCmd":"ps","Flags":{},"CommandError":"error during connect: Get \"https://x\": remote error: tls: bad certificate"}"#;
    let text = said(&hook(&sandbox, &client, "tcp://127.0.0.1:1", failed));
    assert!(text.contains("docker did not get through") && text.contains("To mend it"), "{text}");
    let registry = failed.replace("error during connect", "Error response from daemon");
    assert!(!said(&hook(&sandbox, &client, "tcp://127.0.0.1:1", &registry)).contains("did not get through"));
    // Whoever accepts and never answers costs two seconds and no more.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let started = Instant::now();
    let host = format!("tcp://{}", silent.local_addr().unwrap());
    let _ = hook(&sandbox, &client, &host, failed);
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
}

/// docker 29's part, which is not here, played by its source (cli-plugins/manager/hooks.go `pluginMatch`, `hookMatch`;
/// cli-plugins/hooks/hook_types.go `Request`): which words it hands over after a command, if it asks at all.
fn asked_by_docker(ours: &Value, command: &str, error: &str) -> Option<String> {
    let tokens: Vec<&str> = command.split(' ').collect();
    let matched = |key: &str| {
        let hooks = ours[key].as_str().unwrap_or_default().split(',');
        let mut hooks = hooks.filter(|hook| !hook.is_empty());
        hooks.find(|hook| hook.split(' ').enumerate().all(|(at, token)| tokens.get(at) == Some(&token)))
    };
    let hook = matched("hooks").or_else(|| matched("error-hooks").filter(|_| !error.is_empty()))?;
    // Empty fields are left out (`omitzero`).
    let mut request = json!({ "RootCmd": hook });
    if !error.is_empty() {
        request["CommandError"] = error.into();
    }
    Some(request.to_string())
}

#[test]
fn error_hooks_as_docker_reads_them() {
    const REFUSED: &str = "error during connect: Get \"https://x\": remote error: tls: bad certificate";
    let sandbox = Sandbox::new();
    let client = client_due(&sandbox);
    let _ = install(&sandbox, &["--hooks"]).success();
    let ours = &config(&sandbox)["plugins"]["seal"];
    for (command, after_success, after_failure) in [
        ("ps", true, true),
        ("container ls", true, true),
        ("compose up", true, true),
        ("wait", false, true),
        ("search", false, true),
        ("plugin ls", false, true),
        ("context ls", false, false),
        ("psx", false, false),
    ] {
        assert_eq!(asked_by_docker(ours, command, "").is_some(), after_success, "{command}");
        let Some(request) = asked_by_docker(ours, command, REFUSED) else {
            assert!(!after_failure, "{command}");
            continue;
        };
        let text = said(&hook(&sandbox, &client, "tcp://127.0.0.1:1", &request));
        assert!(after_failure && text.contains("docker did not get through"), "{command}: {text}");
        // What the daemon itself answers, and a container's own exit, are no trouble on the way.
        for error in ["Error response from daemon: No such container: x", "exit status 7"] {
            let request = asked_by_docker(ours, command, error).unwrap();
            let text = said(&hook(&sandbox, &client, "tcp://127.0.0.1:1", &request));
            assert!(!text.contains("did not get through"), "{command}: {text}");
        }
    }
}

/// Whatever docker, or anybody, says to it.
#[test]
fn no_words_make_it_crash() {
    let sandbox = Sandbox::new();
    const WORDS: [&str; 18] = [
        "seal",
        "help",
        "--help",
        "--",
        "-",
        "--context",
        "-H",
        "-DH",
        "--tlsverify=x",
        "--tls",
        "__complete",
        "__completeNoDesc",
        "docker-cli-plugin-hooks",
        "docker-cli-plugin-metadata",
        "verify",
        "",
        "--=",
        "\u{1b}",
    ];
    let mut random = Random::seeded(20_260_724);
    for _ in 0..150 {
        let mut words = Vec::new();
        for _ in 0..random.below(6) {
            let word = usize::try_from(random.below(WORDS.len() as u64)).unwrap();
            words.push(WORDS[word]);
        }
        let ran = called(&sandbox).args(&words).limit(Duration::from_secs(20)).run();
        assert!(matches!(ran.code, Some(0..=2)) && !ran.holds("panicked"), "{ran}");
    }
}

#[test]
fn completion_by_the_protocol() {
    let sandbox = Sandbox::new();
    let complete = |args: &[&str]| called(&sandbox).args(["__complete", "seal"]).args(args).run().success().stdout;
    assert!(complete(&["ver"]).starts_with("verify\t"));
    for args in [&[][..], &[""], &["x", ""], &["verify", "--client", ""], &["--format", "json", "issue", ""]] {
        let said = complete(args);
        let last = said.lines().last().unwrap();
        assert!(last.strip_prefix(':').is_some_and(|number| number.parse::<u8>().is_ok()), "{said}");
    }
}
