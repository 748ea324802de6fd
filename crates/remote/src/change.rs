//! A change of a host that takes itself back unless it is confirmed.
//!
//! In this order, so that a cut connection, a killed program, a full disk or a daemon that does not come up end in the
//! former state: the host is taken (one change at a time), the dead-man switch is armed, everything new is laid beside its
//! place, then the places are swapped by renaming and dockerd restarts. Confirming is renaming one file, bringing back
//! begins with renaming the same: only one of them can win.
//!
//! The former files are kept by renaming or linking, never copied: bringing them back needs no space, and restores modes,
//! owners and labels.

mod script;

use std::{fmt::Write as _, time::Duration};

use dockseal_docker::{
    Contents,
    host::HostFacts,
    host_plan::{RestartWay, SERVICE},
};

use self::script::{arm_for_boot, boot_switch, former, parent, ping, restore_script, staged};
use crate::{
    error::ReachError,
    session::{Done, Session, quoted},
};

/// Where a change keeps what it needs, for root alone.
pub(crate) const DIRECTORY: &str = "/var/lib/dockseal/change";
/// The unit of the dead-man switch.
const SWITCH: &str = "dockseal-restore";
/// What the switch becomes where the host restarts before it goes off.
const BOOT_SWITCH: &str = "dockseal-restore-at-boot.service";
/// How long a step without a daemon in it may take.
const STEP: Duration = Duration::from_secs(60);
/// The exit status of a step that found another change going on.
const BUSY: i32 = 17;

/// How dockerd is restarted.
pub type Restart = RestartWay;

/// A place on the host that gets something else.
#[derive(Debug)]
pub struct Item {
    /// The absolute path, without a `/` at its end.
    pub path: String,
    /// What it gets.
    pub replacement: Replacement,
    /// What is there now, where that is to be so still; a difference ends the change before anything is swapped.
    pub expected: Option<Vec<u8>>,
}

/// What a place gets.
#[derive(Debug)]
pub enum Replacement {
    /// A file.
    File {
        /// Its mode.
        mode: u32,
        /// What is in it.
        contents: Contents,
    },
    /// A directory of files, in place of the whole one that is there.
    Directory {
        /// Its mode.
        mode: u32,
        /// Name, mode and contents of each.
        files: Vec<(String, u32, Contents)>,
        /// Files of the directory that is there which come along as they are.
        kept: Vec<String>,
    },
    /// Nothing.
    Nothing,
}

/// A change that is being prepared or waits for its confirmation. Unless it is confirmed, it is taken back: by
/// [`Switch::undo`], or by the host itself.
pub struct Change<'s> {
    session: &'s mut Session,
    restart: Restart,
    was_running: bool,
    within: Duration,
}

/// The dead-man switch, armed.
pub struct Switch<'s> {
    session: &'s mut Session,
    restart: Restart,
    was_running: bool,
}

/// Everything new lies beside its place.
pub struct Prepared<'s> {
    switch: Switch<'s>,
    items: Vec<Item>,
}

/// What came of taking a change back.
#[derive(Debug)]
pub struct Undone {
    /// Whether dockerd answers on its socket again, or did not before either.
    pub answers: bool,
    /// What the host said.
    pub said: String,
}

