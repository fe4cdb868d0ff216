//! A command to QEMU.

use std::{any::Any, fmt, os::fd::OwnedFd};

use serde_json::{Map, Value};

/// A command: its name, its arguments, the descriptor that goes with it, and what must live as long
/// as it may have an effect.
///
/// ```
/// use steadfast_qmp::Command;
///
/// let command = Command::new("device_del").argument("id", "disk7");
/// ```
#[must_use]
pub struct Command {
    name: String,
    arguments: Value,
    descriptor: Option<OwnedFd>,
    keep: Keep,
    naming: Naming,
}

/// How the reply to a command is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Naming {
    /// By the id it repeats.
    ById,
    /// By its turn: QEMU answers in order.
    ByTurn,
}

/// What a command owns besides itself; only dropped, never looked at.
pub(crate) type Keep = Vec<Box<dyn Any + Send + Sync>>;

/// What of a command lives on when its text has been made.
pub(crate) struct Luggage {
    pub(crate) descriptor: Option<OwnedFd>,
    pub(crate) keep: Keep,
}

impl Command {
    /// A command without arguments.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            arguments: Value::Object(Map::new()),
            descriptor: None,
            keep: Keep::new(),
            naming: Naming::ById,
        }
    }

    /// Adds one argument; a second one of the same name replaces the first.
    pub fn argument(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        if let Value::Object(members) = &mut self.arguments {
            members.insert(name.into(), value.into());
        }
        self
    }

    /// Adds the members of `arguments`, an object. Anything else goes to QEMU as it is, whatever
    /// [`Command::argument`] adds, and QEMU refuses the command.
    pub fn arguments(mut self, arguments: Value) -> Self {
        match (&mut self.arguments, arguments) {
            (Value::Object(members), Value::Object(more)) => members.extend(more),
            (own, other) => *own = other,
        }
        self
    }

    /// Sends a descriptor with the first byte of the command (`add-fd`, `getfd`); QEMU gets a copy,
    /// and this one is closed as soon as the kernel has taken it. QEMU takes one descriptor for a
    /// command: a second call replaces the first.
    pub fn descriptor(mut self, descriptor: OwnedFd) -> Self {
        self.descriptor = Some(descriptor);
        self
    }

    /// Keeps `kept` for as long as the command may have an effect (R13). It is dropped when the
    /// reply has arrived, when it is certain that the command was not sent, or when the connection
    /// is gone, in that case after the socket was closed. It may be called more than once.
    pub fn keep(mut self, kept: Box<dyn Any + Send + Sync>) -> Self {
        self.keep.push(kept);
        self
    }

    /// The name, `device_add` for example.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Leaves the id out, which QEMU takes longer to read than it takes for a short command.
    pub(crate) fn go_by_turn(&mut self) {
        self.naming = Naming::ByTurn;
    }

    pub(crate) fn naming(&self) -> Naming {
        self.naming
    }

    /// The line that goes to QEMU, and the rest.
    pub(crate) fn into_line(self, id: String) -> (Vec<u8>, Luggage) {
        let mut message = Map::new();
        message.insert("execute".into(), self.name.into());
        if self.arguments.as_object().is_none_or(|members| !members.is_empty()) {
            message.insert("arguments".into(), self.arguments);
        }
        if self.naming == Naming::ById {
            message.insert("id".into(), id.into());
        }
        let mut line = Value::Object(message).to_string().into_bytes();
        line.push(b'\n');
        (line, Luggage { descriptor: self.descriptor, keep: self.keep })
    }
}

/// Without the arguments: a secret may be among them.
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command")
            .field("name", &self.name)
            .field("descriptor", &self.descriptor)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn line(command: Command) -> String {
        String::from_utf8(command.into_line("a-1".into()).0).unwrap()
    }

    #[test]
    fn a_command_is_one_line_whatever_its_arguments_hold() {
        let command = Command::new("object-add").argument("id", "a\n\"\u{0}é");
        let text = line(command);
        assert_eq!(text.matches('\n').count(), 1);
        assert!(text.ends_with("}\n"));
        let back: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(back["arguments"]["id"], "a\n\"\u{0}é");
    }

    #[test]
    fn arguments_are_left_out_only_when_there_are_none() {
        assert_eq!(line(Command::new("stop")), "{\"execute\":\"stop\",\"id\":\"a-1\"}\n");
        let whole = Command::new("x").argument("a", 1).arguments(json!({"b": 2})).argument("a", 3);
        assert_eq!(
            line(whole),
            "{\"execute\":\"x\",\"arguments\":{\"a\":3,\"b\":2},\"id\":\"a-1\"}\n"
        );
        let wrong = Command::new("x").arguments(json!([1])).argument("a", 1);
        assert_eq!(line(wrong), "{\"execute\":\"x\",\"arguments\":[1],\"id\":\"a-1\"}\n");
    }

    #[test]
    fn arguments_are_not_shown_to_a_log() {
        let shown = format!("{:?}", Command::new("object-add").argument("data", "hunter2"));
        assert!(shown.contains("object-add") && !shown.contains("hunter2"), "{shown}");
    }
}
