//! Ids that never repeat within a process. `Database::new_id` returns ids that do not repeat between processes either.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use super::error::{Error, Result};

/// The latest millisecond for times and for ids derived from them: the start of the year 2050, UTC.
pub const LATEST_TIME: u64 = 2_524_608_000_000;

/// The highest id derived from the clock alone. The ids counted up from there have the room above it.
const LATEST_FROM_CLOCK: u64 = LATEST_TIME - (1 << 33);

static LAST: AtomicU64 = AtomicU64::new(0);

/// Returns the current time in milliseconds since 1970, limited to the range from 0 to [`LATEST_TIME`].
pub fn now_ms() -> u64 {
    time_in_bounds(SystemTime::now())
}

fn time_in_bounds(time: SystemTime) -> u64 {
    let elapsed = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_millis()).map_or(LATEST_TIME, |ms| ms.min(LATEST_TIME))
}

/// Returns 64 random bits for a name in `directory`. Two such names never agree by chance.
pub fn random_bits(directory: &Path) -> Result<u64> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::io("draw a random name in", directory, &io::Error::other(error)))?;
    Ok(u64::from_le_bytes(bytes))
}

/// Returns an id near the current time in milliseconds, larger than every id returned before, whatever the clock does.
pub fn generate_id() -> u64 {
    let now = now_ms();
    let next = |last: u64| Some(id_after(last, now));
    LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).map_or(now, |last| id_after(last, now))
}

fn id_after(last: u64, now: u64) -> u64 {
    now.min(LATEST_FROM_CLOCK).max(last + 1)
}

/// Makes all ids returned from now on larger than this one.
pub fn stay_above(id: u64) {
    LAST.fetch_max(id, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_clock_out_of_bounds_still_gives_times_and_ids_within_bounds() {
        for (years, time) in
            [(-10, 0), (0, 0), (79, 2_491_344_000_000), (90, LATEST_TIME), (500, LATEST_TIME)]
        {
            let off = Duration::from_secs(i64::abs(years) as u64 * 365 * 86_400);
            let shown = if years < 0 { UNIX_EPOCH - off } else { UNIX_EPOCH + off };
            let now = time_in_bounds(shown);
            assert_eq!(now, time, "{years} years");
            let second = id_after(id_after(0, now), now);
            assert!(second > 1 && second < LATEST_TIME - u64::from(u32::MAX), "{second}");
        }
    }

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
