//! Values that belong to a thread while some work runs on it.

use std::cell::RefCell;
use std::thread::LocalKey;

/// Runs work while `place` holds `value` on this thread. The outer value returns afterwards, even if `work` panics.
pub fn within<V, T>(
    place: &'static LocalKey<RefCell<Option<V>>>,
    value: Option<V>,
    work: impl FnOnce() -> T,
) -> T {
    struct Outer<V: 'static> {
        place: &'static LocalKey<RefCell<Option<V>>>,
        value: Option<V>,
    }
    impl<V> Drop for Outer<V> {
        fn drop(&mut self) {
            self.place.set(self.value.take());
        }
    }
    let _outer = Outer { place, value: place.replace(value) };
    work()
}
