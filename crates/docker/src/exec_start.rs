//! How systemd starts dockerd: the unit's text with its drop-ins, and the command line in it.
//!
//! Source: systemd.service(5) (`ExecStart=`, Command lines), systemd.syntax(7) (continuation, comments), systemd.unit(5)
//! (the order of drop-ins).

/// A unit's files in the order in which they count, as `systemctl cat` prints them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnitText {
    /// Path and text of each.
    pub files: Vec<(String, String)>,
}

/// A word of a command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// As it stands in the unit.
    pub raw: String,
    /// What it means, variables and specifiers left as they are.
    pub value: String,
}

impl UnitText {
    /// Reads what `systemctl cat` prints: before each file its path in a comment.
    #[must_use]
    pub fn of_cat(text: &str) -> Self {
        let mut files: Vec<(String, String)> = Vec::new();
        let mut after_blank = true;
        for line in text.lines() {
            match line.strip_prefix("# /") {
                Some(path) if after_blank && is_unit_file(path) => files.push((format!("/{path}"), String::new())),
                _ => {
                    if let Some((_, text)) = files.last_mut() {
                        text.push_str(line);
                        text.push('\n');
                    }
                }
            }
            after_blank = line.trim().is_empty();
        }
        Self { files }
    }

    /// The unit as it would be without the file at `path`.
    #[must_use]
    pub fn without(&self, path: &str) -> Self {
        Self { files: self.files.iter().filter(|(other, _)| other != path).cloned().collect() }
    }

    /// The command lines that count, and the last file that has a say in them.
    #[must_use]
    pub fn exec_start(&self) -> (Vec<String>, Option<&str>) {
        let mut lines = Vec::new();
        let mut last = None;
        for (path, text) in &self.files {
            for value in values(text, "Service", "ExecStart") {
                last = Some(path.as_str());
                // An empty one drops all before it.
                if value.is_empty() { lines.clear() } else { lines.push(value) }
            }
        }
        (lines, last)
    }
}

/// Whether a comment is the path that `systemctl cat` puts before a file: a unit, or a drop-in, whose name may have blanks.
fn is_unit_file(path: &str) -> bool {
    path.ends_with(".service") && !path.contains(' ') || path.contains("service.d/") && path.ends_with(".conf")
}

/// The values of a key in a section, continued lines joined.
fn values(text: &str, section: &str, key: &str) -> Vec<String> {
    let mut values = Vec::new();
    let mut inside = false;
    let mut line = String::new();
    for part in text.lines() {
        let is_comment = part.trim_start().starts_with(['#', ';']);
        // Comments between continued lines are skipped.
        if is_comment {
            continue;
        }
        if let Some(part) = part.strip_suffix('\\') {
            line.push_str(part);
            line.push(' ');
            continue;
        }
        line.push_str(part);
        let whole = std::mem::take(&mut line);
        let whole = whole.trim();
        if whole.starts_with('[') {
            inside = whole.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) == Some(section);
        } else if inside
            && let Some((name, value)) = whole.split_once('=')
            && name.trim() == key
        {
            values.push(value.trim().to_owned());
        }
    }
    values
}

/// A command line's words; `None` where a quote is not closed.
#[must_use]
pub fn words(line: &str) -> Option<Vec<Word>> {
    let mut words = Vec::new();
    let mut letters = line.chars().peekable();
    loop {
        while letters.peek().is_some_and(|c| c.is_whitespace()) {
            letters.next();
        }
        if letters.peek().is_none() {
            return Some(words);
        }
        let (mut raw, mut value) = (String::new(), String::new());
        let mut quote = None;
        while let Some(&c) = letters.peek() {
            if quote.is_none() && c.is_whitespace() {
                break;
            }
            letters.next();
            raw.push(c);
            match (quote, c) {
                (Some(open), _) if c == open => quote = None,
                (None, '"' | '\'') => quote = Some(c),
                (_, '\\') => {
                    let escaped = letters.next()?;
                    raw.push(escaped);
                    value.push(match escaped {
                        'n' => '\n',
                        't' => '\t',
                        's' => ' ',
                        other => other,
                    });
                }
                _ => value.push(c),
            }
        }
        if quote.is_some() {
            return None;
        }
        words.push(Word { raw, value });
    }
}

/// Flags of dockerd, each with its value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parted {
    /// What stays on the command line.
    pub kept: Vec<Word>,
    /// The values of `-H` and `--host`.
    pub hosts: Vec<String>,
    /// The flags about TLS that were taken off, as they stood.
    pub tls: Vec<String>,
    /// The value of `--config-file`, which stays.
    pub config_file: Option<String>,
}

