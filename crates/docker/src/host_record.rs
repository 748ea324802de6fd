//! What a host's daemon.json was like before it was changed, so that everything can be taken back out.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::daemon_json::Document;

/// Kept on the host, beside nothing that is secret: who could read daemon.json may read this.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    schema: u32,
    /// The whole file as it was; `None` where there was none.
    before: Option<String>,
    /// The whole file as it was left, before anybody else changed it.
    after: String,
    /// Each key that was set: what it was, `null` for nothing, and what it became.
    keys: Map<String, Value>,
}

impl Record {
    /// What is recorded, if it can be read.
    pub(crate) fn read(bytes: Option<&Vec<u8>>) -> Option<Self> {
        serde_json::from_slice(bytes?).ok()
    }

    /// What there is to record of a change from `before` to `after`; what an earlier change recorded stays.
    ///
    /// Where others changed the file since, the whole of it is theirs as well: only keys can be taken back out then.
    pub(crate) fn of(
        earlier: Option<Self>,
        before: Option<&[u8]>,
        old: &Document,
        after: &str,
        wanted: &[(&str, Value)],
    ) -> Self {
        let mut record = earlier.unwrap_or_else(|| {
            let before = before.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
            Self { schema: 1, after: before.clone().unwrap_or_default(), before, keys: Map::new() }
        });
        if before.unwrap_or_default() == record.after.as_bytes() {
            after.clone_into(&mut record.after);
        }
        for (key, after) in wanted {
            // What is there already and stays is not ours where it is not what was recorded.
            if record.keys.contains_key(*key) && old.value(key).as_ref() == Some(after) {
                continue;
            }
            let before = match record.keys.get(*key).and_then(|change| change.get("before")) {
                Some(before) => before.clone(),
                None => old.value(key).unwrap_or(Value::Null),
            };
            record.keys.insert((*key).to_owned(), json!({ "before": before, "after": after }));
        }
        record
    }

    /// Whether `element` of the list that is `key` is there since a change.
    pub(crate) fn added(&self, key: &str, element: &str) -> bool {
        let has = |when| match self.keys.get(key).and_then(|change| change.get(when)) {
            Some(Value::Array(list)) => list.iter().any(|value| value == element),
            _ => false,
        };
        has("after") && !has("before")
    }

    /// The file that keeps it.
    pub(crate) fn text(&self) -> String {
        format!("{}\n", serde_json::to_string_pretty(self).unwrap_or_default())
    }

    /// daemon.json without what was set: to the letter where nobody else changed it since, `None` where there was none.
    ///
    /// # Errors
    /// The key that was changed since.
    pub(crate) fn undo(&self, now: &[u8], mut document: Document) -> Result<Option<String>, String> {
        if now == self.after.as_bytes() {
            return Ok(self.before.clone());
        }
        for (key, change) in &self.keys {
            let (Some(before), Some(after)) = (change.get("before"), change.get("after")) else { continue };
            match document.value(key) {
                Some(now) if now == *after => {}
                // It is gone already.
                None => continue,
                Some(_) => return Err(key.clone()),
            }
            if before.is_null() { document.remove(key) } else { document.set(key, before) }
        }
        Ok((self.before.is_some() || !document.is_empty()).then(|| document.text()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(before: Option<&str>) -> (Record, Document) {
        let mut document = before.map_or_else(Document::empty, |text| Document::parse(text.as_bytes()).unwrap());
        let old = document.clone();
        let wanted = [("tlsverify", json!(true)), ("mtu", json!(1400))];
        for (key, value) in &wanted {
            document.set(key, value);
        }
        (Record::of(None, before.map(str::as_bytes), &old, &document.text(), &wanted), document)
    }

    #[test]
    fn untouched_files_come_back_to_the_letter() {
        for before in [None, Some("{\"mtu\":1500,   \"a\": 1 }"), Some("\u{feff}{}\n")] {
            let (record, document) = changed(before);
            let kept = Record::read(Some(&record.text().into_bytes())).unwrap();
            assert_eq!(kept.undo(document.text().as_bytes(), document).unwrap().as_deref(), before);
        }
    }

    #[test]
    fn what_others_changed_since_stays() {
        let (record, mut document) = changed(Some("{\"mtu\":1500}"));
        document.set("debug", &json!(true));
        let text = document.text();
        assert_eq!(
            record.undo(text.as_bytes(), document.clone()).unwrap().unwrap(),
            "{\n  \"mtu\": 1500,\n  \"debug\": true\n}\n"
        );
        document.set("mtu", &json!(9000));
        assert_eq!(record.undo(b"", document), Err("mtu".to_owned()));
    }

    #[test]
    fn a_second_change_keeps_what_the_first_recorded() {
        let (first, document) = changed(Some("{\"mtu\":1500}"));
        let old = document.clone();
        let wanted = [("mtu", json!(1450)), ("debug", json!(true))];
        let second = Record::of(Some(first.clone()), Some(old.text().as_bytes()), &old, "y", &wanted);
        assert_eq!(second.before.as_deref(), Some("{\"mtu\":1500}"));
        assert_eq!(second.keys["mtu"], json!({ "before": 1500, "after": 1450 }));
        assert_eq!(second.keys["debug"], json!({ "before": null, "after": true }));
        assert_eq!(second.undo(b"y", document).unwrap().as_deref(), Some("{\"mtu\":1500}"));

        // What somebody put in between is not taken out with the rest.
        let mut edited = old.clone();
        edited.set("bip", &json!("10.9.0.1/24"));
        let mut now = edited.clone();
        now.set("debug", &json!(true));
        let second =
            Record::of(Some(first), Some(edited.text().as_bytes()), &edited, &now.text(), &[("debug", json!(true))]);
        assert_eq!(
            second.undo(now.text().as_bytes(), now).unwrap().unwrap(),
            "{\n  \"mtu\": 1500,\n  \"bip\": \"10.9.0.1/24\"\n}\n"
        );
    }
}
