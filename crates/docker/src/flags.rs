//! The TLS part of the command lines of docker and dockerd, read as spf13/pflag reads it.
//!
//! Names and shorthands: docker/cli cli/flags/options.go (`InstallFlags`), moby daemon/command/options.go
//! (`installFlags`). A bool takes its value after `=` only; `--flag value` and `--flag=value` are the same for a string;
//! the last one given counts (pflag flag.go `parseLongArg`, `parseSingleShortArg`). What the other flags say is passed over.

use std::fmt;

/// The flags that decide about TLS and the endpoint; `None` is "not given" (pflag `Changed`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFlags {
    /// `--tls`.
    pub tls: Option<bool>,
    /// `--tlsverify`; given at all, even `=false`, it turns TLS on.
    pub tlsverify: Option<bool>,
    /// `--tlscacert`.
    pub tlscacert: Option<String>,
    /// `--tlscert`.
    pub tlscert: Option<String>,
    /// `--tlskey`.
    pub tlskey: Option<String>,
    /// `-H`, `--host`, in order.
    pub hosts: Vec<String>,
    /// docker's `-c`, `--context`.
    pub context: Option<String>,
    /// docker's `--config`.
    pub config: Option<String>,
    /// dockerd's `--config-file`.
    pub config_file: Option<String>,
    /// Every flag given, by its long name, with its value as text.
    pub given: Vec<(String, String)>,
}

/// Why a command line is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FlagError {
    /// A bool with another value than Go's ParseBool takes.
    NotABool {
        /// The flag, without dashes.
        flag: String,
        /// What was given.
        value: String,
    },
    /// A flag at the end that needs a value.
    NoValue {
        /// The flag, without dashes.
        flag: String,
    },
}

impl fmt::Display for FlagError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotABool { flag, value } => {
                write!(
                    f,
                    "invalid argument {value:?} for \"--{flag}\" flag: strconv.ParseBool: parsing {value:?}: invalid syntax"
                )
            }
            Self::NoValue { flag } => write!(f, "flag needs an argument: --{flag}"),
        }
    }
}

impl std::error::Error for FlagError {}

/// Whose command line it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Program {
    /// docker: what follows the first word without a dash belongs to the command.
    Docker,
    /// dockerd.
    Dockerd,
}

impl TlsFlags {
    /// Reads a command line without the program's name.
    ///
    /// # Errors
    /// A flag without its value, or a bool that is none.
    pub fn parse<S: AsRef<str>>(program: Program, words: &[S]) -> Result<Self, FlagError> {
        Self::split(program, words).map(|(flags, _)| flags)
    }

