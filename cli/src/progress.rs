//! One line on stderr for somebody who waits, rewritten in place.
//!
//! The library calls back from within a verb and must not be held up by a terminal that does not take text (Ctrl-S),
//! so a thread of its own writes it.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use steadfast::{OnProgress, Progress};

use crate::arguments::Loudness;
use crate::printable::{clip, printable};

/// Before that, a line would only flicker.
const PATIENCE: Duration = Duration::from_millis(400);
/// Between two rewritings.
const TICK: Duration = Duration::from_millis(200);

/// The line. It is erased when this is dropped.
pub(crate) struct ProgressLine {
    sender: Sender<Event>,
    thread: Option<JoinHandle<()>>,
}

enum Event {
    Now(Progress),
    End,
}

impl ProgressLine {
    /// A line, if there is somebody to read it.
    pub(crate) fn on_terminal(loudness: Loudness) -> Option<Self> {
        if loudness == Loudness::Quiet || !io::stderr().is_terminal() {
            return None;
        }
        let (sender, events) = mpsc::channel();
        let thread =
            std::thread::Builder::new().name("progress".into()).spawn(move || show(&events));
        // Without a thread the verb is as good, only silent.
        Some(Self { sender, thread: Some(thread.ok()?) })
    }

    /// What a verb is to call.
    pub(crate) fn callback(&self) -> OnProgress {
        let sender = self.sender.clone();
        // Nobody listens once the line is erased, and nobody needs to.
        Arc::new(move |progress| drop(sender.send(Event::Now(progress))))
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        drop(self.sender.send(Event::End));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn show(events: &Receiver<Event>) {
    let began = Instant::now();
    let mut stage: Option<(String, Instant)> = None;
    let mut drawn: Option<(String, Instant)> = None;
    loop {
        match events.recv_timeout(TICK) {
            Ok(Event::Now(progress)) => {
                let text = words(&progress);
                if stage.as_ref().is_none_or(|(known, _)| *known != text) {
                    stage = Some((text, Instant::now()));
                }
            }
            Ok(Event::End) | Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {}
        }
        let Some((text, since)) = &stage else { continue };
        let line = line(text, since.elapsed());
        let due = |(known, at): &(String, Instant)| *known != line && at.elapsed() >= TICK;
        if began.elapsed() >= PATIENCE && drawn.as_ref().is_none_or(due) {
            rewrite(&line);
            drawn = Some((line, Instant::now()));
        }
    }
    if drawn.is_some() {
        rewrite("");
    }
}

/// The terminal may be gone; there is nobody to tell then.
fn rewrite(text: &str) {
    let text = clip(text, columns().saturating_sub(2));
    drop(io::stderr().write_all(format!("\r\u{1b}[K{text}").as_bytes()));
}

fn columns() -> usize {
    let columns =
        rustix::termios::tcgetwinsize(io::stderr()).map_or(0, |size| usize::from(size.ws_col));
    if columns == 0 { 80 } else { columns }
}

fn line(text: &str, age: Duration) -> String {
    match age.as_secs() {
        0 => text.to_owned(),
        seconds => format!("{text} ({seconds} s)"),
    }
}

fn words(progress: &Progress) -> String {
    match progress {
        Progress::Stage(stage) => printable(stage),
        Progress::Guest { devices } if devices.is_empty() => "waiting for the guest".to_owned(),
        Progress::Guest { devices } => {
            printable(&format!("waiting for the guest to let go of {}", devices.join(", ")))
        }
        Progress::Done { count, of } => format!("{count} of {of}"),
        _ => "working".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_what_is_waited_for_and_for_how_long() {
        let guest = Progress::Guest { devices: vec!["data".into(), "net\u{1b}0".into()] };
        let text = line(&words(&guest), Duration::from_millis(12_900));
        assert_eq!(text, "waiting for the guest to let go of data, net\\u{1b}0 (12 s)");
        assert_eq!(line(&words(&Progress::Done { count: 3, of: 17 }), Duration::ZERO), "3 of 17");
    }

    #[test]
    fn a_callback_outlives_its_line() {
        let (sender, events) = mpsc::channel();
        let line = ProgressLine { sender, thread: Some(std::thread::spawn(move || show(&events))) };
        let callback = line.callback();
        callback(Progress::Stage("intent"));
        drop(line);
        callback(Progress::Stage("settle"));
    }
}
