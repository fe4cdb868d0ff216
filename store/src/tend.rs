//! What may wait until everybody was answered: the log goes into the database, and history beyond its bounds goes.
//!
//! ```text
//! log into the database -> gate -> the rest of it -> history trimmed in a transaction, with which the log begins anew -> gate left
//! ```
//! A log that was copied is begun anew at once: the next process to open the store would not know that it was copied, read all of
//! it and go on behind it. Cut off anywhere, it is done by whoever comes to the next turn.

use std::time::Duration;

use rusqlite::Connection;
use uuid::Uuid;

use crate::engine::{Engine, Shared};
use crate::error::StoreError;
use crate::history;
use crate::queue::Commit;
use crate::sync::Monotonic;

/// It costs three flushes and milliseconds, so it is not done more often; the first process that opens the store reads the log,
/// a microsecond for two pages, so it is not done more seldom. It hangs on the number of the commit, not on a count of this
/// process, so that many short processes do it as often as a long one. Durable commits alone count: a verb has one.
pub(crate) const ACKNOWLEDGED: u64 = 512;
/// A log of more pages is looked after earlier, in case others read it for so long that it could not begin anew.
const MANY_PAGES: i32 = 16_384;
const COMMITS_OF_LONG_LOG: u64 = 64;
/// As many bytes of a log that begins anew stay where they are: more than it has between two turns, as a rule. The rest is given
/// back, by the transaction with which it begins.
const LOG_KEPT: i64 = 4 << 20;
/// How long it waits for the gate; whoever comes to the next turn tries again.
const PATIENCE: Duration = Duration::from_secs(1);

/// Whether the log is too long after commit `number`.
pub(crate) fn is_overdue(number: u64, log_pages: i32) -> bool {
    log_pages > MANY_PAGES && number.is_multiple_of(COMMITS_OF_LONG_LOG)
}

/// Does it. A failure is nobody's: whoever comes to the next turn tries again.
pub(crate) fn tend(shared: &Shared, engine: &mut Engine) {
    if let Err(error) = copy_log(shared).and_then(|_| renew(shared, engine)) {
        tracing::debug!(%error, "the log is looked after later");
        if !matches!(error, StoreError::Gate { .. }) {
            engine.doubt_log();
        }
    }
}

/// Copies what is in the log without holding up anybody.
fn copy_log(shared: &Shared) -> Result<(), StoreError> {
    let link = shared.pool.take()?;
    checkpoint(&link, "PASSIVE")?;
    shared.pool.give(link);
    Ok(())
}

/// Copies what came meanwhile, and writes the first commit of a new log.
fn renew(shared: &Shared, engine: &mut Engine) -> Result<(), StoreError> {
    shared.queue.turn_to_gate();
    let entered = shared.gate.enter(Uuid::nil(), "tend", Monotonic::now() + PATIENCE)?;
    shared.queue.pass_gate();
    copy_log(shared)?;
    engine.write_alone(shared, Commit::Intent, |connection| {
        connection.pragma_update(None, "journal_size_limit", LOG_KEPT)?;
        history::trim(connection)
    })?;
    drop(entered);
    Ok(())
}

/// Copies the log into the database and says whether all of it.
pub(crate) fn checkpoint(connection: &Connection, mode: &str) -> Result<bool, StoreError> {
    let sql = format!("PRAGMA wal_checkpoint({mode})");
    let (busy, log, copied): (i64, i64, i64) =
        connection.query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    Ok(busy == 0 && log == copied)
}
