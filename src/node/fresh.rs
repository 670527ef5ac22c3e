//! How long the cache vouches for what was peeked: for so long JavaScript may keep it as an object.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Of what was peeked last: how many milliseconds the cache would go on to give it; 0 if it came from somewhere else.
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
