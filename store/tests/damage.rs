//! A damaged row is reported, and never read as something else or as nothing (R19).
#![expect(clippy::unwrap_used, reason = "a helper of a test that fails is a failed test")]

mod fixture;

use std::path::Path;

use fixture::{Fixture, attempt, device, domain, entry, options, uuid, write};
use rusqlite::Connection;
use steadfast_store::{
    ClaimRow, Damage, DeviceRow, DomainSummary, Flush, HistoryPage, Snapshot, Store, StoreError,
    UserdataKey,
};

fn filled() -> Fixture {
    filled_with(0)
}

/// With so many devices more in the first domain.
fn filled_with(more: usize) -> Fixture {
    let fixture = Fixture::new();
    let store = fixture.open();
    for number in 1..=3 {
        write(&store, uuid(number), move |section| {
            section.put_domain(&domain(uuid(number), &format!("web{number}")))?;
            for id in ["cd", "disk", "nic"] {
                section.put_device(&device(id))?;
                section.set_claims(id, &[&format!("slot {id}")])?;
            }
            section.put_userdata("xl", b"some bytes")?;
            section.note(&entry("attached"))
        });
    }
    write(&store, uuid(1), move |section| {
        (0..more).try_for_each(|number| section.put_device(&device(&format!("disl{number}"))))
    });
    drop(store);
    fixture
}

/// A few are read at once, and of many those beside the place.
const FEW_AND_MANY: [usize; 2] = [0, 20];

/// Changes the database behind the store's back, checksums untouched.
fn tamper(fixture: &Fixture, sql: &str) {
    let connection = Connection::open(fixture.database()).unwrap();
    connection.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
    assert!(connection.execute(sql, []).unwrap() > 0, "{sql} must hit a row");
}

/// A store of this one's run folder that has these bytes.
fn store_of(fixture: &Fixture, database: &[u8]) -> (Fixture, Store) {
    let other = Fixture::new();
    std::fs::create_dir_all(other.state().join("locks")).unwrap();
    std::fs::write(other.database(), database).unwrap();
    let mut options = options(other.path());
    options.run_folder = fixture.path().join("run");
    let store = Store::open(options).unwrap();
    (other, store)
}

fn is_corrupt<T: std::fmt::Debug>(result: Result<T, StoreError>, table: &str) {
    assert!(
        matches!(&result, Err(StoreError::Corrupt { table: found, .. }) if *found == table),
        "{result:?}"
    );
}

fn damages(store: &Store, table: &str, key: &str) -> bool {
    let found = store.integrity().unwrap();
    let is_named = |damage: &Damage| damage.table == table && damage.key == key;
    assert!(found.iter().any(is_named), "{found:?}");
    true
}

#[test]
fn a_flipped_bit_in_a_document_is_reported_by_every_read_and_by_the_check() {
    let fixture = filled();
    tamper(
        &fixture,
        "UPDATE device SET spec = replace(spec, 'root', 'rood') WHERE id = 'disk' AND domain LIKE '%1'",
    );
    let store = fixture.open();
    is_corrupt(store.snapshot(|snapshot| snapshot.devices(uuid(1))), "device");
    is_corrupt(store.snapshot(|snapshot| snapshot.device(uuid(1), "disk")), "device");
    is_corrupt(attempt(&store, uuid(1), |section| section.devices()), "device");
    assert!(damages(&store, "device", &format!("{}/disk", uuid(1))));
    // The others are as good as before.
    assert_eq!(store.snapshot(|snapshot| snapshot.devices(uuid(2))).unwrap().len(), 3);
}

#[test]
fn a_row_that_is_gone_is_not_no_row() {
    for (sql, table) in [
        ("DELETE FROM device WHERE id = 'disk'", "device"),
        ("UPDATE device SET domain = 'x' WHERE id = 'disk' AND domain LIKE '%1'", "device"),
        ("DELETE FROM claim WHERE device = 'disk'", "claim"),
        ("DELETE FROM userdata", "userdata"),
    ] {
        for more in FEW_AND_MANY {
            let fixture = filled_with(more);
            tamper(&fixture, sql);
            let store = fixture.open();
            let read = |snapshot: &Snapshot<'_>| match table {
                "device" => snapshot.device(uuid(1), "disk").map(drop),
                "claim" => snapshot.claims(uuid(1)).map(drop),
                _ => snapshot.userdata(uuid(1), "xl").map(drop),
            };
            is_corrupt(store.snapshot(read), table);
            assert!(damages(&store, "domain", &uuid(1).to_string()));
        }
    }
}

