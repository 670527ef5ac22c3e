//! Work on many items in parallel.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use parking_lot::Mutex;

use super::cancel;

/// Work on this many bytes takes longer than starting a thread.
const WORTHWHILE: usize = 512 << 10;
/// The process has other things to do as well.
const THREADS: usize = 4;
const SHARES: usize = 8;
/// A share that has reached this many bytes takes no more documents.
const SHARE_BYTES: usize = 1 << 20;

/// Returns what `work` makes of the items, in their order. If they have many `bytes` in total, several threads share the
/// work on behalf of the same caller: cancelling the call stops all of them. If no thread can be started, this one does all
/// the work.
pub fn map<T: Sync, R: Send>(items: &[T], bytes: usize, work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = threads_for(bytes);
    // There are several shares for each thread, so that other threads do the rest if one is held up.
    let shares = if threads == 1 { 1 } else { threads * SHARES };
    let shares: Vec<&[T]> = items.chunks(items.len().div_ceil(shares).max(1)).collect();
    let mut done = Vec::with_capacity(items.len());
    let do_share = |share: &&[T]| Ok::<_, Infallible>(share.iter().map(&work).collect::<Vec<R>>());
    let Ok(()) = in_order(&shares, bytes, do_share, |made| done.extend(made));
    done
}

/// Like [`map`], but passes each result to `hand_over` as soon as all results before it have been handed over, while the
/// rest are still being made. Nothing more is handed over after an error.
pub fn in_order<T: Sync, R: Send, E: Send>(
    items: &[T],
    bytes: usize,
    work: impl Fn(&T) -> Result<R, E> + Sync,
    mut hand_over: impl FnMut(R) + Send,
) -> Result<(), E> {
    let threads = threads_for(bytes).min(items.len());
    if threads <= 1 {
        return items.iter().try_for_each(|item| work(item).map(&mut hand_over));
    }
    let next = AtomicUsize::new(0);
    let made = Mutex::new(Made { hand_over, due: 0, early: BTreeMap::new(), failure: None });
    together(threads, &|| {
        while let Some((at, item)) = claim(&next, items) {
            let result = work(item);
            if made.lock().add(at, result).is_err() {
                next.store(items.len(), Ordering::Relaxed);
            }
        }
    });
    made.into_inner().failure.map_or(Ok(()), Err)
}

fn claim<'a, T>(next: &AtomicUsize, items: &'a [T]) -> Option<(usize, &'a T)> {
    let at = next.fetch_add(1, Ordering::Relaxed);
    Some((at, items.get(at)?))
}

/// Results that were made but not handed over yet.
struct Made<R, E, H> {
    hand_over: H,
    /// The position of the next result to hand over.
    due: usize,
    early: BTreeMap<usize, R>,
    failure: Option<E>,
}

/// An item failed, so the results of the others are no longer needed.
struct Failed;

impl<R, E, H: FnMut(R)> Made<R, E, H> {
    fn add(&mut self, at: usize, result: Result<R, E>) -> Result<(), Failed> {
        match result {
            Err(error) => self.failure = self.failure.take().or(Some(error)),
            Ok(made) => drop(self.early.insert(at, made)),
        }
        if self.failure.is_some() {
            return Err(Failed);
        }
        while let Some(made) = self.early.remove(&self.due) {
            self.due += 1;
            (self.hand_over)(made);
        }
        Ok(())
    }
}

/// Splits the items, in their order, into shares that are not too large: at most as many items as are processed between two
/// checks for cancellation, and about `SHARE_BYTES` at most.
pub fn shares<T>(items: &[T], bytes: impl Fn(&T) -> usize) -> Vec<&[T]> {
    let (mut shares, mut rest) = (Vec::with_capacity(items.len().div_ceil(cancel::STEP)), items);
    while !rest.is_empty() {
        let (mut count, mut sum) = (0, 0);
        while count < rest.len().min(cancel::STEP) && sum < SHARE_BYTES {
            sum += bytes(&rest[count]);
            count += 1;
        }
        let (share, behind) = rest.split_at(count);
        shares.push(share);
        rest = behind;
    }
    shares
}

