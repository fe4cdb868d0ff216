//! A verb whose future is dropped at any await point leaves record and QEMU to the next verb, which settles them.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails there")]

use std::{
    future::Future,
    path::PathBuf,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use serde_json::{Value, json};
use steadfast::{Answer, Boot, Door, Error, Host, Options, Plan, Press, Repair, Replace, Request};

/// Polls a future so often and no more: `None` where it was not over by then.
struct Polls<F> {
    future: F,
    left: usize,
}

impl<F: Future + Unpin> Future for Polls<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.left -= 1;
        match Pin::new(&mut self.future).poll(context) {
            Poll::Ready(value) => Poll::Ready(Some(value)),
            Poll::Pending if self.left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }
}

type Verb<'a> = Pin<Box<dyn Future<Output = Result<Answer, Error>> + 'a>>;

struct World {
    host: Host,
    images: tempfile::TempDir,
    _folders: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let folders = tempfile::tempdir_in("/tmp").unwrap();
        let (state, run) = (folders.path().join("s"), folders.path().join("r"));
        let host = Host::open(Options::new(state, run)).await.unwrap();
        let images = tempfile::tempdir_in("/tmp").unwrap();
        let request = Request::default();
        host.define(Self::document(), Replace::Refuse, &request).await.unwrap();
        host.start("vm", Boot::Paused, &request).await.unwrap();
        Self { host, images, _folders: folders }
    }

    fn document() -> Value {
        json!({"name": "vm", "accel": "tcg", "memory": "64M",
            "devices": {"cd0": {"class": "cdrom", "file": null}}})
    }

    fn image(&self, name: &str) -> String {
        let path: PathBuf = self.images.path().join(name);
        std::fs::write(&path, [0; 4096]).unwrap();
        path.display().to_string()
    }

    fn disk(&self) -> Value {
        json!({"class": "disk", "bus": "scsi", "file": self.image("disk"), "format": "raw"})
    }

    /// Drops the verb after one poll, then after two, until it ends by itself; after each, the next verb works and
    /// nothing is open. Gives the number of rounds.
    async fn dropped_everywhere<'a>(
        &'a self,
        arrange: impl AsyncFn(&'a Self),
        verb: impl Fn(&'a Self) -> Verb<'a>,
    ) -> usize {
        for round in 1..2000 {
            arrange(self).await;
            let ended = Polls { future: verb(self), left: round }.await;
            self.host.wait("vm", None, &Request::default()).await.unwrap();
            let shown = self.host.show("vm").await.unwrap();
            for device in &shown.devices {
                assert_eq!(device.phase, "present", "round {round}: {}", device.id);
            }
            self.agrees(round).await;
            if let Some(answer) = ended {
                assert_eq!(answer.unwrap().worst(), None);
                return round;
            }
        }
        panic!("the verb never ends");
    }

    /// The record names exactly the devices that QEMU has.
    async fn agrees(&self, round: usize) {
        let shown = self.host.show("vm").await.unwrap();
        let path = shown.monitor.unwrap();
        let patience = Duration::from_secs(20);
        let options = steadfast_qmp::ConnectOptions::within(patience);
        let monitor = steadfast_qmp::Monitor::connect(path, options).await.unwrap();
        let list = steadfast_qmp::Command::new("qom-list").argument("path", "/machine/peripheral");
        let deadline = std::time::Instant::now() + patience;
        let listed = monitor.execute(list, deadline).await.done().unwrap();
        let mut there: Vec<&str> = listed
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|item| item["name"].as_str())
            .filter(|name| name.starts_with("sf") && !name.starts_with("sf-"))
            .collect();
        there.sort_unstable();
        let mut recorded: Vec<&str> = shown
            .devices
            .iter()
            .filter_map(|device| Some(device.qemu.as_ref()?.id.as_str()))
            .collect();
        recorded.sort_unstable();
        assert_eq!(there, recorded, "round {round}");
    }

    async fn end(self) {
        self.host.destroy("vm", &Request::default()).await.unwrap();
    }
}

/// On this runtime a verb waits for the store's thread, QEMU and the kernel, and on a busy machine what it waits for may have
/// come already: the greeting with the fence, the reply with the event.
fn assert_awaited(rounds: usize) {
    assert!(rounds > 1, "only {rounds} await points");
}

async fn gone(world: &World, id: &str) {
    let shown = world.host.show("vm").await.unwrap();
    if shown.devices.iter().any(|device| device.id == id) {
        let ids = vec![id.to_owned()];
        let answer = world.host.detach("vm", ids, Press::Wait, &Request::default()).await.unwrap();
        assert_eq!(answer.worst(), None);
    }
}

