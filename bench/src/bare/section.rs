//! A section by bare SQL: it reads the rows that it decides on, writes those that it changes and a line of history each, and commits
//! once. Its numbers come from the row of the store.

use rusqlite::types::Value;
use rusqlite::{OptionalExtension, params};

use super::Result;
use super::commit::Level;
use super::rows::{Rows, cells};

/// What a section makes of its devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// They come.
    Add,
    /// They are written over.
    Change,
    /// They go.
    Remove,
}

/// What a verb makes of its devices on record: before its effect, and after it.
pub type Steps = (Step, Step);
/// They come.
pub const ATTACH: Steps = (Step::Add, Step::Change);
/// They stay.
pub const CHANGE: Steps = (Step::Change, Step::Change);
/// They go.
pub const DETACH: Steps = (Step::Change, Step::Remove);

const SPEC: &str = r#"{"class":"disk","bus":"scsi","file":"/var/tmp/a-folder/of-its-own/disk0","format":"raw","readonly":false,"serial":null,"removable":false,"cache":"writeback","discard":"ignore"}"#;
const PLACE: &str = r#"{"at":"scsi:40","medium":40}"#;
const OWNER: &str = r#"{"process":{"pid":4242,"started":1234567},"verb":"attach","boot":"b6d1e5a2-4b0c-4a5e-8d5a-6f3c1f0e9a77"}"#;
const SUMMARY: &str =
    "disk0: none -> adding disk,bus=scsi,file=/var/tmp/a-folder/of-its-own/disk0,format=raw";
const NOW: i64 = 1_795_200_846_476;

/// Durable commits to a checkpoint.
const TURN: i64 = 512;

const NUMBERS: &str = "SELECT counter, acknowledged, history FROM meta WHERE id = 1";
const INSERT: &str =
    "INSERT INTO device VALUES (?1, ?2, 'adding', ?3, ?3, ?4, ?5, NULL, ?6, ?7, 0, 0)";
const CLAIM: &str = "INSERT INTO claim VALUES (?1, 'scsi:' || ?2, ?2, 0)";
const UPDATE: &str =
    "UPDATE device SET phase = 'present', since = ?3, owner = NULL WHERE domain = ?1 AND id = ?2";
const RELEASE: &str = "DELETE FROM claim WHERE domain = ?1 AND device = ?2";
const DELETE: &str = "DELETE FROM device WHERE domain = ?1 AND id = ?2";
const NOTE: &str =
    "INSERT INTO history VALUES (?1, ?2, ?3, ?4, 'attach', ?5, NULL, ?6, 4242, 0, ?6, 0)";
const COUNT: &str = "UPDATE domain SET revision = revision + 1, devices = devices + ?2, claims = claims + ?2 WHERE uuid = ?1";
const DRAW: &str = "UPDATE meta SET counter = ?1, commits = commits + 1, history = ?2, acknowledged = ?3 WHERE id = 1";

/// Does this with these devices of a domain, in one transaction.
pub fn section(rows: &Rows, level: Level, step: Step, domain: &str, ids: &[&str]) -> Result<()> {
    rows.begin(level)?;
    let row = rows.domain(domain)?;
    let [Value::Integer(mut counter), Value::Integer(durable), Value::Integer(mut line)] =
        rows.read(NUMBERS, [])?
    else {
        return Err("the store has no numbers".into());
    };
    let durable = durable + i64::from(level == Level::Full);
    if step == Step::Add {
        rows.claims(domain)?;
    }
    for id in ids {
        let _old = rows.device()?.query_row([domain, id], cells::<12>).optional()?;
        match step {
            Step::Add => {
                counter += 1;
                rows.run(INSERT, params![domain, id, counter, SPEC, PLACE, NOW, OWNER])?;
                rows.run(CLAIM, [domain, id])?;
            }
            Step::Change => rows.run(UPDATE, params![domain, id, NOW])?,
            Step::Remove => {
                rows.run(RELEASE, [domain, id])?;
                rows.run(DELETE, [domain, id])?;
            }
        }
        line += 1;
        rows.run(NOTE, params![line, NOW, domain, row[1], id, SUMMARY])?;
    }
    let more = match step {
        Step::Add => ids.len().cast_signed(),
        Step::Change => 0,
        Step::Remove => -ids.len().cast_signed(),
    };
    rows.run(COUNT, params![domain, more])?;
    rows.run(DRAW, [counter, line, durable])?;
    rows.run("COMMIT", [])?;
    if level == Level::Full && durable % TURN == 0 { rows.checkpoint() } else { Ok(()) }
}
