//! The tip: how far the journal is acknowledged, in a few words of shared memory.
//!
//! Two slots alternate, so that a process that dies while it writes one leaves the other intact. A slot counts if its
//! checksum is correct; the one with the higher count is current. Storing the last word of a slot is the moment at which a
//! batch becomes visible to other processes. Outside the slots, two words repeat the sequence number as a floating-point
//! number. One is stored before the slot, so that "can anything have changed?" takes a single load, from JavaScript too, and
//! whoever relies on it sees a batch as soon as anybody does. The other is stored after the slot, so that every read that
//! begins later sees the batch.

use std::hint;
use std::io;
use std::path::Path;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use super::LAST_GENERATION;
use super::entry::LARGEST;
use crate::engine::error::{IoContext, Result};
use crate::engine::fs::{Fs, SharedPage};

const SLOT_WORDS: usize = 8;
const SEQ_WORD: usize = 2 * SLOT_WORDS;
/// The byte offset in the page of the sequence number of the last acknowledged batch, a 64-bit float.
pub const ACKNOWLEDGED_AT: usize = SEQ_WORD * 8;
const HOLDER_WORD: usize = SEQ_WORD + 1;
const COPIER_WORD: usize = SEQ_WORD + 2;
const ID_WORD: usize = SEQ_WORD + 3;
const ANNOUNCED_WORD: usize = SEQ_WORD + 4;
/// The byte offset in the page of the sequence number of the last batch that may be visible, a 64-bit float.
pub const ANNOUNCED_AT: usize = ANNOUNCED_WORD * 8;
/// How often a reader looks at the slots while writers store them. One look takes a fraction of the time between two
/// batches.
const MOST_LOOKS: usize = 100;
/// How many milliseconds ids may run ahead of the clock. A word beyond that is not an id: after a power loss the page may
/// hold anything.
const AHEAD: u64 = 1 << 32;
/// The size of the file. A smaller file would not save memory, because whole pages are mapped.
const SIZE: usize = 4096;

/// The content of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TipSlot {
    pub boot_id: u128,
    pub generation: u64,
    pub seq: u64,
    /// Where the last acknowledged line ends in the journal of `generation`.
    pub end: u64,
    /// A sync failed: nothing may be written until every process has closed the database.
    pub poisoned: bool,
    /// A migration or a restore is under way. A process that obtains the write lock and finds this set knows that it was
    /// interrupted.
    pub migrating: bool,
}

/// What is wrong with a tip that has no valid slot while processes have the database open, and what to do about it.
pub const NO_SLOT: &str =
    "neither slot is valid; close every process that uses the database and open it again";

const POISONED: u64 = 1;
const MIGRATING: u64 = 2;

impl TipSlot {
    /// Returns whether the slot was written since the machine started with this boot id. Without a boot id, which is 0 then,
    /// it may be older than a power loss.
    pub fn is_of_boot(&self, boot_id: u128) -> bool {
        boot_id != 0 && self.boot_id == boot_id
    }

    /// Parses a slot and its count. Returns `None` unless the checksum is correct and the numbers are ones that a database
    /// can reach.
    fn parse(words: [u64; SLOT_WORDS]) -> Option<(u64, TipSlot)> {
        let [count, boot_high, boot_low, generation, seq, end, flags, checksum] = words;
        let slot = TipSlot {
            boot_id: u128::from(boot_high) << 64 | u128::from(boot_low),
            generation,
            seq,
            end,
            poisoned: flags & POISONED != 0,
            migrating: flags & MIGRATING != 0,
        };
        let counted =
            (1..=LARGEST).contains(&count) && seq.max(end) <= LARGEST && generation <= LAST_GENERATION;
        (counted && checksum == slot_checksum(&words[..SLOT_WORDS - 1])).then_some((count, slot))
    }

    fn words(self, count: u64) -> [u64; SLOT_WORDS] {
        let mut words = [
            count,
            (self.boot_id >> 64) as u64,
            self.boot_id as u64,
            self.generation,
            self.seq,
            self.end,
            if self.poisoned { POISONED } else { 0 } | if self.migrating { MIGRATING } else { 0 },
            0,
        ];
        words[SLOT_WORDS - 1] = slot_checksum(&words[..SLOT_WORDS - 1]);
        words
    }

