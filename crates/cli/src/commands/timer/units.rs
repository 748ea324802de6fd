//! The texts: a service and a timer for systemd, a line for cron.
//!
//! Quoting and escapes in unit files: systemd.syntax(7) and systemd.service(5) "Command lines"; `%`: systemd.unit(5)
//! "Specifiers". Options of the sandbox: systemd.exec(5).

use dockseal_docker::env::{Shell, word_of_command};

use super::Scope;

/// The first line of each of our units: by it they are known again.
pub(super) const MARK: &str = "# Made by dockseal timer; dockseal timer --remove takes it away.";

/// What is to be run, and when.
pub(super) struct Job<'a> {
    pub(super) scope: Scope,
    /// This program.
    pub(super) program: &'a str,
    /// The authority's directory.
    pub(super) authority: &'a str,
    /// The file with the passphrase of the authority's key, when that has one.
    pub(super) passphrase_file: Option<&'a str>,
    /// The command that follows each renewal.
    pub(super) exec: Option<&'a str>,
    /// When, as systemd.time(7) has it.
    pub(super) calendar: &'a str,
    /// The longest that a run is put off, by chance, in seconds.
    pub(super) jitter: i64,
}

impl Job<'_> {
    /// The text of the service.
    pub(super) fn service(&self) -> String {
        let mut text = format!("{MARK}\n[Unit]\nDescription=Renew the certificates of Docker that are due\n");
        if self.scope == Scope::System {
            text.push_str(
                "# Certificates of a clock that was not set yet would be of no use.\nAfter=time-sync.target\n",
            );
        }
        text.push_str("\n[Service]\nType=oneshot\n");
        text.push_str(LIMIT);
        text.push_str("ExecStart=");
        text.push_str(&quoted(self.program, Place::Executable));
        for word in self.arguments() {
            text.push(' ');
            text.push_str(&quoted(word, Place::Argument));
        }
        text.push('\n');
        if let (Scope::System, Some(path)) = (self.scope, self.passphrase_file) {
            text.push_str(&format!("LoadCredential=dockseal.passphrase:{}\n", path.replace('%', "%%")));
        }
        match (self.exec, self.scope) {
            (Some(_), _) => text.push_str("# The command may need anything, so nothing is taken from it here.\n"),
            (None, scope) => {
                text.push_str(
                    "# Bundles may be anywhere, and hosts are reached over ssh; everything else is closed to it.\n",
                );
                text.push_str(SANDBOX);
                if scope == Scope::System {
                    text.push_str(SYSTEM_SANDBOX);
                }
            }
        }
        text
    }

    /// The text of the timer.
    pub(super) fn timer(&self) -> String {
        format!(
            "{MARK}\n[Unit]\nDescription=Look every day for certificates of Docker that are due\n\n[Timer]\n\
             OnCalendar={}\nRandomizedDelaySec={}s\nPersistent=true\n\n[Install]\nWantedBy=timers.target\n",
            self.calendar, self.jitter
        )
    }

    /// The line for crontab(5), once a day at a time that `spread` chooses. `None` when the command has several lines,
    /// which cron cannot express.
    pub(super) fn cron(&self, spread: u32) -> Option<String> {
        // cron has no credentials.
        let file = self.passphrase_file.filter(|_| self.scope == Scope::System);
        let words: Vec<&str> = std::iter::once(self.program)
            .chain(self.arguments())
            .chain(file.into_iter().flat_map(|file| ["--passphrase-file", file]))
            .collect();
        if words.iter().any(|word| word.chars().any(char::is_control)) {
            return None;
        }
        let command: Vec<String> = words.iter().map(|word| word_of_command(Shell::Sh, word)).collect();
        // In crontab(5) a bare % is a line end.
        let command = command.join(" ").replace('%', "\\%");
        Some(format!("{} {} * * * {command}", spread % 60, spread / 60 % 6))
    }

    fn arguments(&self) -> impl Iterator<Item = &str> {
        let file = self.passphrase_file.filter(|_| self.scope == Scope::User);
        ["--authority", self.authority, "renew", "--due"]
            .into_iter()
            .chain(file.into_iter().flat_map(|file| ["--passphrase-file", file]))
            .chain(self.exec.into_iter().flat_map(|exec| ["--exec", exec]))
    }
}

/// Without it a command that hangs keeps the unit "activating" for ever, and no timer starts it again (systemd.service(5)).
const LIMIT: &str = "\
# A run over many hosts may take long; one that hangs ends here, and the next one goes on.
TimeoutStartSec=6h
";

/// What a user's service manager can grant as well: it needs no privileges.
const SANDBOX: &str = "\
NoNewPrivileges=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
";

/// Root's: it gives files to their owners and reads theirs, and nothing more.
const SYSTEM_SANDBOX: &str = "\
CapabilityBoundingSet=CAP_CHOWN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The first word, in which variables are not expanded.
    Executable,
    Argument,
}

/// One word of an `ExecStart=` line.
fn quoted(word: &str, place: Place) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_./:=,+-".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    let mut text = String::from("\"");
    for c in word.chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            '%' => text.push_str("%%"),
            '$' if place == Place::Argument => text.push_str("$$"),
            '\n' => text.push_str("\\n"),
            '\t' => text.push_str("\\t"),
            // Of one octet each: what is not ASCII passes as it is.
            c if c.is_ascii_control() => text.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => text.push(c),
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_unit() {
        for (word, argument) in [
            ("/usr/bin/dockseal", "/usr/bin/dockseal"),
            ("", "\"\""),
            ("a b", "\"a b\""),
            ("100%", "\"100%%\""),
            ("$HOME", "\"$$HOME\""),
            ("say \"x\" \\n", "\"say \\\"x\\\" \\\\n\""),
            ("it's", "\"it's\""),
            ("one\ntwo", "\"one\\ntwo\""),
            (";", "\";\""),
            ("\u{7f}é", "\"\\x7fé\""),
        ] {
            assert_eq!(quoted(word, Place::Argument), argument, "{word:?}");
        }
        assert_eq!(quoted("/opt/a $b/dockseal", Place::Executable), "\"/opt/a $b/dockseal\"");
    }
}
