//! What stands in a lock file: one page, mapped by everybody who waits for the lock or holds it.
//!
//! ```text
//! word  0   the mark of a lock file
//!       1   the last ticket drawn            any process, by one atomic add
//!       2   how often the lock was granted   its holder
//!    8-31   the holder's note                its holder
//!   32-55   the next one's note              whoever is about to lock
//! ```
//!
//! The second note is there because nobody can lock and say so in one step: who is stopped in between is found by it.
//!
//! A note is written by plain stores, without a system call. A reader that maps nothing (so that it cannot be hurt by a file that
//! shrinks) may meet it half written, and a holder may be killed half way; both show in its [`seal`].

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::ptr::NonNull;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::FallocateFlags;
use rustix::mm::{MapFlags, ProtFlags};

use crate::process::ProcessId;
use crate::seal::{self, Torn};
use crate::sync::SharedWord;

/// The size of a lock file in bytes.
pub(crate) const SIZE: usize = 4096;
const MARK: u64 = u64::from_le_bytes(*b"sfdlock1");

const AT_MARK: usize = 0;
const AT_TICKETS: usize = 1;
const AT_GRANTS: usize = 2;
const AT_NOTES: usize = 8;
const WORDS: usize = AT_NOTES + 2 * NOTE;

const NOTE: usize = seal::BODY + BODY;
const BODY: usize = 22;

const LEVEL: usize = 16;
/// How many bytes of a domain's name a note keeps.
pub(crate) const DOMAIN: usize = 64;
const VERB: usize = 32;
const STAGE: usize = 32;

/// Whose note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// The holder's.
    Holder,
    /// That of whoever is about to lock.
    Next,
}

impl Whose {
    const fn start(self) -> usize {
        match self {
            Self::Holder => AT_NOTES,
            Self::Next => AT_NOTES + NOTE,
        }
    }
}

/// A note, as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) process: ProcessId,
    pub(crate) since: SystemTime,
    pub(crate) level: String,
    pub(crate) domain: String,
    pub(crate) verb: String,
    pub(crate) stage: String,
}

/// The mapped page of a lock file.
#[derive(Debug)]
pub(crate) struct Page(NonNull<SharedWord>);

// SAFETY: the mapping belongs to this value alone, is not tied to a thread, and is accessed through atomics only.
unsafe impl Send for Page {}
// SAFETY: as above; shared access is what the atomics are for.
unsafe impl Sync for Page {}

impl Page {
    /// Maps the page, which is made first where the file is empty. `None` where the file holds something else.
    ///
    /// The blocks are allocated before the mapping, so that a full disk is an error here and not a SIGBUS at a store.
    /// Allocation changes no byte that another process has stored meanwhile.
    pub(crate) fn map(file: &File) -> io::Result<Option<Self>> {
        match file.metadata()?.len() {
            0 => rustix::fs::fallocate(file, FallocateFlags::empty(), 0, SIZE as u64)?,
            length if length != SIZE as u64 => return Ok(None),
            _ => {}
        }
        // SAFETY: a fresh mapping at an address the kernel chooses aliases nothing of Rust's.
        let start = unsafe {
            rustix::mm::mmap(
                std::ptr::null_mut(),
                SIZE,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                file,
                0,
            )?
        };
        let Some(start) = NonNull::new(start.cast()) else {
            return Err(io::Error::from(io::ErrorKind::InvalidData));
        };
        let page = Self(start);
        match page.word(AT_MARK).compare_exchange(0, MARK, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) | Err(MARK) => Ok(Some(page)),
            Err(_) => Ok(None),
        }
    }

    /// Draws the next ticket; the first is 1.
    pub(crate) fn draw(&self) -> u64 {
        self.word(AT_TICKETS).fetch_add(1, Ordering::AcqRel) + 1
    }

    /// Says that the lock was granted. Only by its holder.
    pub(crate) fn grant(&self) {
        self.word(AT_GRANTS).fetch_add(1, Ordering::AcqRel);
    }

    /// Stores a note, or clears it. By one thread at a time; processes that write the next one's note at the same
    /// time leave a torn one.
    pub(crate) fn write(&self, whose: Whose, note: Option<&Note>) {
        let body = note.map_or([0; BODY], Note::encode);
        seal::write(&self.words()[whose.start()..][..NOTE], &body);
    }

    fn word(&self, at: usize) -> &SharedWord {
        &self.words()[at]
    }

    fn words(&self) -> &[SharedWord; WORDS] {
        // SAFETY: the mapping is SIZE bytes long, which is more than WORDS words, and page-aligned, and it lives as long as
        // `self`. That the file is never shortened is the protocol of the folder, which is ours alone.
        unsafe { self.0.cast().as_ref() }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `map` with this length, and no reference into it outlives `self`.
        let unmapped = unsafe { rustix::mm::munmap(self.0.as_ptr().cast(), SIZE) };
        debug_assert!(unmapped.is_ok());
    }
}