    /// Whether this slot proves that something was acknowledged beyond `end` in this generation, or in a later generation. A
    /// slot without a batch proves nothing: before the first batch, the first generation may be created anew while the tip
    /// still describes the previous attempt.
    pub fn is_beyond(&self, generation: u64, end: usize) -> bool {
        self.seq > 0
            && (self.generation > generation || (self.generation == generation && self.end > end as u64))
    }

    /// Returns the current slot of a tip that was read from its file.
    pub fn in_bytes(bytes: &[u8]) -> Option<TipSlot> {
        let slots = bytes.chunks_exact(SLOT_WORDS * 8).take(2).filter_map(|slot| {
            let mut words = [0; SLOT_WORDS];
            for (word, bytes) in words.iter_mut().zip(slot.as_chunks().0) {
                *word = u64::from_ne_bytes(*bytes);
            }
            TipSlot::parse(words)
        });
        slots.max_by_key(|(count, _)| *count).map(|(_, slot)| slot)
    }
}

pub struct Tip {
    page: Arc<dyn SharedPage>,
}

impl Tip {
    /// Maps the page and prepares it for stores.
    pub fn open(fs: &dyn Fs, path: &Path) -> Result<Tip> {
        let tip = Tip { page: Tip::map(fs, path)? };
        tip.prepare().at("write", path)?;
        Ok(tip)
    }

    /// Makes sure that there is room on disk for what the holder of the write lock stores. The holder calls this when it
    /// takes the lock. Stores at any other time are left out if there is no room.
    pub fn prepare(&self) -> io::Result<()> {
        self.page.prepare()
    }

    fn store_if_there_is_room(&self, word: usize, value: u64) {
        if self.prepare().is_ok() {
            self.page.store(word, value);
        }
    }

    /// Maps the page without preparing it.
    pub fn map(fs: &dyn Fs, path: &Path) -> Result<Arc<dyn SharedPage>> {
        fs.shared_page(path, SIZE).at("map", path)
    }

    fn slot(&self, index: usize) -> Option<(u64, TipSlot)> {
        TipSlot::parse(std::array::from_fn(|word| self.page.load(index * SLOT_WORDS + word)))
    }

    /// Returns the slot that was current when this was called, or a later one. A writer may be storing one slot meanwhile;
    /// the other one still counts then.
    pub fn read(&self) -> Option<TipSlot> {
        self.current().map(|(_, _, slot)| slot)
    }

    fn current(&self) -> Option<(usize, u64, TipSlot)> {
        let count = |index| self.slot(index).map(|(count, _)| count);
        for _ in 0..MOST_LOOKS {
            match [0, 1].map(|index| self.slot(index).map(|(count, slot)| (index, count, slot))) {
                [Some(one), Some(other)] => return Some(if one.1 > other.1 { one } else { other }),
                // The count is read again: if it has changed, the writer had already stored the other slot, whose content
                // would be missed.
                [Some(only), None] | [None, Some(only)] if count(only.0) == Some(only.1) => {
                    return Some(only);
                }
                _ => hint::spin_loop(),
            }
        }
        None
    }

    /// Moves the tip. Only the holder of the write lock calls this.
    pub fn write(&self, slot: TipSlot) {
        let (index, count) = self.current().map_or((0, 1), |(index, count, _)| (1 - index, count + 1));
        let seq = (slot.seq as f64).to_bits();
        self.page.store(ANNOUNCED_WORD, seq);
        self.store(index, slot.words(count));
        self.page.store(SEQ_WORD, seq);
    }

    fn store(&self, index: usize, words: [u64; SLOT_WORDS]) {
        for (word, value) in words.into_iter().enumerate() {
            self.page.store(index * SLOT_WORDS + word, value);
        }
    }

    /// Stores this in both slots, whatever it says.
    #[cfg(all(test, feature = "simulation"))]
    pub fn forge(&self, slot: TipSlot) {
        [1, 2].into_iter().for_each(|count| self.store(count as usize - 1, slot.words(count)));
    }

