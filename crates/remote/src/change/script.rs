//! The scripts that run on the host without us: what brings the former state back, and what has it run.

use std::fmt::Write as _;

use dockseal_docker::host_plan::SERVICE;

use super::{BOOT_SWITCH, DIRECTORY, Restart, SWITCH};
use crate::session::quoted;

/// A transient timer does not outlive a restart of the host, after which nobody could confirm any more. This comes before
/// dockerd there, which must not start half-way: where its unit and daemon.json do not agree, it takes the socket's place.
pub(super) fn arm_for_boot() -> String {
    let (unit, link) = boot_switch();
    format!(
        "printf '[Unit]\\nDescription=Dockseal: back to the former state\\nConditionPathExists=%s\\nBefore={SERVICE}\\n[Service]\\nType=oneshot\\nExecStart=/bin/sh %s at-boot\\n' \
         \"$change/restore\" \"$change/restore\" | cat >{unit} && (umask 022; mkdir -p {}) && ln -sf {unit} {link} || exit 1\n",
        parent(&link)
    )
}

/// Its unit, and the link that has it started.
pub(super) fn boot_switch() -> (String, String) {
    let directory = "/etc/systemd/system";
    (format!("{directory}/{BOOT_SWITCH}"), format!("{directory}/multi-user.target.wants/{BOOT_SWITCH}"))
}

/// A shell's function: whether the process of a switch without systemd waits still. Its number alone may be another's after a
/// restart of the host.
pub(crate) fn waits() -> String {
    format!(
        "waits() {{ [ -s {DIRECTORY}/waiter ] && grep -q {DIRECTORY} \"/proc/$(cat {DIRECTORY}/waiter)/cmdline\" 2>/dev/null; }}\n"
    )
}

