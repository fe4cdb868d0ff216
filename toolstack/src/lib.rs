//! The embeddable library: records, locks and a real QEMU behind the verbs.
//!
//! A toolstack opens a [`Host`] and calls verbs on it. Nothing here prints or exits; every async function may be
//! dropped at any await point.
//!
//! ```no_run
//! # async fn example() -> Result<(), steadfast::Error> {
//! use serde_json::json;
//! use steadfast::{Boot, Host, Options, Plan, Press, Replace, Request};
//!
//! let host = Host::open(Options::new("/var/lib/steadfast", "/run/steadfast")).await?;
//! let request = Request::default();
//! host.define(json!({"name": "web1", "accel": "tcg"}), Replace::Refuse, &request).await?;
//! host.start("web1", Boot::Run, &request).await?;
//! let data = json!({"class": "disk", "bus": "scsi", "file": "/srv/data.raw"});
//! let answer = host.attach("web1", vec![("data".to_owned(), data)], Plan::Whole, &request).await?;
//! if let Some(error) = answer.worst() {
//!     return Err(error);
//! }
//! host.detach("web1", vec!["data".to_owned()], Press::Wait, &request).await?;
//! host.destroy("web1", &request).await?;
//! # Ok(())
//! # }
//! ```

mod answer;
mod berth;
mod check;
mod drawn;
mod error;
mod folder;
mod hold;
mod host;
mod image;
mod kit;
pub mod launch;
mod operation;
mod problem;
mod reads;
mod record;
mod request;
mod schema;
mod section;
mod seen;
mod stage;
mod survivor;
mod sync;
mod tap;
mod thing;
mod verbs;
mod wire;

pub use crate::{
    answer::{
        Answer, Ending, Finding, Listed, Log, LogEntry, Outcome, QemuNames, Report, Shown,
        ShownDevice, ShownLock, Waiting,
    },
    check::{Remove, Repair},
    error::{Error, Kind},
    host::{Access, Damaged, Host, Options},
    kit::Boot,
    request::{OnProgress, Progress, Request},
    schema::Schema,
};
pub use steadfast_protocol::{Door, Plan, Press, Replace};