/// One bit in each copy of a key: in the row, in its index, and in the rows of those that belong to it.
#[test]
fn a_domain_with_a_damaged_key_is_not_an_absent_one() {
    let fixture = filled();
    let copy = fixture.path().join("backup");
    fixture.open().backup(&copy).unwrap();
    let whole = std::fs::read(&copy).unwrap();
    for (key, places) in [(uuid(2).to_string(), 8), ("web2".to_owned(), 2)] {
        let found = whole.windows(key.len()).enumerate().filter(|(_, at)| *at == key.as_bytes());
        let found: Vec<_> = found.map(|(at, _)| at).collect();
        assert!(found.len() >= places, "{key} stands in {} places", found.len());
        let length = key.len();
        let bits = found.iter().flat_map(|at| (0..3).map(move |bit| (at + length - 1, bit)));
        for (at, bit) in bits {
            let mut damaged = whole.clone();
            damaged[at] ^= 1 << bit;
            let (_folder, store) = store_of(&fixture, &damaged);
            let read = [
                store.snapshot(|snapshot| snapshot.domain(uuid(2))),
                store.snapshot(|snapshot| snapshot.named("web2")),
                attempt(&store, uuid(2), |section| section.domain()),
            ];
            for result in read {
                assert!(!matches!(result, Ok(None)), "bit {bit} of byte {at} in {key}");
            }
        }
    }
}

/// One bit in a copy of a device's key, and the copy that says where the row is.
#[test]
fn a_device_with_a_damaged_key_is_not_an_absent_one() {
    for more in FEW_AND_MANY {
        let fixture = filled_with(more);
        let copy = fixture.path().join("backup");
        fixture.open().backup(&copy).unwrap();
        let whole = std::fs::read(&copy).unwrap();
        let key = format!("{}disk", uuid(1));
        let found = whole.windows(key.len()).enumerate().filter(|(_, at)| *at == key.as_bytes());
        let ends: Vec<_> = found.map(|(at, _)| at + key.len() - 1).collect();
        assert!(ends.len() >= 2, "{key} stands in {} places", ends.len());
        for (at, bit) in ends.iter().flat_map(|at| (0..6).map(move |bit| (*at, bit))) {
            let mut damaged = whole.clone();
            damaged[at] ^= 1 << bit;
            let (_folder, store) = store_of(&fixture, &damaged);
            let read = [
                store.snapshot(|snapshot| snapshot.device(uuid(1), "disk")),
                attempt(&store, uuid(1), |section| section.device("disk")),
            ];
            for result in read {
                assert!(!matches!(result, Ok(None)), "bit {bit} of byte {at}, beside {more} more");
            }
        }
    }
}

/// A search is led astray by what stands above the rows, each of which is sound.
#[test]
fn a_device_whose_index_leads_elsewhere_is_not_an_absent_one() {
    let fixture = filled_with(60);
    let copy = fixture.path().join("backup");
    fixture.open().backup(&copy).unwrap();
    let mut damaged = std::fs::read(&copy).unwrap();
    let connection = Connection::open(&copy).unwrap();
    let number = |sql| {
        let read = |row: &rusqlite::Row<'_>| row.get::<_, u32>(0);
        connection.query_row(sql, [], read).unwrap() as usize
    };
    let page = number("PRAGMA page_size");
    let root =
        number("SELECT rootpage FROM sqlite_master WHERE name = 'sqlite_autoindex_device_1'");
    // The file format: of an inner page of an index, from byte 12 on, where its cells are; they begin with the page below.
    let begin = (root - 1) * page;
    let cell = |damaged: &[u8], at: usize| {
        let place = begin + 12 + 2 * at;
        begin + usize::from(u16::from_be_bytes([damaged[place], damaged[place + 1]]))
    };
    assert_eq!(damaged[begin], 2, "its rows are on several pages");
    let (one, other) = (cell(&damaged, 0), cell(&damaged, 1));
    for byte in 0..4 {
        damaged.swap(one + byte, other + byte);
    }
    let (_folder, store) = store_of(&fixture, &damaged);
    let found = store.snapshot(|snapshot| snapshot.device(uuid(1), "disk"));
    assert!(!matches!(found, Ok(None)));
}

