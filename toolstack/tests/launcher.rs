//! A toolstack that starts QEMU its own way.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails there")]

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use serde_json::json;
use steadfast::{
    Boot, Host, Kind, Options, Replace, Request,
    launch::{LaunchError, LaunchOrder, Launcher, Prepared, Preparing, QemuLauncher},
};

#[derive(Default)]
struct Counted {
    prepared: AtomicUsize,
    refuse: bool,
}

impl Launcher for Counted {
    fn prepare(&self, order: LaunchOrder) -> Preparing<'_> {
        self.prepared.fetch_add(1, Ordering::Relaxed);
        if self.refuse {
            return Box::pin(async { Ok(Box::new(Refusing) as Box<dyn Prepared>) });
        }
        QemuLauncher.prepare(order)
    }
}

struct Refusing;

impl Prepared for Refusing {
    fn spawn(self: Box<Self>) -> Result<(), LaunchError> {
        Err(LaunchError::NotInstalled { name: "the launcher's own reason".to_owned() })
    }
}

async fn host(launcher: Arc<Counted>, folders: &tempfile::TempDir) -> Host {
    let mut options = Options::new(folders.path().join("s"), folders.path().join("r"));
    options.launcher = Some(launcher);
    let host = Host::open(options).await.unwrap();
    let document = json!({"name": "vm", "accel": "tcg", "memory": "64M"});
    host.define(document, Replace::Refuse, &Request::default()).await.unwrap();
    host
}

#[tokio::test]
async fn a_launcher_of_the_embedder_is_the_one_that_starts_qemu() {
    let folders = tempfile::tempdir_in("/tmp").unwrap();
    let launcher = Arc::new(Counted::default());
    let host = host(Arc::clone(&launcher), &folders).await;
    let answer = host.start("vm", Boot::Paused, &Request::default()).await.unwrap();
    assert!(answer.pid.is_some());
    assert_eq!(launcher.prepared.load(Ordering::Relaxed), 1);
    host.destroy("vm", &Request::default()).await.unwrap();
}

#[tokio::test]
async fn a_launcher_that_fails_leaves_the_domain_defined_and_nothing_behind() {
    let folders = tempfile::tempdir_in("/tmp").unwrap();
    let host = host(Arc::new(Counted { refuse: true, ..Counted::default() }), &folders).await;
    let error = host.start("vm", Boot::Paused, &Request::default()).await.unwrap_err();
    assert_eq!(error.kind, Kind::Environment, "{error}");
    let shown = host.show("vm").await.unwrap();
    assert_eq!(shown.phase, "defined");
    let left = std::fs::read_dir(folders.path().join("r")).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["drawn"], "what was drawn stays noted");
    host.undefine("vm", &Request::default()).await.unwrap();
}
