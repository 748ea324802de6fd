//! The variables that make `docker` speak TLS, written for a shell to read.
//!
//! Which variables, and that an empty one counts as unset: docker/cli cli/flags/options.go. The forms follow
//! docker-machine (commands/env.go), which however writes values unescaped; here every path arrives as it is, or the
//! shell's inability is an error. Pure: which shell is asking is worked out from facts that the caller gathers.
//!
//! Quoting rules: POSIX XCU 2.2.2 (sh); fish language documentation, "Quotes"; PowerShell tokenizer.cs ScanStringLiteral;
//! `help set` and `help for` of cmd.exe; tcsh(1), "History substitution" and "Lexical structure"; Nushell book, "Strings".

use std::{fmt, net::Ipv6Addr};

use crate::daemon_json::TLS_PORT;

/// Where the daemon is: `tcp://HOST:PORT`.
pub const HOST: &str = "DOCKER_HOST";
/// Verified TLS for any value that is not empty, `0` and `false` included; always `1` here.
pub const TLS_VERIFY: &str = "DOCKER_TLS_VERIFY";
/// The directory of `ca.pem`, `cert.pem` and `key.pem`.
pub const CERT_PATH: &str = "DOCKER_CERT_PATH";

/// A family of shells that read the same syntax.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shell {
    /// sh, bash, zsh, dash, ksh, ash.
    Sh,
    /// fish.
    Fish,
    /// PowerShell, Windows' own and the newer one.
    PowerShell,
    /// Windows' cmd.exe.
    Cmd,
    /// tcsh and csh.
    Tcsh,
    /// Nushell.
    Nushell,
}

/// What is known about who asks.
#[derive(Clone, Copy, Debug, Default)]
pub struct ShellFacts<'a> {
    /// The names of the processes above this one, the nearest first.
    pub ancestors: &'a [String],
    /// `SHELL`: the login shell, which need not be the one that is running.
    pub login_shell: Option<&'a str>,
    /// Whether `PSModulePath` is set, as it is below every PowerShell.
    pub ps_module_path: bool,
    /// Whether this is Windows.
    pub windows: bool,
}

impl Shell {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Sh, Self::Fish, Self::PowerShell, Self::Cmd, Self::Tcsh, Self::Nushell];

    /// The word for it on a command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Sh => "sh",
            Self::Fish => "fish",
            Self::PowerShell => "powershell",
            Self::Cmd => "cmd",
            Self::Tcsh => "tcsh",
            Self::Nushell => "nushell",
        }
    }

    /// The shell with this name: `zsh`, `/usr/bin/fish`, `-bash` (a login shell), `pwsh.exe`.
    pub fn from_name(name: &str) -> Option<Self> {
        let base = name.rsplit(['/', '\\']).next().unwrap_or(name);
        let base = base.strip_prefix('-').unwrap_or(base).to_ascii_lowercase();
        Some(match base.strip_suffix(".exe").unwrap_or(&base) {
            "sh" | "bash" | "rbash" | "zsh" | "rzsh" | "dash" | "ash" | "ksh" | "ksh93" | "mksh" | "yash" => Self::Sh,
            "fish" => Self::Fish,
            "powershell" | "pwsh" | "pwsh-preview" => Self::PowerShell,
            "cmd" => Self::Cmd,
            "tcsh" | "csh" => Self::Tcsh,
            "nushell" | "nu" => Self::Nushell,
            _ => return None,
        })
    }

    /// The shell that is asking: the nearest process above that is one, else the login shell, else the platform's usual.
    pub fn detect(facts: &ShellFacts<'_>) -> Self {
        let running = facts.ancestors.iter().find_map(|name| Self::from_name(name));
        let usual = match (facts.ps_module_path, facts.windows) {
            (true, _) => Self::PowerShell,
            (false, true) => Self::Cmd,
            (false, false) => Self::Sh,
        };
        running.or_else(|| facts.login_shell.and_then(Self::from_name)).unwrap_or(usual)
    }
}

impl fmt::Display for Shell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sh => "sh",
            Self::Fish => "fish",
            Self::PowerShell => "PowerShell",
            Self::Cmd => "cmd.exe",
            Self::Tcsh => "tcsh",
            Self::Nushell => "Nushell",
        })
    }
}

