//! A monitor that misbehaves costs an error, never a record: what it broke is settled when a real one is back.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails there")]

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use steadfast::{
    Boot, Door, Error, Host, Kind, Options, Plan, Press, Replace, Request, ShownDevice,
};

const GREETING: &str = "{\"QMP\":{\"version\":{\"qemu\":{\"micro\":0,\"minor\":2,\"major\":7},\"package\":\"\"},\"capabilities\":[]}}\r\n";

/// Serves the clients of one socket until the path is given back.
struct Impostor {
    path: PathBuf,
    aside: PathBuf,
    over: Arc<AtomicBool>,
    served: Option<JoinHandle<()>>,
}

impl Impostor {
    fn take(path: &Path, serve: impl Fn(UnixStream) + Send + 'static) -> Self {
        let aside = path.with_extension("aside");
        std::fs::rename(path, &aside).unwrap();
        let listener = UnixListener::bind(path).unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&over);
        let served = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if ends.load(Ordering::SeqCst) {
                    return;
                }
                let stream = stream.unwrap();
                stream.set_write_timeout(Some(Duration::from_secs(10))).unwrap();
                stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                serve(stream);
            }
        });
        Self { path: path.to_owned(), aside, over, served: Some(served) }
    }
}

impl Drop for Impostor {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        if UnixStream::connect(&self.path).is_ok()
            && let Some(served) = self.served.take()
        {
            let _ = served.join();
        }
        let _ = std::fs::rename(&self.aside, &self.path);
    }
}

/// What follows upon a command.
enum Then {
    Oblige,
    Silence,
    Close,
}

/// Answers every command with an empty object, where `special` does not say otherwise.
fn obliging(stream: UnixStream, mut special: impl FnMut(&Value, &mut UnixStream) -> Then) {
    let mut writer = stream.try_clone().unwrap();
    let _ = writer.write_all(GREETING.as_bytes());
    for line in BufReader::new(stream).lines() {
        let Ok(line) = line else { return };
        let command: Value = serde_json::from_str(&line).unwrap_or_default();
        match special(&command, &mut writer) {
            Then::Oblige => {}
            Then::Silence => continue,
            Then::Close => return,
        }
        let reply = answer(json!({"return": {}}), &command);
        let _ = writer.write_all(format!("{reply}\r\n").as_bytes());
    }
}

