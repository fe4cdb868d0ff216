//! Ids that no other client of the socket can have.

use std::fmt;

use serde_json::Value;
use uuid::Uuid;

/// The ids of one connection: its nonce and a counter (R11).
///
/// The nonce comes from the kernel for each connection, so that not even a forked child of this
/// process draws the same one.
pub(crate) struct Ids {
    nonce: String,
}

/// The number of a command on its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CommandId(pub(crate) u64);

/// The number of `qmp_capabilities`; the commands of callers count from one.
pub(crate) const CAPABILITIES: CommandId = CommandId(0);

impl Ids {
    pub(crate) fn new() -> Self {
        Self { nonce: Uuid::new_v4().simple().to_string() }
    }

    pub(crate) fn text(&self, id: CommandId) -> String {
        format!("{}-{id}", self.nonce)
    }

    /// The command that a reply with this id is for; `None` where the id is not one of ours.
    pub(crate) fn command(&self, id: Option<&Value>) -> Option<CommandId> {
        let digits = id?.as_str()?.strip_prefix(self.nonce.as_str())?.strip_prefix('-')?;
        let command = CommandId(digits.parse().ok()?);
        (command.to_string() == digits).then_some(command)
    }
}

impl fmt::Display for CommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_id_of_another_connection_is_never_ours() {
        let (ours, theirs) = (Ids::new(), Ids::new());
        let id = CommandId(7);
        assert_eq!(ours.command(Some(&ours.text(id).into())), Some(id));
        assert_eq!(ours.command(Some(&theirs.text(id).into())), None);
        assert_eq!(ours.command(None), None);
        for forged in ["7", "-7", "+7", "07", "7 ", "", "18446744073709551616"] {
            let text = format!("{}-{forged}", ours.nonce);
            assert_eq!(ours.command(Some(&json!(text))), (forged == "7").then_some(id), "{forged}");
        }
        for other in [json!(7), json!(null), json!(["x"]), json!(ours.nonce)] {
            assert_eq!(ours.command(Some(&other)), None);
        }
    }
}
