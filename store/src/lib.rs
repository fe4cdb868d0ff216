//! The records of steadfast: one SQLite database per host.
//!
//! What is kept here describes every QEMU that runs, so three promises hold whatever is killed:
//!
//! * **A record is read whole or not at all.** Every row carries a checksum over all its columns, every domain the number of
//!   rows that belong to it. A row that does not agree is [`StoreError::Corrupt`], never an empty answer (R19).
//! * **A record is changed only in a [`Section`]**: a sync closure that sees one transaction (R2). Sections of all domains that
//!   wait together are run by whoever leads, each in its own savepoint, and committed together; a cross-process fair lock, the
//!   gate, stands in front, because SQLite's own busy handler starves writers.
//! * **An answer is what the disk says.** A commit that fails is decided by re-opening and comparing the commit number, not
//!   guessed (R12).
//!
//! An *intent* ([`Commit::Intent`]) survives the death of the process and costs no fsync; what is *acknowledged*
//! ([`Commit::Durable`]) survives a power cut too and costs one.
//!
//! Reads that decide nothing use a [`Snapshot`] and wait for no lock. The crate knows nothing of devices or phases: it keeps
//! columns and JSON text, and whoever is above gives them meaning.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use steadfast_store::{Commit, Request, Store, StoreError, StoreOptions};
//! let store = Store::open(StoreOptions::new("/var/lib/steadfast", "/run/steadfast"))?;
//! let uuid = uuid::Uuid::new_v4();
//! let generation = store
//!     .section(Request::new(uuid, Commit::Durable).verb("start"), |section| -> Result<_, StoreError> {
//!         let generation = section.draw()?;
//!         if let Some(mut row) = section.domain()? {
//!             row.generation = generation;
//!             section.put_domain(&row)?;
//!         }
//!         Ok(generation)
//!     })
//!     .await?;
//! # let _ = generation;
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod backup;
mod cells;
mod checksum;
mod claim;
mod connection;
mod device;
mod domain;
mod engine;
mod error;
mod floor;
mod flush;
mod folder;
mod gate;
mod history;
mod integrity;
mod log;
mod meta;
mod migration;
mod own;
mod queue;
mod raw;
mod register;
mod salvage;
mod schema;
mod section;
mod snapshot;
mod store;
mod sync;
mod tend;
mod userdata;

pub use claim::ClaimRow;
pub use device::DeviceRow;
pub use domain::{DomainRow, DomainSummary};
pub use error::{SectionError, StoreError};
pub use floor::Floor;
pub use history::{HISTORY_PER_DOMAIN, HISTORY_ROWS, HistoryEntry, HistoryPage, HistoryRow};
pub use integrity::Damage;
pub use queue::{Commit, Keep, Request};
pub use raw::RawRow;
pub use schema::{APPLICATION_ID, SCHEMA_VERSION};
pub use section::Section;
pub use snapshot::Snapshot;
pub use store::{Flush, Store, StoreOptions};
pub use userdata::UserdataKey;
