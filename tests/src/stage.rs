//! How far a killed verb had come, read from its system calls.

use std::fmt;

use crate::Call;

/// The stages of a verb: the record's write-ahead log and the effects (QMP commands that change
/// something, a spawn, a signal) mark their borders.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Nothing was written to the record.
    BeforeIntent,
    /// The record was being written, or was, and no effect had been asked for.
    Intent,
    /// The last thing asked for was this effect: a QMP command, `spawn`, or `signal`.
    Effect(String),
    /// The record was being written after an effect, and not yet synced.
    Settle,
    /// What was written last is synced.
    After,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stage::BeforeIntent => f.write_str("before the intent"),
            Stage::Intent => f.write_str("intent"),
            Stage::Effect(effect) => write!(f, "effect {effect}"),
            Stage::Settle => f.write_str("settle"),
            Stage::After => f.write_str("after"),
        }
    }
}

/// The stage that these calls had reached. A call that did not return counts as begun for the
/// record, and as not done for an effect.
pub fn stage_of(calls: &[Call]) -> Stage {
    let mut stage = Stage::BeforeIntent;
    for call in calls {
        if let Some(effect) = effect_of(call) {
            stage = Stage::Effect(effect);
        } else if writes_log(call) {
            stage = match stage {
                Stage::BeforeIntent | Stage::Intent => Stage::Intent,
                Stage::Effect(_) | Stage::Settle | Stage::After => Stage::Settle,
            };
        } else if syncs_log(call) {
            // An intent is synced only where the log is new; that is no acknowledgement.
            stage = match stage {
                Stage::Settle => Stage::After,
                other => other,
            };
        }
    }
    stage
}

/// What this call asked for, if it was executed and changes a primary.
fn effect_of(call: &Call) -> Option<String> {
    let asks = |command: &&str| {
        command.starts_with("query-")
            || matches!(
                *command,
                "qmp_capabilities" | "qom-list" | "qom-get" | "human-monitor-command"
            )
    };
    if let Some(command) = call.qmp_commands().into_iter().rfind(|command| !asks(command)) {
        return call.returned.then(|| command.to_owned());
    }
    match call.name.as_str() {
        "execve" if call.arguments.contains("qemu-system") => Some("spawn".to_owned()),
        "pidfd_send_signal" | "kill" if call.returned && call.arguments.contains("SIGKILL") => {
            Some("signal".to_owned())
        }
        _ => None,
    }
}

fn names_log(call: &Call) -> bool {
    call.arguments.split_once('>').is_some_and(|(descriptor, _)| descriptor.ends_with("-wal"))
}

fn writes_log(call: &Call) -> bool {
    matches!(call.name.as_str(), "pwrite64" | "write" | "writev") && names_log(call)
}

fn syncs_log(call: &Call) -> bool {
    matches!(call.name.as_str(), "fsync" | "fdatasync") && call.returned && names_log(call)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(name: &str, arguments: &str) -> Call {
        Call {
            thread: 1,
            name: name.to_owned(),
            arguments: arguments.to_owned(),
            returned: true,
            held: false,
        }
    }

    fn qmp(command: &str) -> Call {
        call("sendmsg", &format!(r#"3<socket:[9]>, {{iov_base="{{\"execute\":\"{command}\"}}""#))
    }

    #[test]
    fn an_attach_goes_through_the_stages_in_order() {
        let wal = |name: &str| call(name, "5</s/steadfast.db-wal>, x");
        let calls = [
            qmp("qmp_capabilities"),
            wal("pwrite64"),
            wal("fsync"),
            qmp("blockdev-add"),
            qmp("query-status"),
            qmp("device_add"),
            wal("pwrite64"),
            wal("fsync"),
        ];
        let stages: Vec<String> =
            (0..=calls.len()).map(|end| stage_of(&calls[..end]).to_string()).collect();
        let blockdev = "effect blockdev-add";
        assert_eq!(
            stages,
            [
                "before the intent",
                "before the intent",
                "intent",
                "intent",
                blockdev,
                blockdev,
                "effect device_add",
                "settle",
                "after"
            ]
        );
    }

    #[test]
    fn an_effect_killed_on_entry_was_not_asked_for() {
        let mut unsent = qmp("device_add");
        unsent.returned = false;
        assert_eq!(stage_of(&[call("pwrite64", "5</s/x-wal>, x"), unsent]), Stage::Intent);
    }
}
