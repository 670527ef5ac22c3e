//! What a power loss leaves of a machine.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hasher;
use std::sync::Arc;

use xxhash_rust::xxh3::Xxh3Default;

use super::bytes::{Bytes, SECTOR, Sector};
use super::choice::{Effect, EffectKind, Fate};
use super::file::{FileNode, Unsynced};
use super::names::{self, DirNode, Entries, Ino, NameOp};
use super::random::Random;
use super::state::{Body, Node, ROOT, State};

/// Everything that a power loss in a given state decides about.
pub struct Unsettled {
    /// The first `pending.len()` effects are those of the names, in order; then come those of each file.
    pub effects: Vec<Effect>,
    files: BTreeMap<Ino, (usize, Unsynced)>,
}

impl Unsettled {
    pub fn of(state: &State) -> Self {
        let mut effects = Vec::new();
        let mut files = BTreeMap::new();
        for (op, needs) in state.pending.iter().zip(names::dependencies(&state.pending)) {
            let (inode, what) = (op.changes[0].dir, describe(state, op).into());
            effects.push(Effect { kind: EffectKind::Name, inode, what, versions: 2, needs });
        }
        let named = possibly_named(state);
        for (&ino, node) in &state.nodes {
            let Body::File(file) = &node.body else { continue };
            if !named.contains(&ino) {
                continue;
            }
            let unsynced = file.unsynced();
            if unsynced.is_none() && !file.is_page() {
                continue;
            }
            let unsynced = unsynced.unwrap_or_default();
            files.insert(ino, (effects.len(), unsynced.clone()));
            file_effects(&mut effects, ino, node, file, &unsynced);
        }
        Self { effects, files }
    }

    /// Returns the machine after the power loss, switched on again. `fates` has one for each effect.
    pub fn lose(&self, state: &State, fates: &[Fate]) -> State {
        assert_eq!(fates.len(), self.effects.len(), "one fate for each effect");
        let dirs = self.directories(state, fates);
        let mut nodes = BTreeMap::new();
        let mut left = vec![ROOT];
        while let Some(ino) = left.pop() {
            let body = match &state.nodes[&ino].body {
                Body::Dir(_) => {
                    let live = dirs[&ino].clone();
                    left.extend(live.values());
                    Body::Dir(DirNode { durable: live.clone(), live })
                }
                Body::File(file) => Body::File(FileNode::settled(self.content(ino, file, fates))),
            };
            let old = &state.nodes[&ino];
            nodes.insert(ino, Arc::new(Node { body, label: Arc::clone(&old.label), ..**old }));
        }
        State {
            nodes,
            next_ino: state.next_ino,
            clock: state.clock + 1,
            boot: state.boot + 1,
            free_space: state.free_space,
            network: state.network.clone(),
            cached: state.cached,
            ..State::new()
        }
    }

    fn directories(&self, state: &State, fates: &[Fate]) -> BTreeMap<Ino, Entries> {
        let durable = |(&ino, node): (&Ino, &Arc<Node>)| match &node.body {
            Body::Dir(dir) => Some((ino, dir.durable.clone())),
            Body::File(_) => None,
        };
        let mut dirs: BTreeMap<Ino, Entries> = state.nodes.iter().filter_map(durable).collect();
        let mut kept = Vec::with_capacity(state.pending.len());
        for (index, op) in state.pending.iter().enumerate() {
            let keep = version(fates[index]) > 0;
            let keep = keep && self.effects[index].needs.iter().all(|&need| kept[need]);
            kept.push(keep);
            for change in op.changes.iter().filter(|_| keep) {
                names::set(dirs.get_mut(&change.dir).expect("a directory"), change);
            }
        }
        dirs
    }

    fn content(&self, ino: Ino, file: &FileNode, fates: &[Fate]) -> Bytes {
        let Some((first, unsynced)) = self.files.get(&ino) else {
            return file.live().clone();
        };
        // The file may have no effects; the next ones are another file's then.
        let effects = self.effects[*first..].iter().take_while(|effect| effect.inode == ino);
        let mut effects = effects.zip(&fates[*first..]).peekable();
        let len = effects.next_if(|(effect, _)| effect.kind == EffectKind::Length);
        let len = len.map_or(file.durable_len(), |(_, fate)| unsynced.lengths[version(*fate)]);
        if file.is_page() {
            let (_, fate) = effects.next().expect("a shared page has its effect");
            return page(file, len, *fate);
        }
        let sectors = unsynced.sectors.iter().zip(effects);
        let sectors: Vec<(u64, Sector)> =
            sectors.map(|((index, versions), (_, fate))| (*index, sector(versions, *fate))).collect();
        file.image(len, sectors.iter().map(|(index, sector)| (*index, sector)))
    }
}

