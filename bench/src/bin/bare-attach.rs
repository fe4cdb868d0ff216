//! `bare-attach DATABASE NAME MONITOR IMAGE NUMBER [--by-the-rules]`: what a command that attaches cannot do without.
//!
//! It opens a copy of a store and reads the domain of this name, connects, commits an intent, sends back end and front end in one
//! write, commits the end onto the disk, and is gone. `--by-the-rules` it is not alone on its host, and its QEMU may open nothing: it
//! takes the locks of a verb, and the image goes over as a descriptor.

#![forbid(unsafe_code)]

use std::fs::File;
use std::mem::ManuallyDrop;
use std::os::fd::AsFd;
use std::path::Path;

use steadfast_bench::Result;
use steadfast_bench::bare::commit::Level;
use steadfast_bench::bare::disk::Disk;
use steadfast_bench::bare::qmp::Qmp;
use steadfast_bench::bare::rows::Rows;
use steadfast_bench::bare::section::{ATTACH, Step, section};
use steadfast_bench::bare::verb::Verb;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        [database, name, monitor, image, number] => {
            alone(database, name, monitor, &Disk::scsi(number.parse()?, Path::new(image)))
        }
        [database, name, monitor, image, number, "--by-the-rules"] => {
            let file = File::options().read(true).write(true).open(image)?;
            let node = format!("/dev/fdset/{number}");
            let disk = Disk::scsi(number.parse()?, Path::new(&node));
            by_the_rules(database, name, monitor, &disk, &file)
        }
        _ => Err("bare-attach DATABASE NAME MONITOR IMAGE NUMBER [--by-the-rules]".into()),
    }
}

fn alone(database: &str, name: &str, monitor: &str, disk: &Disk) -> Result<()> {
    // At its end the kernel takes back what a process has open, all at once.
    let rows = ManuallyDrop::new(Rows::open(Path::new(database))?);
    let domain = rows.named(name)?;
    rows.domain(&domain)?;
    let mut qmp = Qmp::connect(Path::new(monitor))?;
    section(&rows, Level::Normal, Step::Add, &domain, &[&disk.id])?;
    qmp.execute_all(&disk.attach())?;
    section(&rows, Level::Full, Step::Change, &domain, &[&disk.id])
}

fn by_the_rules(database: &str, name: &str, monitor: &str, disk: &Disk, file: &File) -> Result<()> {
    let verb = ManuallyDrop::new(Verb::on(monitor.into(), Path::new(database), name)?);
    let add = disk.add_fd();
    let [node, device] = disk.attach();
    verb.run(ATTACH, &[&disk.id], |qmp| qmp.execute_with(&[&add, node, device], file.as_fd()))
}
