//! Has dockerd start anew, and sees whether it did.

use std::time::Duration;

use dockseal_docker::host_plan::SERVICE;

use super::{Kept, Restart, Switch};
use crate::{error::ReachError, session::quoted};

/// Says what is worth it of `$log`: each line once, without what dockerd says when all is well, and what systemd adds.
const TELL_WHY: &str = "why=$(printf '%s\\n' \"$log\" | \
    grep -v '^\\(Start\\|Stopp\\|docker.service: \\|Failed to start\\)\\| level=\\(debug\\|info\\|warning\\) ' | \
    awk '!seen[$0]++' | tail -n 8)\nprintf '%s\\n' \"${why:-$(printf '%s\\n' \"$log\" | tail -n 8)}\" >&2";

/// Restarts dockerd, and waits until it runs and answers; says what it complained about where it does not.
pub(super) fn restart(switch: &mut Switch<'_>) -> Result<(), ReachError> {
    let Switch { session, kept } = switch;
    let Kept { restart: way, within, socket, .. } = kept.as_ref();
    // What is left is for proving that it can be reached.
    let patience = (*within * 3 / 4).max(Duration::from_secs(5));
    let seconds = patience.as_secs();
    let script = match *way {
        // Without --no-block a daemon that hangs would hold this shell as long as systemd waits, which is for ever.
        Restart::Systemd => format!(
            "began=$(date +%s)\n\
             show() {{ systemctl show -p \"$1\" {SERVICE} | sed -n \"s/^$1=//p\"; }}\n\
             systemctl daemon-reload && systemctl reset-failed {SERVICE} 2>/dev/null; before=$(show MainPID)\n\
             systemctl restart --no-block {SERVICE} || exit 1\n\
             left={seconds}\n\
             while [ $left -gt 0 ]; do\n\
             state=$(show SubState)\n\
             case $state in\n\
             auto-restart*) break ;;\n\
             # In between it is failed too, where the former dockerd did not end well.\n\
             failed) job=$(show Job); [ \"${{job:-0}}\" = 0 ] && break ;;\n\
             esac\n\
             [ \"$state\" = running ] && [ \"$(show MainPID)\" != \"$before\" ] && exit 0\n\
             sleep 1; left=$((left - 1))\n\
             done\n\
             log=$(journalctl -q -o cat -u {SERVICE} --since \"@$began\" 2>/dev/null)\n\
             {TELL_WHY}\n\
             exit 1"
        ),
        Restart::OpenRc => "rc-service docker restart >&2".to_owned(),
        Restart::SysV => "service docker restart >&2".to_owned(),
    };
    session.run(&script, &[], patience + Duration::from_secs(30))?.success("dockerd did not come up")?;
    let mut ping = ping(*way, socket.as_deref(), After::Change);
    if *way != Restart::Systemd {
        // Their scripts do not wait for dockerd; this is where they have it log (moby contrib/init/sysvinit-debian).
        ping = format!("(\n{ping}\n) && exit 0\nlog=$(tail -n 60 /var/log/docker.log 2>/dev/null)\n{TELL_WHY}\nexit 1");
    }
    session.run(&ping, &[], patience)?.success("dockerd does not answer on its socket")?;
    Ok(())
}

/// What dockerd was restarted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// It has a unix socket now.
    Change,
    /// It may have had none.
    TakingBack,
}

/// Whether dockerd answers on its unix socket. Without any client there, that it runs has to do.
pub(super) fn ping(way: Restart, socket: Option<&str>, after: After) -> String {
    let runs = match way {
        Restart::Systemd => format!("systemctl is-active --quiet {SERVICE}"),
        Restart::OpenRc | Restart::SysV => "pidof dockerd >/dev/null || pgrep -x dockerd >/dev/null".to_owned(),
    };
    let socket = match socket {
        Some(path) => format!("socket={}", quoted(path)),
        None => "socket=/var/run/docker.sock; [ -S $socket ] || socket=/run/docker.sock\n\
             [ -S $socket ] || socket=$(systemctl show -p Listen docker.socket 2>/dev/null | sed -n 's/^Listen=\\(.*\\) (Stream)$/\\1/p')"
            .to_owned(),
    };
    let last = match after {
        After::Change => String::new(),
        After::TakingBack => format!("if [ ! -S \"$socket\" ] && {{ {runs}; }}; then exit 0; fi\n"),
    };
    format!(
        "{socket}\n\
         try() {{\n\
         if command -v docker >/dev/null 2>&1; then env -u DOCKER_CONTEXT -u DOCKER_TLS_VERIFY -u DOCKER_TLS docker -H \"unix://$socket\" version --format '{{{{.Server.Version}}}}'\n\
         elif command -v curl >/dev/null 2>&1; then curl -sSf --max-time 5 --unix-socket \"$socket\" http://localhost/_ping >/dev/null\n\
         else [ -S \"$socket\" ] && {{ {runs}; }}\n\
         fi; }}\n\
         left=10; while [ $left -gt 0 ]; do why=$(try 2>&1) && exit 0; sleep 1; left=$((left - 1)); done\n\
         {last}printf '%s\n' \"$why\" >&2; exit 1"
    )
}