/// A row that was moved away with its key is missed in the whole.
#[test]
fn a_domain_that_became_another_is_not_listed() {
    let fixture = filled();
    tamper(
        &fixture,
        "UPDATE domain SET uuid = replace(uuid, '1', '5'), name = 'web5' WHERE name = 'web1'",
    );
    let store = fixture.open();
    is_corrupt(store.snapshot(|snapshot| snapshot.domains()), "domain");
    is_corrupt(store.snapshot(|snapshot| snapshot.named("web5")), "domain");
    assert!(damages(&store, "domain", &uuid(5).to_string()));
}

#[test]
fn a_document_that_is_not_json_is_found_by_the_check() {
    let fixture = filled();
    let store = fixture.open();
    write(&store, uuid(1), |section| {
        let mut row = section.domain()?.unwrap();
        row.document = "{".into();
        section.put_domain(&row)
    });
    assert!(damages(&store, "domain", &uuid(1).to_string()));
}

#[test]
fn a_damaged_domain_can_be_recorded_anew_without_what_was_lost() {
    let fixture = filled();
    tamper(&fixture, "UPDATE domain SET phase = 'x' WHERE name = 'web1'");
    tamper(&fixture, "UPDATE device SET spec = '{}' WHERE id = 'disk' AND domain LIKE '%1'");
    tamper(&fixture, "UPDATE device SET domain = 'x' WHERE id = 'cd' AND domain LIKE '%1'");
    let store = fixture.open();
    is_corrupt(
        attempt(&store, uuid(1), |section| section.put_domain(&domain(uuid(1), "web1"))),
        "domain",
    );
    let discarded = write(&store, uuid(1), |section| {
        let discarded = section.discard_damaged()?;
        section.repair_domain(&domain(uuid(1), "web1"))?;
        Ok(discarded)
    });
    assert_eq!(discarded, 2);
    let devices = store.snapshot(|snapshot| snapshot.devices(uuid(1))).unwrap();
    assert_eq!(devices, [device("nic")]);
    assert_eq!(store.integrity().unwrap(), []);
}

#[test]
fn a_damaged_domain_can_be_removed() {
    let fixture = filled();
    tamper(&fixture, "UPDATE domain SET document = '{}' WHERE name = 'web1'");
    tamper(&fixture, "UPDATE device SET spec = '{}' WHERE domain LIKE '%1'");
    let store = fixture.open();
    assert!(write(&store, uuid(1), |section| section.remove_domain()));
    assert_eq!(store.integrity().unwrap(), []);
}

#[test]
fn a_flipped_bit_is_found_again_by_the_checksum() {
    for sql in [
        "UPDATE device SET spec = replace(spec, 'root', 'rood') WHERE id = 'disk' AND domain LIKE '%1'",
        "UPDATE device SET serial = serial + 1024 WHERE id = 'disk' AND domain LIKE '%1'",
        "UPDATE device SET checksum = checksum | 4611686018427387904, serial = serial WHERE id = 'disk' AND domain LIKE '%1'
             AND checksum & 4611686018427387904 = 0",
        "UPDATE domain SET name = 'veb1' WHERE name = 'web1'",
        "UPDATE userdata SET value = x'736f6d65206279746571' WHERE domain LIKE '%1'",
    ] {
        let fixture = filled();
        let before = fixture.open();
        let domains = before.snapshot(|snapshot| snapshot.sound_domains()).unwrap();
        let devices = before.snapshot(|snapshot| snapshot.sound_devices(uuid(1))).unwrap();
        drop(before);
        let connection = Connection::open(fixture.database()).unwrap();
        if connection.execute(sql, []).unwrap() == 0 {
            continue;
        }
        let store = fixture.open();
        let damaged = store.snapshot(|snapshot| snapshot.damaged()).unwrap();
        let [row] = damaged.as_slice() else { panic!("{sql}: {damaged:?}") };
        assert!(!row.verifies());
        let whole = row.unflipped().unwrap();
        if let Some(domain) = whole.domain() {
            assert!(domains.contains(&domain), "{sql}");
        } else if let Some((_, device)) = whole.device() {
            assert!(devices.contains(&device), "{sql}");
        } else {
            let blob = (uuid(1), "xl".to_owned(), b"some bytes".to_vec());
            assert_eq!(whole.userdata(), Some(blob), "{sql}");
        }
    }
}

