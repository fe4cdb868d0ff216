//! `bare-attach DATABASE MONITOR IMAGE NUMBER [--descriptor]`: what a command that attaches cannot do without.
//!
//! It opens the database and reads it, connects, commits an intent, sends back end and front end in one write, commits the end
//! onto the disk, and is gone. With `--descriptor` the image goes to QEMU as a descriptor, as it has to where QEMU may not open
//! it.

#![forbid(unsafe_code)]

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;

use steadfast_bench::Result;
use steadfast_bench::bare::commit::{Ledger, Level};
use steadfast_bench::bare::disk::Disk;
use steadfast_bench::bare::qmp::Qmp;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (database, monitor, image, number, descriptor) = match words.as_slice() {
        [database, monitor, image, number] => (database, monitor, image, number, false),
        [database, monitor, image, number, flag] if flag == "--descriptor" => {
            (database, monitor, image, number, true)
        }
        _ => return Err("bare-attach DATABASE MONITOR IMAGE NUMBER [--descriptor]".into()),
    };
    let number: u32 = number.parse()?;
    let mut ledger = Ledger::open(Path::new(database))?;
    let record = ledger.get(1)?;
    let mut qmp = Qmp::connect(Path::new(monitor))?;
    ledger.put(1, &record, Level::Normal)?;
    if descriptor {
        let file = File::options().read(true).write(true).open(image)?;
        let disk = Disk::scsi(number, format!("/dev/fdset/{number}").as_ref());
        let add = disk.add_fd();
        let [node, device] = disk.attach();
        qmp.execute_with(&[&add, node, device], file.as_fd())?;
    } else {
        qmp.execute_all(&Disk::scsi(number, Path::new(image)).attach())?;
    }
    ledger.put(1, &record, Level::Full)
}
