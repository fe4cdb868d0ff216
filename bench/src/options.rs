//! What a run was asked for.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use steadfast_bench::Result;

use crate::bench::Bench;
use crate::guest::Guest;
use crate::peer::Libvirt;
use crate::row::{ROWS, Row};
use crate::scene::{self, Roots};

const USAGE: &str = "\
steadfast-bench --command PROGRAM --results FILE --disk FOLDER --run FOLDER [--guest KERNEL INITRD] [--quick] [--only ROW]… [--no-peers] [--counts [--write]]
  --disk FOLDER, --run FOLDER   where the folders of stores and of QEMUs are made
  --quick      a tenth of the repetitions, once: shows that the rows work, and judges nothing
  --only ROW   this row, or those that begin so
  --no-peers   without libvirt
  --counts [--write]   instructions instead of times: fails where they have grown, or records them";

/// After so long nothing is run again that was noisy: what is left of the twenty minutes of a whole run is for the building before
/// it, and for the first run of the rows that are still to come.
const MOST: Duration = Duration::from_secs(9 * 60);

/// What to do with counts of instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counts {
    Compare,
    Write,
}

/// The words of the command line.
#[derive(Debug, Default)]
pub(crate) struct Options {
    pub(crate) quick: bool,
    pub(crate) results: PathBuf,
    pub(crate) counts: Option<Counts>,
    command: PathBuf,
    disk: PathBuf,
    run: PathBuf,
    guest: Option<Guest>,
    only: Vec<String>,
    without_peers: bool,
}

impl Options {
    pub(crate) fn parse(words: &[&str]) -> Result<Self> {
        let mut options = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || -> Result<&&str> { Ok(words.next().ok_or(USAGE)?) };
            match *word {
                "--quick" => options.quick = true,
                "--counts" => options.counts = Some(Counts::Compare),
                "--write" if options.counts.is_some() => options.counts = Some(Counts::Write),
                "--no-peers" => options.without_peers = true,
                "--only" => options.only.push((*value()?).to_owned()),
                "--guest" => {
                    let (kernel, initrd) = (value()?.into(), value()?.into());
                    options.guest = Some(Guest { kernel, initrd });
                }
                "--command" => options.command = value()?.into(),
                "--results" => options.results = value()?.into(),
                "--disk" => options.disk = value()?.into(),
                "--run" => options.run = value()?.into(),
                _ => return Err(USAGE.into()),
            }
        }
        let Self { command, results, disk, run, .. } = &options;
        if [command, results, disk, run].iter().any(|path| path.as_os_str().is_empty()) {
            return Err(USAGE.into());
        }
        Ok(options)
    }

    /// The rows that are wanted, in the order of the table.
    pub(crate) fn rows(&self) -> Result<Vec<&'static Row>> {
        let is_wanted = |row: &&Row| {
            self.only.is_empty() || self.only.iter().any(|name| row.name.starts_with(name))
        };
        let rows: Vec<_> = ROWS.iter().filter(is_wanted).collect();
        if rows.is_empty() {
            let names: Vec<_> = ROWS.iter().map(|row| row.name).collect();
            return Err(format!("no such row; there are {}", names.join(", ")).into());
        }
        Ok(rows)
    }

    pub(crate) fn bench(&self) -> Result<Bench> {
        scene::root(Roots { disk: self.disk.clone(), run: self.run.clone() })?;
        let itself = std::env::current_exe()?;
        let has_peer = self.rows()?.iter().any(|row| row.has_peer);
        let is_asked = has_peer && !self.without_peers && self.counts.is_none();
        Ok(Bench {
            quick: self.quick,
            until: Instant::now() + MOST,
            command: self.command.clone(),
            bare_attach: self.command.with_file_name("bare-attach"),
            itself,
            guest: self.guest.clone(),
            libvirt: if is_asked { peer() } else { None },
        })
    }
}

/// That there is none is told: its figures are not measured then.
fn peer() -> Option<Libvirt> {
    let began = Instant::now();
    match Libvirt::start() {
        Ok(libvirt) => {
            println!("-- libvirt came up in {:.1} s\n", began.elapsed().as_secs_f64());
            Some(libvirt)
        }
        Err(error) => {
            println!("!! libvirt is not measured: {error}");
            None
        }
    }
}
