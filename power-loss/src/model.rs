//! What the writers do, which their seeds determine, and the states through which the database goes.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use crate::random::Random;

/// Version and length of the content of each document, keyed by the collection's number and the document's id.
pub type Documents = BTreeMap<(usize, u64), (u32, usize)>;

/// The collections: one for all writers, then one of each writer in a folder of its own.
pub const PATHS: [&str; 3] = ["items.json", "data/0/items.json", "data/1/items.json"];
/// The ids of one writer begin with its number.
pub const IDS: u64 = 1000;
const DOCUMENTS: u64 = 12;

#[derive(Debug, Clone, Default)]
pub struct Batch {
    pub put: Vec<(usize, u64, u32, usize)>,
    pub delete: Vec<(usize, u64)>,
    /// Drops the writer's own collection and removes its folder.
    pub drop: bool,
    /// Whether the documents that are put have files of their own.
    pub in_files: bool,
}

impl Batch {
    pub fn apply(&self, documents: &mut Documents, own: usize) {
        documents.retain(|(collection, _), _| !self.drop || *collection != own);
        for key in &self.delete {
            documents.remove(key);
        }
        for &(collection, id, version, len) in &self.put {
            documents.insert((collection, id), (version, len));
        }
    }
}

#[derive(Debug, Clone)]
pub enum Op {
    /// Batches in one group.
    Write {
        batches: Vec<Batch>,
        durable: bool,
    },
    Checkpoint,
    /// Writes index checkpoints.
    Persist,
    Reopen,
    BackUp(usize),
    Restore(usize),
}

/// Everything that one writer does.
pub struct Life {
    writer: usize,
    pub ops: Vec<Op>,
    /// The states of the writer's documents: the empty one, then one after each batch.
    pub states: Vec<Documents>,
    /// Which of the states follows each operation.
    ends: Vec<usize>,
    /// Whether what was written before the end of each operation survives a power loss.
    durable: Vec<bool>,
}

impl Life {
    /// Determines a life of `count` operations. A writer that is alone also makes backups and restores them.
    pub fn new(seed: u64, writer: usize, count: usize, alone: bool) -> Life {
        let mut random = Random::new(seed ^ (writer as u64) << 32);
        let mut life = Life {
            writer,
            ops: Vec::new(),
            states: vec![Documents::new()],
            ends: Vec::new(),
            durable: Vec::new(),
        };
        let mut backups: Vec<Documents> = Vec::new();
        let mut version = 0;
        for _ in 0..count {
            let now = life.states[life.states.len() - 1].clone();
            let op = match random.below(100) {
                0..5 => Op::Checkpoint,
                5..8 => Op::Persist,
                8..11 => Op::Reopen,
                11..13 if alone => Op::BackUp(backups.len()),
                13..15 if alone && !backups.is_empty() => Op::Restore(backups.len() - 1),
                _ => write(&mut random, writer, &mut version),
            };
            let durable = match &op {
                Op::Write { batches, durable } => {
                    for batch in batches {
                        let mut state = life.states[life.states.len() - 1].clone();
                        batch.apply(&mut state, 1 + writer);
                        life.states.push(state);
                    }
                    *durable
                }
                Op::BackUp(_) => {
                    backups.push(now);
                    // A backup is durable, but not what it was made from.
                    false
                }
                Op::Restore(number) => {
                    life.states.push(backups[*number].clone());
                    true
                }
                // A process that opens the database alone makes durable what it finds.
                Op::Reopen => alone,
                Op::Checkpoint | Op::Persist => true,
            };
            life.ops.push(op);
            life.ends.push(life.states.len() - 1);
            life.durable.push(durable);
        }
        life
    }

    /// The states of which one must be found after a power loss when `acknowledged` operations were acknowledged.
    pub fn allowed(&self, acknowledged: usize) -> RangeInclusive<usize> {
        let least = (0..acknowledged).rev().find(|&at| self.durable[at]).map_or(0, |at| self.ends[at]);
        let most = self.ends.get(acknowledged).or(self.ends.last()).copied().unwrap_or(0);
        least..=most
    }

    /// The other states that may be found then, because a writer that is killed does its last operation again.
    pub fn repeated(&self, acknowledged: usize) -> BTreeSet<Documents> {
        let mut found = BTreeSet::new();
        let Some(Op::Write { batches, .. }) = self.ops.get(acknowledged) else { return found };
        let before = acknowledged.checked_sub(1).map_or(0, |at| self.ends[at]);
        let mut unexplored = vec![self.states[before].clone()];
        while let Some(mut state) = unexplored.pop() {
            for batch in batches {
                batch.apply(&mut state, 1 + self.writer);
                if found.insert(state.clone()) {
                    unexplored.push(state.clone());
                }
            }
        }
        found
    }

    /// The last backup that is among the acknowledged operations, and what it holds.
    pub fn backup(&self, acknowledged: usize) -> Option<(usize, &Documents)> {
        (0..acknowledged).rev().find_map(|at| match self.ops[at] {
            Op::BackUp(number) => Some((number, &self.states[self.ends[at]])),
            _ => None,
        })
    }
}

fn write(random: &mut Random, writer: usize, version: &mut u32) -> Op {
    let group = if random.percent(20) { 3 } else { 1 };
    let batches = (0..group).map(|_| batch(random, writer, version)).collect();
    Op::Write { batches, durable: random.percent(80) }
}

fn batch(random: &mut Random, writer: usize, version: &mut u32) -> Batch {
    let collection = |random: &mut Random| if random.percent(60) { 0 } else { 1 + writer };
    let id = |random: &mut Random| writer as u64 * IDS + 1 + random.below(DOCUMENTS);
    let kind = random.below(100);
    let mut batch = Batch { drop: kind < 4, in_files: (4..16).contains(&kind), ..Batch::default() };
    for _ in 0..1 + random.below(3) {
        *version += 1;
        let len = match batch.in_files {
            true => 5_000 + random.below(150_000),
            false => random.below(60) * random.below(60),
        };
        batch.put.push((collection(random), id(random), *version, len as usize));
    }
    if random.percent(40) {
        batch.delete.push((collection(random), id(random)));
    }
    batch
}

/// Returns a document before and from its content on.
pub fn parts(id: u64, version: u32, len: usize) -> (String, String) {
    let head = format!("{{\"id\":{id},\"name\":\"n{}\",\"version\":{version}", version % NAMES);
    let mut random = Random::new(id << 32 | u64::from(version));
    let bytes = std::iter::repeat_with(|| random.next().to_le_bytes()).flatten().take(len);
    let content = bytes.map(|byte| char::from(b'a' + byte % 26)).collect();
    (head, content)
}

pub const NAMES: u32 = 3;

pub fn text(id: u64, version: u32, len: usize) -> String {
    let (head, content) = parts(id, version, len);
    format!("{head},\"content\":\"{content}\"}}")
}
