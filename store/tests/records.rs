//! What a section records, and what it refuses.

mod fixture;

use fixture::{Fixture, attempt, device, domain, entry, options, uuid, write};
use steadfast_store::{ClaimRow, Floor, Store, StoreError};

#[test]
fn a_domain_and_all_that_belongs_to_it_are_read_back() {
    let fixture = Fixture::new();
    let mut row = domain(uuid(1), "web");
    row.process = Some(r#"{"pid":1}"#.into());
    let mut disk = device("disk");
    (disk.change, disk.owner, disk.implicit) =
        (Some("{}".into()), Some(r#"{"pid":2}"#.into()), true);
    let (row_in, disk_in) = (row.clone(), disk.clone());
    write(&fixture.open(), uuid(1), move |section| {
        section.put_domain(&row_in)?;
        section.put_device(&disk_in)?;
        section.put_device(&device("cd"))?;
        section.set_claims("disk", &["slot 3", "port 1"])?;
        section.put_userdata("xl", b"\0blob")?;
        section.note(&entry("first"))
    });
    let store = fixture.open();
    store
        .snapshot(|snapshot| -> Result<(), StoreError> {
            assert_eq!(snapshot.domain(uuid(1))?, Some(row.clone()));
            assert_eq!(snapshot.look_up("web")?, Some(row.clone()));
            assert_eq!(snapshot.look_up(&uuid(1).to_string())?, Some(row.clone()));
            assert_eq!(snapshot.look_up("other")?, None);
            assert_eq!(snapshot.devices(uuid(1))?, [device("cd"), disk.clone()]);
            assert_eq!(snapshot.claims(uuid(1))?.len(), 2);
            assert_eq!(snapshot.userdata(uuid(1), "xl")?.as_deref(), Some(&b"\0blob"[..]));
            assert_eq!(snapshot.userdata_keys(uuid(1))?[0].length, 5);
            assert_eq!(snapshot.history(None, None, 10)?.rows[0].entry, entry("first"));
            let list = snapshot.domains()?;
            assert_eq!((list.len(), list[0].devices, list[0].implicit), (1, 2, 1));
            Ok(())
        })
        .unwrap();
    assert_eq!(store.integrity().unwrap(), []);
}

#[test]
fn a_removed_domain_takes_everything_but_its_history() {
    let fixture = Fixture::new();
    let store = fixture.open();
    write(&store, uuid(1), |section| {
        section.put_domain(&domain(uuid(1), "web"))?;
        section.put_device(&device("disk"))?;
        section.set_claims("disk", &["slot 3"])?;
        section.put_userdata("xl", b"x")?;
        section.note(&entry("first"))
    });
    assert!(write(&store, uuid(1), |section| section.remove_domain()));
    assert!(!write(&store, uuid(1), |section| section.remove_domain()));
    store
        .snapshot(|snapshot| -> Result<(), StoreError> {
            assert_eq!(snapshot.domains()?, []);
            assert_eq!(snapshot.devices(uuid(1))?, []);
            assert_eq!(snapshot.claims(uuid(1))?, []);
            assert_eq!(snapshot.userdata_keys(uuid(1))?, []);
            assert_eq!(snapshot.history(Some(uuid(1)), None, 10)?.rows.len(), 1);
            Ok(())
        })
        .unwrap();
    assert_eq!(write(&store, uuid(1), |section| section.forget_history()), 1);
    assert_eq!(store.integrity().unwrap(), []);
}

#[test]
fn a_name_belongs_to_one_domain() {
    let fixture = Fixture::new();
    let store = fixture.open();
    write(&store, uuid(1), |section| section.put_domain(&domain(uuid(1), "web")));
    let error = attempt(&store, uuid(2), |section| section.put_domain(&domain(uuid(2), "web")))
        .unwrap_err();
    assert!(
        matches!(&error, StoreError::NameTaken { holder, .. } if *holder == uuid(1)),
        "{error:?}"
    );
    write(&store, uuid(1), |section| section.put_domain(&domain(uuid(1), "renamed")));
    write(&store, uuid(2), |section| section.put_domain(&domain(uuid(2), "web")));
}

#[test]
fn a_section_writes_no_row_of_another_domain() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let error = attempt(&store, uuid(1), |section| section.put_domain(&domain(uuid(2), "web")))
        .unwrap_err();
    assert!(matches!(error, StoreError::OtherDomain(other) if other == uuid(2)), "{error:?}");
}

#[test]
fn nothing_belongs_to_a_domain_that_is_not_recorded() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let device =
        attempt(&store, uuid(1), |section| section.put_device(&device("disk"))).unwrap_err();
    assert!(matches!(device, StoreError::NoDomain(_)), "{device:?}");
    let blob = attempt(&store, uuid(1), |section| section.put_userdata("xl", b"x")).unwrap_err();
    assert!(matches!(blob, StoreError::NoDomain(_)), "{blob:?}");
}

#[test]
fn a_taken_claim_names_its_device_and_changes_nothing() {
    let fixture = Fixture::new();
    let store = fixture.open();
    write(&store, uuid(1), |section| {
        section.put_domain(&domain(uuid(1), "web"))?;
        section.put_device(&device("disk"))?;
        section.put_device(&device("cd"))?;
        section.set_claims("disk", &["slot 3", "slot 4"])?;
        let error = section.set_claims("cd", &["slot 1", "slot 4"]).unwrap_err();
        assert!(
            matches!(&error, StoreError::ClaimTaken { device, claim } if device == "disk" && claim == "slot 4")
        );
        assert_eq!(section.claims()?.len(), 2);
        let error = section.set_claims("nobody", &["slot 9"]).unwrap_err();
        assert!(matches!(error, StoreError::NoDevice(_)), "{error:?}");
        section.set_claims("disk", &["slot 3"])?;
        section.set_claims("cd", &["slot 4", "slot 4"])
    });
    assert!(write(&store, uuid(1), |section| section.remove_device("disk")));
    let claims = write(&store, uuid(1), |section| Ok(section.claims()?.to_vec()));
    assert_eq!(claims.iter().map(|row| row.claim.as_str()).collect::<Vec<_>>(), ["slot 4"]);
    assert_eq!(store.integrity().unwrap(), []);
}

#[test]
fn what_a_section_has_read_of_the_claims_stays_true_while_it_changes_them() {
    let fixture = Fixture::new();
    let store = fixture.open();
    write(&store, uuid(1), |section| {
        section.put_domain(&domain(uuid(1), "web"))?;
        for id in ["disk", "cd"] {
            section.put_device(&device(id))?;
            section.set_claims(id, &[&format!("slot {id}"), &format!("port {id}")])?;
        }
        Ok::<_, StoreError>(())
    });
    fn shown(claims: &[ClaimRow]) -> String {
        let shown = claims.iter().map(|row| format!("{}={}", row.claim, row.device));
        shown.collect::<Vec<_>>().join(" ")
    }
    let seen = write(&store, uuid(1), |section| {
        assert_eq!(section.claims()?.len(), 4);
        let error = section.set_claims("cd", &["slot 1", "slot disk"]).unwrap_err();
        let StoreError::ClaimTaken { device: holder, claim } = error else { panic!("{error:?}") };
        assert_eq!((holder.as_str(), claim.as_str()), ("disk", "slot disk"));
        section.set_claims("cd", &["port 1", "slot cd"])?;
        section.put_device(&device("third"))?;
        section.set_claims("third", &["port cd", "slot 0"])?;
        section.remove_device("disk")?;
        section.set_claims("third", &["port cd", "port disk"])?;
        Ok(shown(&section.claims()?))
    });
    assert_eq!(seen, "port 1=cd port cd=third port disk=third slot cd=cd");
    let stored: Vec<_> = store.snapshot(|snapshot| snapshot.claims(uuid(1))).unwrap();
    assert_eq!(shown(&stored), seen);
    assert_eq!(store.integrity().unwrap(), []);
    // The next section reads them anew.
    write(&store, uuid(1), |section| section.set_claims("cd", &["slot disk"]));
    assert_eq!(
        write(&store, uuid(1), |section| Ok(shown(&section.claims()?))),
        "port cd=third port disk=third slot disk=cd"
    );
}

#[test]
fn devices_are_found_by_phase() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let open = write(&store, uuid(1), |section| {
        section.put_domain(&domain(uuid(1), "web"))?;
        for (id, phase) in [("a", "adding"), ("b", "present"), ("c", "removing")] {
            let mut row = device(id);
            row.phase = phase.into();
            section.put_device(&row)?;
        }
        section.devices_with_phase(&["adding", "changing", "removing"])
    });
    assert_eq!(open.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(), ["a", "c"]);
}