/// The inodes that have a name in some state after a power loss; the others are open, but gone.
fn possibly_named(state: &State) -> BTreeSet<Ino> {
    let pending = state.pending.iter().flat_map(|op| &op.changes).filter_map(|change| change.now);
    let durable = state.nodes.values().filter_map(|node| match &node.body {
        Body::Dir(dir) => Some(dir.durable.values().copied()),
        Body::File(_) => None,
    });
    durable.flatten().chain(pending).collect()
}

fn file_effects(effects: &mut Vec<Effect>, ino: Ino, node: &Node, file: &FileNode, unsynced: &Unsynced) {
    let label = &node.label;
    let effect =
        |kind, what: String, versions, needs| Effect { kind, inode: ino, what: what.into(), versions, needs };
    let mut length = None;
    if unsynced.lengths.len() > 1 {
        length = Some(effects.len());
        let what = format!("length of {label}: {:?}", unsynced.lengths);
        effects.push(effect(EffectKind::Length, what, unsynced.lengths.len(), Vec::new()));
    }
    if file.is_page() {
        let what = format!("shared page {label}");
        effects.push(effect(EffectKind::Page, what, file.moments().len(), Vec::new()));
        return;
    }
    for (&index, versions) in &unsynced.sectors {
        let beyond = index * SECTOR as u64 >= file.durable_len();
        let needs = length.filter(|_| beyond).into_iter().collect();
        let what = format!("sector {index} of {label}");
        effects.push(effect(EffectKind::Sector(index), what, versions.len(), needs));
    }
}

fn describe(state: &State, op: &NameOp) -> String {
    let texts = op.changes.iter().map(|change| {
        let dir = &state.nodes[&change.dir].label;
        match change.now {
            Some(ino) => format!("{dir}/{} is inode {ino}", change.name),
            None => format!("{dir}/{} is gone", change.name),
        }
    });
    texts.collect::<Vec<_>>().join(", ")
}

fn version(fate: Fate) -> usize {
    match fate {
        Fate::Version(version) => version,
        other => panic!("{other:?} is no fate for a name or a length"),
    }
}

fn sector(versions: &[Sector], fate: Fate) -> Sector {
    match fate {
        Fate::Version(version) => versions[version],
        Fate::Torn { version, cut } => {
            let (mut torn, new) = (versions[version - 1], &versions[version]);
            let differs = |at: &usize| torn[*at] != new[*at];
            let first = (0..SECTOR).find(differs).expect("neighbouring versions differ");
            let last = (0..SECTOR).rfind(differs).expect("neighbouring versions differ");
            // At least one byte of each version, if at least two differ.
            let end = first + 1 + cut.min(SECTOR) * (last - first).saturating_sub(1) / SECTOR;
            torn[..end].copy_from_slice(&new[..end]);
            torn
        }
        other => panic!("{other:?} is no fate for a sector"),
    }
}

fn page(file: &FileNode, len: u64, fate: Fate) -> Bytes {
    let mut bytes = match fate {
        Fate::Version(moment) => file.moments()[moment].clone(),
        Fate::Zeros => Bytes::default(),
        Fate::Rubbish(seed) => {
            let mut random = Random::new(seed);
            let words = (0..len.div_ceil(8)).flat_map(|_| random.next().to_le_bytes());
            Bytes::new(&words.collect::<Vec<u8>>())
        }
        Fate::Torn { .. } => panic!("{fate:?} is no fate for a shared page"),
    };
    bytes.set_len(len);
    bytes
}

/// A hash that is equal if the processes of two machines see the same names and contents; the content of `without` does not
/// count.
pub fn image_hash(state: &State, without: Option<Ino>) -> u64 {
    fn add(state: &State, ino: Ino, without: Option<Ino>, hasher: &mut Xxh3Default) {
        match &state.nodes[&ino].body {
            Body::File(_) if without == Some(ino) => hasher.write_u64(0),
            Body::File(file) => {
                hasher.write_u64(file.live().len());
                file.live().chunks().for_each(|chunk| hasher.update(chunk));
            }
            Body::Dir(dir) => {
                hasher.write_u64(u64::MAX - dir.live.len() as u64);
                for (name, &entry) in &dir.live {
                    hasher.write_u64(name.len() as u64);
                    hasher.update(name.as_bytes());
                    add(state, entry, without, hasher);
                }
            }
        }
    }
    let mut hasher = Xxh3Default::new();
    add(state, ROOT, without, &mut hasher);
    hasher.digest()
}