/// With the command's id, if it has one, as QEMU does.
fn answer(mut reply: Value, command: &Value) -> Value {
    if let Some(id) = command.get("id") {
        reply["id"] = id.clone();
    }
    reply
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// A host, in a folder that has a disk's image.
async fn open() -> (tempfile::TempDir, Host) {
    let folders = tempfile::tempdir_in("/tmp").unwrap();
    std::fs::write(folders.path().join("disk"), [0; 4096]).unwrap();
    let options = Options::new(folders.path().join("s"), folders.path().join("r"));
    let host = Host::open(options).await.unwrap();
    (folders, host)
}

async fn attach(host: &Host, disk: &str, request: &Request) -> Result<Option<Error>, Error> {
    let document = json!({"class": "disk", "bus": "scsi", "file": disk, "format": "raw"});
    let devices = vec![("data".to_owned(), document)];
    Ok(host.attach("vm", devices, Plan::Whole, request).await?.worst())
}

#[tokio::test]
async fn whatever_a_monitor_does_the_record_is_settled_by_the_next_verb() {
    let (folders, host) = open().await;
    let disk = folders.path().join("disk");
    let disk = disk.to_str().unwrap();
    let request = Request::default();
    let short = Request { timeout: Some(Duration::from_secs(1)), ..Request::default() };
    let document = json!({"name": "vm", "accel": "tcg", "memory": "64M"});
    host.define(document, Replace::Refuse, &request).await.unwrap();
    host.start("vm", Boot::Paused, &request).await.unwrap();
    let monitor = host.show("vm").await.unwrap().monitor.unwrap();
    let command = Path::new(&monitor).with_file_name("command");

    type Serve = Box<dyn Fn(UnixStream) + Send>;
    let cases: Vec<(&str, Serve)> = vec![
        ("garbage", Box::new(|mut s| drop(s.write_all(b"\x00\xff no monitor at all\r\n")))),
        ("closes at once", Box::new(drop)),
        ("says nothing", Box::new(|s| drop(BufReader::new(s).lines().next()))),
        (
            "a line that never ends",
            Box::new(|mut s| while s.write_all(&[b'x'; 1 << 16]).is_ok() {}),
        ),
        (
            "an endless greeting of JSON",
            Box::new(|mut s| {
                let _ = s.write_all(b"{\"QMP\":[");
                while s.write_all("1,".repeat(1 << 15).as_bytes()).is_ok() {}
            }),
        ),
        (
            "wrong ids",
            Box::new(|stream| {
                obliging(stream, |command, writer| {
                    if command["execute"] == "qmp_capabilities" {
                        return Then::Oblige;
                    }
                    let _ = writer.write_all(b"{\"return\":{},\"id\":\"somebody else\"}\r\n");
                    Then::Silence
                })
            }),
        ),
        (
            "closes at blockdev-add",
            Box::new(|stream| {
                obliging(stream, |command, _| match command["execute"] == "blockdev-add" {
                    true => Then::Close,
                    false => Then::Oblige,
                })
            }),
        ),
        (
            "answers twice where no id tells",
            Box::new(|stream| {
                obliging(stream, |command, writer| {
                    if command["execute"] == "add-fd" {
                        let _ = writer.write_all(b"{\"return\": {}}\r\n");
                    }
                    Then::Oblige
                })
            }),
        ),
        (
            "garbage at device_add",
            Box::new(|stream| {
                obliging(stream, |command, writer| {
                    if command["execute"] != "device_add" {
                        return Then::Oblige;
                    }
                    let _ = writer.write_all(b"]]]]\r\n");
                    Then::Close
                })
            }),
        ),
        (
            "refuses, and answers queries with nothing",
            Box::new(|stream| {
                obliging(stream, |command, writer| {
                    if command["execute"] != "device_add" {
                        return Then::Oblige;
                    }
                    let error = json!({"class": "GenericError", "desc": "no"});
                    let reply = answer(json!({"error": error}), command);
                    let _ = writer.write_all(format!("{reply}\r\n").as_bytes());
                    Then::Silence
                })
            }),
        ),
    ];
    let before = resident_kib();
    for (name, serve) in cases {
        let impostor = Impostor::take(&command, serve);
        let error = match attach(&host, disk, &short).await {
            Ok(Some(error)) | Err(error) => error,
            Ok(None) => panic!("{name}: attached"),
        };
        drop(impostor);
        assert!(matches!(error.kind, Kind::Unknown | Kind::Environment), "{name}: {error:?}");
        let grown = resident_kib().saturating_sub(before);
        assert!(grown < 128 << 10, "{name}: {grown} KiB more are resident");
        // The real one is back: whatever stands there is settled, and the verb works.
        host.wait("vm", None, &request).await.unwrap();
        let shown = host.show("vm").await.unwrap();
        assert!(shown.devices.is_empty(), "{name}: {:?}", shown.devices);
        assert_eq!(attach(&host, disk, &request).await.unwrap(), None, "{name}");
        let ids = vec!["data".to_owned()];
        host.detach("vm", ids, Press::Wait, &request).await.unwrap();
    }
    host.destroy("vm", &request).await.unwrap();
}

/// Greets, waits for the request of a first answer, and does this instead.
fn greets(then: impl Fn(UnixStream) + Send + 'static) -> impl Fn(UnixStream) + Send + 'static {
    move |mut stream| {
        let _ = stream.write_all(GREETING.as_bytes());
        let mut line = String::new();
        let _ = BufReader::new(&stream).read_line(&mut line);
        assert!(line.is_empty() || line.contains("qmp_capabilities"), "{line}");
        then(stream);
    }
}

/// What comes of each verb that begins with an intent: in words, and what is recorded afterwards.
async fn verbs(host: &Host, disk: &str, request: &Request) -> (Vec<(Kind, String)>, u64) {
    let added = attach(host, disk, request).await.map(drop);
    let removed = host.detach("vm", vec!["card".to_owned()], Press::Wait, request).await.map(drop);
    let medium = (Some(disk.to_owned()), Some("raw".to_owned()));
    let changed = host.media("vm", "cd0", medium.0, medium.1, Door::Ask, request).await.map(drop);
    let errors = [added, removed, changed].map(|ended| ended.expect_err("an error"));
    let words = errors.map(|error| (error.kind, format!("{error} {:?}", error.hint))).to_vec();
    (words, host.show("vm").await.unwrap().revision)
}

fn stands_still(pid: u32) -> bool {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    tasks.map(|task| task.unwrap().path().join("stat")).all(|stat| {
        // Behind the name, which may have spaces in it.
        let stat = std::fs::read_to_string(stat).unwrap_or_default();
        stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'))
    })
}

async fn devices(host: &Host) -> Vec<ShownDevice> {
    host.show("vm").await.unwrap().devices
}

#[tokio::test]
async fn without_a_first_answer_nothing_is_left_and_the_error_is_that_of_a_monitor_that_is_not_there()
 {
    let (folders, host) = open().await;
    let disk = folders.path().join("disk");
    let disk = disk.to_str().unwrap();
    let request = Request::default();
    let short = Request { timeout: Some(Duration::from_secs(1)), ..Request::default() };
    let document = json!({"name": "vm", "accel": "tcg", "memory": "64M", "devices": {
        "card": {"class": "tablet"}, "cd0": {"class": "cdrom", "file": null}}});
    host.define(document, Replace::Refuse, &request).await.unwrap();
    let pid = host.start("vm", Boot::Paused, &request).await.unwrap().pid.unwrap();
    let process = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    let monitor = host.show("vm").await.unwrap().monitor.unwrap();
    let command = Path::new(&monitor).with_file_name("command");
    let before = devices(&host).await;
    let begun = host.show("vm").await.unwrap().revision;

    // Nobody greets, so nothing was ever intended.
    let hang_up = Impostor::take(&command, drop);
    let (absent, revision) = verbs(&host, disk, &short).await;
    drop(hang_up);
    assert_eq!(revision, begun);
    kill_process(process, Signal::STOP).unwrap();
    // The signal is sent to all threads and reaches each in its own time.
    while !stands_still(pid) {
        std::thread::yield_now();
    }
    let (silent, revision) = verbs(&host, disk, &short).await;
    kill_process(process, Signal::CONT).unwrap();
    assert_eq!(revision, begun);

    let until_hung_up = |stream: UnixStream| drop(BufReader::new(stream).lines().next());
    let says = |words: &'static [u8]| {
        greets(move |mut stream| {
            let _ = stream.write_all(words);
            let _ = BufReader::new(stream).lines().next();
        })
    };
    type Serve = Box<dyn Fn(UnixStream) + Send>;
    let cases: [(&str, Serve, Option<&Vec<_>>); 4] = [
        ("hangs up", Box::new(greets(drop)), Some(&absent)),
        ("is silent", Box::new(greets(until_hung_up)), Some(&silent)),
        ("talks to others", Box::new(says(b"{\"return\":{},\"id\":\"other\"}\r\n")), Some(&silent)),
        ("talks garbage", Box::new(says(b"]]]]\r\n")), None),
    ];
    let mut last = begun;
    for (name, serve, same) in cases {
        let impostor = Impostor::take(&command, serve);
        let (words, revision) = verbs(&host, disk, &short).await;
        drop(impostor);
        match same {
            Some(same) => assert_eq!(&words, same, "{name}"),
            None => {
                assert!(words.iter().all(|(kind, _)| *kind == Kind::Unknown), "{name}: {words:?}")
            }
        }
        // An intent and its end, of each verb.
        assert_eq!(revision, last + 6, "{name}");
        last = revision;
        assert_eq!(devices(&host).await, before, "{name}");
    }
    assert_eq!(attach(&host, disk, &request).await.unwrap(), None);
    host.destroy("vm", &request).await.unwrap();
}
