//! The whole state of a simulated machine: a value that is cheap to clone, so that tests can branch.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path};
use std::sync::Arc;

use super::file::FileNode;
use super::names::{self, DirNode, EntryChange, Ino, NameOp};
use crate::engine::fs::{FileKind, Metadata};

pub const ROOT: Ino = 1;
const DEFAULT_MODE: u32 = 0o644;

#[derive(Clone)]
pub enum Body {
    File(FileNode),
    Dir(DirNode),
}

#[derive(Clone)]
pub struct Node {
    pub body: Body,
    pub modified: u64,
    /// Copied by `copy_permissions` and asked by `is_writable`; forbids nothing by itself. Durable at once.
    pub mode: u32,
    /// The last name it had, for messages.
    pub label: Arc<str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lock {
    Shared,
    Exclusive,
}

#[derive(Clone)]
pub struct Handle {
    pub ino: Ino,
    pub process: usize,
    pub lock: Option<Lock>,
    /// Closed by its process, but kept open by a child that inherited it.
    pub closed: bool,
}

#[derive(Clone)]
pub struct State {
    pub nodes: BTreeMap<Ino, Arc<Node>>,
    /// Changes of names that were not synced since, in order.
    pub pending: Vec<Arc<NameOp>>,
    pub handles: BTreeMap<u64, Handle>,
    /// The handles that each living child process inherited.
    pub children: BTreeMap<u64, BTreeSet<u64>>,
    pub dead: BTreeSet<usize>,
    pub next_ino: Ino,
    /// Advances with every change, and serves as the modification time.
    pub clock: u64,
    pub boot: u128,
    pub free_space: u64,
    /// The network file system that the disk is on, if any.
    pub network: Option<crate::engine::fs::Network>,
    /// Whether `read_at_cached` finds everything in memory.
    pub cached: bool,
}

fn error(kind: io::ErrorKind) -> io::Error {
    kind.into()
}

impl Node {
    pub fn new(body: Body, label: Arc<str>) -> Self {
        Self { body, modified: 0, mode: DEFAULT_MODE, label }
    }
}

impl State {
    pub fn new() -> Self {
        let root = Node::new(Body::Dir(DirNode::default()), "/".into());
        Self {
            nodes: BTreeMap::from([(ROOT, Arc::new(root))]),
            pending: Vec::new(),
            handles: BTreeMap::new(),
            children: BTreeMap::new(),
            dead: BTreeSet::new(),
            next_ino: ROOT + 1,
            clock: 0,
            boot: 0xb007_0000_0000_0000_0000_0001,
            free_space: 1 << 40,
            network: None,
            cached: true,
        }
    }

    pub fn resolve(&self, path: &Path) -> io::Result<Ino> {
        let mut at = ROOT;
        for component in path.components() {
            match component {
                Component::Prefix(_) | Component::RootDir | Component::CurDir => {}
                Component::ParentDir => return Err(error(io::ErrorKind::InvalidInput)),
                Component::Normal(name) => {
                    let name = name.to_str().ok_or_else(|| error(io::ErrorKind::InvalidInput))?;
                    at = *self.dir(at)?.live.get(name).ok_or_else(|| error(io::ErrorKind::NotFound))?;
                }
            }
        }
        Ok(at)
    }

    /// The directory that holds `path`, and the name in it.
    pub fn parent(&self, path: &Path) -> io::Result<(Ino, Arc<str>)> {
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| error(io::ErrorKind::InvalidInput))?;
        let dir = self.resolve(path.parent().unwrap_or(Path::new("")))?;
        self.dir(dir)?;
        Ok((dir, name.into()))
    }

    pub fn dir(&self, ino: Ino) -> io::Result<&DirNode> {
        match &self.nodes[&ino].body {
            Body::Dir(dir) => Ok(dir),
            Body::File(_) => Err(error(io::ErrorKind::NotADirectory)),
        }
    }

    pub fn file(&self, ino: Ino) -> io::Result<&FileNode> {
        match &self.nodes[&ino].body {
            Body::File(file) => Ok(file),
            Body::Dir(_) => Err(error(io::ErrorKind::IsADirectory)),
        }
    }

    pub fn dir_mut(&mut self, ino: Ino) -> &mut DirNode {
        match &mut self.node_mut(ino).body {
            Body::Dir(dir) => dir,
            Body::File(_) => unreachable!("the caller has looked: inode {ino} is a directory"),
        }
    }

    pub fn file_mut(&mut self, ino: Ino) -> &mut FileNode {
        match &mut self.node_mut(ino).body {
            Body::File(file) => file,
            Body::Dir(_) => unreachable!("only files are opened: inode {ino} is a file"),
        }
    }

    pub fn node_mut(&mut self, ino: Ino) -> &mut Node {
        Arc::make_mut(self.nodes.get_mut(&ino).expect("an inode that is referred to exists"))
    }

