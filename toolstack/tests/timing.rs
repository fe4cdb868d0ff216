//! What a verb tells of the time it took, whatever came of it.

use std::collections::BTreeMap;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use steadfast::{Boot, Host, Kind, Options, Outcome, Plan, Press, Replace, Request};

fn stages(timing: &BTreeMap<String, f64>) -> Vec<&str> {
    timing.keys().map(String::as_str).collect()
}

#[tokio::test]
async fn every_answer_has_its_stages_and_so_has_every_error() {
    let folders = tempfile::tempdir_in("/tmp").unwrap();
    let options = Options::new(folders.path().join("s"), folders.path().join("r"));
    let host = Host::open(options).await.unwrap();
    let request = Request::default();
    let needed = Request { if_needed: true, ..Request::default() };
    let document = json!({"name": "vm", "accel": "tcg", "memory": "64M"});

    let recorded = ["begin", "fast-lock", "gate", "settle"];
    let defined = host.define(document.clone(), Replace::Refuse, &request).await.unwrap();
    assert_eq!(stages(&defined.timing), recorded);
    let unchanged = host.define(document, Replace::Refuse, &needed).await.unwrap();
    assert_eq!(stages(&unchanged.timing), ["begin"]);
    let put = host.userdata_put("vm", "key", b"value".to_vec(), &request).await.unwrap();
    assert_eq!(stages(&put.timing), recorded);

    host.start("vm", Boot::Run, &request).await.unwrap();
    let image = folders.path().join("image");
    std::fs::write(&image, [0; 4096]).unwrap();
    let disk = json!({"class": "disk", "bus": "scsi", "file": image.to_str(), "format": "raw"});
    let attach = async || {
        host.attach("vm", vec![("data".to_owned(), disk.clone())], Plan::Whole, &request).await
    };
    let attached = attach().await.unwrap();
    let expected = ["begin", "connect", "effect", "fast-lock", "gate", "intent", "lock", "settle"];
    assert_eq!(stages(&attached.timing), expected);
    let refused = attach().await.unwrap_err();
    let expected = ["begin", "connect", "fast-lock", "gate", "intent", "lock"];
    assert_eq!(stages(&refused.timing()), expected);
    let detached = host.detach("vm", vec!["data".to_owned()], Press::Wait, &request).await.unwrap();
    assert!(detached.timing.contains_key("guest"));
    assert_eq!(detached.timing.len(), attached.timing.len() + 1);
    let destroyed = host.destroy("vm", &request).await.unwrap();
    let expected = ["exit", "fast-lock", "gate", "intent", "kill", "settle"];
    assert!(expected.iter().all(|stage| destroyed.timing.contains_key(*stage)));
    let gone = host.destroy("vm", &request).await.unwrap_err();
    assert_eq!(stages(&gone.timing()), ["begin"]);
}

#[tokio::test]
async fn what_is_there_already_is_told_without_a_lock_and_never_of_a_qemu_that_died() {
    let folders = tempfile::tempdir_in("/tmp").unwrap();
    let options = Options::new(folders.path().join("s"), folders.path().join("r"));
    let host = Host::open(options).await.unwrap();
    let request = Request::default();
    let needed = Request { if_needed: true, ..Request::default() };
    let document = json!({"name": "vm", "accel": "tcg", "memory": "64M"});
    host.define(document, Replace::Refuse, &request).await.unwrap();
    let pid = host.start("vm", Boot::Run, &request).await.unwrap().pid.unwrap();
    let attach = async |request: &Request| {
        let device = vec![("pointer".to_owned(), json!({"class": "tablet"}))];
        host.attach("vm", device, Plan::Whole, request).await
    };
    let first = attach(&needed).await.unwrap();
    assert!(first.changed && first.timing.contains_key("lock"));
    let again = attach(&needed).await.unwrap();
    assert_eq!((again.changed, again.results[0].outcome), (false, Outcome::Unchanged));
    assert_eq!((again.generation, again.revision), (first.generation, first.revision));
    assert_eq!(stages(&again.timing), ["begin"]);
    let stale = Request { if_revision: Some(1), ..needed.clone() };
    assert_eq!(attach(&stale).await.unwrap_err().kind, Kind::Conflict);

    let process = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(process, Signal::KILL).unwrap();
    while host.list().await.unwrap()[0].running != Some(false) {
        tokio::task::yield_now().await;
    }
    assert_eq!(attach(&needed).await.unwrap_err().kind, Kind::Conflict);
}
