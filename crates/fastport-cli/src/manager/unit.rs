//! The text of a systemd unit. Pure: it neither reads nor writes files.

use super::{DESCRIPTION, Launch, ManagerError};
use std::fmt::Write;

/// Within which the workers must answer; half of it is how often they are asked.
const WATCHDOG: &str = "30s";

/// Lines of every unit.
const COMMON: &str = "\
Restart=on-failure
RestartSec=1s
# Wrong settings do not become right by another try.
RestartPreventExitStatus=2
TimeoutStartSec=30s
TimeoutStopSec=30s
LimitNOFILE=1048576
NoNewPrivileges=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
# Has io_uring; a call that is filtered fails like one that is not permitted.
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
UMask=0077
";

/// Lines that only the system's manager can keep.
const SYSTEM: &str = "\
DynamicUser=yes
AmbientCapabilities=CAP_NET_BIND_SERVICE
CapabilityBoundingSet=CAP_NET_BIND_SERVICE
PrivateDevices=yes
PrivateTmp=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHome=read-only
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
ProtectSystem=strict
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
";

/// The unit that runs `launch`, for a user's manager or for the system's.
///
/// # Errors
/// A path or an argument that no unit can hold.
pub(crate) fn text(launch: &Launch, for_user: bool) -> Result<String, ManagerError> {
    let mut command = word(launch.program.as_os_str())?;
    for argument in &launch.arguments {
        let _ = write!(command, " {}", word(argument)?);
    }
    let (network, hardening, target) = if for_user {
        // A user's manager does not see the system's targets.
        ("", "", "default.target")
    } else {
        (
            "Wants=network-online.target\nAfter=network-online.target\n",
            SYSTEM,
            "multi-user.target",
        )
    };
    Ok(format!(
        "# Made by `fastport service install`.\n\
         [Unit]\nDescription={DESCRIPTION}\n{network}\n\
         [Service]\nType=notify\nNotifyAccess=main\nExecStart={command}\n\
         ExecReload=kill -HUP $MAINPID\nWatchdogSec={WATCHDOG}\n\
         {COMMON}{hardening}\n\
         [Install]\nWantedBy={target}\n"
    ))
}

/// One word of a command line (systemd.service(5), "COMMAND LINES"): `%` and `$` would be replaced,
/// and quotes keep spaces.
fn word(word: &std::ffi::OsStr) -> Result<String, ManagerError> {
    let refused = |why| ManagerError::Argument(format!("{}: {why}", word.to_string_lossy()));
    let text = word.to_str().ok_or_else(|| refused("a unit is UTF-8"))?;
    if text.chars().any(char::is_control) {
        return Err(refused("a unit has no control characters"));
    }
    let escaped = text
        .replace('%', "%%")
        .replace('$', "$$")
        .replace('\\', "\\\\")
        .replace('"', "\\\"");
    let is_plain = !text.is_empty() && !text.contains([' ', '\'', '"', '\\', ';']);
    Ok(if is_plain {
        escaped
    } else {
        format!("\"{escaped}\"")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;

    #[test]
    fn words_are_kept_as_they_are() {
        for (raw, quoted) in [
            ("--listen", "--listen"),
            ("a b", "\"a b\""),
            ("", "\"\""),
            ("100%", "100%%"),
            ("$HOME", "$$HOME"),
            ("a\"b\\c", "\"a\\\"b\\\\c\""),
        ] {
            assert_eq!(word(OsStr::new(raw)).unwrap(), quoted);
        }
        assert!(word(OsStr::new("a\nExecStart=b")).is_err());
    }
}