    /// Reads the flags, and leaves what docker's command begins with; dockerd has none.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn split<S: AsRef<str>>(program: Program, words: &[S]) -> Result<(Self, &[S]), FlagError> {
        let mut flags = Self::default();
        let mut rest = words.iter();
        while let Some((word, after)) = rest.as_slice().split_first() {
            let word = word.as_ref();
            let mut values = after.iter().map(AsRef::as_ref);
            if word == "--" {
                rest = after.iter();
                break;
            } else if let Some(long) = word.strip_prefix("--") {
                let (name, value) = match long.split_once('=') {
                    Some((name, value)) => (name, Some(value)),
                    None => (long, None),
                };
                flags.set(program, name, value, &mut values)?;
            } else if let Some(short) = word.strip_prefix('-').filter(|short| !short.is_empty()) {
                flags.shorthands(program, short, &mut values)?;
            } else if program == Program::Docker {
                break;
            }
            let left = values.len();
            rest = after.get(after.len() - left..).unwrap_or_default().iter();
        }
        Ok((flags, rest.as_slice()))
    }

    /// The flags that were given, as words that say the same.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        let words = self.given.iter().map(|(name, value)| match value.as_str() {
            "true" | "" if !takes_value(Program::Docker, name) => vec![format!("--{name}")],
            value if takes_value(Program::Docker, name) => vec![format!("--{name}"), value.to_owned()],
            value => vec![format!("--{name}={value}")],
        });
        words.flatten().collect()
    }

    /// `-D`, `-H VALUE`, `-HVALUE`, `-H=VALUE`, `-DH VALUE` (pflag `parseSingleShortArg`).
    fn shorthands<'w>(
        &mut self,
        program: Program,
        short: &'w str,
        words: &mut impl Iterator<Item = &'w str>,
    ) -> Result<(), FlagError> {
        for (place, letter) in short.char_indices() {
            let Some(name) = long_name(program, letter) else { continue };
            if is_bool(program, name) {
                self.set(program, name, None, words)?;
                continue;
            }
            let rest = &short[place + letter.len_utf8()..];
            let value = match rest.strip_prefix('=') {
                Some(value) => Some(value),
                None => Some(rest).filter(|rest| !rest.is_empty()),
            };
            return self.set(program, name, value, words);
        }
        Ok(())
    }

    fn set<'w>(
        &mut self,
        program: Program,
        name: &str,
        value: Option<&'w str>,
        words: &mut impl Iterator<Item = &'w str>,
    ) -> Result<(), FlagError> {
        let value = match value {
            Some(value) => value,
            None if is_bool(program, name) => "true",
            None if takes_value(program, name) => {
                words.next().ok_or_else(|| FlagError::NoValue { flag: name.to_owned() })?
            }
            // Another flag, of which it is not known whether a value follows.
            None => "",
        };
        let bool =
            || parse_bool(value).ok_or_else(|| FlagError::NotABool { flag: name.to_owned(), value: value.to_owned() });
        match name {
            "tls" => self.tls = Some(bool()?),
            "tlsverify" => self.tlsverify = Some(bool()?),
            "tlscacert" => self.tlscacert = Some(value.to_owned()),
            "tlscert" => self.tlscert = Some(value.to_owned()),
            "tlskey" => self.tlskey = Some(value.to_owned()),
            "host" => self.hosts.push(value.to_owned()),
            "context" if program == Program::Docker => self.context = Some(value.to_owned()),
            "config" if program == Program::Docker => self.config = Some(value.to_owned()),
            "config-file" if program == Program::Dockerd => self.config_file = Some(value.to_owned()),
            _ => {}
        }
        self.given.push((name.to_owned(), value.to_owned()));
        Ok(())
    }
}

fn long_name(program: Program, letter: char) -> Option<&'static str> {
    Some(match (program, letter) {
        (_, 'H') => "host",
        (_, 'D') => "debug",
        (_, 'l') => "log-level",
        (_, 'v') => "version",
        (Program::Docker, 'c') => "context",
        (Program::Dockerd, 'G') => "group",
        (Program::Dockerd, 'b') => "bridge",
        (Program::Dockerd, 'p') => "pidfile",
        (Program::Dockerd, 's') => "storage-driver",
        (Program::Dockerd, 'g') => "graph",
        _ => return None,
    })
}

fn is_bool(program: Program, name: &str) -> bool {
    matches!(name, "tls" | "tlsverify" | "debug" | "version" | "help")
        || program == Program::Dockerd
            && matches!(name, "validate" | "live-restore" | "icc" | "iptables" | "ip6tables" | "ipv6" | "experimental")
}

/// Whether the word after this one is its value, or may be: not every flag is known here.
pub(crate) fn may_await_value(program: Program, word: &str) -> bool {
    match (word.strip_prefix("--"), word.strip_prefix('-').and_then(|short| short.chars().next_back())) {
        (Some(long), _) => !long.contains('=') && !is_bool(program, long),
        (None, Some(letter)) => long_name(program, letter).is_none_or(|name| !is_bool(program, name)),
        (None, None) => false,
    }
}

fn takes_value(program: Program, name: &str) -> bool {
    matches!(name, "tlscacert" | "tlscert" | "tlskey" | "host" | "log-level")
        || match program {
            Program::Docker => matches!(name, "context" | "config"),
            Program::Dockerd => matches!(
                name,
                "config-file"
                    | "group"
                    | "bridge"
                    | "pidfile"
                    | "storage-driver"
                    | "graph"
                    | "containerd"
                    | "data-root"
                    | "exec-root"
                    | "userns-remap"
                    | "authorization-plugin"
            ),
        }
}

/// Go's strconv.ParseBool.
pub(crate) fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// A quote or a backslash that nothing ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenQuote(
    /// The character.
    pub char,
);

impl fmt::Display for OpenQuote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the last {} has no end", self.0)
    }
}

impl std::error::Error for OpenQuote {}