    /// Sets or clears the flag in the current slot, if there is one. Only the holder of the write lock calls this.
    pub fn set_migrating(&self, migrating: bool) {
        if let Some(slot) = self.read() {
            self.write(TipSlot { migrating, ..slot });
        }
    }

    /// The sequence number that was acknowledged last, by any process.
    pub fn seq(&self) -> u64 {
        f64::from_bits(self.page.load(SEQ_WORD)) as u64
    }

    /// The sequence number of the last batch that any process may see. An announced batch is not necessarily there yet.
    pub fn announced(&self) -> u64 {
        f64::from_bits(self.page.load(ANNOUNCED_WORD)) as u64
    }

    /// Makes every process stop relying on what it kept: the file of this page is no longer the one that others open.
    pub fn withdraw(&self) {
        self.store_if_there_is_room(ANNOUNCED_WORD, f64::INFINITY.to_bits());
    }

    /// Whether the page was withdrawn and the tip was not moved since.
    pub fn is_withdrawn(&self) -> bool {
        self.page.load(ANNOUNCED_WORD) == f64::INFINITY.to_bits()
    }

    /// Whether this is still the tip that others open.
    pub fn is_current(&self) -> io::Result<bool> {
        self.page.is_current()
    }

    /// Records which process holds the write lock; zero for none. This is only a hint for messages.
    pub fn set_holder(&self, pid: u32) {
        self.store_if_there_is_room(HOLDER_WORD, pid.into());
    }

    /// Records which process copies the files and so keeps checkpoints away; zero for none. It counts only while some
    /// process holds the checkpoint lock, because the one recorded may have died.
    pub fn set_copier(&self, pid: u32) {
        self.store_if_there_is_room(COPIER_WORD, pid.into());
    }

    pub fn has_copier(&self) -> bool {
        self.page.load(COPIER_WORD) != 0
    }

    /// Returns an id that no process was given before: `at_least`, or one more than the highest id. Any thread may call this
    /// at any time, without a lock. Without room to record the id, there is no room for a document that has it either.
    pub fn claim_id(&self, at_least: u64) -> u64 {
        if self.prepare().is_err() {
            return at_least;
        }
        loop {
            let last = self.page.load(ID_WORD);
            let ahead = at_least.saturating_add(AHEAD);
            let id = if last < ahead { at_least.max(last + 1) } else { at_least };
            if self.page.replace(ID_WORD, last, id) {
                return id;
            }
        }
    }

    pub fn holder(&self) -> Option<u32> {
        u32::try_from(self.page.load(HOLDER_WORD)).ok().filter(|&pid| pid != 0)
    }
}

fn slot_checksum(words: &[u64]) -> u64 {
    let mut bytes = [0; (SLOT_WORDS - 1) * 8];
    for (chunk, word) in bytes.chunks_exact_mut(8).zip(words) {
        chunk.copy_from_slice(&word.to_le_bytes());
    }
    xxh3_64(&bytes)
}

