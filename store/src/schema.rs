//! The tables, and the steps from one version of them to the next.

use std::path::Path;

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use crate::error::StoreError;
use crate::migration;

/// `PRAGMA application_id` of a store: "stdf".
pub const APPLICATION_ID: i64 = 0x7374_6466;

/// The newest schema version this program writes (`PRAGMA user_version`).
pub const SCHEMA_VERSION: i64 = STEPS.len() as i64;

/// Step `n` leads from version `n` to version `n + 1`. A step that was ever released is never edited: fixtures of each old
/// version go through the later ones.
const STEPS: &[Step] = &[
    Step { first: VERSION_1, rows: |_| Ok(()), then: "" },
    Step { first: VERSION_2, rows: migration::to_version_2, then: VERSION_2_TAKES_OVER },
];

/// From one version to the next.
struct Step {
    /// Makes tables.
    first: &'static str,
    /// Takes rows over that need another checksum.
    rows: fn(&Connection) -> Result<(), StoreError>,
    /// Takes the others over, and away what is not needed any more.
    then: &'static str,
}

/// Key columns come first, the checksum last; every other order belongs to the checksum and is part of the format.
///
/// `domain.devices`, `.claims` and `.blobs` count the rows that belong to the domain: a row whose own key was hit would
/// otherwise be a row that is not there.
const VERSION_1: &str = "
CREATE TABLE meta (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    store      TEXT    NOT NULL,
    run_folder BLOB    NOT NULL,
    counter    INTEGER NOT NULL,
    commits    INTEGER NOT NULL,
    checksum   INTEGER NOT NULL
) STRICT;
CREATE TABLE domain (
    uuid       TEXT    NOT NULL PRIMARY KEY,
    name       TEXT    NOT NULL UNIQUE,
    phase      TEXT    NOT NULL,
    generation INTEGER NOT NULL,
    revision   INTEGER NOT NULL,
    layout     TEXT    NOT NULL,
    document   TEXT    NOT NULL,
    process    TEXT,
    devices    INTEGER NOT NULL,
    claims     INTEGER NOT NULL,
    blobs      INTEGER NOT NULL,
    checksum   INTEGER NOT NULL
) STRICT;
CREATE TABLE device (
    domain     TEXT    NOT NULL REFERENCES domain (uuid),
    id         TEXT    NOT NULL,
    phase      TEXT    NOT NULL,
    serial     INTEGER NOT NULL,
    intent     INTEGER NOT NULL,
    spec       TEXT    NOT NULL,
    place      TEXT    NOT NULL,
    change     TEXT,
    since      INTEGER NOT NULL,
    owner      TEXT,
    implicit   INTEGER NOT NULL,
    checksum   INTEGER NOT NULL,
    PRIMARY KEY (domain, id)
) STRICT;
CREATE TABLE claim (
    domain     TEXT    NOT NULL REFERENCES domain (uuid),
    claim      TEXT    NOT NULL,
    device     TEXT    NOT NULL,
    checksum   INTEGER NOT NULL,
    PRIMARY KEY (domain, claim)
) STRICT;
CREATE TABLE userdata (
    domain     TEXT    NOT NULL REFERENCES domain (uuid),
    key        TEXT    NOT NULL,
    value      BLOB    NOT NULL,
    checksum   INTEGER NOT NULL,
    PRIMARY KEY (domain, key)
) STRICT;
CREATE TABLE history (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    at         INTEGER NOT NULL,
    domain     TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    verb       TEXT    NOT NULL,
    device     TEXT,
    before     TEXT,
    after      TEXT,
    pid        INTEGER NOT NULL,
    uid        INTEGER NOT NULL,
    summary    TEXT    NOT NULL,
    checksum   INTEGER NOT NULL
) STRICT;
CREATE INDEX history_domain ON history (domain, seq);
";

/// `meta.acknowledged` counts the durable commits, `.history` the rows of the history: a number of its own for each, which cost a
/// table, `AUTOINCREMENT`'s, that was written each time. `domain.implicit` is for the list, which would read every device for it.
/// Claims are small, so they live in their index.
const VERSION_2: &str = "
CREATE TABLE meta_2 (
    id           INTEGER PRIMARY KEY CHECK (id = 1),
    store        TEXT    NOT NULL,
    run_folder   BLOB    NOT NULL,
    counter      INTEGER NOT NULL,
    commits      INTEGER NOT NULL,
    acknowledged INTEGER NOT NULL,
    history      INTEGER NOT NULL,
    checksum     INTEGER NOT NULL
) STRICT;
CREATE TABLE domain_2 (
    uuid       TEXT    NOT NULL PRIMARY KEY,
    name       TEXT    NOT NULL UNIQUE,
    phase      TEXT    NOT NULL,
    generation INTEGER NOT NULL,
    revision   INTEGER NOT NULL,
    layout     TEXT    NOT NULL,
    document   TEXT    NOT NULL,
    process    TEXT,
    devices    INTEGER NOT NULL,
    claims     INTEGER NOT NULL,
    blobs      INTEGER NOT NULL,
    implicit   INTEGER NOT NULL,
    checksum   INTEGER NOT NULL
) STRICT;
CREATE TABLE claim_2 (
    domain     TEXT    NOT NULL REFERENCES domain (uuid),
    claim      TEXT    NOT NULL,
    device     TEXT    NOT NULL,
    checksum   INTEGER NOT NULL,
    PRIMARY KEY (domain, claim)
) STRICT, WITHOUT ROWID;
CREATE TABLE history_2 (
    seq        INTEGER PRIMARY KEY,
    at         INTEGER NOT NULL,
    domain     TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    verb       TEXT    NOT NULL,
    device     TEXT,
    before     TEXT,
    after      TEXT,
    pid        INTEGER NOT NULL,
    uid        INTEGER NOT NULL,
    summary    TEXT    NOT NULL,
    checksum   INTEGER NOT NULL
) STRICT;
";

