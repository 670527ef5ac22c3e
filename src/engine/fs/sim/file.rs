//! One file: what processes see, what the disk certainly holds, and what is between the two.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use super::bytes::{Bytes, SECTOR, Sector};

/// How many earlier contents of a shared page are remembered at most.
const MOMENTS: usize = 24;

/// Invariant: outside the sectors (and lengths) of `dirty` and `doubt`, `live` and `durable` are equal.
#[derive(Clone, Default)]
pub struct FileNode {
    /// The page cache.
    live: Bytes,
    /// What the disk certainly holds; where `doubt` has candidates, the oldest of them.
    durable: Bytes,
    /// `live` as the last sync found it, whether that succeeded or failed.
    clean: Bytes,
    /// The changes since then.
    dirty: Vec<Change>,
    /// What failed syncs left behind: pages that count as clean and may or may not be on the disk.
    doubt: Option<Arc<Unsynced>>,
    /// A shared page's earlier contents, oldest first; empty for a file that is not a shared page.
    moments: Vec<Bytes>,
}

#[derive(Clone)]
enum Change {
    Write { offset: u64, bytes: Arc<[u8]> },
    SetLen(u64),
}

/// What the disk may hold, each list oldest first: the first is what certainly was there, the last what processes see.
/// Sectors and the length survive independently of each other.
#[derive(Clone, Default)]
pub struct Unsynced {
    pub lengths: Vec<u64>,
    pub sectors: BTreeMap<u64, Vec<Sector>>,
}

impl Unsynced {
    /// Returns this unless it leaves nothing in doubt.
    fn into_doubt(self) -> Option<Arc<Unsynced>> {
        (self.lengths.len() > 1 || !self.sectors.is_empty()).then(|| Arc::new(self))
    }
}

fn sectors(start: u64, end: u64) -> Range<u64> {
    let size = SECTOR as u64;
    if start < end { start / size..end.div_ceil(size) } else { 0..0 }
}

impl Change {
    /// Applies the change and returns which sectors it wrote.
    fn apply(&self, content: &mut Bytes) -> Range<u64> {
        match self {
            Self::Write { offset, bytes } => {
                content.write(*offset, bytes);
                sectors(*offset, *offset + bytes.len() as u64)
            }
            Self::SetLen(len) => {
                let old = content.len();
                content.set_len(*len);
                // Bytes cut off are zero if the file grows again; growing itself writes nothing.
                sectors(*len, old)
            }
        }
    }
}

impl FileNode {
    /// A file that is on the disk as it is.
    pub fn settled(content: Bytes) -> Self {
        Self { live: content.clone(), durable: content.clone(), clean: content, ..Self::default() }
    }

    pub fn live(&self) -> &Bytes {
        &self.live
    }

    pub fn durable_len(&self) -> u64 {
        self.durable.len()
    }