/// What a client needs to know. Values are bytes, because a Unix path is.
#[derive(Clone, Copy, Debug)]
pub struct Variables<'a> {
    /// The daemon's URL; without one, `DOCKER_HOST` is left alone.
    pub host: Option<&'a str>,
    /// The absolute path of the client's directory.
    pub cert_path: &'a [u8],
}

/// Why a text cannot be `DOCKER_HOST` with TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostError {
    /// No host in it.
    NoHost,
    /// A scheme other than `tcp`: docker takes no `https`, and uses no TLS with the others.
    Scheme {
        /// The scheme.
        scheme: String,
    },
    /// A port that is none, or 0.
    Port {
        /// As it was given.
        port: String,
    },
    /// A character that no host has, or an IPv6 address that is none.
    NotAHost {
        /// As it was given.
        host: String,
    },
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHost => f.write_str("it names no host"),
            Self::Scheme { scheme } => write!(f, "docker does not speak TLS over {scheme:?}"),
            Self::Port { port } => write!(f, "{port:?} is not a port"),
            Self::NotAHost { host } => write!(f, "{host:?} is not a host"),
        }
    }
}

impl std::error::Error for HostError {}

/// `text` as `DOCKER_HOST` is to be: `tcp://HOST:PORT`. The scheme may be missing; so may the port, which then is 2376,
/// because docker itself would take 2375 even with TLS (docker/cli opts/hosts.go parseDockerDaemonHost).
///
/// # Errors
/// When there is no host, or docker could not dial it with TLS.
pub fn host_url(text: &str) -> Result<String, HostError> {
    let rest = match text.split_once("://") {
        Some(("tcp", rest)) => rest,
        Some((scheme, _)) => return Err(HostError::Scheme { scheme: scheme.to_owned() }),
        None => text,
    };
    // A path is kept: docker puts it before the API's own.
    let (address, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let not_a_host = || HostError::NotAHost { host: address.to_owned() };
    let (host, port) = if let Some(bracketed) = address.strip_prefix('[') {
        let (host, after) = bracketed.split_once(']').ok_or_else(not_a_host)?;
        let host = host.parse::<Ipv6Addr>().map_err(|_| not_a_host())?;
        let port = if after.is_empty() { None } else { Some(after.strip_prefix(':').ok_or_else(not_a_host)?) };
        (format!("[{host}]"), port)
    } else if let Ok(host) = address.parse::<Ipv6Addr>() {
        (format!("[{host}]"), None)
    } else {
        let (host, port) = address.split_once(':').map_or((address, None), |(host, port)| (host, Some(port)));
        let allowed = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
        if !host.chars().all(allowed) {
            return Err(not_a_host());
        }
        (host.to_owned(), port)
    };
    if host.is_empty() {
        return Err(HostError::NoHost);
    }
    let port = match port {
        None => TLS_PORT,
        Some(text) => {
            text.parse().ok().filter(|port| *port != 0).ok_or_else(|| HostError::Port { port: text.into() })?
        }
    };
    if path.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(HostError::NotAHost { host: rest.to_owned() });
    }
    Ok(format!("tcp://{host}:{port}{path}"))
}

/// Why a value cannot be written for a shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnvError {
    /// There is no way to write this character there.
    Inexpressible {
        /// The shell.
        shell: Shell,
        /// The variable whose value it is.
        variable: &'static str,
        /// The character.
        character: char,
    },
    /// The value is not Unicode text, and this shell takes nothing else.
    NotUnicode {
        /// The shell.
        shell: Shell,
        /// The variable whose value it is.
        variable: &'static str,
    },
}

impl fmt::Display for EnvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inexpressible { shell, variable, character } => {
                write!(f, "{shell} cannot be given {variable}, because its value contains {character:?}")
            }
            Self::NotUnicode { shell, variable } => {
                write!(f, "{shell} cannot be given {variable}, because its value is not Unicode text")
            }
        }
    }
}

impl std::error::Error for EnvError {}

