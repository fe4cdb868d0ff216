//! The caller's side of commands under way.

use std::{collections::VecDeque, time::Instant};

use crate::{
    Command, Outcome, QmpError, UnknownReason,
    id::CommandId,
    outbox::{Outbox, Ticket},
    sync::timeout_at,
};

/// Posted commands whose outcomes the caller has not got. Dropping it withdraws those that were not
/// sent.
pub(crate) struct Batch<'a> {
    outbox: &'a Outbox,
    open: VecDeque<Ticket>,
}

impl<'a> Batch<'a> {
    pub(crate) fn post(outbox: &'a Outbox, commands: Vec<Command>, deadline: Instant) -> Self {
        Self { outbox, open: outbox.post(commands, deadline) }
    }

    /// The outcomes, in the order of the commands.
    ///
    /// # Cancel safety
    /// Dropping it withdraws what was not sent; what was sent goes on without a witness.
    pub(crate) async fn outcomes(mut self, deadline: Instant) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(self.open.len());
        while let Some(ticket) = self.open.front_mut() {
            let outcome = match timeout_at(deadline.into(), &mut ticket.answer).await {
                Ok(answer) => answer.unwrap_or_else(|_| ended()),
                Err(_) => late(self.outbox, ticket),
            };
            outcomes.push(outcome);
            self.open.pop_front();
        }
        outcomes
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        if !self.open.is_empty() {
            let open: Vec<CommandId> = self.open.iter().map(|ticket| ticket.id).collect();
            self.outbox.withdraw(&open);
        }
    }
}

/// The deadline has passed: the command is withdrawn, or it was sent, or it is answered by now.
fn late(outbox: &Outbox, ticket: &mut Ticket) -> Outcome {
    if !outbox.withdraw(&[ticket.id]).is_empty() {
        return Outcome::Unknown(UnknownReason::NotSent(QmpError::Late));
    }
    ticket.answer.try_recv().unwrap_or(Outcome::Unknown(UnknownReason::Sent(QmpError::Silent)))
}

/// A waiter that was dropped unsettled: only a panic in a value that a command kept does that.
fn ended() -> Outcome {
    Outcome::Unknown(UnknownReason::Sent(QmpError::Abandoned))
}
