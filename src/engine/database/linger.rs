//! Staying awake for the next request after a commit: a caller that writes one document after another sends the next
//! request as soon as it has the answer, and waking a sleeping thread would cost it more than all else but the sync.

use std::hint;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Waits at most this long, once after each commit.
const PATIENCE: Duration = Duration::from_micros(100);
/// After this many waits in vain in a row, most waits are left out.
const TRIES: u32 = 4;
/// One in this many is still made, to see whether waiting pays again.
const PROBE: u32 = 16;

/// Whether a thread that spins leaves a processor to the one that it waits for.
static SEVERAL_PROCESSORS: LazyLock<bool> =
    LazyLock::new(|| thread::available_parallelism().is_ok_and(|count| count.get() > 1));

/// What is known of how soon the next request comes.
#[derive(Default)]
pub struct Linger {
    in_vain: AtomicU32,
}

impl Linger {
    /// Waits for something to arrive, if it is likely to come at once.
    pub fn wait(&self, arrived: impl Fn() -> bool) {
        if arrived() || !self.is_worth_it() {
            return;
        }
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            (0..16).for_each(|_| hint::spin_loop());
            if arrived() {
                self.in_vain.store(0, Ordering::Relaxed);
                return;
            }
        }
    }

    fn is_worth_it(&self) -> bool {
        let in_vain = self.in_vain.fetch_add(1, Ordering::Relaxed);
        *SEVERAL_PROCESSORS && (in_vain < TRIES || in_vain.is_multiple_of(PROBE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// How often a wait of `linger` looks before it gives up.
    fn looks(linger: &Linger) -> u32 {
        let looks = Cell::new(0);
        linger.wait(|| {
            looks.set(looks.get() + 1);
            false
        });
        looks.get()
    }

    #[test]
    fn lingering_nearly_stops_when_no_request_ever_follows() {
        let linger = Linger::default();
        let waits = (0..TRIES + 2 * PROBE).filter(|_| looks(&linger) > 1).count();
        assert!(waits <= TRIES as usize + 2, "{waits}");
    }

    #[test]
    fn lingering_resumes_after_a_request_follows_once() {
        let linger = Linger::default();
        assert!((0..TRIES).all(|_| looks(&linger) > 0));
        linger.in_vain.store(PROBE, Ordering::Relaxed);
        let asked = Cell::new(false);
        linger.wait(|| asked.replace(true));
        assert_eq!(linger.in_vain.load(Ordering::Relaxed), if *SEVERAL_PROCESSORS { 0 } else { PROBE + 1 });
    }
}
