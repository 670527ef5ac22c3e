//! The states in which a disk may be after a power loss, from the record of what it did.

use std::collections::BTreeMap;
use std::collections::HashSet;
use std::collections::hash_map::DefaultHasher;
use std::fs::File;
use std::hash::{Hash, Hasher};
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use crate::log::Entry;
use crate::marks::SECTOR;
use crate::random::Random;

const BLOCK: usize = 4096;

type Blocks = BTreeMap<u64, Arc<[u8; BLOCK]>>;

/// How much of the volatile cache reaches the medium.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Nothing,
    Everything,
    /// Each write with this chance in percent.
    Writes(u64),
    /// Each piece of this many bytes with this chance.
    Pieces(usize, u64),
}

/// The medium of the disk, and its volatile cache.
pub struct Disk {
    /// The bytes of the file system, beyond which there are marks.
    pub size: u64,
    blocks: Blocks,
    cache: Vec<(u64, Vec<u8>)>,
    flushes: u64,
    /// What each process has marked.
    marks: Vec<u64>,
    order: Order,
    seen: HashSet<u64>,
    /// Where the power loss comes from that left this disk, if one did, and whether it tore blocks.
    before: (String, bool),
}

/// For each mark, with the number of its process: what each process had marked by then.
pub type Order = BTreeMap<(usize, u64), Vec<u64>>;

/// A state of the medium.
pub struct Lost {
    blocks: Blocks,
    pub marks: Vec<u64>,
    pub order: Order,
    pub seed: u64,
    pub origin: String,
    /// Whether sectors were torn that belong to one block.
    pub torn: bool,
}

impl Disk {
    pub fn read(image: &File, size: u64, writers: usize) -> io::Result<Disk> {
        let mut blocks = BTreeMap::new();
        for number in 0..size / BLOCK as u64 {
            let mut block = [0; BLOCK];
            image.read_exact_at(&mut block, number * BLOCK as u64)?;
            if block.iter().any(|&byte| byte != 0) {
                blocks.insert(number, Arc::new(block));
            }
        }
        Ok(Disk::new(blocks, size, writers))
    }

    /// Makes a disk on which everything of `lost` but the marks is, for a check.
    pub fn with(lost: &Lost, size: u64) -> Disk {
        let before = (format!("{}; then ", lost.origin), lost.torn);
        Disk { before, ..Disk::new(lost.blocks.clone(), size, 2) }
    }

    fn new(blocks: Blocks, size: u64, processes: usize) -> Disk {
        let marks = vec![0; processes];
        Disk {
            size,
            blocks,
            cache: Vec::new(),
            flushes: 0,
            marks,
            order: Order::new(),
            seen: HashSet::new(),
            before: Default::default(),
        }
    }

    pub fn run(&mut self, entry: Entry) {
        match entry {
            Entry::Write { offset, bytes, .. } if offset >= self.size => {
                let process = (offset - self.size) as usize / SECTOR;
                if let (Some(mark), Some(word)) = (self.marks.get_mut(process), bytes.first_chunk()) {
                    *mark = u64::from_le_bytes(*word);
                    let place = (process, *mark);
                    self.order.entry(place).or_insert_with(|| self.marks.clone());
                }
            }
            Entry::Write { offset, bytes, durable: true } => {
                // What the cache holds of these places is older.
                let end = offset + bytes.len() as u64;
                let overlaps = |(at, old): &(u64, Vec<u8>)| *at < end && at + old.len() as u64 > offset;
                let (older, rest) = std::mem::take(&mut self.cache).into_iter().partition(overlaps);
                self.cache = rest;
                older.into_iter().for_each(|(at, old): (u64, Vec<u8>)| write(&mut self.blocks, at, &old));
                write(&mut self.blocks, offset, &bytes);
            }
            Entry::Write { offset, bytes, .. } => self.cache.push((offset, bytes)),
            Entry::Flush => {
                self.flushes += 1;
                for (offset, bytes) in self.cache.drain(..) {
                    write(&mut self.blocks, offset, &bytes);
                }
            }
        }
    }

    /// Loses power in a way that `seed` determines. Returns `None` if that state was returned before.
    pub fn lose_power(&mut self, seed: u64) -> Option<Lost> {
        let mut random = Random::new(seed);
        let fate = match random.below(8) {
            0 => Fate::Nothing,
            1 => Fate::Everything,
            2 => Fate::Writes(10),
            3 => Fate::Writes(90),
            4 | 5 => Fate::Writes(50),
            6 => Fate::Pieces(BLOCK, 50),
            _ => Fate::Pieces(SECTOR, 50),
        };
        let mut kept = Vec::new();
        for (at, (_, bytes)) in self.cache.iter().enumerate() {
            let piece = if let Fate::Pieces(len, _) = fate { len } else { bytes.len() };
            for start in (0..bytes.len()).step_by(piece.max(1)) {
                let keep = match fate {
                    Fate::Nothing => false,
                    Fate::Everything => true,
                    Fate::Writes(chance) | Fate::Pieces(_, chance) => random.percent(chance),
                };
                if keep {
                    kept.push((at, start, piece.min(bytes.len() - start)));
                }
            }
        }
        let mut hasher = DefaultHasher::new();
        (self.flushes, &self.marks, &kept).hash(&mut hasher);
        if !self.seen.insert(hasher.finish()) {
            return None;
        }
        let mut blocks = self.blocks.clone();
        for &(at, start, len) in &kept {
            let (offset, bytes) = &self.cache[at];
            write(&mut blocks, offset + start as u64, &bytes[start..start + len]);
        }
        let origin = format!(
            "{}flush {}, marks {:?}, {fate:?} of {} writes kept, seed {seed}",
            self.before.0,
            self.flushes,
            self.marks,
            self.cache.len()
        );
        let torn = self.before.1 || (matches!(fate, Fate::Pieces(SECTOR, _)) && !kept.is_empty());
        Some(Lost { blocks, marks: self.marks.clone(), order: self.order.clone(), seed, origin, torn })
    }
}

impl Lost {
    /// Writes this state to an empty file.
    pub fn store(&self, image: &File) -> io::Result<()> {
        let mut run: (u64, Vec<u8>) = (0, Vec::new());
        for (&number, block) in &self.blocks {
            let offset = number * BLOCK as u64;
            if run.0 + run.1.len() as u64 != offset || run.1.len() > 1 << 20 {
                image.write_all_at(&run.1, run.0)?;
                run = (offset, Vec::new());
            }
            run.1.extend_from_slice(&**block);
        }
        image.write_all_at(&run.1, run.0)
    }
}

fn write(blocks: &mut Blocks, offset: u64, bytes: &[u8]) {
    let (mut offset, mut rest) = (offset, bytes);
    while !rest.is_empty() {
        let (number, start) = (offset / BLOCK as u64, offset as usize % BLOCK);
        let (now, later) = rest.split_at(rest.len().min(BLOCK - start));
        let block = blocks.entry(number).or_insert_with(|| Arc::new([0; BLOCK]));
        Arc::make_mut(block)[start..start + now.len()].copy_from_slice(now);
        (offset, rest) = (offset + now.len() as u64, later);
    }
}