fn threads_for(bytes: usize) -> usize {
    if bytes < WORTHWHILE {
        return 1;
    }
    thread::available_parallelism().map_or(1, usize::from).min(THREADS)
}

/// Runs `work` on this many threads, including this one, or on as many as can be started. Compiled once for all kinds of
/// work.
fn together(threads: usize, work: &(dyn Fn() + Sync)) {
    let caller = cancel::current();
    thread::scope(|scope| {
        let begin = |_| {
            let caller = caller.clone();
            let named = thread::Builder::new().name("storage-share".into());
            named.spawn_scoped(scope, move || cancel::scope_of(caller, work)).ok()
        };
        let others: Vec<_> = (1..threads).filter_map(begin).collect();
        work();
        for other in others {
            if let Err(panic) = other.join() {
                resume_unwind(panic);
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_items() {
        for count in [0, 1, 2, 3, 7, 1000] {
            let items: Vec<usize> = (0..count).collect();
            let expected: Vec<usize> = items.iter().map(|item| item * 2).collect();
            for bytes in [0, WORTHWHILE] {
                assert_eq!(map(&items, bytes, |item| item * 2), expected);
                let mut handed_over = Vec::new();
                let work = |item: &usize| Ok::<_, Infallible>(item * 2);
                let Ok(()) = in_order(&items, bytes, work, |made| handed_over.push(made));
                assert_eq!(handed_over, expected);
            }
        }
    }

    #[test]
    fn shares_are_limited_in_items_and_bytes() {
        let sizes = |items: &[usize]| -> Vec<usize> {
            shares(items, |&item| item).iter().map(|share| share.len()).collect()
        };
        assert!(sizes(&[]).is_empty());
        assert_eq!(sizes(&[1; 2 * cancel::STEP + 1]), [cancel::STEP, cancel::STEP, 1]);
        assert_eq!(sizes(&[SHARE_BYTES / 2; 5]), [2, 2, 1]);
        assert_eq!(sizes(&[5 * SHARE_BYTES, 1, SHARE_BYTES, 1]), [1, 2, 1]);
    }

    #[test]
    fn first_results_are_handed_over_before_the_last_is_made() {
        let handed_over = AtomicUsize::new(0);
        let work = |&item: &usize| Ok::<_, usize>((item, handed_over.load(Ordering::SeqCst)));
        let mut last_saw = 0;
        let done = in_order(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], 0, work, |(item, seen)| {
            handed_over.store(item + 1, Ordering::SeqCst);
            last_saw = seen;
        });
        assert_eq!((done, last_saw), (Ok(()), 9));
    }

    #[test]
    fn no_result_after_an_error_is_handed_over() {
        for bytes in [0, WORTHWHILE] {
            let mut handed_over = Vec::new();
            let items: Vec<usize> = (0..1000).collect();
            let work = |&item: &usize| if item == 500 { Err(item) } else { Ok(item) };
            assert_eq!(in_order(&items, bytes, work, |made| handed_over.push(made)), Err(500));
            assert!(handed_over.len() <= 500 && handed_over.iter().copied().eq(0..handed_over.len()));
        }
    }

    #[test]
    fn a_cancel_of_the_caller_reaches_every_share() {
        let cancel = cancel::Cancel::default();
        assert!(cancel.cancel());
        let checked = cancel.scope(|| map(&[(); 100], WORTHWHILE, |()| cancel::check()));
        assert!(checked.iter().all(Result::is_err));
    }

    #[test]
    #[should_panic(expected = "the last item")]
    fn a_panic_in_another_thread_reaches_the_caller() {
        map(&[1, 2, 3, 4], WORTHWHILE, |&item| assert!(item < 4, "the last item"));
    }
}
