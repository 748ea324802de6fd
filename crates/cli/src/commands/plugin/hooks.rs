//! The keys of docker's config.json with which docker asks the plugin after its commands.

use dockseal_docker::plugin_hooks::{self, Configured, NOTICE, NotAnObject};
use dockseal_store::{AmendError, amend, make_parents};
use serde::Serialize;
use serde_json::{Value, json};

use super::config_directory;
use crate::{
    connection, failure::Failure, groups::parse_lifetime, hints::write_failure, invocation::Invocation, output::Output,
};

const WHAT: &str = "cannot change docker's config.json";
/// docker's own mode for it (docker/cli cli/config/configfile/file.go `Save`).
const CONFIG_MODE: u32 = 0o600;
/// What overrides config.json (docker/cli cli/command/cli.go `HooksEnabled`); the later one is older.
const VARIABLES: [&str; 2] = ["DOCKER_CLI_HOOKS", "DOCKER_CLI_HINTS"];

/// Has docker ask after its commands; whether that is new.
pub(super) fn switch_on(within: &str, invocation: &Invocation, output: &mut Output) -> Result<bool, Failure> {
    parse_lifetime(within)?;
    let mut others = Vec::new();
    let changed = change(invocation, |config| {
        let before = Configured::read(config);
        if !before.is_switched_on {
            others = before.others;
        }
        plugin_hooks::switch_on(config, within).map(|()| true)
    })?;
    if !others.is_empty() {
        output.note(&format!("docker runs the hooks of other plugins from now on as well: {}", others.join(", ")));
    }
    if let Some(variable) = overriding(invocation) {
        output.warn(&format!("{variable} is set to something else than true here, so docker runs no hooks"));
    }
    Ok(changed)
}

/// Takes out what [`switch_on`] put in; whether there was anything.
pub(super) fn switch_off(invocation: &Invocation) -> Result<bool, Failure> {
    if !config_directory(WHAT, invocation)?.join("config.json").exists() {
        return Ok(false);
    }
    change(invocation, |config| Ok(plugin_hooks::switch_off(config)))
}

/// How hooks stand, for people and for programs.
pub(super) fn report(invocation: &Invocation) -> Result<(String, Value), Failure> {
    let path = config_directory(WHAT, invocation)?.join("config.json");
    let config = connection::read_json(&path).ok();
    let config = config.and_then(|file| serde_json::from_slice(&file.bytes).ok()).unwrap_or(Value::Null);
    let configured = Configured::read(&config);
    let overriding = overriding(invocation);
    let on = configured.commands.is_some() && configured.is_switched_on && overriding.is_none();
    let within = configured.within.unwrap_or_else(|| NOTICE.to_owned());
    let human = match (&configured.commands, overriding) {
        (None, _) => "docker shows no notices; dockseal plugin install --hooks makes it\n".to_owned(),
        (Some(_), Some(variable)) => format!("docker shows no notices, since {variable} says so\n"),
        (Some(_), None) if !configured.is_switched_on => {
            "docker shows no notices, since features.hooks of config.json is not \"true\"\n".to_owned()
        }
        (Some(_), None) => format!("docker shows notices, from {within} before a certificate ends\n"),
    };
    Ok((human, json!({ "on": on, "within": within, "overridden_by": overriding })))
}

fn overriding(invocation: &Invocation) -> Option<&'static str> {
    let set = VARIABLES.into_iter().find_map(|name| Some((name, invocation.variable(name)?)));
    set.filter(|(_, value)| !value.to_str().is_some_and(plugin_hooks::is_true)).map(|(name, _)| name)
}

fn change(
    invocation: &Invocation,
    edit: impl FnOnce(&mut Value) -> Result<bool, NotAnObject>,
) -> Result<bool, Failure> {
    let directory = config_directory(WHAT, invocation)?;
    make_parents(&directory).map_err(|error| write_failure(WHAT, &error))?;
    let path = directory.join("config.json");
    let failure = |cause: String| {
        Failure::trouble(WHAT)
            .cause(format!("{}: {cause}", path.display()))
            .hint("correct it first; nothing was changed")
    };
    amend(&path, CONFIG_MODE, |bytes| {
        let text = bytes.unwrap_or_default().trim_ascii();
        // docker takes an empty file for an empty object.
        let mut config: Value = match text {
            [] => json!({}),
            text => serde_json::from_slice(text).map_err(|error| failure(format!("it is no JSON: {error}")))?,
        };
        let before = config.clone();
        let edited = edit(&mut config).map_err(|error| match error.key {
            "" => failure("it is no object".to_owned()),
            key => failure(format!("{key} is no object")),
        })?;
        Ok(if edited && config != before { Some(written(&config)) } else { None })
    })
    .map_err(|error| match error {
        AmendError::Read(error) => connection::unreadable("docker's config.json", &error),
        AmendError::Write(error) => write_failure(WHAT, &error),
        AmendError::Change(failure) => failure,
    })
}

/// As docker writes it: a tab for each level.
fn written(config: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    let format = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, format);
    // A value that was read can be written.
    let _ = config.serialize(&mut serializer);
    bytes
}
