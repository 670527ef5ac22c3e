//! The tip: how far the journal is acknowledged, in a few words of shared memory.
//!
//! Two slots alternate, so that a process which dies while it writes one leaves the other. A slot counts if its
//! checksum is right; the one with the higher count is current. Outside the slots, one word repeats the sequence
//! number as a floating point number, so that "has anything changed?" is one load, from JavaScript too.

use std::path::Path;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use crate::engine::error::{IoContext, Result};
use crate::engine::fs::{Fs, SharedPage};

const SLOT_WORDS: usize = 8;
const SEQ_WORD: usize = 2 * SLOT_WORDS;
/// Where in the page the number of the last acknowledged batch stands, as a 64-bit float: an offset in bytes.
pub const ACKNOWLEDGED_AT: usize = SEQ_WORD * 8;
const HOLDER_WORD: usize = SEQ_WORD + 1;
const COPIER_WORD: usize = SEQ_WORD + 2;
const ID_WORD: usize = SEQ_WORD + 3;
/// Ids may run ahead of the clock by so many milliseconds. What is beyond is no id: after a power loss the page may hold anything.
const AHEAD: u64 = 1 << 32;
/// The size of the file; a page of memory would be mapped in any case.
const SIZE: usize = 4096;

/// What a slot says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TipSlot {
    pub boot_id: u128,
    pub generation: u64,
    pub seq: u64,
    /// Where the last acknowledged line ends in the journal of `generation`.
    pub end: u64,
    /// A sync failed: nothing may be written until every process has closed the database.
    pub poisoned: bool,
    /// A migration or a restore is under way. Whoever finds this and yet gets the write lock knows that it was interrupted.
    pub migrating: bool,
}

const POISONED: u64 = 1;
const MIGRATING: u64 = 2;

impl TipSlot {
    /// The slot that these words are, and its count, if its checksum is right.
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
        (checksum == slot_checksum(&words[..SLOT_WORDS - 1]) && count > 0).then_some((count, slot))
    }

    /// The current slot of a tip that lies in a file.
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
    pub fn open(fs: &dyn Fs, path: &Path) -> Result<Tip> {
        Ok(Tip { page: Tip::map(fs, path)? })
    }

    /// The page itself.
    pub fn map(fs: &dyn Fs, path: &Path) -> Result<Arc<dyn SharedPage>> {
        fs.shared_page(path, SIZE).at("map", path)
    }

    fn slot(&self, index: usize) -> Option<(u64, TipSlot)> {
        TipSlot::parse(std::array::from_fn(|word| self.page.load(index * SLOT_WORDS + word)))
    }

    /// The current slot. A writer may be storing one slot while we read: the other one then still counts.
    pub fn read(&self) -> Option<TipSlot> {
        self.current().map(|(_, _, slot)| slot)
    }

    fn current(&self) -> Option<(usize, u64, TipSlot)> {
        let slots = [0, 1].map(|index| self.slot(index).map(|(count, slot)| (index, count, slot)));
        slots.into_iter().flatten().max_by_key(|(_, count, _)| *count)
    }

    /// Moves the tip. Only the holder of the write lock does.
    pub fn write(&self, slot: TipSlot) {
        let (index, count) = self.current().map_or((0, 1), |(index, count, _)| (1 - index, count + 1));
        let mut words = [
            count,
            (slot.boot_id >> 64) as u64,
            slot.boot_id as u64,
            slot.generation,
            slot.seq,
            slot.end,
            if slot.poisoned { POISONED } else { 0 } | if slot.migrating { MIGRATING } else { 0 },
            0,
        ];
        words[SLOT_WORDS - 1] = slot_checksum(&words[..SLOT_WORDS - 1]);
        for (word, value) in words.into_iter().enumerate() {
            self.page.store(index * SLOT_WORDS + word, value);
        }
        self.page.store(SEQ_WORD, (slot.seq as f64).to_bits());
    }

    /// Sets or clears the flag of the current slot, if there is one. Only the holder of the write lock does.
    pub fn set_migrating(&self, migrating: bool) {
        if let Some(slot) = self.read() {
            self.write(TipSlot { migrating, ..slot });
        }
    }

    /// The sequence number that was acknowledged last, by any process.
    pub fn seq(&self) -> u64 {
        f64::from_bits(self.page.load(SEQ_WORD)) as u64
    }

    /// Says who holds the write lock; zero for nobody. Only ever a hint for messages.
    pub fn set_holder(&self, pid: u32) {
        self.page.store(HOLDER_WORD, pid.into());
    }

    /// Says which process copies the files, and so keeps checkpoints away; zero for none. It counts only while somebody does
    /// that: a process may have died.
    pub fn set_copier(&self, pid: u32) {
        self.page.store(COPIER_WORD, pid.into());
    }

    pub fn has_copier(&self) -> bool {
        self.page.load(COPIER_WORD) != 0
    }

    /// An id that no process was given before: `at_least`, or one more than the highest. Anybody may ask for one, at any time.
    pub fn claim_id(&self, at_least: u64) -> u64 {
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
    use super::*;
    use crate::engine::fs::SimFs;

    /// The tips of two processes of one machine.
    fn two_processes() -> [Tip; 2] {
        let fs = SimFs::new();
        fs.make_dirs("/database");
        [fs.clone(), fs.process()].map(|fs| Tip::open(&fs, Path::new("/database/tip")).expect("mapped"))
    }

    #[test]
    fn no_id_is_claimed_twice() {
        let [one, other] = two_processes();
        assert_eq!([one.claim_id(5), other.claim_id(5), one.claim_id(5)], [5, 6, 7]);
        assert_eq!([other.claim_id(100), one.claim_id(8)], [100, 101]);
    }

    #[test]
    fn rubbish_in_the_place_of_the_last_id_is_not_gone_on_from() {
        let [tip, _] = two_processes();
        for rubbish in [u64::MAX, 1 << 53, 5 + AHEAD] {
            tip.page.store(ID_WORD, rubbish);
            assert_eq!([tip.claim_id(5), tip.claim_id(5)], [5, 6]);
        }
    }
}
