//! Ids that never repeat within a process. `Database::new_id` gives those that do not repeat between processes either.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

static LAST: AtomicU64 = AtomicU64::new(0);

/// The current time in milliseconds since 1970.
pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_millis() as u64)
}

/// An id near the current time in milliseconds, larger than every one handed out before, whatever the clock does.
pub fn generate_id() -> u64 {
    let now = now_ms();
    let next = |last: u64| Some(now.max(last + 1));
    LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).map_or(now, |last| now.max(last + 1))
}

/// Makes the ids that are handed out from here on larger than this one.
pub fn stay_above(id: u64) {
    LAST.fetch_max(id, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_from_many_threads_never_repeat() {
        let threads: Vec<_> =
            (0..4).map(|_| std::thread::spawn(|| (0..5000).map(|_| generate_id()).collect())).collect();
        let mut ids: Vec<u64> =
            threads.into_iter().flat_map(|thread| -> Vec<u64> { thread.join().expect("no panic") }).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 20_000);
    }
}