impl<'s> Change<'s> {
    /// Takes the host and arms its dead-man switch, which goes off `within` from now.
    ///
    /// `who` is left as word for others. `items` are the places that will change, known by then but for their contents.
    ///
    /// # Errors
    /// Another change goes on, or the host cannot do this.
    pub fn begin(
        session: &'s mut Session,
        facts: &HostFacts,
        restart: Restart,
        within: Duration,
        who: &str,
        paths: &[&str],
    ) -> Result<Switch<'s>, ReachError> {
        session.require_root()?;
        let change = Change { session, restart, was_running: !facts.daemons.is_empty(), within };
        change.arm(facts, who, paths)
    }

    fn arm(self, facts: &HostFacts, who: &str, paths: &[&str]) -> Result<Switch<'s>, ReachError> {
        let seconds = self.within.as_secs().max(5);
        let restore = restore_script(self.restart, self.was_running, paths);
        let parents: Vec<String> =
            [DIRECTORY].iter().chain(paths).map(|path| format!("missing {}", quoted(parent(path)))).collect();
        let length = restore.len();
        let (unit, link) = boot_switch();
        let mut script = format!("change={}\n", quoted(DIRECTORY));
        let _ = write!(
            script,
            "missing() {{ at=$1; while [ \"$at\" ] && [ ! -d \"$at\" ]; do printf '%s\\n' \"$at\"; at=${{at%/*}}; done; }}\n\
             made=$({})\n\
             mkdir -p \"${{change%/*}}\" || exit 1\n\
             mkdir \"$change\" 2>/dev/null || {{ if [ -d \"$change\" ]; then cat \"$change/who\" 2>/dev/null; exit {BUSY}; fi; mkdir \"$change\"; exit 1; }}\n\
             armed=; trap '[ \"$armed\" ] || {{ rm -rf \"$change\"; rmdir \"${{change%/*}}\"; systemctl stop {SWITCH}.timer; rm -f {unit} {link}; }} 2>/dev/null' EXIT\n\
             # Unlike a shell, cat says why it cannot write.\n\
             printf '%s\\n' {} | cat >\"$change/who\" && printf '%s\\n' \"$made\" | cat >\"$change/made\" && cat >\"$change/restore\" && [ \"$(wc -c <\"$change/restore\")\" -eq {length} ] && \
             echo $(($(date +%s) + {seconds})) | cat >\"$change/deadline\" && sync || exit 1\n",
            parents.join("; "),
            quoted(who)
        );
        if facts.has_transient_timers {
            // Whatever remains of an earlier one.
            let _ = write!(
                script,
                "systemctl reset-failed {SWITCH}.service {SWITCH}.timer >/dev/null 2>&1\n\
                 systemd-run --quiet --unit={SWITCH} --description='Dockseal: back to the former state unless confirmed' \
                 --on-active={seconds} --timer-property=AccuracySec=1s /bin/sh \"$change/restore\" || exit 1\n"
            );
            script.push_str(&arm_for_boot());
        } else {
            let _ = write!(
                script,
                "if command -v setsid >/dev/null 2>&1; then new=setsid; else new=nohup; fi\n\
                 $new sh -c 'echo $$ >\"$1/waiter\"; sleep {seconds}; exec sh \"$1/restore\"' sh \"$change\" </dev/null >/dev/null 2>&1 &\n\
                 left=50; until [ -s \"$change/waiter\" ]; do [ $left -gt 0 ] || exit 1; left=$((left - 1)); sleep 0.1 2>/dev/null || sleep 1; done\n"
            );
        }
        // Not before somebody waits: who comes by takes what nobody waits for back.
        script.push_str(": >\"$change/armed\" && sync || exit 1\narmed=yes\n");
        let done = self.session.run(&script, restore.as_bytes(), STEP)?;
        if done.status == BUSY {
            return Err(ReachError::Busy { who: done.text().trim().to_owned() });
        }
        done.success("cannot arm the dead-man switch")?;
        Ok(Switch { session: self.session, restart: self.restart, was_running: self.was_running })
    }
}

impl<'s> Switch<'s> {
    /// Makes a daemon's key in the directory that will hold it, and answers with a certificate request for it, in PEM.
    ///
    /// `algorithm` are words for `openssl genpkey`. The key is never printed.
    ///
    /// # Errors
    /// The host's openssl cannot.
    pub fn make_key(&mut self, directory: &str, key_file: &str, algorithm: &[&str]) -> Result<Vec<u8>, ReachError> {
        let words: Vec<String> = algorithm.iter().map(|word| quoted(word)).collect();
        let script = format!(
            "new={}; key=\"$new\"/{}\n\
             rm -rf \"$new\" && mkdir -p \"${{new%/*}}\" && mkdir \"$new\" || exit 1\n\
             why=$(openssl genpkey {} -out \"$key\" 2>&1) && chmod 0400 \"$key\" && [ -s \"$key\" ] || {{\n\
             # openssl says nothing of a full disk; cat does.\n\
             printf '%s\\n' \"$why\" >&2; echo | cat >\"$new/why\"; rm -rf \"$new\"; exit 1; }}\n\
             openssl req -new -batch -config /dev/null -subj /CN=dockerd -key \"$key\" 2>/dev/null || \
             printf '[req]\\ndistinguished_name=d\\n[d]\\n' | openssl req -new -batch -config /dev/stdin -subj /CN=dockerd -key \"$key\"\n",
            quoted(&staged(directory)),
            quoted(key_file),
            words.join(" "),
        );
        let done = self.session.run(&script, &[], Duration::from_secs(120))?;
        Ok(done.success("cannot make the daemon's key on the host")?.stdout)
    }