    pub fn touch(&mut self, ino: Ino) {
        self.clock += 1;
        self.node_mut(ino).modified = self.clock;
    }

    pub fn metadata(&self, ino: Ino) -> Metadata {
        let node = &self.nodes[&ino];
        let (kind, len) = match &node.body {
            Body::File(file) => (FileKind::File, file.live().len()),
            Body::Dir(_) => (FileKind::Directory, 0),
        };
        Metadata { kind, identity: (1, ino.into()), len, modified_ns: node.modified.into() }
    }

    pub fn create(&mut self, path: &Path, body: Body) -> io::Result<Ino> {
        let (dir, name) = self.parent(path)?;
        if self.dir(dir)?.live.contains_key(&name) {
            return Err(error(io::ErrorKind::AlreadyExists));
        }
        let ino = self.next_ino;
        self.next_ino += 1;
        self.nodes.insert(ino, Arc::new(Node::new(body, Arc::clone(&name))));
        self.touch(ino);
        self.change(vec![EntryChange { dir, name, now: Some(ino) }]);
        Ok(ino)
    }

    pub fn remove_file(&mut self, path: &Path) -> io::Result<()> {
        let (dir, name) = self.parent(path)?;
        self.file(self.resolve(path)?)?;
        self.change(vec![EntryChange { dir, name, now: None }]);
        Ok(())
    }

    pub fn remove_dir(&mut self, path: &Path) -> io::Result<()> {
        let (dir, name) = self.parent(path)?;
        if !self.dir(self.resolve(path)?)?.live.is_empty() {
            return Err(error(io::ErrorKind::DirectoryNotEmpty));
        }
        self.change(vec![EntryChange { dir, name, now: None }]);
        Ok(())
    }

    pub fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let moved = self.resolve(from)?;
        let (from_dir, from_name) = self.parent(from)?;
        let (to_dir, to_name) = self.parent(to)?;
        if (from_dir, &from_name) == (to_dir, &to_name) {
            return Ok(());
        }
        let is_dir = self.dir(moved).is_ok();
        if is_dir && to.starts_with(from) {
            return Err(error(io::ErrorKind::InvalidInput));
        }
        if let Some(&old) = self.dir(to_dir)?.live.get(&to_name) {
            match self.dir(old) {
                Ok(_) if !is_dir => return Err(error(io::ErrorKind::IsADirectory)),
                Ok(dir) if !dir.live.is_empty() => return Err(error(io::ErrorKind::DirectoryNotEmpty)),
                Err(not_a_directory) if is_dir => return Err(not_a_directory),
                _ => {}
            }
        }
        self.node_mut(moved).label = Arc::clone(&to_name);
        self.change(vec![
            EntryChange { dir: from_dir, name: from_name, now: None },
            EntryChange { dir: to_dir, name: to_name, now: Some(moved) },
        ]);
        Ok(())
    }

    /// Changes names as all processes see them, and notes that the disk does not have the changes yet.
    fn change(&mut self, changes: Vec<EntryChange>) {
        for change in &changes {
            names::set(&mut self.dir_mut(change.dir).live, change);
            self.touch(change.dir);
        }
        self.pending.push(Arc::new(NameOp { changes, abandoned: false }));
    }

    pub fn sync_dir(&mut self, dir: Ino) {
        self.settle(|op| !op.abandoned && op.touches(dir));
    }

    /// Makes the chosen changes of names durable, and all that they depend on.
    pub fn settle(&mut self, chosen: impl Fn(&NameOp) -> bool) {
        let settled = names::take(&mut self.pending, chosen);
        for change in settled.iter().flat_map(|op| &op.changes) {
            names::set(&mut self.dir_mut(change.dir).durable, change);
        }
        if !settled.is_empty() {
            self.collect();
        }
    }

    /// Counts the changes in this directory as written, as a failed sync does with data: no later sync writes them.
    pub fn fail_sync_dir(&mut self, dir: Ino) {
        for op in self.pending.iter_mut().filter(|op| op.touches(dir)) {
            Arc::make_mut(op).abandoned = true;
        }
    }

    /// Forgets inodes to which no name, no possible name and no handle refers.
    fn collect(&mut self) {
        let mut used = BTreeSet::from([ROOT]);
        for node in self.nodes.values() {
            if let Body::Dir(dir) = &node.body {
                used.extend(dir.live.values().chain(dir.durable.values()));
            }
        }
        let pending = self.pending.iter().flat_map(|op| &op.changes);
        used.extend(pending.flat_map(|change| change.now.into_iter().chain([change.dir])));
        used.extend(self.handles.values().map(|handle| handle.ino));
        self.nodes.retain(|ino, _| used.contains(ino));
    }
}
