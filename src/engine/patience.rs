//! Telling whoever watches a call that it waits for others.
//!
//! Like the flag of [`cancel`](super::cancel), the watcher belongs to the thread on which the call runs, many layers above
//! the code that waits.

use std::cell::RefCell;
use std::path::Path;
use std::time::Duration;

use super::error::{Error, named};
use super::scope::within;

/// A watcher is told of a wait that lasts longer.
pub(super) const SHORT: Duration = Duration::from_secs(1);

type Watcher = Box<dyn FnOnce(&Error)>;

thread_local! {
    static WATCHER: RefCell<Option<Watcher>> = const { RefCell::new(None) };
}

/// Runs work. If it waits long for something that others hold, `watcher` is told once: with the error with which the work
/// would fail if it stopped waiting.
pub fn watched<T>(watcher: impl FnOnce(&Error) + 'static, work: impl FnOnce() -> T) -> T {
    within(&WATCHER, Some(Box::new(watcher)), work)
}

/// Returns what a watcher can say to a person. `shown` returns a path as that person reads it.
pub fn describe(busy: &Error, shown: impl FnOnce(&Path) -> String) -> String {
    match busy {
        Error::LockTimeout { path, waited_ms, .. } | Error::InUse { path, waited_ms, .. } => {
            let seconds = (*waited_ms as f64 / 100.0).round() / 10.0;
            format!("waiting at most {seconds} s for {} to release {}", named(busy.holders()), shown(path))
        }
        other => other.to_string(),
    }
}

/// Tells the watcher of this thread, if it has one that was not told yet.
pub(super) fn tell(busy: impl FnOnce() -> Error) {
    if let Some(watcher) = WATCHER.take() {
        watcher(&busy());
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;
    use std::sync::Arc;

    use super::*;
    use crate::engine::Wait;
    use crate::engine::fs::{Fs, OsFs};
    use crate::engine::lock::{LockKind, ProcessLock};

    #[test]
    fn the_watcher_of_a_long_wait_learns_what_it_waits_for() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let fs: Arc<dyn Fs> = Arc::new(OsFs);
        let path = directory.path().join("a.lock");
        let open = || ProcessLock::open(&fs, &path).expect("opened");
        let mut held = open();
        assert!(held.try_lock(LockKind::Exclusive).expect("tried"));
        let (expected, guard) = (path.clone(), held.guard());
        let release = move |busy: &Error| {
            assert!(matches!(busy, Error::LockTimeout { path, .. } if *path == expected), "{busy}");
            drop(guard);
        };
        // It ends because the watcher releases the lock.
        let wait = Wait::at_most(Duration::from_secs(60));
        watched(release, || open().lock(LockKind::Exclusive, wait, || None)).expect("locked");
    }

    #[test]
    fn a_delay_is_described_in_tenths_of_a_second() {
        let told = |waited_ms| {
            let busy = Error::LockTimeout { path: "data/a.lock".into(), waited_ms, holder: None };
            describe(&busy, |path| path.display().to_string())
        };
        assert_eq!(told(29_999), "waiting at most 30 s for another process to release data/a.lock");
        assert_eq!(told(1_490), "waiting at most 1.5 s for another process to release data/a.lock");
    }

    #[test]
    fn a_watcher_is_told_once_and_only_of_its_own_work() {
        let [outer, inner] = [(), ()].map(|()| Rc::new(Cell::new(0)));
        let count = |told: &Rc<Cell<u32>>| {
            let told = Rc::clone(told);
            move |_: &Error| told.set(told.get() + 1)
        };
        watched(count(&outer), || {
            watched(count(&inner), || [(), ()].map(|()| tell(|| Error::Closed)));
            assert_eq!((outer.get(), inner.get()), (0, 1));
            tell(|| Error::Closed);
        });
        tell(|| Error::Closed);
        assert_eq!((outer.get(), inner.get()), (1, 1));
    }
}