    /// Lays everything beside its place. A directory whose key was made by [`make_key`](Self::make_key) keeps that.
    ///
    /// # Errors
    /// The host cannot: a full disk, a file system that is read only. Nothing was changed then; [`undo`](Self::undo) takes
    /// away what was laid.
    pub fn prepare(mut self, items: Vec<Item>) -> Result<Prepared<'s>, (Switch<'s>, ReachError)> {
        match self.lay(&items) {
            Ok(()) => Ok(Prepared { switch: self, items }),
            Err(error) => Err((self, error)),
        }
    }

    fn lay(&mut self, items: &[Item]) -> Result<(), ReachError> {
        for item in items {
            let new = staged(&item.path);
            match &item.replacement {
                Replacement::Nothing => {}
                Replacement::File { mode, contents } => {
                    let parent = format!(
                        "parent={}; [ -d \"$parent\" ] || (umask 022; mkdir -p \"$parent\")",
                        quoted(parent(&item.path))
                    );
                    self.write(&new, *mode, contents.bytes(), &parent)?;
                }
                Replacement::Directory { mode, files, kept } => {
                    let mut script = format!(
                        "new={}; old={}\nmkdir -p \"$new\" && chmod {mode:o} \"$new\" || exit 1\n",
                        quoted(&new),
                        quoted(&item.path)
                    );
                    for file in kept {
                        let _ = writeln!(script, "cp -pR \"$old\"/{0} \"$new\"/{0} || exit 1", quoted(file));
                    }
                    self.session.run(&script, &[], STEP)?.success(&format!("cannot prepare {}", item.path))?;
                    for (name, mode, contents) in files {
                        self.write(&format!("{new}/{name}"), *mode, contents.bytes(), ":")?;
                    }
                }
            }
        }
        self.session.run("sync", &[], STEP)?.success("cannot make the new files durable")?;
        Ok(())
    }

    /// A new file, its mode from its first moment on no wider than root alone.
    fn write(&mut self, path: &str, mode: u32, bytes: &[u8], first: &str) -> Result<(), ReachError> {
        let path_word = quoted(path);
        let length = bytes.len();
        // An empty file has no input to wait for; a here-document ends a last line that has no end.
        let fill = if length == 0 { ":".to_owned() } else { format!("head -c {length}") };
        let script = format!(
            "{first} && rm -f {path_word} && {fill} >{path_word} && [ \"$(wc -c <{path_word})\" -eq {length} ] && chmod {mode:o} {path_word}",
        );
        self.session.run(&script, bytes, STEP)?.success(&format!("cannot write {path}"))?;
        Ok(())
    }

    /// Brings the former state back at once, and waits for it.
    ///
    /// # Errors
    /// The host cannot be talked to; its switch does the same then.
    pub fn undo(self) -> Result<Undone, ReachError> {
        take_back(self.session, self.restart, self.was_running, ":")
    }
}

/// Brings back at once what was there before an unfinished change, unless that is somebody's who waits for it still.
///
/// # Errors
/// The host cannot be talked to.
pub fn bring_back(session: &mut Session, restart: Restart) -> Result<Undone, ReachError> {
    let awaited = format!(
        "systemctl -q is-active {SWITCH}.timer {SWITCH}.service >/dev/null 2>&1 && exit 0\n\
         [ -s {DIRECTORY}/waiter ] && kill -0 \"$(cat {DIRECTORY}/waiter)\" 2>/dev/null && exit 0"
    );
    take_back(session, restart, false, &awaited)
}