/// The text that sets the variables, and as its last line a comment that tells how to have it read.
///
/// `command` is the command line that prints this text, for that comment.
///
/// # Errors
/// When the shell has no way to write a value: a NUL anywhere; a line end in tcsh; a line end, `"` or `%` in cmd.exe;
/// what is not Unicode in PowerShell, cmd.exe and Nushell.
pub fn set(shell: Shell, variables: &Variables<'_>, command: &[&str]) -> Result<Vec<u8>, EnvError> {
    let mut assignments: Vec<(&'static str, &[u8])> = vec![(TLS_VERIFY, b"1")];
    if let Some(host) = variables.host {
        assignments.push((HOST, host.as_bytes()));
    }
    assignments.push((CERT_PATH, variables.cert_path));

    let mut text = Vec::new();
    if shell == Shell::Nushell {
        text.extend(b"{\n");
    }
    for (variable, value) in assignments {
        let value = quote(shell, value).map_err(|trouble| trouble.of(shell, variable))?;
        let (before, between, after) = match shell {
            Shell::Sh => ("export ", "=", "\n"),
            Shell::Fish => ("set -gx ", " ", ";\n"),
            Shell::PowerShell => ("$Env:", " = ", "\n"),
            // The quotes stand around the whole assignment: they keep & | < > ^ and a last blank, and are not part of it.
            Shell::Cmd => ("SET \"", "=", "\"\n"),
            Shell::Tcsh => ("setenv ", " ", ";\n"),
            Shell::Nushell => ("  ", ": ", "\n"),
        };
        text.extend(before.bytes().chain(variable.bytes()).chain(between.bytes()).chain(value).chain(after.bytes()));
    }
    if shell == Shell::Nushell {
        text.extend(b"}\n");
    }
    text.extend(how_to_read(shell, command, Reading::Set).bytes());
    Ok(text)
}

/// The text that removes all three variables, and as its last line a comment that tells how to have it read.
pub fn unset(shell: Shell, command: &[&str]) -> Vec<u8> {
    let mut text = String::new();
    for variable in [TLS_VERIFY, HOST, CERT_PATH] {
        text.push_str(&match shell {
            Shell::Sh => format!("unset {variable}\n"),
            Shell::Fish => format!("set -e {variable};\n"),
            Shell::PowerShell => format!("Remove-Item -ErrorAction Ignore Env:\\{variable}\n"),
            Shell::Cmd => format!("SET \"{variable}=\"\n"),
            Shell::Tcsh => format!("unsetenv {variable};\n"),
            Shell::Nushell => format!("hide-env --ignore-errors {variable}\n"),
        });
    }
    text.push_str(&how_to_read(shell, command, Reading::Unset));
    text.into_bytes()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    Set,
    Unset,
}

/// The comment at the end. `DIR` stands for a word that is better not written there: a line end in it would end the
/// comment, and what follows would be run.
fn how_to_read(shell: Shell, command: &[&str], reading: Reading) -> String {
    let word = |(position, word): (usize, &&str)| {
        let quoted = word_of_command(shell, word);
        // Here tcsh would have to read quotes through two more layers of quotes, and a person with it.
        let is_plain = quoted == **word;
        let is_host = position.checked_sub(1).is_some_and(|before| command[before] == "--host");
        match (shell, is_plain, is_host) {
            (Shell::Tcsh, false, true) => "HOST".to_owned(),
            (Shell::Tcsh, false, false) => "DIR".to_owned(),
            _ => quoted,
        }
    };
    let words: Vec<String> = command.iter().enumerate().map(word).collect();
    let command = words.join(" ");
    match shell {
        // In quotes, or the shell would split the text and expand the patterns in it.
        Shell::Sh => format!("# eval \"$({command})\"\n"),
        Shell::Fish => format!("# {command} | source\n"),
        Shell::PowerShell => format!("# & {command} | Invoke-Expression\n"),
        Shell::Cmd => format!("REM @FOR /f \"tokens=*\" %i IN ('{command}') DO @%i\n"),
        // `#` begins no comment at tcsh's prompt; the null command with a quoted word does nothing anywhere.
        Shell::Tcsh => {
            let eval = quote_tcsh(format!("eval \"`{command}`\"").as_bytes());
            format!(": {};\n", String::from_utf8_lossy(&eval))
        }
        // Nushell has no eval: what it reads at run time is data, and what removes variables is code.
        Shell::Nushell => match reading {
            Reading::Set => format!("# {command} | from nuon | load-env\n"),
            Reading::Unset => format!("# {command} | save -f unset.nu; then: source unset.nu\n"),
        },
    }
}

/// `word` as one word of a command line for that shell, in quotes where it needs them; a placeholder where no quotes
/// would do.
pub fn word_of_command(shell: Shell, word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-:+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    if word.chars().any(char::is_control) {
        return "DIR".to_owned();
    }
    match (shell, quote(shell, word.as_bytes())) {
        (Shell::Cmd, Ok(quoted)) => format!("\"{}\"", String::from_utf8_lossy(&quoted)),
        (Shell::PowerShell, Ok(quoted)) if quoted.windows(3).any(|window| window == b" + ") => {
            format!("({})", String::from_utf8_lossy(&quoted))
        }
        (_, Ok(quoted)) => String::from_utf8_lossy(&quoted).into_owned(),
        (_, Err(_)) => "DIR".to_owned(),
    }
}

enum Trouble {
    Inexpressible(char),
    NotUnicode,
}

impl Trouble {
    fn of(self, shell: Shell, variable: &'static str) -> EnvError {
        match self {
            Self::Inexpressible(character) => EnvError::Inexpressible { shell, variable, character },
            Self::NotUnicode => EnvError::NotUnicode { shell, variable },
        }
    }
}

/// `value` as one word (for cmd.exe, as what stands between the quotes).
fn quote(shell: Shell, value: &[u8]) -> Result<Vec<u8>, Trouble> {
    let refused: &[u8] = match shell {
        // A backquote substitution, the only way to tcsh's eval, ends its words at line ends.
        Shell::Tcsh => b"\0\n",
        // Nothing in cmd.exe escapes a line end or `"`; `%` is written in one way at its prompt (^%), in a second way in
        // a batch file (%%), and in a third way (%) for the FOR command of the last line.
        Shell::Cmd => b"\0\n\r\"%",
        Shell::Sh | Shell::Fish | Shell::PowerShell | Shell::Nushell => b"\0",
    };
    if let Some(byte) = value.iter().find(|byte| refused.contains(byte)) {
        return Err(Trouble::Inexpressible(char::from(*byte)));
    }
    let text = || std::str::from_utf8(value).map_err(|_| Trouble::NotUnicode);
    Ok(match shell {
        Shell::Sh => quote_sh(value),
        Shell::Fish => quote_fish(value),
        Shell::PowerShell => quote_powershell(text()?).into_bytes(),
        Shell::Cmd => text()?.as_bytes().to_vec(),
        Shell::Tcsh => quote_tcsh(value),
        Shell::Nushell => quote_nushell(text()?).into_bytes(),
    })
}

/// Nothing is special between single quotes but the single quote.
fn quote_sh(value: &[u8]) -> Vec<u8> {
    let mut quoted = vec![b'\''];
    for byte in value {
        match byte {
            b'\'' => quoted.extend(b"'\\''"),
            other => quoted.push(*other),
        }
    }
    quoted.push(b'\'');
    quoted
}

/// Between single quotes only `\'` and `\\` are escapes.
fn quote_fish(value: &[u8]) -> Vec<u8> {
    let mut quoted = vec![b'\''];
    for byte in value {
        if matches!(byte, b'\'' | b'\\') {
            quoted.push(b'\\');
        }
        quoted.push(*byte);
    }
    quoted.push(b'\'');
    quoted
}

/// Printable ASCII between single quotes, everything else as `[char]` numbers (UTF-16): PowerShell hands the text on line
/// by line, decodes it by the console's code page, and takes typographic quotes (U+2018 to U+201B) for single quotes.
fn quote_powershell(text: &str) -> String {
    let mut quoted = String::from("'");
    let mut units = [0; 2];
    for c in text.chars() {
        match c {
            '\'' => quoted.push_str("''"),
            ' '..='~' => quoted.push(c),
            other => {
                for unit in other.encode_utf16(&mut units) {
                    quoted.push_str(&format!("' + [char]0x{unit:04X} + '"));
                }
            }
        }
    }
    quoted.push('\'');
    quoted
}

/// Single quotes do not stop history expansion, and what a backslash means between them is a setting (backslash_quote);
/// so `!`, `\` and `'` stand outside, each behind a backslash.
fn quote_tcsh(value: &[u8]) -> Vec<u8> {
    let mut quoted = vec![b'\''];
    for byte in value {
        match byte {
            b'\'' | b'!' | b'\\' => quoted.extend([b'\'', b'\\', *byte, b'\'']),
            other => quoted.push(*other),
        }
    }
    quoted.push(b'\'');
    quoted
}

/// A double-quoted string, which interpolates nothing, with control characters as `\u{…}`.
fn quote_nushell(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            other if other.is_control() => quoted.push_str(&format!("\\u{{{:x}}}", u32::from(other))),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set_text(shell: Shell, path: &str) -> Result<String, EnvError> {
        let variables = Variables { host: Some("tcp://build.example.com:2376"), cert_path: path.as_bytes() };
        set(shell, &variables, &["dockseal", "env", "clients/ada"]).map(|text| String::from_utf8(text).unwrap())
    }

    // The forms of docker-machine's commands/env.go, quoted. Whether sh, fish, tcsh and Nushell read every path back is
    // asked of themselves in tests/oracles/shells.rs; PowerShell and cmd.exe do not run where these tests do, so for them
    // the documented rules below are all there is.
    #[test]
    fn every_shell_has_its_form() {
        let expected = [
            (
                Shell::Sh,
                "export DOCKER_TLS_VERIFY='1'\nexport DOCKER_HOST='tcp://build.example.com:2376'\n\
                 export DOCKER_CERT_PATH='/c'\n# eval \"$(dockseal env clients/ada)\"\n",
            ),
            (
                Shell::Fish,
                "set -gx DOCKER_TLS_VERIFY '1';\nset -gx DOCKER_HOST 'tcp://build.example.com:2376';\n\
                 set -gx DOCKER_CERT_PATH '/c';\n# dockseal env clients/ada | source\n",
            ),
            (
                Shell::PowerShell,
                "$Env:DOCKER_TLS_VERIFY = '1'\n$Env:DOCKER_HOST = 'tcp://build.example.com:2376'\n\
                 $Env:DOCKER_CERT_PATH = '/c'\n# & dockseal env clients/ada | Invoke-Expression\n",
            ),
            (
                Shell::Cmd,
                "SET \"DOCKER_TLS_VERIFY=1\"\nSET \"DOCKER_HOST=tcp://build.example.com:2376\"\n\
                 SET \"DOCKER_CERT_PATH=/c\"\nREM @FOR /f \"tokens=*\" %i IN ('dockseal env clients/ada') DO @%i\n",
            ),
            (
                Shell::Tcsh,
                "setenv DOCKER_TLS_VERIFY '1';\nsetenv DOCKER_HOST 'tcp://build.example.com:2376';\n\
                 setenv DOCKER_CERT_PATH '/c';\n: 'eval \"`dockseal env clients/ada`\"';\n",
            ),
            (
                Shell::Nushell,
                "{\n  DOCKER_TLS_VERIFY: \"1\"\n  DOCKER_HOST: \"tcp://build.example.com:2376\"\n  \
                 DOCKER_CERT_PATH: \"/c\"\n}\n# dockseal env clients/ada | from nuon | load-env\n",
            ),
        ];
        for (shell, text) in expected {
            assert_eq!(set_text(shell, "/c").as_deref(), Ok(text), "{shell}");
        }
    }

    #[test]
    fn powershell_gets_one_ascii_line_for_every_value() {
        let cases = [
            (r"C:\a b\$x`n", r"$Env:DOCKER_CERT_PATH = 'C:\a b\$x`n'"),
            ("it's", "$Env:DOCKER_CERT_PATH = 'it''s'"),
            ("it\u{2019}s", "$Env:DOCKER_CERT_PATH = 'it' + [char]0x2019 + 's'"),
            ("a\nb", "$Env:DOCKER_CERT_PATH = 'a' + [char]0x000A + 'b'"),
            ("\u{e9}", "$Env:DOCKER_CERT_PATH = '' + [char]0x00E9 + ''"),
            ("\u{1f433}", "$Env:DOCKER_CERT_PATH = '' + [char]0xD83D + '' + [char]0xDC33 + ''"),
        ];
        for (path, line) in cases {
            let text = set_text(Shell::PowerShell, path).unwrap();
            assert!(text.is_ascii());
            assert_eq!(text.lines().nth(2), Some(line), "{path:?}");
        }
    }

    #[test]
    fn cmd_keeps_its_special_characters_between_the_quotes() {
        let text = set_text(Shell::Cmd, r"C:\a & b|c^d<e>(f)").unwrap();
        assert_eq!(text.lines().nth(2), Some(r#"SET "DOCKER_CERT_PATH=C:\a & b|c^d<e>(f)""#));
    }

    #[test]
    fn what_a_shell_cannot_be_given_is_refused() {
        let refused = [
            (Shell::Cmd, "a\nb", '\n'),
            (Shell::Cmd, "a\rb", '\r'),
            (Shell::Cmd, "50%", '%'),
            (Shell::Cmd, "a\"b", '"'),
            (Shell::Tcsh, "a\nb", '\n'),
            (Shell::Sh, "a\0b", '\0'),
        ];
        for (shell, path, character) in refused {
            assert_eq!(
                set_text(shell, path),
                Err(EnvError::Inexpressible { shell, variable: CERT_PATH, character }),
                "{path:?}"
            );
        }
        let latin1 = Variables { host: None, cert_path: b"/caf\xe9" };
        for shell in Shell::ALL {
            let takes_bytes = matches!(shell, Shell::Sh | Shell::Fish | Shell::Tcsh);
            assert_eq!(set(shell, &latin1, &[]).is_ok(), takes_bytes, "{shell}");
        }
    }

    #[test]
    fn no_word_of_the_command_ends_the_comment() {
        for shell in Shell::ALL {
            let variables = Variables { host: None, cert_path: b"/c" };
            let text = set(shell, &variables, &["dockseal", "env", "x\nrm -rf ~\r"]).unwrap();
            assert!(!String::from_utf8(text).unwrap().contains("rm -rf"), "{shell}");
        }
    }

    #[test]
    fn a_host_becomes_a_whole_url() {
        let scheme = |scheme: &str| Err(HostError::Scheme { scheme: scheme.into() });
        let port = |port: &str| Err(HostError::Port { port: port.into() });
        let not_a_host = |host: &str| Err(HostError::NotAHost { host: host.into() });
        let cases = [
            ("tcp://build.example.com:2376", Ok("tcp://build.example.com:2376".to_owned())),
            ("tcp://build.example.com", Ok("tcp://build.example.com:2376".into())),
            ("10.0.0.5:1234", Ok("tcp://10.0.0.5:1234".into())),
            ("::1", Ok("tcp://[::1]:2376".into())),
            ("tcp://[2001:DB8::0:1]:99", Ok("tcp://[2001:db8::1]:99".into())),
            ("tcp://h:2376/prefix", Ok("tcp://h:2376/prefix".into())),
            ("https://h:2376", scheme("https")),
            ("unix:///var/run/docker.sock", scheme("unix")),
            ("tcp://", Err(HostError::NoHost)),
            ("tcp://:2376", Err(HostError::NoHost)),
            ("tcp://h:", port("")),
            ("tcp://h:0", port("0")),
            ("tcp://h:65536", port("65536")),
            ("tcp://[fe80::1%lo]:1", not_a_host("[fe80::1%lo]:1")),
            ("tcp://[::1]x", not_a_host("[::1]x")),
            ("tcp://a b:1", not_a_host("a b:1")),
            ("tcp://a'b", not_a_host("a'b")),
            ("tcp://user@h:1", not_a_host("user@h:1")),
        ];
        for (text, expected) in cases {
            assert_eq!(host_url(text), expected, "{text:?}");
        }
    }

    #[test]
    fn the_nearest_shell_above_is_the_one_that_asks() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let cases = [
            (names(&["fish", "bash"]), Some("/bin/bash"), false, false, Shell::Fish),
            (names(&["cargo", "-zsh"]), Some("/usr/bin/fish"), false, false, Shell::Sh),
            (names(&["sshd", "systemd"]), Some("/usr/bin/fish"), false, false, Shell::Fish),
            (names(&["node"]), Some("/opt/elvish"), false, false, Shell::Sh),
            (names(&["pwsh"]), Some("/bin/bash"), true, false, Shell::PowerShell),
            (names(&["explorer.exe"]), None, true, true, Shell::PowerShell),
            (names(&["cmd.exe"]), None, true, true, Shell::Cmd),
            (names(&[]), None, false, true, Shell::Cmd),
            (names(&["bash.exe"]), None, true, true, Shell::Sh),
            (names(&["tcsh"]), Some("/bin/sh"), false, false, Shell::Tcsh),
            (names(&["nu"]), Some("/bin/sh"), false, false, Shell::Nushell),
        ];
        for (ancestors, login_shell, ps_module_path, windows, expected) in cases {
            let facts = ShellFacts { ancestors: &ancestors, login_shell, ps_module_path, windows };
            assert_eq!(Shell::detect(&facts), expected, "{facts:?}");
        }
    }
}
