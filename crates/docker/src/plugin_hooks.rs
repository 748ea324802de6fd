//! What docker hands to a plugin after a command, what it takes back, and what of that its config.json has to say.
//!
//! Source: docker/cli cli-plugins/manager/hooks.go (`pluginMatch`, `hookMatch`, `invokeAndCollectHooks`),
//! cli-plugins/hooks (`HookPluginData`, `HookMessage`, `ParseTemplate`), cli/command/cli.go (`HooksEnabled`). Hooks came
//! with 26.1 and run on a terminal only, after commands of docker itself whether they failed or not; keys that are for
//! failures alone, `error-hooks`, and hooks after plugins that failed, came with 29 (docker/cli #6794).

use serde_json::{Map, Value, json};

use crate::{flags::parse_bool, plugin::NAME};

/// The commands after which there may be something to say: those that dial the daemon. docker compares them word by word,
/// from the first one on, and knows no wildcard.
pub const COMMANDS: &str = "ps,run,create,exec,start,stop,restart,kill,rm,logs,attach,cp,inspect,stats,top,\
    images,pull,push,build,load,save,rmi,tag,info,version,events,container,image,network,volume,system,\
    service,stack,node,swarm,secret,config,compose,buildx";

/// The commands after which there is something to say only when they failed: the others that dial the daemon. Those above are
/// asked about after failures as well, and first (`pluginMatch`).
pub const ERROR_COMMANDS: &str =
    "wait,update,commit,diff,port,pause,unpause,history,import,search,plugin,builder,checkpoint";

/// How long before its end a certificate is spoken of, where config.json says nothing.
pub const NOTICE: &str = "30d";

const HOOKS: &str = "hooks";
const ERROR_HOOKS: &str = "error-hooks";
/// Our own keys beside docker's: all of them must be strings (configfile.go `Plugins`).
const WITHIN: &str = "within";
const SWITCHED_ON: &str = "switched-features-hooks";
const PLUGINS: &str = "plugins";
const FEATURES: &str = "features";

/// What docker says after a command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// The command as config.json names it.
    pub command: String,
    /// Why it failed, if it did; also the exit status of a container that ran.
    pub error: Option<String>,
}

impl Request {
    /// Reads it; `None` where it is none.
    #[must_use]
    pub fn from_json(json: &str) -> Option<Self> {
        let request: Value = serde_json::from_str(json).ok()?;
        let text = |name: &str| request.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        Some(Self { command: text("RootCmd")?.to_owned(), error: text("CommandError").map(str::to_owned) })
    }

    /// Whether the command failed on its way to the daemon. What a daemon answers is another matter: it reports a
    /// registry's certificate, say, in the same words (moby client/request.go, client/errors.go).
    #[must_use]
    pub fn failed_to_connect(&self) -> bool {
        /// Go's net/http answers so, before there is a daemon (net/http server.go).
        const PLAIN_TO_TLS: &str = "client sent an http request to an https server";
        /// docker info keeps the reason to itself (docker/cli cli/command/system/info.go).
        const INFO: &str = "errors pretty printing info";
        const WORDS: [&str; 9] = [
            "error during connect",
            "cannot connect to the docker daemon",
            "failed to connect to the docker api",
            "tls:",
            "x509:",
            "client authentication (--tlsverify)",
            "http response to https client",
            "malformed http response",
            "certificate",
        ];
        let Some(error) = self.error.as_deref().map(str::to_lowercase) else { return false };
        if error.contains(PLAIN_TO_TLS) || (self.command == "info" && error.contains(INFO)) {
            return true;
        }
        !error.contains("error response from daemon") && WORDS.iter().any(|word| error.contains(word))
    }
}

/// The answer: these lines, below docker's own "What's next:".
#[must_use]
pub fn response(lines: &[String]) -> Value {
    // docker reads it as a template of Go's (text/template), where only `{{` begins something.
    let text = lines.join("\n").replace("{{", "{{\"{{\"}}");
    json!({ "Type": 0, "Template": text })
}

/// How hooks stand in a config.json.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configured {
    /// After which commands docker asks this plugin.
    pub commands: Option<String>,
    /// How long before its end a certificate is spoken of.
    pub within: Option<String>,
    /// Whether docker runs hooks at all: `features.hooks`.
    pub is_switched_on: bool,
    /// Other plugins with hooks.
    pub others: Vec<String>,
}

impl Configured {
    /// Reads a config.json; what cannot be read says nothing, as docker has it.
    #[must_use]
    pub fn read(config: &Value) -> Self {
        let plugins = config.get(PLUGINS).and_then(Value::as_object);
        let ours = plugins.and_then(|plugins| plugins.get(NAME));
        let text = |name: &str| ours.and_then(|ours| ours.get(name)).and_then(Value::as_str).map(str::to_owned);
        let has_hooks = |settings: &Value| settings.get(HOOKS).or(settings.get(ERROR_HOOKS)).is_some();
        let others = plugins.into_iter().flatten().filter(|(name, settings)| *name != NAME && has_hooks(settings));
        Self {
            commands: text(HOOKS),
            within: text(WITHIN),
            is_switched_on: is_switched_on(config),
            others: others.map(|(name, _)| name.clone()).collect(),
        }
    }
}

