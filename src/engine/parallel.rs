//! Work on many things at once.

use std::panic::resume_unwind;
use std::thread;

use super::cancel;

/// Work on so many bytes takes longer than beginning a thread.
const WORTHWHILE: usize = 512 << 10;
/// A process has other things to do as well.
const THREADS: usize = 4;

/// What `work` makes of each of the items, in their order. Where they have many `bytes` altogether, several threads share the
/// work, for the same caller: giving the call up ends all of them. Where no thread can be had, this one does all of it.
pub fn map<T: Sync, R: Send>(items: &[T], bytes: usize, work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = if bytes < WORTHWHILE {
        1
    } else {
        thread::available_parallelism().map_or(1, usize::from).min(THREADS)
    };
    let caller = cancel::current();
    let share = items.len().div_ceil(threads).max(1);
    let mut shares = items.chunks(share);
    let (own, work) = (shares.next().unwrap_or_default(), &work);
    let do_share = move |items: &[T]| items.iter().map(work).collect::<Vec<R>>();
    thread::scope(|scope| {
        let others: Vec<_> = shares
            .map(|items| {
                let begun = thread::Builder::new().name("storage-share".into());
                let caller = caller.clone();
                begun
                    .spawn_scoped(scope, move || cancel::scope_of(caller, || do_share(items)))
                    .map_err(|_| items)
            })
            .collect();
        let mut done = do_share(own);
        done.reserve(items.len() - done.len());
        for other in others {
            match other.map(thread::ScopedJoinHandle::join) {
                Ok(Ok(share)) => done.extend(share),
                Ok(Err(panic)) => resume_unwind(panic),
                Err(items) => done.extend(do_share(items)),
            }
        }
        done
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_that_of_the_items() {
        for count in [0, 1, 2, 3, 7, 1000] {
            let items: Vec<usize> = (0..count).collect();
            let expected: Vec<usize> = items.iter().map(|item| item * 2).collect();
            for bytes in [0, WORTHWHILE] {
                assert_eq!(map(&items, bytes, |item| item * 2), expected);
            }
        }
    }

    #[test]
    fn every_share_is_the_callers() {
        let cancel = cancel::Cancel::default();
        assert!(cancel.cancel());
        let checked = cancel.scope(|| map(&[(); 100], WORTHWHILE, |()| cancel::check()));
        assert!(checked.iter().all(Result::is_err));
    }

    #[test]
    #[should_panic(expected = "the last item")]
    fn a_panic_of_another_thread_is_one_here() {
        map(&[1, 2, 3, 4], WORTHWHILE, |&item| assert!(item < 4, "the last item"));
    }
}