/// Splits a command line into words as a POSIX shell does, without expanding anything (XCU 2.2).
///
/// # Errors
/// An open quote.
pub fn words(line: &str) -> Result<Vec<String>, OpenQuote> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match letter {
            ' ' | '\t' | '\n' | '\r' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match letters.next().ok_or(OpenQuote('\''))? {
                        '\'' => break,
                        letter => word.push(letter),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match letters.next().ok_or(OpenQuote('"'))? {
                        '"' => break,
                        '\\' => match letters.next().ok_or(OpenQuote('"'))? {
                            letter @ ('"' | '\\' | '$' | '`') => word.push(letter),
                            '\n' => {}
                            letter => word.extend(['\\', letter]),
                        },
                        letter => word.push(letter),
                    }
                }
            }
            '\\' => match letters.next().ok_or(OpenQuote('\\'))? {
                '\n' => {}
                letter => word.get_or_insert_default().push(letter),
            },
            letter => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    Ok(words)
}

/// Takes the leading `NAME=value` words off, as a shell does.
pub fn take_assignments(words: &mut Vec<String>) -> Vec<(String, String)> {
    let is_name = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    let count = words.iter().take_while(|word| word.split_once('=').is_some_and(|(name, _)| is_name(name))).count();
    words
        .drain(..count)
        .filter_map(|word| word.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn docker(line: &str) -> TlsFlags {
        TlsFlags::parse(Program::Docker, &words(line).unwrap()).unwrap()
    }

    #[test]
    fn every_spelling_of_a_flag() {
        for line in ["-H a", "-Ha", "-H=a", "--host a", "--host=a", "-DH a", "-DHa"] {
            assert_eq!(docker(line).hosts, ["a"], "{line}");
        }
        assert_eq!(docker("--tls").tls, Some(true));
        assert_eq!(docker("--tls=F").tls, Some(false));
        assert_eq!(docker("--tlsverify false").tlsverify, Some(true), "a bool takes no word of its own");
        assert_eq!(docker("--tlscacert=").tlscacert.as_deref(), Some(""));
        assert_eq!(docker("ps --tls").tls, None, "a command's own flags");
        assert_eq!(docker("--tls=0 --tls=1").tls, Some(true));
        let dockerd = |line: &str| TlsFlags::parse(Program::Dockerd, &words(line).unwrap()).unwrap().given;
        for option in ["data-root", "exec-root", "group", "config-file"] {
            let given = [(option.to_owned(), "/x".to_owned())];
            assert_eq!(dockerd(&format!("--{option} /x")), given);
            assert_eq!(dockerd(&format!("--{option}=/x")), given);
        }
    }

    #[test]
    fn what_follows_the_flags_is_the_command() {
        for (line, command) in [
            ("-H a --tls seal verify --tls", "seal verify --tls"),
            ("-DH a --context x seal", "seal"),
            ("--tlsverify=false -- seal ps", "seal ps"),
            ("--tls", ""),
            ("", ""),
        ] {
            let line = words(line).unwrap();
            let (flags, rest) = TlsFlags::split(Program::Docker, &line).unwrap();
            assert_eq!(rest.join(" "), command, "{line:?}");
            assert_eq!(TlsFlags::parse(Program::Docker, &flags.words()), Ok(flags), "{line:?}");
        }
    }

    #[test]
    fn a_wrong_command_line_is_said() {
        let parse = |line: &str| TlsFlags::parse(Program::Docker, &words(line).unwrap());
        assert!(matches!(parse("--tls=yes"), Err(FlagError::NotABool { .. })));
        assert!(matches!(parse("--tlskey"), Err(FlagError::NoValue { .. })));
    }

    #[test]
    fn words_are_a_shells() {
        assert_eq!(words(r#"a 'b c' "d \" e" f\ g h"i"'j' ''"#).unwrap(), ["a", "b c", "d \" e", "f g", "hij", ""]);
        assert_eq!(words("'a"), Err(OpenQuote('\'')));
        assert_eq!(words("a\\"), Err(OpenQuote('\\')));
        let mut line = words("A=1 B_2='x y' --tls C=3").unwrap();
        assert_eq!(take_assignments(&mut line), [("A".into(), "1".into()), ("B_2".into(), "x y".into())]);
        assert_eq!(line, ["--tls", "C=3"]);
    }
}
