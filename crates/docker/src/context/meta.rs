//! A context's `meta.json`, read and written without losing what others put into it.
//!
//! Source: docker/cli cli/context/store/metadatastore.go, cli/command/context.go (`DockerContext.MarshalJSON`),
//! cli/context/endpoint.go; Go's encoding/json for what is escaped.

use serde_json::{Map, Value, json};

use super::{ENDPOINT, MetaError, field};

/// What docker itself writes, in its order.
const NAME: &str = "Name";
const METADATA: &str = "Metadata";
const ENDPOINTS: &str = "Endpoints";

/// A context's metadata, all of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Meta(Map<String, Value>);

impl Meta {
    /// A new context.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let empty = || Value::Object(Map::new());
        let fields = [(NAME, Value::from(name)), (METADATA, empty()), (ENDPOINTS, empty())];
        Self(fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    }

    /// Reads a `meta.json`; keys match whatever their case, as Go's encoding/json has it.
    ///
    /// # Errors
    /// It is no JSON object.
    pub fn parse(json: &[u8]) -> Result<Self, MetaError> {
        let fields: Map<String, Value> = serde_json::from_slice(json).map_err(MetaError::NotJson)?;
        let named = |key: String| {
            let known = [NAME, METADATA, ENDPOINTS].into_iter().find(|known| key.eq_ignore_ascii_case(known));
            known.map_or(key, str::to_owned)
        };
        Ok(Self(fields.into_iter().map(|(key, value)| (named(key), value)).collect()))
    }

    /// The context's name; empty where it has none.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.get(NAME).and_then(Value::as_str).unwrap_or_default()
    }

    /// What somebody wrote about it.
    #[must_use]
    pub fn description(&self) -> &str {
        self.0.get(METADATA).and_then(|metadata| field(metadata, "Description")?.as_str()).unwrap_or_default()
    }

    /// What its docker endpoint dials, as stored.
    #[must_use]
    pub fn host(&self) -> &str {
        self.endpoint("Host").and_then(Value::as_str).unwrap_or_default()
    }

    /// Whether docker does not verify the daemon.
    #[must_use]
    pub fn skips_verification(&self) -> bool {
        self.endpoint("SkipTLSVerify").and_then(Value::as_bool).unwrap_or(false)
    }

    fn endpoint(&self, key: &str) -> Option<&Value> {
        field(self.0.get(ENDPOINTS)?.get(ENDPOINT)?, key)
    }

    /// Describes it; the empty text takes the description away.
    pub fn describe(&mut self, description: &str) {
        let value = (!description.is_empty()).then(|| Value::from(description));
        edit(&mut self.0, METADATA, |metadata| set(metadata, "Description", value));
    }

    /// Has docker dial this host, and verify it.
    pub fn dial(&mut self, host: &str) {
        edit(&mut self.0, ENDPOINTS, |endpoints| {
            edit(endpoints, ENDPOINT, |endpoint| {
                set(endpoint, "Host", Some(json!(host)));
                set(endpoint, "SkipTLSVerify", Some(json!(false)));
            });
        });
    }

    /// The file that docker would write, with the fields of others after its own.
    #[must_use]
    pub fn to_json(&self) -> String {
        let ours = [NAME, METADATA, ENDPOINTS];
        let own = ours.into_iter().filter_map(|key| self.0.get_key_value(key));
        let others = self.0.iter().filter(|(key, _)| !ours.contains(&key.as_str()));
        in_go(own.chain(others))
    }

    /// What docker puts into an archive: its own fields alone.
    pub(super) fn to_exported_json(&self) -> String {
        in_go([NAME, METADATA, ENDPOINTS].into_iter().filter_map(|key| self.0.get_key_value(key)))
    }
}

/// Changes the object below a key, made where there is none.
fn edit(map: &mut Map<String, Value>, key: &str, change: impl FnOnce(&mut Map<String, Value>)) {
    let value = map.entry(key).or_insert(Value::Null);
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    if let Value::Object(object) = value {
        change(object);
    }
}

/// Replaces a field, whatever the case of its letters.
fn set(map: &mut Map<String, Value>, key: &str, value: Option<Value>) {
    map.retain(|other, _| !other.eq_ignore_ascii_case(key));
    if let Some(value) = value {
        map.insert(key.to_owned(), value);
    }
}

/// As Go's encoding/json writes it: these characters are escaped, and are nowhere in JSON but inside strings.
fn in_go<'f>(fields: impl Iterator<Item = (&'f String, &'f Value)>) -> String {
    let fields: Vec<String> = fields.map(|(key, value)| format!("{}:{value}", Value::from(key.as_str()))).collect();
    let mut text = format!("{{{}}}", fields.join(","));
    for (character, escape) in
        [('<', "\\u003c"), ('>', "\\u003e"), ('&', "\\u0026"), ('\u{2028}', "\\u2028"), ('\u{2029}', "\\u2029")]
    {
        text = text.replace(character, escape);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by docker 28.2.2: `docker context create x1 --description 'a <b> & "c" ä' --docker host=tcp://h:1`.
    const BY_DOCKER: &str = r#"{"Name":"x1","Metadata":{"Description":"a \u003cb\u003e \u0026 \"c\" ä"},"Endpoints":{"docker":{"Host":"tcp://h:1","SkipTLSVerify":false}}}"#;

    #[test]
    fn as_docker_writes_it() {
        let mut meta = Meta::new("x1");
        meta.describe("a <b> & \"c\" ä");
        meta.dial("tcp://h:1");
        assert_eq!(meta.to_json(), BY_DOCKER);
        assert_eq!(Meta::parse(BY_DOCKER.as_bytes()).unwrap().to_json(), BY_DOCKER);
        meta.describe("");
        assert!(meta.to_json().contains(r#""Metadata":{},"#), "{}", meta.to_json());
    }

    #[test]
    fn what_others_wrote_stays() {
        let theirs = br#"{"name":"x1","Metadata":{"GODEBUG":"x=1","a":[1,{"b":null}]},"Extra":{"k":"v"},
            "endpoints":{"kubernetes":{"x":1},"docker":{"host":"tcp://old","Other":7,"skiptlsverify":true}}}"#;
        let mut meta = Meta::parse(theirs).unwrap();
        assert!(meta.skips_verification());
        meta.describe("new");
        meta.dial("tcp://new:1");
        assert_eq!((meta.name(), meta.description(), meta.host()), ("x1", "new", "tcp://new:1"));
        assert!(!meta.skips_verification());
        assert_eq!(
            meta.to_json(),
            r#"{"Name":"x1","Metadata":{"Description":"new","GODEBUG":"x=1","a":[1,{"b":null}]},"Endpoints":{"docker":{"Host":"tcp://new:1","Other":7,"SkipTLSVerify":false},"kubernetes":{"x":1}},"Extra":{"k":"v"}}"#
        );
    }

    #[test]
    fn nothing_panics() {
        for json in ["[]", "1", "{", "\"x\""] {
            assert!(Meta::parse(json.as_bytes()).is_err(), "{json}");
        }
        let mut odd = Meta::parse(br#"{"Endpoints":7,"Metadata":"x","Name":1}"#).unwrap();
        assert_eq!((odd.name(), odd.host()), ("", ""));
        odd.describe("d");
        odd.dial("tcp://h:1");
        assert_eq!((odd.description(), odd.host()), ("d", "tcp://h:1"));
    }
}
