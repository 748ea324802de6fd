//! The one change that `docker context rm --force` makes to config.json.

/// `config_json` with an empty `currentContext` and every other byte as it was; `None` where that cannot be done: it is no
/// JSON object with that field at its top.
///
/// Source: docker/cli cli/command/context/remove.go (`doRemove`): the configuration falls back to DOCKER_HOST.
#[must_use]
pub fn without_current_context(config_json: &str) -> Option<String> {
    serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(config_json).ok()?;
    let bytes = config_json.as_bytes();
    let (mut depth, mut at) = (0_u32, 0);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                let end = end_of_string(bytes, at)?;
                let is_key = depth == 1 && config_json.get(at..end)? == "\"currentContext\"";
                let rest = config_json.get(end..)?;
                if let Some(after) = rest.trim_start().strip_prefix(':').filter(|_| is_key) {
                    let value = after.trim_start();
                    let begin = config_json.len() - value.len();
                    let value_end = end_of_string(bytes, begin).filter(|_| value.starts_with('"'))?;
                    return Some(format!("{}\"\"{}", config_json.get(..begin)?, config_json.get(value_end..)?));
                }
                at = end;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// Where the string that begins at `begin` is over.
fn end_of_string(bytes: &[u8], begin: usize) -> Option<usize> {
    let mut at = begin + 1;
    loop {
        match bytes.get(at)? {
            b'\\' => at += 2,
            b'"' => return Some(at + 1),
            _ => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::without_current_context;

    #[test]
    fn one_value_changes() {
        let theirs = "{\n\t\"auths\": {\"a\\\"{\": {\"currentContext\": \"x\"}},\n\t\"currentContext\" : \"pr\\\"od\",\n\t\"z\": 1.50\n}";
        let ours = theirs.replace("\"pr\\\"od\"", "\"\"");
        assert_eq!(without_current_context(theirs), Some(ours));
        for other in ["", "[]", "{}", "{\"currentContext\": 1}", "{\"a\": \"currentContext\"}", "{\"currentContext\""] {
            assert_eq!(without_current_context(other), None, "{other}");
        }
    }
}
