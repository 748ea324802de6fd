//! Results that come one by one: lines for people, one JSON object for programs, and none of it kept in memory.

use std::process::ExitCode;

use serde_json::{Value, json};

use crate::{
    failure::Failure,
    output::{Format, Output},
    report::SCHEMA,
};

pub(crate) struct Rows {
    format: Format,
    count: u64,
    troubles: u64,
}

impl Rows {
    pub(crate) fn new(format: Format) -> Self {
        Self { format, count: 0, troubles: 0 }
    }

    /// One result.
    pub(crate) fn row(&mut self, human: &str, wire: &Value, output: &mut Output) {
        match self.format {
            Format::Human | Format::Prometheus => output.raw(format!("{human}\n")),
            Format::Json => self.wire(wire, output),
        }
    }

    /// Something that was left as it was: who, and why.
    pub(crate) fn trouble(&mut self, who: &str, failure: &Failure, mut wire: Value, output: &mut Output) {
        self.troubles += 1;
        let Failure { what, cause, hint, .. } = failure;
        match self.format {
            Format::Human | Format::Prometheus => {
                let mut text = format!("{who}: {what}");
                if let Some(cause) = cause {
                    text.push_str(&format!("\n  cause: {cause}"));
                }
                if let Some(hint) = hint {
                    text.push_str(&format!("\n  hint:  {hint}"));
                }
                output.warn(&text);
            }
            Format::Json => {
                wire["state"] = json!("left");
                (wire["error"], wire["cause"], wire["hint"]) = (json!(what), json!(cause), json!(hint));
                self.wire(&wire, output);
            }
        }
    }

    fn wire(&mut self, wire: &Value, output: &mut Output) {
        let before = if self.count == 0 { format!("{{\"schema\":{SCHEMA},\"results\":[\n") } else { ",\n".to_owned() };
        output.raw(format!("{before}{wire}"));
        self.count += 1;
    }

    /// 0 when nothing was left as it was, 1 otherwise.
    pub(crate) fn finish(self, output: &mut Output) -> ExitCode {
        if self.format == Format::Json {
            let begin = if self.count == 0 { format!("{{\"schema\":{SCHEMA},\"results\":[") } else { "\n".to_owned() };
            output.raw(format!("{begin}],\"left\":{}}}\n", self.troubles));
        }
        ExitCode::from(u8::from(self.troubles > 0))
    }
}
