//! A store with domains in it, at the level below the verbs: what a fast section reads and writes.

use std::path::{Path, PathBuf};

use serde_json::json;
use steadfast_bench::Result;
use steadfast_bench::bare::record::Record;
use steadfast_locks::{Fast, Held, Level, LockTable, OwnerNote};
use steadfast_store::{
    Commit, DeviceRow, DomainRow, HistoryEntry, Request, Store, StoreError, StoreOptions,
};
use uuid::Uuid;

/// A store and the locks of this process.
pub(crate) struct Records {
    pub(crate) store: Store,
    pub(crate) locks: LockTable,
    state: PathBuf,
}

impl Records {
    /// Opens the store in this folder, and makes it where there is none.
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        let (state, run) = (folder.join("state"), folder.join("run"));
        std::fs::create_dir_all(state.join("locks"))?;
        std::fs::create_dir_all(&run)?;
        let locks = LockTable::new();
        let mut options = StoreOptions::new(&state, &run);
        options.locks = locks.clone();
        Ok(Self { store: Store::open(options)?, locks, state })
    }

    /// Records a domain of this number with so many disks.
    pub(crate) fn define(&self, number: u128, devices: usize) -> Result<Uuid> {
        let uuid = Uuid::from_u128(number);
        let row = DomainRow {
            uuid,
            name: format!("vm{number}"),
            phase: "defined".to_owned(),
            generation: 0,
            revision: 1,
            layout: "{}".to_owned(),
            document: document(&format!("vm{number}")),
            process: None,
        };
        let request = Request::new(uuid, Commit::Durable).verb("define");
        self.store.section_blocking(
            request,
            move |section| -> std::result::Result<_, StoreError> {
                section.put_domain(&row)?;
                for at in 0..devices {
                    let device = device(at);
                    section.put_device(&device)?;
                    section.set_claims(&device.id, &[&format!("scsi {at}")])?;
                }
                Ok(())
            },
        )?;
        Ok(uuid)
    }

    /// A copy of this store as it is now, in this folder, for who writes by hand into the domain of this name.
    pub(crate) fn third(&self, folder: &Path, name: &str) -> Result<Record> {
        let copy = folder.join("third.db");
        self.store.backup(&copy)?;
        Record::open(&copy, name)
    }

    /// A domain's fast lock.
    pub(crate) fn fast(&self, uuid: Uuid) -> Result<Held> {
        let note = OwnerNote::new("vm", "bench", "section");
        Ok(self.locks.acquire_blocking(&self.fast_path(uuid), Fast::NAME, note, None)?)
    }

    pub(crate) fn fast_path(&self, uuid: Uuid) -> PathBuf {
        self.state.join("locks").join(uuid.to_string())
    }

    /// A fast section that changes one device, durably: what a verb writes when it settles.
    pub(crate) fn change(&self, uuid: Uuid, id: &'static str) -> Result<()> {
        let held = self.fast(uuid)?;
        let request = Request::new(uuid, Commit::Durable).verb("bench").keep(Box::new(held));
        self.store.section_blocking(
            request,
            move |section| -> std::result::Result<_, StoreError> {
                let (Some(mut row), Some(mut device)) = (section.domain()?, section.device(id)?)
                else {
                    return Ok(());
                };
                row.revision += 1;
                device.since_ms += 1;
                let name = row.name.clone();
                section.put_domain(&row)?;
                section.put_device(&device)?;
                section.note(&HistoryEntry {
                    at_ms: device.since_ms,
                    name,
                    verb: "bench".to_owned(),
                    device: Some(id.to_owned()),
                    summary: "present -> present".to_owned(),
                    before: None,
                    after: None,
                    pid: 1,
                    uid: 0,
                })?;
                Ok(())
            },
        )?;
        Ok(())
    }
}

/// A domain's document without its devices, of the usual size.
pub(crate) fn document(name: &str) -> String {
    json!({
        "name": name, "machine": "q35", "accel": "tcg", "memory": "2G", "vcpus": 2, "serial": "log",
        "boot": {"kernel": null, "initrd": null, "append": null}, "firmware": null, "args": [],
    })
    .to_string()
}

/// One disk of it.
pub(crate) fn device(at: usize) -> DeviceRow {
    let spec = json!({
        "class": "disk", "bus": "scsi", "file": format!("/srv/images/a-domain/disk{at}.qcow2"), "format": "qcow2",
        "readonly": false, "serial": format!("SERIAL-{at:04}"), "removable": false, "cache": "writeback",
        "discard": "unmap",
    });
    DeviceRow {
        id: format!("disk{at}"),
        phase: "present".to_owned(),
        serial: at as u64 + 1,
        intent: at as u64 + 1,
        spec: spec.to_string(),
        place: json!({"scsi": at}).to_string(),
        change: None,
        since_ms: 1_700_000_000_000,
        owner: Some(json!({"pid": 4_242, "start": 123_456, "verb": "attach"}).to_string()),
        implicit: false,
    }
}

#[cfg(test)]
mod tests {
    use steadfast_bench::bare::commit;
    use steadfast_bench::bare::section::Step;

    use super::*;

    #[test]
    fn by_hand_a_section_writes_about_as_many_pages_as_the_products() {
        let folder = tempfile::tempdir().unwrap();
        let records = Records::open(folder.path()).unwrap();
        let uuid = records.define(1, 8).unwrap();
        let (third, key) = (records.third(folder.path(), "vm1").unwrap(), uuid.to_string());
        let bytes = |log: &str| std::fs::metadata(folder.path().join(log)).unwrap().len();
        let written = |log: &str, change: &dyn Fn()| {
            change();
            let before = bytes(log);
            (0..20).for_each(|_| change());
            bytes(log) - before
        };
        let ours =
            written("state/steadfast.db-wal", &|| records.change(uuid, "disk3").unwrap()) as f64;
        let change = || third.section(commit::Level::Full, Step::Change, &key, &["disk3"]).unwrap();
        let theirs = written("third.db-wal", &change) as f64;
        assert!((0.85..1.15).contains(&(theirs / ours)), "{theirs} and {ours} bytes");
    }

    #[test]
    fn by_hand_devices_come_and_go_and_the_store_counts_them() {
        let folder = tempfile::tempdir().unwrap();
        let records = Records::open(folder.path()).unwrap();
        let key = records.define(1, 2).unwrap().to_string();
        let third = records.third(folder.path(), "vm1").unwrap();
        let step = |step, ids: &[&str]| {
            third.section(commit::Level::Normal, step, &key, ids).unwrap();
            let columns = "SELECT devices, claims, (SELECT count(*) FROM device), (SELECT count(*) FROM claim) FROM domain";
            format!("{:?}", third.rows.read::<4>(columns, []).unwrap())
        };
        let all = |count: u8| format!("{:?}", [count; 4].map(rusqlite::types::Value::from));
        assert_eq!(step(Step::Add, &["one", "other"]), all(4));
        assert_eq!(step(Step::Change, &["one"]), all(4));
        assert_eq!(step(Step::Remove, &["one", "disk1", "other"]), all(1));
    }
}
