//! What the writers do, which their seeds determine, and the states through which the database goes.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::ops::RangeInclusive;

use crate::random::Random;

/// Version and length of the content of each document, keyed by the collection's number and the document's id. So are the
/// things that only migrations change: files that are not the engine's, and which migrations are applied.
pub type Documents = BTreeMap<(usize, u64), (u32, usize)>;

/// The collections: one for all writers, then one of each writer in a folder of its own.
pub const PATHS: [&str; 3] = ["items.json", "data/0/items.json", "data/1/items.json"];
/// In the place of a collection's number: the files that are not the engine's.
pub const FILES: usize = PATHS.len();
/// In the place of a collection's number: the migrations that are applied.
pub const APPLIED: usize = FILES + 1;
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

/// What applies or rolls back a migration, entirely or not at all.
#[derive(Debug, Clone)]
pub struct Migration {
    pub number: u64,
    /// To roll back: the migration that is then the last one; 0 if there is none.
    pub back_to: Option<u64>,
    /// Whether it fails after its work.
    pub fails: bool,
    pub batches: Vec<Batch>,
    /// What changes of the files, and of what is applied.
    pub beside: Batch,
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
    Migrate(Migration),
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
    /// Determines a life of `count` operations. A writer that is alone also makes backups, restores them, and rolls
    /// migrations back.
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
        let (mut version, mut migrations) = (0, 0);
        for _ in 0..count {
            let now = life.states[life.states.len() - 1].clone();
            let op = match random.below(100) {
                0..5 => Op::Checkpoint,
                5..8 => Op::Persist,
                8..11 => Op::Reopen,
                11..13 if alone => Op::BackUp(backups.len()),
                13..15 if alone && !backups.is_empty() => Op::Restore(backups.len() - 1),
                15..20 => {
                    migrations += 1;
                    migrate(&mut random, writer, &mut version, writer as u64 * IDS + migrations)
                }
                20..23 if alone && is_migrated(&now) => roll_back(&mut random, &mut version, &now),
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
                Op::Migrate(Migration { fails, batches, beside, .. }) => {
                    let mut state = now;
                    for batch in batches.iter().chain([beside]).filter(|_| !fails) {
                        batch.apply(&mut state, 1 + writer);
                    }
                    life.states.push(state);
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

    /// Returns the state after this many operations.
    pub fn end(&self, operations: usize) -> usize {
        operations.checked_sub(1).map_or(0, |at| self.ends[at])
    }

    /// Returns how many operations were acknowledged before the one began that led to a state.
    pub fn before(&self, state: usize) -> usize {
        self.ends.partition_point(|end| *end < state)
    }

    /// The other states that may be found then, because a writer that is killed does its last operation again.
    pub fn repeated(&self, acknowledged: usize) -> BTreeSet<Documents> {
        let mut found = BTreeSet::new();
        let Some(Op::Write { batches, .. }) = self.ops.get(acknowledged) else { return found };
        let mut unexplored = vec![self.states[self.end(acknowledged)].clone()];
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

fn migrate(random: &mut Random, writer: usize, version: &mut u32, number: u64) -> Op {
    let batches = (0..1 + random.below(3)).map(|_| batch(random, writer, version)).collect();
    let mut beside = Batch::default();
    beside.put.push((APPLIED, number, 0, 0));
    change_files(random, writer, version, &mut beside);
    Op::Migrate(Migration { number, back_to: None, fails: random.percent(25), batches, beside })
}

fn is_migrated(documents: &Documents) -> bool {
    documents.keys().any(|&(collection, _)| collection == APPLIED)
}

/// Rolls back the last migration that is applied. The writer is alone, so it is the first one.
fn roll_back(random: &mut Random, version: &mut u32, documents: &Documents) -> Op {
    let mut applied = documents.keys().rev().filter(|&&(collection, _)| collection == APPLIED);
    let mut next = || applied.next().map_or(0, |&(_, number)| number);
    let (number, below) = (next(), next());
    let batches = vec![batch(random, 0, version)];
    let mut beside = Batch { delete: vec![(APPLIED, number)], ..Batch::default() };
    change_files(random, 0, version, &mut beside);
    Op::Migrate(Migration { number, back_to: Some(below), fails: random.percent(25), batches, beside })
}

/// Writes one file, and removes another one if it is there.
fn change_files(random: &mut Random, writer: usize, version: &mut u32, beside: &mut Batch) {
    let (first, chosen) = (writer as u64 * IDS + 1, random.below(3));
    *version += 1;
    beside.put.push((FILES, first + chosen, *version, random.below(9000) as usize));
    beside.delete.push((FILES, first + (chosen + 1) % 3));
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

/// Returns a number other than zero that stands for these documents.
pub fn digest(documents: &Documents) -> u64 {
    let mut hasher = DefaultHasher::new();
    documents.hash(&mut hasher);
    hasher.finish() | 1
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