/// A shell's function: says who but root, or the user who logged in and became root, could put something else into the way
/// to a place; nothing where nobody could. Every directory counts through which the way really leads, link by link. What sshd(8)
/// asks of the way to its keys (StrictModes; OpenSSH misc.c, safe_path), and more: where there is an access control list, the
/// group's bits are its mask (acl(5)), so a directory that its group can write is nobody's alone, whatever the group.
pub(crate) const CHANGEABLE: &str = r#"changeable() {
# What has no / in it is never cut short.
case $1 in /*) ahead=${1%/*} ;; *) ahead=/${1%/*} ;; esac
way=; hops=0
while :; do
set -- $(stat -L -c '%u %g %a' "${way:-/}" 2>/dev/null); who=
case $3 in *[2367]) who=everybody ;; *[2367]?) who="the group $2" ;; esac
[ "${1:-0}" = 0 ] || [ "$1" = "${SUDO_UID:-0}" ] || who="the user $1"
if [ "$who" ]; then printf '%s can change %s' "$who" "${way:-/}"; return; fi
[ "$ahead" ] || return 0
part=${ahead%%/*}
case $ahead in */*) ahead=${ahead#*/} ;; *) ahead= ;; esac
case $part in
''|.) ;;
..) way=${way%/*} ;;
*)
if [ -L "$way/$part" ] && [ "$hops" -lt 40 ]; then
hops=$((hops + 1)); part=$(readlink "$way/$part")
case $part in /*) way= ;; esac
ahead=$part${ahead:+/$ahead}
elif [ -d "$way/$part" ]; then way=$way/$part
else return 0
fi ;;
esac
done
}
"#;

/// What brings the former state back, or, once the change is confirmed, takes away what is left of it. Can be run again
/// after it was cut short.
pub(super) fn restore_script(way: Restart, was_running: bool, paths: &[&str]) -> String {
    let mut script = format!(
        "#!/bin/sh\n# Written by dockseal: brings back what was there before a change, unless that was confirmed.\n\
         PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin; LC_ALL=C; export PATH LC_ALL; umask 077\n\
         cd {DIRECTORY} 2>/dev/null || exit 0\n\
         # Whoever comes second finds nothing to do.\n\
         if command -v flock >/dev/null 2>&1; then command exec 9<restore || exit 0; flock 9; fi\n\
         made=; again=; later=; [ \"$1\" = at-boot ] && later=--no-block\n\
         if [ ! -e confirmed ]; then\n\
         mv armed restoring 2>/dev/null || [ -e restoring ] || exit 0\n\
         made=$(cat made 2>/dev/null)\n\
         if [ -e swapped ]; then\n\
         again=yes\n\
         # What lies beside its place still never came into it.\n\
         back() {{ if [ -e \"$2\" ]; then rm -rf \"$1\"; mv -f \"$2\" \"$1\"; elif [ \"$4\" = new ] && [ ! -e \"$3\" ]; then rm -rf \"$1\"; fi; }}\n"
    );
    for path in paths {
        let (place, old, new) = (quoted(path), quoted(&former(path)), quoted(&staged(path)));
        // Whether anything was there is written down by the same script, before the first swap.
        let _ =
            writeln!(script, "back {place} {old} {new} \"$(grep -qxF {place} new-places 2>/dev/null && echo new)\"");
    }
    script.push_str("fi\nfi\n");
    for path in paths {
        let _ = writeln!(script, "rm -rf {} {}", quoted(&staged(path)), quoted(&former(path)));
    }
    script.push_str("sync\n");
    // Whoever waits came too late for a confirmed change, or was not waited for; not before all is back, for this may be cut
    // short. The process may be this very one.
    let _ = writeln!(
        script,
        "systemctl stop {SWITCH}.timer >/dev/null 2>&1\n\
         {}if waits && [ \"$(cat waiter)\" != $$ ]; then kill \"$(cat waiter)\" 2>/dev/null; fi",
        waits()
    );
    if way == Restart::Systemd {
        let (unit, link) = boot_switch();
        let _ = writeln!(script, "rm -f {unit} {link}; systemctl daemon-reload");
    }
    script.push_str("if [ \"$again\" ]; then\n");
    script.push_str(&match (way, was_running) {
        (Restart::Systemd, true) => {
            // A dockerd that was started half-way may have put its own socket in the place of systemd's.
            format!(
                "systemctl reset-failed {SERVICE} 2>/dev/null; socket=; systemctl -q is-active docker.socket && socket=docker.socket\n\
                 systemctl restart $later $socket {SERVICE} 9<&-\n"
            )
        }
        (Restart::Systemd, false) => {
            format!("systemctl stop $later {SERVICE}; systemctl reset-failed {SERVICE} 2>/dev/null\n")
        }
        (Restart::OpenRc, true) => "rc-service docker restart 9<&-\n".to_owned(),
        (Restart::OpenRc, false) => "rc-service docker stop\n".to_owned(),
        (Restart::SysV, true) => "service docker restart 9<&-\n".to_owned(),
        (Restart::SysV, false) => "service docker stop\n".to_owned(),
    });
    let _ = writeln!(script, "fi\ncd / && rm -rf {DIRECTORY}");
    // A directory of drop-ins without any says nothing.
    for directory in paths.iter().map(|path| parent(path)).filter(|directory| directory.ends_with(".d")) {
        let _ = writeln!(script, "rmdir {} 2>/dev/null", quoted(directory));
    }
    // Those that were made for the change, the innermost first.
    let _ = writeln!(
        script,
        "printf '%s\\n' \"$made\" | while IFS= read -r at; do [ -z \"$at\" ] || rmdir \"$at\" 2>/dev/null; done\n\
         rmdir {} 2>/dev/null; exit 0",
        parent(DIRECTORY)
    );
    script
}

/// The new version of a place, beside it: no program takes a hidden name without its ending for a configuration.
pub(super) fn staged(path: &str) -> String {
    beside(path, "new")
}

/// The former version.
pub(super) fn former(path: &str) -> String {
    beside(path, "former")
}

pub(super) fn beside(path: &str, what: &str) -> String {
    let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
    format!("{directory}/.{name}.dockseal-{what}")
}

/// The directory that a place is in.
pub(super) fn parent(path: &str) -> &str {
    match path.rsplit_once('/') {
        Some(("", _)) | None => "/",
        Some((parent, _)) => parent,
    }
}