/// `was_running` tells whether dockerd is to answer in the end.
fn take_back(session: &mut Session, restart: Restart, was_running: bool, unless: &str) -> Result<Undone, ReachError> {
    // What was killed before it was armed had laid nothing beside any place; what is that young may be at it still.
    let script = format!(
        "{unless}\n\
         systemctl stop {SWITCH}.timer >/dev/null 2>&1\n\
         cd {DIRECTORY} || exit 0\n\
         [ -s waiter ] && kill \"$(cat waiter)\" 2>/dev/null\n\
         if [ -e armed ] || [ -e restoring ] || [ -e confirmed ]; then sh ./restore\n\
         else cd / && find {DIRECTORY} -prune -mmin +1 -exec rm -rf {{}} ';'\n\
         fi"
    );
    let done = session.run(&script, &[], Duration::from_secs(180))?;
    // With socket activation, asking would start it.
    let answers = !was_running || session.run(&ping(restart), &[], STEP)?.status == 0;
    Ok(Undone { answers, said: done.stderr })
}

impl<'s> Prepared<'s> {
    /// Has dockerd itself look at the new configuration, where it can: the key pair and the anchors too.
    ///
    /// `arguments` are those with which it will be started, `daemon_json` a configuration whose paths lead to the new
    /// files where they lie now, see [`staged_path`](Self::staged_path).
    ///
    /// # Errors
    /// It says no.
    pub fn validate(&mut self, arguments: &[String], daemon_json: &str) -> Result<Done, ReachError> {
        let arguments: Vec<String> = arguments.iter().map(|word| quoted(word)).collect();
        let script = format!(
            "file={DIRECTORY}/validate.json; cat >\"$file\" || exit 1\n\
             dockerd --validate {} --config-file \"$file\" 2>&1; status=$?; rm -f \"$file\"; exit $status",
            arguments.join(" ")
        );
        self.switch.session.run(&script, daemon_json.as_bytes(), STEP)
    }

    /// Where the new version of a place lies until it is swapped in.
    #[must_use]
    pub fn staged_path(path: &str) -> String {
        staged(path)
    }

    /// Swaps everything in, restarts dockerd, and waits until it runs.
    ///
    /// # Errors
    /// Something was changed meanwhile, or dockerd does not come up. The switch is armed still.
    pub fn swap_and_restart(self, patience: Duration) -> Result<Switch<'s>, (Switch<'s>, ReachError)> {
        let Self { mut switch, items } = self;
        match swap(&mut switch, &items, patience) {
            Ok(()) => Ok(switch),
            Err(error) => Err((switch, error)),
        }
    }

    /// The switch alone, for taking away what was laid.
    #[must_use]
    pub fn into_switch(self) -> Switch<'s> {
        self.switch
    }
}

