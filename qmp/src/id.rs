//! Ids that no other client of the socket can have.

use std::fmt;

use serde_json::Value;
use uuid::Uuid;

/// The ids of one connection: a nonce and a counter (R11), as short as may be, for QEMU 7.2 reads a command byte by byte.
///
/// The answer to the first command is the fence, so its id is long. The nonce comes from the kernel for each connection, so
/// that not even a forked child of this process draws the same one by rule. One in 60 million draws is that of another
/// connection; that does harm only where that one's reply is still on its way.
///
/// Replies to earlier clients all come before that answer: QEMU executes what a socket was sent in order. So of the nonce
/// one digit is enough for the commands of callers; it is no beginning of the long id.
pub(crate) struct Ids {
    first: String,
    nonce: String,
}

/// The number of a command on its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CommandId(pub(crate) u64);

/// The number of `qmp_capabilities`; the commands of callers count from one.
pub(crate) const CAPABILITIES: CommandId = CommandId(0);

/// Digits and letters of one case.
const RADIX: u32 = 36;
/// Digits of a nonce.
const NONCE: u32 = 5;

impl Ids {
    pub(crate) fn new() -> Self {
        // As many different ones as have exactly that many digits.
        let least = u128::from(RADIX).pow(NONCE - 1);
        let drawn = least + Uuid::new_v4().as_u128() % (least * u128::from(RADIX - 1));
        let one = (drawn / least + 1) % u128::from(RADIX);
        Self {
            first: format!("{}{}", digits(drawn), digits(CAPABILITIES.0.into())),
            nonce: digits(one),
        }
    }

    pub(crate) fn text(&self, id: CommandId) -> String {
        match id {
            CAPABILITIES => self.first.clone(),
            CommandId(number) => format!("{}{}", self.nonce, digits(number.into())),
        }
    }

    /// Whether a reply with this id is the first answer.
    pub(crate) fn is_first(&self, id: Option<&Value>) -> bool {
        id.and_then(Value::as_str) == Some(&self.first)
    }

    /// The command that a reply with this id is for; `None` where the id is not one of ours.
    pub(crate) fn command(&self, id: Option<&Value>) -> Option<CommandId> {
        if self.is_first(id) {
            return Some(CAPABILITIES);
        }
        let text = id?.as_str()?;
        let counter = text.strip_prefix(self.nonce.as_str())?;
        let command = CommandId(u64::from_str_radix(counter, RADIX).ok()?);
        (self.text(command) == text).then_some(command)
    }
}

/// A number to the base of [`RADIX`].
fn digits(mut number: u128) -> String {
    let mut digits = Vec::new();
    loop {
        let digit = u32::try_from(number % u128::from(RADIX)).unwrap_or(0);
        digits.extend(char::from_digit(digit, RADIX));
        number /= u128::from(RADIX);
        if number == 0 {
            return digits.into_iter().rev().collect();
        }
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
    fn an_id_that_we_did_not_give_is_never_ours() {
        let ours = Ids::new();
        let id = CommandId(7);
        assert_eq!(ours.command(Some(&ours.text(id).into())), Some(id));
        assert_eq!(ours.command(None), None);
        for forged in ["-7", "+7", "07", "7 ", "", "77", "3w5e11264sgsg"] {
            let text = format!("{}{forged}", ours.nonce);
            assert_ne!(ours.command(Some(&json!(text))), Some(id), "{forged}");
        }
        assert_eq!(ours.text(CommandId(u64::MAX)), format!("{}3w5e11264sgsf", ours.nonce));
        assert_eq!(ours.command(Some(&json!(format!("{}A", ours.nonce)))), None);
        assert_eq!(ours.command(Some(&json!(format!("{}0", ours.nonce)))), None);
        for other in [json!(7), json!(null), json!(["x"]), json!(ours.nonce)] {
            assert_eq!(ours.command(Some(&other)), None);
        }
    }

    #[test]
    fn the_first_answer_is_told_from_those_to_the_first_and_later_commands_of_others() {
        for _ in 0..1000 {
            let (ours, theirs) = (Ids::new(), Ids::new());
            assert!(ours.is_first(Some(&ours.text(CAPABILITIES).into())));
            assert_eq!(ours.text(CAPABILITIES).len(), 6);
            assert_eq!(ours.command(Some(&ours.text(CAPABILITIES).into())), Some(CAPABILITIES));
            for id in [CAPABILITIES, CommandId(1), CommandId(46)] {
                assert!(!ours.is_first(Some(&theirs.text(id).into())));
            }
            assert!(!ours.first.starts_with(&ours.nonce));
            assert_eq!(ours.nonce.len(), 1);
        }
    }
}