#[cfg(all(test, feature = "simulation"))]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::engine::fs::PageMemory;
    use crate::engine::fs::SimFs;

    /// The tips of two processes on one machine.
    fn two_processes() -> [Tip; 2] {
        let fs = SimFs::new();
        fs.make_dirs("/database");
        [fs.clone(), fs.process()].map(|fs| Tip::open(&fs, Path::new("/database/tip")).expect("mapped"))
    }

    fn slot_of(seq: u64) -> TipSlot {
        TipSlot { boot_id: 1, generation: 1, seq, end: seq * 100, poisoned: false, migrating: false }
    }

    #[test]
    fn a_slot_without_a_boot_id_is_of_no_boot() {
        let of = |boot_id| TipSlot { boot_id, ..slot_of(1) };
        assert!(of(7).is_of_boot(7));
        assert!(!of(7).is_of_boot(8) && !of(7).is_of_boot(0) && !of(0).is_of_boot(0));
    }

    #[test]
    fn a_slot_proves_only_what_lies_beyond_an_end_and_nothing_before_the_first_batch() {
        let slot = TipSlot { generation: 2, ..slot_of(1) };
        assert!(slot.is_beyond(1, 1000) && slot.is_beyond(2, 99));
        assert!(!slot.is_beyond(2, 100) && !slot.is_beyond(3, 0));
        assert!(!TipSlot { seq: 0, ..slot }.is_beyond(2, 99));
    }

    /// A page that calls `may` before each access; a store that is refused does not happen.
    struct Guarded<F> {
        page: Arc<dyn SharedPage>,
        may: F,
    }

    #[derive(PartialEq)]
    enum Access {
        Load,
        Store,
    }

    impl<F: Fn(Access) -> bool + Send + Sync> SharedPage for Guarded<F> {
        fn load(&self, index: usize) -> u64 {
            (self.may)(Access::Load);
            self.page.load(index)
        }

        fn store(&self, index: usize, value: u64) {
            if (self.may)(Access::Store) {
                self.page.store(index, value);
            }
        }

        fn replace(&self, index: usize, current: u64, value: u64) -> bool {
            self.page.replace(index, current, value)
        }

        fn prepare(&self) -> io::Result<()> {
            self.page.prepare()
        }

        fn memory(&self) -> Option<Arc<dyn PageMemory>> {
            self.page.memory()
        }

        fn is_current(&self) -> io::Result<bool> {
            self.page.is_current()
        }
    }

    #[test]
    fn a_delayed_reader_misses_no_batch_acknowledged_before_it_started() {
        for acknowledged in 1..4 {
            for loads in 1..40 {
                for written in 0..3 {
                    let [tip, writer] = two_processes();
                    (1..=acknowledged).for_each(|seq| tip.write(slot_of(seq)));
                    let left = AtomicUsize::new(loads);
                    let may = move |_| {
                        if left.fetch_sub(1, Ordering::Relaxed) == 1 {
                            (1..=written).for_each(|more| writer.write(slot_of(acknowledged + more)));
                            // The writer stores the first word of the other slot, and no more.
                            let index = writer.current().map_or(0, |(index, _, _)| 1 - index);
                            writer.page.store(index * SLOT_WORDS, 77);
                        }
                        true
                    };
                    let page = Guarded { page: tip.page, may };
                    let read = Tip { page: Arc::new(page) }.read().map(|slot| slot.seq);
                    assert!(read >= Some(acknowledged), "{read:?} after {acknowledged}, at load {loads}");
                }
            }
        }
    }

    #[test]
    fn a_visible_batch_is_announced_and_an_acknowledged_batch_is_visible() {
        for stores in 0..10 {
            let [tip, writer] = two_processes();
            tip.write(slot_of(1));
            let left = AtomicUsize::new(stores);
            // The writer dies after this many stores.
            let may = move |access| {
                let one_less = |left: usize| left.checked_sub(1);
                access == Access::Load
                    || left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok()
            };
            let page = Guarded { page: writer.page, may };
            Tip { page: Arc::new(page) }.write(slot_of(2));
            let seen = tip.read().map_or(0, |slot| slot.seq);
            assert!(tip.announced() >= seen && seen >= tip.seq(), "after {stores} stores");
        }
    }

    #[test]
    fn a_slot_with_impossible_numbers_is_ignored() {
        let most = u64::MAX;
        let slot = slot_of(1);
        let forged = [
            slot.words(most),
            TipSlot { generation: most, ..slot }.words(9),
            TipSlot { seq: most, ..slot }.words(9),
            TipSlot { end: most, ..slot }.words(9),
        ];
        for words in forged {
            let [tip, _] = two_processes();
            tip.write(slot);
            tip.store(1, words);
            assert_eq!(tip.read(), Some(slot));
            tip.write(slot_of(2));
            assert_eq!(tip.read(), Some(slot_of(2)));
        }
    }

    #[test]
    fn no_id_is_claimed_twice() {
        let [one, other] = two_processes();
        assert_eq!([one.claim_id(5), other.claim_id(5), one.claim_id(5)], [5, 6, 7]);
        assert_eq!([other.claim_id(100), one.claim_id(8)], [100, 101]);
    }

    #[test]
    fn rubbish_in_place_of_the_last_id_is_ignored() {
        let [tip, _] = two_processes();
        for rubbish in [u64::MAX, 1 << 53, 5 + AHEAD] {
            tip.page.store(ID_WORD, rubbish);
            assert_eq!([tip.claim_id(5), tip.claim_id(5)], [5, 6]);
        }
    }
}
