//! The ways in, and what each of them promises.

mod database;
mod device_text;
mod domain_document;
mod household;
mod plan;
mod qemu_replies;
mod qmp_stream;
mod record;
mod userdata;

use std::fmt;

/// One way in.
pub struct Target {
    /// What it is called, and its folder in the corpus.
    pub name: &'static str,
    /// The longest input, in bytes.
    pub longest: usize,
    /// Words of its language.
    pub words: &'static [&'static str],
    /// How many inputs the ordinary tests make.
    pub in_tests: u64,
    /// Makes what takes the inputs.
    pub prepare: fn() -> Box<dyn Subject>,
}

/// Takes inputs and panics where a promise is broken.
pub trait Subject {
    /// Tries one input.
    fn take(&mut self, input: &[u8]);
}

/// Every way in.
pub const ALL: &[Target] = &[
    device_text::TARGET,
    domain_document::TARGET,
    plan::TARGET,
    record::TARGET,
    qmp_stream::TARGET,
    qemu_replies::TARGET,
    userdata::TARGET,
    database::TARGET,
];

/// The target of this name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Target> {
    ALL.iter().find(|target| target.name == name)
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Words of domain and device documents.
const DEVICE_WORDS: &[&str] = &[
    "\"class\":\"disk\"",
    "\"class\":\"cdrom\"",
    "\"class\":\"nic\"",
    "\"class\":\"rng\"",
    "\"class\":\"tablet\"",
    "\"class\":\"keyboard\"",
    "\"class\":\"controller\"",
    "\"bus\":\"scsi\"",
    "\"bus\":\"usb\"",
    "\"bus\":\"virtio\"",
    "\"file\":\"/raw\"",
    "\"file\":\"/qcow2\"",
    "\"file\":\"/missing\"",
    "\"file\":null",
    "\"format\":\"raw\"",
    "\"format\":\"qcow2\"",
    "\"serial\":\"a1\"",
    "\"readonly\":true",
    "\"removable\":true",
    "\"cache\":\"none\"",
    "\"discard\":\"unmap\"",
    "\"backend\":\"user\"",
    "\"backend\":\"tap\"",
    "\"ifname\":\"tap0\"",
    "\"mac\":\"52:54:00:00:00:01\"",
    "\"hostfwd\":[\"tcp::2222-:22\"]",
    "\"restrict\":true",
    "\"model\":\"e1000e\"",
    "\"backend\":\"rng-builtin\"",
    "\"port\":3",
    "null",
    "true",
    "false",
    "{}",
    "[]",
    "{\"class\":\"rng\"}",
    "\"\"",
    "\\u0000",
    "\\ud800",
    "_scsi",
    "\u{e4}\u{2028}",
    ",",
    ":",
    "\"x\":",
];

/// A message says something, fits a few lines, and cannot disturb a terminal.
fn is_well_said(message: &str) {
    is_short(message);
    assert!(
        !message.chars().any(char::is_control),
        "a message with control characters: {message:?}"
    );
}

/// The same for one whose control characters are escaped by whoever prints it.
fn is_short(message: &str) {
    assert!(!message.trim().is_empty(), "an error says nothing");
    assert!(message.len() < 4000, "a message of {} bytes: {message:.200}", message.len());
}
