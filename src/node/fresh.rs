//! How long the cache vouches for what was peeked. JavaScript may keep it as an object for that long.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// For how many more milliseconds the cache would return what was last peeked; 0 if that did not come from the cache.
#[derive(Default)]
pub struct FreshFor(AtomicU64);

impl FreshFor {
    pub fn note(&self, left: Option<Duration>) {
        self.0.store(left.map_or(0, |left| left.as_millis() as u64), Ordering::Relaxed);
    }

    pub fn milliseconds(&self) -> f64 {
        self.0.load(Ordering::Relaxed) as f64
    }
}