    pub fn write(&mut self, offset: u64, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.change(Change::Write { offset, bytes: bytes.into() });
        }
    }

    pub fn set_len(&mut self, len: u64) {
        if len != self.live.len() {
            self.change(Change::SetLen(len));
        }
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.live);
        self.dirty.push(change);
        self.remember();
    }

    /// Brings everything dirty to the disk, except for the sectors that an earlier sync failed to write. They stay in doubt
    /// even if they were written again since, until [`FileNode::forget_cached`]: ext4 may write them to blocks that it does
    /// not count as written.
    pub fn sync(&mut self) {
        let mut disk = self.live.clone();
        let left = self.unsynced();
        if let (Some(doubt), Some(mut left)) = (self.doubt.take(), left) {
            left.sectors.retain(|sector, _| doubt.sectors.contains_key(sector));
            // Data that is written again brings the length it needs with it.
            if self.dirty.is_empty() {
                disk.set_len(self.durable.len());
            } else {
                left.lengths.clear();
            }
            for (sector, candidates) in &left.sectors {
                disk.put_sector(*sector, &candidates[0]);
            }
            self.doubt = left.into_doubt();
        }
        self.durable = disk;
        self.clean = self.live.clone();
        self.dirty.clear();
    }

    /// Drops the pages that are not dirty from the page cache: what a failed sync did not write is gone, and is in doubt no
    /// longer.
    pub fn forget_cached(&mut self) {
        let Some(doubt) = self.doubt.take() else { return };
        let mut left = Unsynced::clone(&doubt);
        let mut content = self.clean.clone();
        let dirty: BTreeSet<u64> = self.dirty.iter().flat_map(|change| change.apply(&mut content)).collect();
        left.sectors.retain(|sector, _| dirty.contains(sector));
        for (sector, candidates) in doubt.sectors.iter().filter(|(sector, _)| !dirty.contains(sector)) {
            self.live.put_sector(*sector, &candidates[0]);
            self.clean.put_sector(*sector, &candidates[0]);
        }
        self.doubt = left.into_doubt();
    }

    /// Fails a sync: whatever was dirty counts as clean now, and nobody knows what of it is on the disk.
    pub fn fail_sync(&mut self) {
        self.doubt = self.unsynced().map(Arc::new);
        self.clean = self.live.clone();
        self.dirty.clear();
    }

    /// Returns what is not certainly on the disk; `None` if the disk holds what processes see.
    pub fn unsynced(&self) -> Option<Unsynced> {
        if self.dirty.is_empty() && self.doubt.is_none() {
            return None;
        }
        let mut unsynced = self.doubt.as_deref().cloned().unwrap_or_default();
        if unsynced.lengths.is_empty() {
            unsynced.lengths.push(self.durable.len());
        }
        let mut content = self.clean.clone();
        for change in &self.dirty {
            for index in change.apply(&mut content) {
                let sector = content.sector(index);
                let versions =
                    unsynced.sectors.entry(index).or_insert_with(|| vec![self.durable.sector(index)]);
                if versions.last() != Some(&sector) {
                    versions.push(sector);
                }
            }
            if unsynced.lengths.last() != Some(&content.len()) {
                unsynced.lengths.push(content.len());
            }
        }
        unsynced.sectors.retain(|_, versions| versions.len() > 1);
        Some(unsynced)
    }

    /// The file as it is on the disk, with the given length and the given sectors.
    pub fn image<'a>(&self, len: u64, sectors: impl Iterator<Item = (u64, &'a Sector)>) -> Bytes {
        let mut content = self.durable.clone();
        content.set_len(len);
        for (index, sector) in sectors {
            content.put_sector(index, sector);
        }
        content
    }

    /// Makes the file memory that processes share, at least `len` bytes long.
    pub fn share(&mut self, len: u64) {
        if self.live.len() < len {
            self.set_len(len);
        }
        if self.moments.is_empty() {
            self.moments.push(self.live.clone());
        }
    }

    pub fn is_page(&self) -> bool {
        !self.moments.is_empty()
    }

    pub fn moments(&self) -> &[Bytes] {
        &self.moments
    }

    pub fn load(&self, index: usize) -> u64 {
        let mut word = [0; 8];
        self.live.read(index as u64 * 8, &mut word);
        u64::from_le_bytes(word)
    }

    /// A store never becomes a dirty change: the system writes the page back when it likes, so all of its
    /// past contents are possible.
    pub fn store(&mut self, index: usize, value: u64) {
        self.live.write(index as u64 * 8, &value.to_le_bytes());
        self.remember();
    }

    fn remember(&mut self) {
        if self.moments.is_empty() {
            return;
        }
        self.moments.push(self.live.clone());
        if self.moments.len() > MOMENTS {
            // The recent past stays complete, the older past is thinned out, and the oldest moment stays.
            let mut index = 0;
            self.moments.retain(|_| {
                index += 1;
                index % 2 == 1 || index > MOMENTS / 2
            });
        }
    }
}