/// Takes the flags off that `hosts` and the TLS keys of daemon.json stand for.
#[must_use]
pub fn part(words: Vec<Word>) -> Parted {
    let mut parted = Parted::default();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let (name, value) = match word.value.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name.to_owned(), Some(value.to_owned())),
            _ => (word.value.clone(), None),
        };
        match name.as_str() {
            "-H" | "--host" => {
                let value = value.or_else(|| words.next().map(|next| next.value));
                parted.hosts.extend(value);
            }
            "--tls" | "--tlsverify" => parted.tls.push(word.value),
            "--tlscacert" | "--tlscert" | "--tlskey" => {
                let value = value.or_else(|| words.next().map(|next| next.value)).unwrap_or_default();
                parted.tls.push(format!("{name}={value}"));
            }
            "--config-file" => {
                parted.kept.push(word);
                let value = value.or_else(|| {
                    let next = words.next()?;
                    parted.kept.push(next.clone());
                    Some(next.value)
                });
                parted.config_file = value;
            }
            _ => match word.value.strip_prefix("-H") {
                // -Htcp://… and -H=tcp://…
                Some(value) => parted.hosts.push(value.strip_prefix('=').unwrap_or(value).to_owned()),
                None => parted.kept.push(word),
            },
        }
    }
    parted
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAT: &str = "# /lib/systemd/system/docker.service\n[Unit]\nAfter=x\n\n[Service]\nType=notify\n\
        ExecStart=/usr/sbin/dockerd -H fd:// \\\n  # a comment\n  --containerd=/run/c.sock $DOCKER_OPTS\nExecReload=/bin/kill -s HUP $MAINPID\n\n\
        # /etc/x is a comment\n\n# /etc/systemd/system/docker.service.d/my own.conf\n[Service]\nExecStart=\nExecStart=/bin/false\n\n\
        # /etc/systemd/system/docker.service.d/override.conf\n[Service]\nExecStart=\nExecStart=/usr/bin/dockerd -H fd:// --label \"a b\"\n";

    #[test]
    fn the_last_word_of_a_unit() {
        let unit = UnitText::of_cat(CAT);
        assert_eq!(unit.files.len(), 3);
        let (lines, last) = unit.exec_start();
        assert_eq!(lines, ["/usr/bin/dockerd -H fd:// --label \"a b\""]);
        assert_eq!(last, Some("/etc/systemd/system/docker.service.d/override.conf"));
        let without = unit.without("/etc/systemd/system/docker.service.d/override.conf");
        assert_eq!(without.exec_start().0, ["/bin/false"]);
        let without = without.without("/etc/systemd/system/docker.service.d/my own.conf");
        let (lines, _) = without.exec_start();
        let words = words(&lines[0]).unwrap();
        let raws: Vec<&str> = words.iter().map(|word| word.raw.as_str()).collect();
        assert_eq!(raws, ["/usr/sbin/dockerd", "-H", "fd://", "--containerd=/run/c.sock", "$DOCKER_OPTS"]);
    }

    #[test]
    fn words_as_systemd_has_them() {
        let values = |line: &str| words(line).map(|words| words.into_iter().map(|word| word.value).collect::<Vec<_>>());
        assert_eq!(
            values(r#"a "b c" 'd "e"' f\sg "h\"i" j="k l""#).unwrap(),
            ["a", "b c", "d \"e\"", "f g", "h\"i", "j=k l"]
        );
        assert_eq!(values("  ").unwrap(), [""; 0]);
        assert_eq!(values("a 'b"), None);
        assert_eq!(values("a \\"), None);
    }

    #[test]
    fn what_daemon_json_takes_over() {
        let line = "dockerd -H fd:// --host=tcp://0.0.0.0:2375 -Hunix:///x --host tcp://h --tlsverify --tlscacert=/a --tlskey /k \
                    --config-file /c.json --log-level=debug";
        let parted = part(words(line).unwrap());
        let kept: Vec<&str> = parted.kept.iter().map(|word| word.raw.as_str()).collect();
        assert_eq!(kept, ["dockerd", "--config-file", "/c.json", "--log-level=debug"]);
        assert_eq!(parted.hosts, ["fd://", "tcp://0.0.0.0:2375", "unix:///x", "tcp://h"]);
        assert_eq!(parted.tls, ["--tlsverify", "--tlscacert=/a", "--tlskey=/k"]);
        assert_eq!(parted.config_file.as_deref(), Some("/c.json"));
    }
}