#[test]
fn a_number_is_never_drawn_twice() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let first = write(&store, uuid(1), |section| {
        section.put_domain(&domain(uuid(1), "web"))?;
        section.draw()
    });
    write(&store, uuid(1), |section| section.remove_domain());
    let second = write(&store, uuid(1), |section| section.draw());
    assert!(second > first);
    // One that was let out of a section that was rolled back.
    let (sender, receiver) = std::sync::mpsc::channel();
    let refused = attempt(&store, uuid(1), move |section| {
        sender.send(section.draw()?).unwrap();
        Err::<(), _>(StoreError::Closed)
    });
    assert!(matches!(refused, Err(StoreError::Closed)));
    let third = receiver.recv().unwrap();
    assert!(third > second);
    assert!(write(&store, uuid(2), |section| section.draw()) > third);
}

#[test]
fn an_older_copy_of_the_store_draws_above_what_the_run_folder_holds() {
    let fixture = Fixture::new();
    let store = fixture.open();
    write(&store, uuid(1), |section| section.draw());
    let copy = fixture.path().join("backup");
    store.backup(&copy).unwrap();
    let last = (0..5).map(|_| write(&store, uuid(1), |section| section.draw())).last().unwrap();
    drop(store);

    std::fs::remove_dir_all(fixture.state()).unwrap();
    std::fs::create_dir_all(fixture.state().join("locks")).unwrap();
    std::fs::copy(&copy, fixture.database()).unwrap();
    let mut restored = options(fixture.path());
    restored.floor = Floor::of(last);
    let store = Store::open(restored).unwrap();
    assert_eq!(write(&store, uuid(1), |section| section.draw()), last + 1);
}

