//! Notes, read while they are written. A reader takes words in any order, each as old as the memory model lets it be.

use std::sync::Arc;

use loom::sync::atomic::Ordering;
use steadfast_twins::{Bound, explore, thread};

use crate::seal;
use crate::sync::SharedWord;

const ONE: [u64; 2] = [11, 12];
const OTHER: [u64; 2] = [21, 22];

#[test]
fn a_reader_never_sees_two_notes_mixed() {
    explore("notes-read-against-written", 2, Bound::None, || {
        let words: Arc<[SharedWord; 4]> = Arc::new(std::array::from_fn(|_| SharedWord::new(0)));
        let writer = thread::spawn({
            let words = Arc::clone(&words);
            move || {
                seal::write(&words[..], &ONE);
                seal::write(&words[..], &OTHER);
            }
        });
        // Backwards: what is stored last is read first.
        let mut seen = [0; 4];
        for at in (0..4).rev() {
            seen[at] = words[at].load(Ordering::Relaxed);
        }
        if let Ok(Some(body)) = seal::read(&seen) {
            assert!(body == ONE || body == OTHER, "{body:?} was never written");
        }
        writer.join().unwrap();
        let left = [0, 1, 2, 3].map(|at| words[at].load(Ordering::Relaxed));
        assert_eq!(seal::read(&left), Ok(Some(&OTHER[..])), "what was written last stays");
    });
}