async fn there(world: &World, id: &str) {
    let request = Request { if_needed: true, ..Request::default() };
    let devices = vec![(id.to_owned(), world.disk())];
    let answer = world.host.attach("vm", devices, Plan::Whole, &request).await.unwrap();
    assert_eq!(answer.worst(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_attach_dropped_at_every_await_is_settled_by_the_next_verb() {
    let world = World::new().await;
    let rounds = world
        .dropped_everywhere(
            async |world| gone(world, "data").await,
            |world| {
                Box::pin(async move {
                    let devices = vec![("data".to_owned(), world.disk())];
                    world.host.attach("vm", devices, Plan::Whole, &Request::default()).await
                })
            },
        )
        .await;
    assert_awaited(rounds);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_detach_dropped_at_every_await_is_settled_by_the_next_verb() {
    let world = World::new().await;
    let rounds = world
        .dropped_everywhere(
            async |world| there(world, "data").await,
            |world| {
                Box::pin(async move {
                    let ids = vec!["data".to_owned()];
                    world.host.detach("vm", ids, Press::Wait, &Request::default()).await
                })
            },
        )
        .await;
    assert_awaited(rounds);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_medium_change_dropped_at_every_await_is_settled_by_the_next_verb() {
    let world = World::new().await;
    let disc = world.image("disc");
    let disc = disc.as_str();
    let rounds = world
        .dropped_everywhere(
            async |world| {
                let request = Request::default();
                let ejected =
                    world.host.media("vm", "cd0", None, None, Door::Force, &request).await;
                assert_eq!(ejected.unwrap().worst(), None);
            },
            |world| {
                Box::pin(async move {
                    let (file, request) = (Some(disc.to_owned()), Request::default());
                    world.host.media("vm", "cd0", file, None, Door::Force, &request).await
                })
            },
        )
        .await;
    assert_awaited(rounds);
    world.end().await;
}

/// Drops a verb on the domain as a whole after one poll, then after two, until it ends by itself; after each the next
/// verbs bring the domain up, with its record true, and take it down again.
async fn dropped_as_a_whole<'a>(
    world: &'a World,
    arrange: impl AsyncFn(&'a World),
    verb: impl Fn(&'a World) -> Verb<'a>,
) -> usize {
    let needed = Request { if_needed: true, ..Request::default() };
    for round in 1..2000 {
        arrange(world).await;
        let ended = Polls { future: verb(world), left: round }.await;
        if world.host.list().await.unwrap().is_empty() {
            world.host.define(World::document(), Replace::Refuse, &needed).await.unwrap();
        }
        // The mark of a destroy stands: what was dropped behind it is finished by the first verb, which then finds
        // nothing, and the domain may be made again.
        if world.host.start("vm", Boot::Paused, &needed).await.is_err() {
            assert!(world.host.list().await.unwrap().is_empty(), "round {round}");
            world.host.define(World::document(), Replace::Refuse, &needed).await.unwrap();
            world.host.start("vm", Boot::Paused, &needed).await.unwrap();
        }
        world.agrees(round).await;
        let report = world.host.check(&[], Repair::No, &needed).await.unwrap();
        assert!(report.clean, "round {round}: {report:?}");
        if let Some(answer) = ended {
            assert_eq!(answer.unwrap().worst(), None);
            return round;
        }
    }
    panic!("the verb never ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_start_dropped_at_every_await_is_settled_by_the_next_verb() {
    let world = World::new().await;
    let rounds = dropped_as_a_whole(
        &world,
        async |world| {
            let now = Request { timeout: Some(Duration::ZERO), ..Request::default() };
            world.host.stop("vm", &now).await.unwrap();
        },
        |world| {
            Box::pin(async move { world.host.start("vm", Boot::Paused, &Request::default()).await })
        },
    )
    .await;
    assert_awaited(rounds);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_stop_dropped_at_every_await_is_settled_by_the_next_verb() {
    let world = World::new().await;
    let rounds = dropped_as_a_whole(
        &world,
        async |_| {},
        |world| {
            Box::pin(async move {
                let now = Request { timeout: Some(Duration::ZERO), ..Request::default() };
                world.host.stop("vm", &now).await
            })
        },
    )
    .await;
    assert_awaited(rounds);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_destroy_dropped_at_every_await_is_settled_by_the_next_verb() {
    let world = World::new().await;
    let rounds = dropped_as_a_whole(
        &world,
        async |_| {},
        |world| Box::pin(async move { world.host.destroy("vm", &Request::default()).await }),
    )
    .await;
    assert_awaited(rounds);
    world.end().await;
}