fn swap(switch: &mut Switch<'_>, items: &[Item], patience: Duration) -> Result<(), ReachError> {
    let mut script = String::from(
        "hex() { od -An -v -tx1 <\"$1\" | tr -d ' \\n'; }\n\
         unchanged() { [ \"$(hex \"$1\" 2>/dev/null)\" = \"$2\" ] || { echo \"$1 was changed meanwhile\" >&2; exit 1; }; }\n",
    );
    let _ = writeln!(
        script,
        "cd {DIRECTORY} && [ -e armed ] && [ \"$(date +%s)\" -lt $(($(cat deadline) - 3)) ] || \
         {{ echo 'the dead-man switch went off meanwhile' >&2; exit 1; }}"
    );
    for item in items {
        if let Some(expected) = &item.expected {
            let hex: String = expected.iter().map(|byte| format!("{byte:02x}")).collect();
            let _ = writeln!(script, "unchanged {} {}", quoted(&item.path), quoted(&hex));
        }
    }
    script.push_str(": >new-places || exit 1\n");
    for item in items {
        let _ = writeln!(script, "[ -e {0} ] || printf '%s\\n' {0} | cat >>new-places || exit 1", quoted(&item.path));
    }
    script.push_str(": >swapped && sync || exit 1\n");
    for item in items {
        let (place, new, old) = (quoted(&item.path), quoted(&staged(&item.path)), quoted(&former(&item.path)));
        let _ = writeln!(script, "place={place}; new={new}; old={old}");
        script.push_str(match item.replacement {
            // The place is never empty: the old one gets a second name, then the new one takes the first.
            Replacement::File { .. } => {
                "if [ -e \"$place\" ]; then chown \"$(stat -c %u:%g \"$place\")\" \"$new\" 2>/dev/null; rm -f \"$old\"; ln \"$place\" \"$old\" || cp -p \"$place\" \"$old\" || exit 1; fi\nmv -f \"$new\" \"$place\" || exit 1\n"
            }
            Replacement::Directory { .. } => {
                "if [ -e \"$place\" ]; then rm -rf \"$old\"; mv \"$place\" \"$old\" || exit 1; fi\nmv \"$new\" \"$place\" || exit 1\n"
            }
            Replacement::Nothing => "if [ -e \"$place\" ]; then rm -rf \"$old\"; mv \"$place\" \"$old\" || exit 1; fi\n",
        });
        let _ = writeln!(script, "command -v restorecon >/dev/null 2>&1 && restorecon -R \"$place\" >/dev/null 2>&1");
    }
    script.push_str("sync\n");
    switch.session.run(&script, &[], STEP)?.success("cannot put the new files in place")?;
    restart(switch.session, switch.restart, patience)
}

/// Restarts dockerd, and waits until it runs and answers; says what it complained about where it does not.
fn restart(session: &mut Session, way: Restart, patience: Duration) -> Result<(), ReachError> {
    let seconds = patience.as_secs().max(1);
    let script = match way {
        // Without --no-block a daemon that hangs would hold this shell as long as systemd waits, which is for ever.
        Restart::Systemd => format!(
            "began=$(date +%s)\n\
             systemctl daemon-reload && systemctl reset-failed {SERVICE} 2>/dev/null; before=$(systemctl show -p MainPID --value {SERVICE})\n\
             systemctl restart --no-block {SERVICE} || exit 1\n\
             left={seconds}\n\
             while [ $left -gt 0 ]; do\n\
             state=$(systemctl show -p ActiveState -p SubState -p MainPID --value {SERVICE} | tr '\\n' ' ')\n\
             set -- $state\n\
             for word; do case $word in active) active=yes;; running) running=yes;; failed|auto-restart|auto-restart-queued) broken=yes;; \"$before\") same=yes;; esac; done\n\
             [ \"$broken\" ] && break\n\
             [ \"$active\" ] && [ \"$running\" ] && [ -z \"$same\" ] && exit 0\n\
             active=; running=; same=; sleep 1; left=$((left - 1))\n\
             done\n\
             journalctl -q -o cat -u {SERVICE} --since \"@$began\" 2>/dev/null | grep -v '^\\(Start\\|Stopp\\|{SERVICE}: \\(Sched\\|Start\\|Main\\|Consumed\\)\\|Failed to start\\)' | tail -n 8 >&2\n\
             exit 1"
        ),
        Restart::OpenRc => "rc-service docker restart >&2".to_owned(),
        Restart::SysV => "service docker restart >&2".to_owned(),
    };
    session.run(&script, &[], patience + Duration::from_secs(30))?.success("dockerd did not come up")?;
    session.run(&ping(way), &[], patience)?.success("dockerd does not answer on its socket")?;
    Ok(())
}

impl Switch<'_> {
    /// Disarms: what was changed stays. The former files are removed.
    ///
    /// # Errors
    /// The switch went off already, or the host cannot be talked to.
    pub fn confirm(self) -> Result<(), ReachError> {
        let script = format!(
            "cd {DIRECTORY} && mv armed confirmed || {{ echo 'the dead-man switch went off meanwhile' >&2; exit 1; }}\n\
             systemctl stop {SWITCH}.timer >/dev/null 2>&1\n\
             [ -s waiter ] && kill \"$(cat waiter)\" 2>/dev/null\n\
             sh ./restore\n"
        );
        self.session.run(&script, &[], STEP)?.success("cannot disarm the dead-man switch")?;
        Ok(())
    }
}