const VERSION_2_TAKES_OVER: &str = "
INSERT OR IGNORE INTO claim_2 SELECT * FROM claim NOT INDEXED;
INSERT INTO history_2 SELECT * FROM history NOT INDEXED;
DROP TABLE meta;
DROP TABLE claim;
DROP TABLE history;
DROP TABLE domain;
ALTER TABLE meta_2 RENAME TO meta;
ALTER TABLE domain_2 RENAME TO domain;
ALTER TABLE claim_2 RENAME TO claim;
ALTER TABLE history_2 RENAME TO history;
CREATE INDEX history_domain ON history (domain, seq);
";

/// What the header of a database says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The version this program writes.
    Current,
    /// An older one, from which `migrate` leads on.
    Older {
        /// Which.
        found: i64,
    },
}

/// Reads the version, changes nothing. The application id is asked for only where the version is not the newest: what has that
/// version and is not ours has no row of `meta` either.
pub(crate) fn standing(connection: &Connection, path: &Path) -> Result<Standing, StoreError> {
    let version = pragma(connection, "user_version")?;
    if version == SCHEMA_VERSION {
        return Ok(Standing::Current);
    }
    check_application(connection, path)?;
    match version {
        found if (1..SCHEMA_VERSION).contains(&found) => Ok(Standing::Older { found }),
        found if found > SCHEMA_VERSION => {
            Err(StoreError::NewerSchema { path: path.to_owned(), found, known: SCHEMA_VERSION })
        }
        _ => Err(StoreError::Corrupt {
            table: "schema",
            key: String::new(),
            detail: "its version is not a version",
        }),
    }
}

/// Refuses a database that is not a store.
pub(crate) fn check_application(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    match pragma(connection, "application_id")? {
        APPLICATION_ID => Ok(()),
        found => Err(StoreError::OtherApplication { path: path.to_owned(), found }),
    }
}

/// Takes a database from whatever version it has to the newest, all or nothing. Version 0 is an empty file.
///
/// # Lock order
/// The caller holds the gate, so nobody else writes.
pub(crate) fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    apply(connection, STEPS)
}

fn apply(connection: &mut Connection, steps: &[Step]) -> Result<(), StoreError> {
    // A table that others refer to cannot be exchanged while they are held to it.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, false)?;
    let applied = apply_all(connection, steps);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, true)?;
    applied
}

fn apply_all(connection: &mut Connection, steps: &[Step]) -> Result<(), StoreError> {
    let transaction =
        connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let version = pragma(&transaction, "user_version")?;
    let done = usize::try_from(version).unwrap_or(usize::MAX).min(steps.len());
    for step in &steps[done..] {
        transaction.execute_batch(step.first)?;
        (step.rows)(&transaction)?;
        transaction.execute_batch(step.then)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", steps.len() as i64)?;
    Ok(transaction.commit()?)
}

fn pragma(connection: &Connection, name: &str) -> Result<i64, StoreError> {
    Ok(connection.pragma_query_value(None, name, |row| row.get(0))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn statements(first: &'static str) -> Step {
        Step { first, rows: |_| Ok(()), then: "" }
    }

    const FIRST: Step = statements(VERSION_1);
    const SECOND: Step = statements("ALTER TABLE domain ADD COLUMN host TEXT;");

    #[test]
    fn an_older_version_goes_through_the_steps_it_lacks_once() {
        let mut connection = Connection::open_in_memory().unwrap();
        apply(&mut connection, &[FIRST]).unwrap();
        apply(&mut connection, &[FIRST, SECOND]).unwrap();
        apply(&mut connection, &[FIRST, SECOND]).unwrap();
        assert_eq!(pragma(&connection, "user_version").unwrap(), 2);
        connection.execute("UPDATE domain SET host = 'x'", []).unwrap();
    }

    #[test]
    fn a_step_that_fails_leaves_the_version_it_began_with() {
        let mut connection = Connection::open_in_memory().unwrap();
        apply(&mut connection, &[FIRST]).unwrap();
        assert!(
            apply(&mut connection, &[FIRST, SECOND, statements("CREATE TABLE domain (x)")])
                .is_err()
        );
        assert_eq!(pragma(&connection, "user_version").unwrap(), 1);
        assert!(
            connection.execute("UPDATE domain SET host = 'x'", []).is_err(),
            "the second step must be undone too"
        );
    }

    #[test]
    fn a_database_that_is_not_ours_is_named() {
        let connection = Connection::open_in_memory().unwrap();
        let error = standing(&connection, Path::new("x")).unwrap_err();
        assert!(matches!(error, StoreError::OtherApplication { found: 0, .. }), "{error:?}");
    }
}
