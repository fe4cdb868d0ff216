//! The queues of a table, by the paths of their lock files.
//!
//! A queue that nobody uses is kept for a while with its file open, because a lock is mostly taken again. Of those that
//! were used last so many are kept; all others go with whoever uses them last.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use crate::queue::Queue;
use crate::sync::KEPT;

#[derive(Default)]
pub(crate) struct Queues {
    known: HashMap<PathBuf, Weak<Queue>>,
    /// The latest first.
    kept: VecDeque<Arc<Queue>>,
}

impl Queues {
    /// One that is kept. The path may be spelled in another way than that of the queue, which then is not found.
    pub(crate) fn find_kept(&mut self, path: &Path) -> Option<Arc<Queue>> {
        let is_it = |queue: &Arc<Queue>| queue.path().as_os_str() == path.as_os_str();
        let at = self.kept.iter().position(is_it)?;
        let found = self.kept.remove(at)?;
        self.kept.push_front(Arc::clone(&found));
        Some(found)
    }

    /// The one of this absolute path, which is made where there is none, and is kept from now on.
    ///
    /// The other one is kept no longer. It may be the last of its queue, which is forgotten as it drops: so not under the
    /// mutex that these are in.
    #[must_use = "it is to be dropped after the mutex is unlocked"]
    pub(crate) fn find_or_keep(
        &mut self,
        path: PathBuf,
        make: impl FnOnce(PathBuf) -> Arc<Queue>,
    ) -> (Arc<Queue>, Option<Arc<Queue>>) {
        if let Some(kept) = self.find_kept(&path) {
            return (kept, None);
        }
        let queue = match self.known.get(&path).and_then(Weak::upgrade) {
            Some(known) => known,
            None => {
                let made = make(path.clone());
                self.known.insert(path, Arc::downgrade(&made));
                made
            }
        };
        self.kept.push_front(Arc::clone(&queue));
        let over = if self.kept.len() > KEPT { self.kept.pop_back() } else { None };
        (queue, over)
    }

    /// The queue of this path is gone, unless there is a new one already.
    pub(crate) fn forget(&mut self, path: &Path) {
        if self.known.get(path).is_some_and(|queue| queue.strong_count() == 0) {
            self.known.remove(path);
        }
    }

    /// How many there are that somebody uses, and how many are kept.
    pub(crate) fn count(&self) -> (usize, usize) {
        let is_kept = |queue: &Weak<Queue>| {
            self.kept.iter().any(|kept| std::ptr::eq(Arc::as_ptr(kept), queue.as_ptr()))
        };
        let is_used = |queue: &&Weak<Queue>| queue.strong_count() > usize::from(is_kept(queue));
        (self.known.values().filter(is_used).count(), self.kept.len())
    }

    #[cfg(test)]
    pub(crate) fn known(&self) -> usize {
        self.known.len()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn ask(queues: &mut Queues, path: &str) -> (Arc<Queue>, Option<Arc<Queue>>) {
        let make = |path| Queue::new(path, Weak::new());
        queues.find_or_keep(PathBuf::from(path), make)
    }

    #[test]
    fn those_used_last_are_kept_and_the_others_are_not() {
        let mut queues = Queues::default();
        let first = ask(&mut queues, "/first").0;
        for number in 1..KEPT {
            assert!(ask(&mut queues, &format!("/{number}")).1.is_none());
        }
        assert!(Arc::ptr_eq(&queues.find_kept(Path::new("/first")).unwrap(), &first));
        let over = ask(&mut queues, "/last").1.unwrap();
        assert_eq!(over.path(), Path::new("/1"), "the first was used since");
        drop(over);
        queues.forget(Path::new("/1"));
        assert_eq!((queues.known(), queues.kept.len()), (KEPT, KEPT));
    }

    #[test]
    fn one_that_is_used_is_found_though_it_is_kept_no_longer() {
        let mut queues = Queues::default();
        let first = ask(&mut queues, "/first").0;
        for number in 0..KEPT {
            drop(ask(&mut queues, &format!("/{number}")));
        }
        assert!(queues.find_kept(Path::new("/first")).is_none());
        queues.forget(Path::new("/first"));
        assert_eq!(queues.count().0, 1);
        assert!(Arc::ptr_eq(&ask(&mut queues, "/first").0, &first));
        drop(first);
        assert_eq!(queues.count(), (0, KEPT));
    }
}