/// The page as one reader saw it, without mapping it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Snapshot([u64; WORDS]);

impl Snapshot {
    /// `None` where the file is not a lock file.
    pub(crate) fn read(file: &File) -> io::Result<Option<Self>> {
        let mut bytes = [0; WORDS * 8];
        match file.read_exact_at(&mut bytes, 0) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            result => result?,
        }
        let mut words = [0; WORDS];
        for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *word = u64::from_ne_bytes(*bytes);
        }
        Ok((words[AT_MARK] == MARK).then_some(Self(words)))
    }

    pub(crate) fn grants(&self) -> u64 {
        self.0[AT_GRANTS]
    }

    /// `Err` where the note is torn: being written, or left half written.
    pub(crate) fn note(&self, whose: Whose) -> Result<Option<Note>, Torn> {
        let body = seal::read(&self.0[whose.start()..][..NOTE])?;
        Ok(body.and_then(Note::decode))
    }
}

impl Note {
    fn encode(&self) -> [u64; BODY] {
        let since = self.since.duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut bytes = Vec::with_capacity(BODY * 8);
        let texts = [
            (&self.level, LEVEL),
            (&self.domain, DOMAIN),
            (&self.verb, VERB),
            (&self.stage, STAGE),
        ];
        let lengths = texts.map(|(text, most)| kept(text, most).len() as u16);
        bytes.extend(u64::from(self.process.pid).to_ne_bytes());
        bytes.extend(self.process.started.to_ne_bytes());
        bytes.extend(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX).to_ne_bytes());
        bytes.extend(lengths.iter().flat_map(|length| length.to_ne_bytes()));
        for (text, most) in texts {
            let end = bytes.len() + most;
            bytes.extend(kept(text, most).bytes());
            bytes.resize(end, 0);
        }
        let mut body = [0; BODY];
        for (word, bytes) in body.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *word = u64::from_ne_bytes(*bytes);
        }
        body
    }

    /// `None` for a cleared note, and for one that no version of this code writes.
    fn decode(body: &[u64]) -> Option<Self> {
        let bytes: Vec<u8> = body.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let pid = u32::try_from(body[0]).ok().filter(|pid| *pid != 0)?;
        let (lengths, mut texts) = bytes[24..].split_at(8);
        let mut lengths = lengths
            .as_chunks::<2>()
            .0
            .iter()
            .map(|length| usize::from(u16::from_ne_bytes(*length)));
        let mut text = |most: usize| {
            let (field, rest) = texts.split_at_checked(most)?;
            texts = rest;
            std::str::from_utf8(field.get(..lengths.next()?)?).ok().map(str::to_owned)
        };
        Some(Self {
            process: ProcessId { pid, started: body[1] },
            since: UNIX_EPOCH + Duration::from_nanos(body[2]),
            level: text(LEVEL)?,
            domain: text(DOMAIN)?,
            verb: text(VERB)?,
            stage: text(STAGE)?,
        })
    }
}