#[test]
fn history_is_read_in_pages_and_bounded_for_each_domain() {
    let fixture = Fixture::new();
    let store = fixture.open();
    // Until the log is looked after once, and a little more.
    for round in 0..520 {
        write(&store, uuid(1), move |section| {
            (0..3).try_for_each(|n| section.note(&entry(&format!("{round}/{n}"))).map(drop))
        });
    }
    for _ in 0..22 {
        write(&store, uuid(2), |section| section.note(&entry("other")));
    }
    drop(store);
    let store = fixture.open();
    let (mut seen, mut before) = (0, None);
    loop {
        let page = store.snapshot(|snapshot| snapshot.history(Some(uuid(1)), before, 300)).unwrap();
        assert!(page.rows.iter().all(|row| before.is_none_or(|before| row.seq < before)));
        seen += page.rows.len() as u64;
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    let bound = steadfast_store::HISTORY_PER_DOMAIN;
    assert!((bound..bound + 128).contains(&seen), "{seen} rows are left");
    let page = store.snapshot(|snapshot| snapshot.history(Some(uuid(2)), None, 100)).unwrap();
    assert_eq!((page.rows.len(), page.next), (22, None));
}

#[test]
fn a_backup_is_whole_and_never_overwrites() {
    let fixture = Fixture::new();
    let store = fixture.open();
    write(&store, uuid(1), |section| section.put_domain(&domain(uuid(1), "web")));
    let copy = fixture.path().join("backup");
    store.backup(&copy).unwrap();
    let before = std::fs::read(&copy).unwrap();
    let error = store.backup(&copy).unwrap_err();
    assert!(
        matches!(&error, StoreError::Io { source, .. } if source.kind() == std::io::ErrorKind::AlreadyExists)
    );
    assert_eq!(std::fs::read(&copy).unwrap(), before);
    let leftovers = std::fs::read_dir(fixture.path())
        .unwrap()
        .filter(|file| file.as_ref().unwrap().file_name().to_string_lossy().contains("unfinished"));
    assert_eq!(leftovers.count(), 0);

    let other = Fixture::new();
    std::fs::create_dir_all(other.state()).unwrap();
    std::fs::copy(&copy, other.database()).unwrap();
    let mut restored = options(other.path());
    restored.run_folder = fixture.path().join("run");
    let store = Store::open(restored).unwrap();
    assert!(store.snapshot(|snapshot| snapshot.named("web")).unwrap().is_some());
    assert_eq!(store.integrity().unwrap(), []);
}
