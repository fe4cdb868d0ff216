//! What stands in a lock file: one page, mapped by everybody who waits for the lock or holds it.
//!
//! ```text
//! word  0   the mark of a lock file
//!       1   the last ticket drawn            any process, by one atomic exchange
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

use rustix::fs::FallocateFlags;
use rustix::mm::{MapFlags, ProtFlags};

use crate::note::{self, Note, Slip};
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

const NOTE: usize = seal::BODY + note::WORDS;

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

/// The mapped page of a lock file.
#[derive(Debug)]
pub(crate) struct Page(NonNull<SharedWord>);

// SAFETY: the mapping belongs to this value alone, is not tied to a thread, and is accessed through atomics only.
unsafe impl Send for Page {}
// SAFETY: as above; shared access is what the atomics are for.
unsafe impl Sync for Page {}

impl Page {
    /// Maps the page, which is made first where the file is empty. `None` where the file holds something else. `length` is
    /// what was found when it was opened.
    ///
    /// The blocks are allocated before the mapping, so that a full disk is an error here and not a SIGBUS at a store.
    /// Allocation changes no byte that another process has stored meanwhile.
    pub(crate) fn map(file: &File, length: u64) -> io::Result<Option<Self>> {
        match length {
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

    /// The last ticket that was drawn; the first one is 1.
    pub(crate) fn last_ticket(&self) -> u64 {
        self.word(AT_TICKETS).load(Ordering::Acquire)
    }

    /// Draws the ticket after `last`; `false` where that has been drawn meanwhile.
    pub(crate) fn draw_after(&self, last: u64) -> bool {
        let tickets = self.word(AT_TICKETS);
        tickets.compare_exchange(last, last + 1, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Says that the lock was granted. Only by its holder.
    pub(crate) fn grant(&self) {
        self.word(AT_GRANTS).fetch_add(1, Ordering::AcqRel);
    }

    /// Stores a note. By one thread at a time; processes that write the next one's note at the same
    /// time leave a torn one.
    pub(crate) fn write(&self, whose: Whose, note: &Slip) {
        seal::write(&self.words()[whose.start()..][..NOTE], note.words());
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

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::process::ProcessId;

    fn slip(domain: &str) -> Slip {
        let process = ProcessId { pid: 4711, started: 99 };
        Slip::new(process, SystemTime::now(), ["slow", domain, "attach", "effect"])
    }

    fn note(slip: &Slip) -> Option<Note> {
        Note::decode(slip.words())
    }

    fn map(file: &File) -> io::Result<Option<Page>> {
        Page::map(file, file.metadata()?.len())
    }

    fn page() -> (File, Page) {
        let file = tempfile::tempfile().unwrap();
        let page = map(&file).unwrap().unwrap();
        (file, page)
    }

    fn read(file: &File) -> Result<Option<Note>, Torn> {
        Snapshot::read(file).unwrap().unwrap().note(Whose::Holder)
    }

    #[test]
    fn a_note_is_read_as_written_and_gone_when_cleared() {
        let ((file, page), slip) = (page(), slip("web1"));
        assert_eq!(read(&file), Ok(None));
        page.write(Whose::Holder, &slip);
        assert_eq!(read(&file), Ok(note(&slip)));
        page.write(Whose::Holder, &Slip::CLEARED);
        assert_eq!(read(&file), Ok(None));
    }

    #[test]
    fn the_two_notes_do_not_touch_each_other() {
        let (file, page) = page();
        let [one, two] = ["web1", "web2"].map(slip);
        page.write(Whose::Next, &two);
        assert_eq!(read(&file), Ok(None));
        page.write(Whose::Holder, &one);
        let read = Snapshot::read(&file).unwrap().unwrap().note(Whose::Next);
        assert_eq!(read, Ok(note(&two)));
    }

    #[test]
    fn a_note_left_half_written_is_torn_until_the_next_holder_writes() {
        let ((file, page), next) = (page(), slip("web2"));
        page.write(Whose::Holder, &slip("web1"));
        let sequence = page.word(AT_NOTES).load(Ordering::Relaxed);
        page.word(AT_NOTES).store(sequence + 1, Ordering::Relaxed);
        page.word(AT_NOTES + seal::BODY).store(1, Ordering::Relaxed);
        assert_eq!(read(&file), Err(Torn));
        page.write(Whose::Holder, &next);
        assert_eq!(read(&file), Ok(note(&next)));
    }

    #[test]
    fn a_note_with_any_bit_turned_is_torn() {
        let ((file, page), slip) = (page(), slip("web1"));
        page.write(Whose::Holder, &slip);
        for (at, bit) in (0..note::WORDS).flat_map(|at| (0..64).map(move |bit| (at, bit))) {
            let word = page.word(AT_NOTES + seal::BODY + at);
            word.fetch_xor(1 << bit, Ordering::Relaxed);
            assert_eq!(read(&file), Err(Torn), "bit {bit} of word {at}");
            word.fetch_xor(1 << bit, Ordering::Relaxed);
        }
        assert_eq!(read(&file), Ok(note(&slip)));
    }

    #[test]
    fn a_reader_never_sees_two_notes_mixed() {
        let (file, page) = page();
        let slips = [slip(&"a".repeat(64)), slip(&"b".repeat(64))];
        let notes = slips.each_ref().map(note);
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|threads| {
            threads.spawn(|| {
                for turn in 0..20_000 {
                    page.write(Whose::Holder, &slips[turn % 2]);
                }
                done.store(true, Ordering::Release);
            });
            while !done.load(Ordering::Acquire) {
                if let Ok(seen @ Some(_)) = read(&file) {
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
            assert!(map(&opened).unwrap().is_none());
            assert!(Snapshot::read(&opened).unwrap().is_none());
            assert_eq!(std::fs::read(file.path()).unwrap(), content);
        }
    }

    #[test]
    fn a_ticket_is_never_drawn_twice() {
        let (file, page) = page();
        let other = map(&file).unwrap().unwrap();
        let draws = [(&page, 0), (&other, 0), (&other, 1), (&page, 1), (&page, 2)];
        let drawn = draws.map(|(page, last)| page.draw_after(last));
        assert_eq!(drawn, [true, false, true, false, true]);
        assert_eq!([page.last_ticket(), other.last_ticket()], [3, 3]);
    }

    #[test]
    fn the_words_are_where_processes_of_other_versions_look_for_them() {
        assert_eq!((Whose::Holder.start(), Whose::Next.start(), WORDS), (8, 32, 56));
    }

    #[test]
    fn each_write_has_a_sequence_of_its_own() {
        let (_file, page) = page();
        let sequences = [(); 3].map(|()| {
            page.write(Whose::Holder, &slip("web1"));
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
        let page = map(file.as_file()).unwrap();
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