/// The longest whole characters of `text` within `most` bytes.
fn kept(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(domain: &str) -> Note {
        Note {
            process: ProcessId { pid: 4711, started: 99 },
            since: UNIX_EPOCH + Duration::from_nanos(1_234_567_890_123),
            level: "slow".into(),
            domain: domain.into(),
            verb: "attach".into(),
            stage: "effect".into(),
        }
    }

    fn page() -> (File, Page) {
        let file = tempfile::tempfile().unwrap();
        let page = Page::map(&file).unwrap().unwrap();
        (file, page)
    }

    fn read(file: &File) -> Result<Option<Note>, Torn> {
        Snapshot::read(file).unwrap().unwrap().note(Whose::Holder)
    }

    #[test]
    fn a_note_is_read_as_written_and_gone_when_cleared() {
        let (file, page) = page();
        assert_eq!(read(&file), Ok(None));
        page.write(Whose::Holder, Some(&note("web1")));
        assert_eq!(read(&file), Ok(Some(note("web1"))));
        page.write(Whose::Holder, None);
        assert_eq!(read(&file), Ok(None));
    }

    #[test]
    fn the_two_notes_do_not_touch_each_other() {
        let (file, page) = page();
        page.write(Whose::Next, Some(&note("web2")));
        assert_eq!(read(&file), Ok(None));
        page.write(Whose::Holder, Some(&note("web1")));
        assert_eq!(
            Snapshot::read(&file).unwrap().unwrap().note(Whose::Next),
            Ok(Some(note("web2")))
        );
    }

    #[test]
    fn a_long_name_is_cut_between_characters() {
        let (file, page) = page();
        page.write(Whose::Holder, Some(&note(&format!("x{}", "ä".repeat(100)))));
        assert_eq!(
            read(&file).unwrap().unwrap().domain,
            format!("x{}", "ä".repeat(DOMAIN / 2 - 1))
        );
    }

    #[test]
    fn a_note_left_half_written_is_torn_until_the_next_holder_writes() {
        let (file, page) = page();
        page.write(Whose::Holder, Some(&note("web1")));
        let sequence = page.word(AT_NOTES).load(Ordering::Relaxed);
        page.word(AT_NOTES).store(sequence + 1, Ordering::Relaxed);
        page.word(AT_NOTES + seal::BODY).store(1, Ordering::Relaxed);
        assert_eq!(read(&file), Err(Torn));
        page.write(Whose::Holder, Some(&note("web2")));
        assert_eq!(read(&file), Ok(Some(note("web2"))));
    }

    #[test]
    fn a_note_with_any_bit_turned_is_torn() {
        let (file, page) = page();
        page.write(Whose::Holder, Some(&note("web1")));
        for (at, bit) in (0..BODY).flat_map(|at| (0..64).map(move |bit| (at, bit))) {
            let word = page.word(AT_NOTES + seal::BODY + at);
            word.fetch_xor(1 << bit, Ordering::Relaxed);
            assert_eq!(read(&file), Err(Torn), "bit {bit} of word {at}");
            word.fetch_xor(1 << bit, Ordering::Relaxed);
        }
        assert_eq!(read(&file), Ok(Some(note("web1"))));
    }

    #[test]
    fn a_reader_never_sees_two_notes_mixed() {
        let (file, page) = page();
        let notes = [note(&"a".repeat(64)), note(&"b".repeat(64))];
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|threads| {
            threads.spawn(|| {
                for turn in 0..20_000 {
                    page.write(Whose::Holder, Some(&notes[turn % 2]));
                }
                done.store(true, Ordering::Release);
            });
            while !done.load(Ordering::Acquire) {
                if let Ok(Some(seen)) = read(&file) {
                    assert!(notes.contains(&seen), "{seen:?}");
                }
            }
        });
    }

    #[test]
    fn a_file_that_holds_something_else_is_left_as_it_is() {
        for content in [b"precious".to_vec(), vec![7; SIZE], vec![0; 100], vec![0; 2 * SIZE]] {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), &content).unwrap();
            let opened = File::options().read(true).write(true).open(file.path()).unwrap();
            assert!(Page::map(&opened).unwrap().is_none());
            assert!(Snapshot::read(&opened).unwrap().is_none());
            assert_eq!(std::fs::read(file.path()).unwrap(), content);
        }
    }

    #[test]
    fn a_ticket_is_never_drawn_twice() {
        let (file, page) = page();
        let other = Page::map(&file).unwrap().unwrap();
        assert_eq!([page.draw(), other.draw(), page.draw()], [1, 2, 3]);
    }

    #[test]
    fn the_words_are_where_processes_of_other_versions_look_for_them() {
        assert_eq!((Whose::Holder.start(), Whose::Next.start(), WORDS), (8, 32, 56));
    }

    #[test]
    fn each_write_has_a_sequence_of_its_own() {
        let (_file, page) = page();
        let sequences = [(); 3].map(|()| {
            page.write(Whose::Holder, Some(&note("web1")));
            page.word(AT_NOTES).load(Ordering::Relaxed)
        });
        assert!(sequences.is_sorted_by(|one, next| one < next && next % 2 == 0), "{sequences:?}");
    }

    #[test]
    fn a_page_is_mapped_for_as_long_as_it_is_used() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let is_mapped = || {
            let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
            maps.contains(file.path().to_str().unwrap())
        };
        let page = Page::map(file.as_file()).unwrap();
        assert!(is_mapped());
        drop(page);
        assert!(!is_mapped());
    }

    #[test]
    fn a_page_that_cannot_be_read_is_an_error_and_not_empty() {
        let (file, _page) = page();
        let read = crate::refused::with(libc::SYS_pread64, libc::EIO, || Snapshot::read(&file));
        assert!(read.is_err());
    }
}