fn is_switched_on(config: &Value) -> bool {
    config.get(FEATURES).and_then(|features| features.get(HOOKS)).and_then(Value::as_str).is_some_and(is_true)
}

/// Whether a variable or a feature of docker's says yes (Go's strconv.ParseBool).
#[must_use]
pub fn is_true(text: &str) -> bool {
    parse_bool(text) == Some(true)
}

/// A part of config.json that is not what docker takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAnObject {
    /// Its key; empty for the whole.
    pub key: &'static str,
}

/// Has docker ask this plugin after commands, and run hooks at all; every other key stays.
///
/// # Errors
/// Where an object has to be, something else is.
pub fn switch_on(config: &mut Value, within: &str) -> Result<(), NotAnObject> {
    let was_on = is_switched_on(config);
    let root = object(config, "")?;
    let ours = entry(entry(root, PLUGINS, PLUGINS)?, NAME, "plugins.seal")?;
    for (key, value) in [(HOOKS, COMMANDS), (ERROR_HOOKS, ERROR_COMMANDS), (WITHIN, within)] {
        ours.insert(key.to_owned(), value.into());
    }
    if !was_on {
        ours.insert(SWITCHED_ON.to_owned(), "true".into());
        entry(root, FEATURES, FEATURES)?.insert(HOOKS.to_owned(), "true".into());
    }
    Ok(())
}

/// Takes out what [`switch_on`] put in; whether there was anything.
pub fn switch_off(config: &mut Value) -> bool {
    let Some(root) = config.as_object_mut() else { return false };
    let Some(ours) = root.get_mut(PLUGINS).and_then(Value::as_object_mut).and_then(|plugins| plugins.remove(NAME))
    else {
        return false;
    };
    remove_if_empty(root, PLUGINS);
    if ours.get(SWITCHED_ON).is_some() && Configured::read(&Value::Object(root.clone())).others.is_empty() {
        if let Some(features) = root.get_mut(FEATURES).and_then(Value::as_object_mut) {
            features.remove(HOOKS);
        }
        remove_if_empty(root, FEATURES);
    }
    true
}

fn object<'v>(value: &'v mut Value, key: &'static str) -> Result<&'v mut Map<String, Value>, NotAnObject> {
    value.as_object_mut().ok_or(NotAnObject { key })
}

fn entry<'m>(
    map: &'m mut Map<String, Value>,
    name: &str,
    key: &'static str,
) -> Result<&'m mut Map<String, Value>, NotAnObject> {
    object(map.entry(name).or_insert_with(|| json!({})), key)
}

fn remove_if_empty(map: &mut Map<String, Value>, name: &str) {
    if map.get(name).and_then(Value::as_object).is_some_and(Map::is_empty) {
        map.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_and_off_again() {
        for before in [
            json!({}),
            json!({ "auths": { "r": {} }, "plugins": { "x": { "hooks": "ps" } }, "features": { "hooks": "true" } }),
            json!({ "features": { "buildkit": "true" }, "detachKeys": "ctrl-e,e" }),
        ] {
            let mut config = before.clone();
            switch_on(&mut config, "30d").unwrap();
            let configured = Configured::read(&config);
            assert!(configured.is_switched_on && configured.commands.is_some(), "{config}");
            let once = config.clone();
            switch_on(&mut config, "30d").unwrap();
            assert_eq!(config, once, "a second time");
            assert!(switch_off(&mut config));
            assert_eq!(config, before);
            assert!(!switch_off(&mut config));
        }
        for wrong in
            [json!([]), json!({ "plugins": 1 }), json!({ "plugins": { "seal": "x" } }), json!({ "features": [] })]
        {
            assert!(switch_on(&mut wrong.clone(), "30d").is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_no_trouble_on_the_way() {
        let failed = |command: &str, error: &str| {
            let error = Some(error.to_owned()).filter(|error| !error.is_empty());
            Request { command: command.to_owned(), error }.failed_to_connect()
        };
        for error in [
            "error during connect: Get \"https://h:2376/v1.50/containers/json\": tls: failed to verify certificate",
            "Cannot connect to the Docker daemon at tcp://h:2376. Is the docker daemon running?",
            "Error response from daemon: Client sent an HTTP request to an HTTPS server.",
        ] {
            assert!(failed("ps", error), "{error}");
        }
        for error in [
            "",
            "exit status 1",
            "Error response from daemon: Get \"https://r/v2/\": tls: failed to verify certificate: x509: unknown",
            "Error response from daemon: No such container: certificate",
        ] {
            assert!(!failed("run", error), "{error}");
        }
        assert!(failed("info", "errors pretty printing info"));
    }

    #[test]
    fn templates_say_what_was_meant() {
        let template = response(&["a {{b}} {{{".to_owned(), "c".to_owned()]);
        assert_eq!(template["Template"], "a {{\"{{\"}}b}} {{\"{{\"}}{\nc");
    }

    #[test]
    fn requests() {
        let request = Request::from_json(r#"{"RootCmd":"ps","Flags":{"all":"true"},"CommandError":""}"#).unwrap();
        assert_eq!(request, Request { command: "ps".into(), error: None });
        for json in ["", "[]", "{}", "{\"RootCmd\":1}"] {
            assert_eq!(Request::from_json(json), None, "{json}");
        }
    }
}