#[test]
fn a_guess_at_a_damaged_row_is_right_only_where_its_checksum_says_so() {
    let fixture = filled();
    tamper(&fixture, "UPDATE domain SET phase = 'wild', generation = 77 WHERE name = 'web1'");
    let store = fixture.open();
    let damaged = store.snapshot(|snapshot| snapshot.damaged()).unwrap();
    let [row] = damaged.as_slice() else { panic!("{damaged:?}") };
    assert_eq!(row.unflipped(), None);
    let right = domain(uuid(1), "web1");
    let guess = row.with_text("phase", Some(&right.phase));
    assert!(!guess.verifies() && guess.domain().is_none());
    assert_eq!(guess.with_number("generation", right.generation).domain(), Some(right));
}

type Everything = (
    Vec<DomainSummary>,
    Vec<DeviceRow>,
    Vec<ClaimRow>,
    Vec<UserdataKey>,
    Vec<u8>,
    HistoryPage,
    Option<DeviceRow>,
    bool,
);

fn everything(folder: &Path, run_folder: &Path) -> Result<Everything, StoreError> {
    let mut options = options(folder);
    options.run_folder = run_folder.to_owned();
    options.flush = Flush::Never;
    options.read_only = true;
    Store::open(options)?.snapshot(|snapshot| {
        Ok((
            snapshot.domains()?,
            snapshot.devices(uuid(1))?,
            snapshot.claims(uuid(1))?,
            snapshot.userdata_keys(uuid(1))?,
            snapshot.userdata(uuid(1), "xl")?.unwrap_or_default(),
            snapshot.history(None, None, 10)?,
            snapshot.device(uuid(1), "nic")?,
            snapshot.look_up("web1")?.is_some()
                && snapshot.look_up(&uuid(1).to_string())?.is_some(),
        ))
    })
}

/// A bit at every 13th place of the file, so all of its structures are hit, and each bit of the number of cells of each page.
#[test]
fn whichever_bit_of_the_file_flips_what_is_read_is_right_or_an_error() {
    let fixture = filled();
    let copy = fixture.path().join("backup");
    fixture.open().backup(&copy).unwrap();
    let whole = std::fs::read(&copy).unwrap();
    let run_folder = fixture.path().join("run");
    let right = everything(fixture.path(), &run_folder).unwrap();

    let (mut flips, mut errors) = (0, 0);
    let anywhere = (0..whole.len()).step_by(13).map(|place| (place, place % 8));
    let cells = (0..whole.len())
        .step_by(1024)
        .flat_map(|page| (0..16).map(move |bit| (page + 3 + bit / 8, bit % 8)));
    for (place, bit) in anywhere.filter(|(place, _)| whole[*place] != 0).chain(cells) {
        let other = Fixture::new();
        std::fs::create_dir_all(other.state()).unwrap();
        let mut damaged = whole.clone();
        damaged[place] ^= 1 << bit;
        std::fs::write(other.database(), damaged).unwrap();
        flips += 1;
        match everything(other.path(), &run_folder) {
            Ok(read) => {
                // A lost row of the history is the one loss that is not told here: it describes nothing that runs.
                let mut read = read;
                if read.5.rows.len() < right.5.rows.len() {
                    read.5 = right.5.clone();
                }
                assert_eq!(read, right, "bit {bit} of byte {place}");
            }
            Err(_) => errors += 1,
        }
    }
    assert!(flips > 100 && errors > flips / 10, "{errors} of {flips} were errors");
}
