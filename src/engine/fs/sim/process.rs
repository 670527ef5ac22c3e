//! The calls of one process: the [`Fs`] trait and the handles it gives out.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::SimFs;
use super::call::Call;
use super::file::FileNode;
use super::machine::Verdict;
use super::names::DirNode;
use super::state::{Body, Lock, State};
use crate::engine::fs::{
    File, Fs, LockFile, Metadata, Network, OpenFiles, OpenMode, PageMemory, SharedPage, is_absent,
};

impl SimFs {
    fn call<T>(&self, call: Call, act: impl FnOnce(&mut State, u64) -> io::Result<T>) -> io::Result<T> {
        self.machine.call(self.process, call, |state, id, verdict| match verdict {
            Verdict::Act | Verdict::Ignore => act(state, id),
            Verdict::Fail { error, .. } | Verdict::Refuse(error) => Err(error),
        })
    }

    /// Makes a call without a result, which can be ignored.
    fn order(&self, call: Call, act: impl FnOnce(&mut State) -> io::Result<()>) -> io::Result<()> {
        self.order_or(call, act, |_, _| Ok(()))
    }

    /// `spoil` does what the call does even though it fails.
    fn order_or(
        &self,
        call: Call,
        act: impl FnOnce(&mut State) -> io::Result<()>,
        spoil: impl FnOnce(&mut State, usize) -> io::Result<()>,
    ) -> io::Result<()> {
        self.machine.call(self.process, call, |state, _, verdict| match verdict {
            Verdict::Act => act(state),
            Verdict::Ignore => Ok(()),
            Verdict::Fail { error, written } => spoil(state, written).and(Err(error)),
            Verdict::Refuse(error) => Err(error),
        })
    }

    fn opened(&self, id: u64, path: Arc<Path>, writable: bool) -> OpenHandle {
        OpenHandle { fs: self.clone(), id, path, writable }
    }
}

fn found(state: &State, path: &Path) -> io::Result<Option<Metadata>> {
    match state.resolve(path) {
        Ok(ino) => Ok(Some(state.metadata(ino))),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn open_or_create(state: &mut State, path: &Path) -> io::Result<u64> {
    match state.resolve(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            state.create(path, Body::File(FileNode::default()))
        }
        found => found.and_then(|ino| state.file(ino).map(|_| ino)),
    }
}

impl Fs for SimFs {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let path: Arc<Path> = path.into();
        let id = self.call(Call::Open { path: Arc::clone(&path), mode }, |state, id| {
            let ino = match mode {
                OpenMode::CreateNew => state.create(&path, Body::File(FileNode::default()))?,
                OpenMode::Read | OpenMode::ReadWrite => state.resolve(&path)?,
            };
            state.file(ino)?;
            state.opened(id, self.process, ino);
            Ok(id)
        })?;
        Ok(Arc::new(SimFile(self.opened(id, path, mode != OpenMode::Read))))
    }

    fn open_files(&self) -> &OpenFiles {
        &self.open_files
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.order(Call::CreateDir { path: path.into() }, |state| {
            state.create(path, Body::Dir(DirNode::default())).map(drop)
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let call = Call::Rename { from: from.into(), to: to.into() };
        self.order(call, |state| state.rename(from, to))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.order(Call::RemoveFile { path: path.into() }, |state| state.remove_file(path))
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.order(Call::RemoveDir { path: path.into() }, |state| state.remove_dir(path))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let directory = |state: &State| {
            let ino = state.resolve(path)?;
            state.dir(ino).map(|_| ino)
        };
        self.order_or(
            Call::SyncDir { path: path.into() },
            |state| {
                let ino = directory(state)?;
                state.sync_dir(ino);
                Ok(())
            },
            |state, _| {
                let ino = directory(state)?;
                state.fail_sync_dir(ino);
                Ok(())
            },
        )
    }

    fn list_dir(&self, path: &Path) -> io::Result<Vec<String>> {
        self.call(Call::ListDir { path: path.into() }, |state, _| {
            let dir = state.dir(state.resolve(path)?)?;
            Ok(dir.live.keys().map(|name| name.to_string()).collect())
        })
    }

    fn metadata(&self, path: &Path) -> io::Result<Option<Metadata>> {
        self.call(Call::Metadata { path: path.into() }, |state, _| found(state, path))
    }

    fn symlink_metadata(&self, path: &Path) -> io::Result<Option<Metadata>> {
        self.metadata(path)
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        self.call(Call::Canonical { path: path.into() }, |state, _| {
            state.resolve(path)?;
            Ok(path.components().collect())
        })
    }

    fn clone_file(&self, from: &Path, to: &Path) -> io::Result<bool> {
        self.call(Call::CloneFile { from: from.into(), to: to.into() }, |state, _| {
            let ino = state.resolve(from)?;
            state.file(ino).map(|_| false)
        })
    }

    fn copy_permissions(&self, like: &Path, path: &Path) -> io::Result<()> {
        let call = Call::CopyPermissions { like: like.into(), path: path.into() };
        self.order(call, |state| {
            let (like, ino) = (state.resolve(like)?, state.resolve(path)?);
            state.node_mut(ino).mode = state.nodes[&like].mode;
            Ok(())
        })
    }

    fn is_writable(&self, directory: &Path) -> io::Result<bool> {
        self.call(Call::Metadata { path: directory.into() }, |state, _| {
            Ok(state.nodes[&state.resolve(directory)?].mode & 0o222 != 0)
        })
    }

    fn free_space(&self, path: &Path) -> io::Result<u64> {
        self.call(Call::FreeSpace { path: path.into() }, |state, _| {
            state.resolve(path)?;
            Ok(state.free_space)
        })
    }

    fn lock_file(&self, path: &Path) -> io::Result<Arc<dyn LockFile>> {
        let path: Arc<Path> = path.into();
        let id = self.call(Call::OpenLock { path: Arc::clone(&path) }, |state, id| {
            let ino = open_or_create(state, &path)?;
            state.opened(id, self.process, ino);
            Ok(id)
        })?;
        Ok(Arc::new(SimLock(self.opened(id, path, false))))
    }

    fn shared_page(&self, path: &Path, len: usize) -> io::Result<Arc<dyn SharedPage>> {
        let path: Arc<Path> = path.into();
        let id = self.call(Call::OpenPage { path: Arc::clone(&path) }, |state, id| {
            let ino = open_or_create(state, &path)?;
            state.file_mut(ino).share(len as u64);
            state.opened(id, self.process, ino);
            Ok(id)
        })?;
        Ok(Arc::new(SimPage { handle: self.opened(id, path, true), words: len / 8 }))
    }

    /// Not counted, because it does not access the disk.
    fn network(&self, _: &Path) -> io::Result<Option<Network>> {
        Ok(self.machine.with(|inner| inner.state.network.clone()))
    }

    fn now_ms(&self) -> u64 {
        self.machine.with(|inner| inner.state.clock)
    }

    fn boot_id(&self) -> u128 {
        self.machine.with(|inner| inner.state.boot)
    }

    fn is_stopped(&self, _: u32) -> bool {
        false
    }
}

/// Closed when its last owner drops it, as the system does: that is not a call, and it cannot fail.
struct OpenHandle {
    fs: SimFs,
    id: u64,
    path: Arc<Path>,
    writable: bool,
}

impl Drop for OpenHandle {
    fn drop(&mut self) {
        self.fs.machine.with(|inner| inner.state.close(self.id));
    }
}

impl OpenHandle {
    fn path(&self) -> Arc<Path> {
        Arc::clone(&self.path)
    }

    fn is_current(&self) -> io::Result<bool> {
        self.fs.call(Call::IsCurrent { path: self.path() }, |state, _| {
            let ino = state.handle(self.id)?.ino;
            Ok(found(state, &self.path)?.is_some_and(|named| named.identity == (1, ino.into())))
        })
    }

    fn check_writable(&self) -> io::Result<()> {
        match self.writable {
            true => Ok(()),
            false => Err(io::Error::other("the handle is for reading only")),
        }
    }
}

struct SimFile(OpenHandle);

impl File for SimFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let call = Call::Read { path: self.0.path(), offset, len: buffer.len() };
        self.0.fs.call(call, |state, _| {
            let ino = state.handle(self.0.id)?.ino;
            Ok(state.file(ino)?.live().read(offset, buffer))
        })
    }

    fn read_at_cached(&self, buffer: &mut [u8], offset: u64) -> io::Result<bool> {
        let call = Call::Read { path: self.0.path(), offset, len: buffer.len() };
        self.0.fs.call(call, |state, _| {
            let ino = state.handle(self.0.id)?.ino;
            let read = state.file(ino)?.live().read(offset, buffer);
            Ok(state.cached && read == buffer.len())
        })
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.check_writable()?;
        let write = |state: &mut State, bytes: &[u8]| {
            let ino = state.handle(self.0.id)?.ino;
            state.file_mut(ino).write(offset, bytes);
            state.touch(ino);
            Ok(())
        };
        self.0.fs.order_or(
            Call::Write { path: self.0.path(), offset, len: bytes.len() },
            |state| write(state, bytes),
            |state, written| match written.min(bytes.len()) {
                0 => Ok(()),
                written => write(state, &bytes[..written]),
            },
        )
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.check_writable()?;
        self.0.fs.order(Call::SetLen { path: self.0.path(), len }, |state| {
            let ino = state.handle(self.0.id)?.ino;
            state.file_mut(ino).set_len(len);
            state.touch(ino);
            Ok(())
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        let file = |state: &mut State, sync: fn(&mut FileNode)| {
            let ino = state.handle(self.0.id)?.ino;
            sync(state.file_mut(ino));
            Ok(())
        };
        self.0.fs.order_or(
            Call::SyncData { path: self.0.path() },
            |state| file(state, FileNode::sync),
            |state, _| file(state, FileNode::fail_sync),
        )
    }

    fn forget_cached(&self) {
        // Not one of the calls that can fail.
        self.0.fs.machine.with(|inner| {
            if let Ok(ino) = inner.state.handle(self.0.id).map(|handle| handle.ino) {
                inner.state.file_mut(ino).forget_cached();
            }
        });
    }

    fn metadata(&self) -> io::Result<Metadata> {
        self.0.fs.call(Call::Metadata { path: self.0.path() }, |state, _| {
            let ino = state.handle(self.0.id)?.ino;
            Ok(state.metadata(ino))
        })
    }
}

struct SimLock(OpenHandle);

impl SimLock {
    fn lock(&self, lock: Lock) -> io::Result<bool> {
        let call = Call::TryLock { path: self.0.path(), exclusive: lock == Lock::Exclusive };
        self.0.fs.call(call, |state, _| state.try_lock(self.0.id, lock))
    }
}

impl LockFile for SimLock {
    fn try_exclusive(&self) -> io::Result<bool> {
        self.lock(Lock::Exclusive)
    }

    fn try_shared(&self) -> io::Result<bool> {
        self.lock(Lock::Shared)
    }

    fn unlock(&self) -> io::Result<()> {
        self.0.fs.order(Call::Unlock { path: self.0.path() }, |state| state.unlock(self.0.id))
    }

    fn holders(&self) -> Vec<u32> {
        self.0.fs.machine.with(|inner| inner.state.lock_holders(self.0.id))
    }

    fn is_current(&self) -> io::Result<bool> {
        self.0.is_current()
    }
}

struct SimPage {
    handle: OpenHandle,
    words: usize,
}

impl SimPage {
    fn check(&self, index: usize) {
        assert!(index < self.words, "the shared page has {} words", self.words);
    }
}

impl SharedPage for SimPage {
    /// A dead process reads zero, which nobody sees.
    fn load(&self, index: usize) -> u64 {
        self.check(index);
        self.handle.fs.machine.with(|inner| {
            let ino = inner.state.handle(self.handle.id).map(|handle| handle.ino);
            ino.and_then(|ino| inner.state.file(ino)).map_or(0, |file| file.load(index))
        })
    }

    fn prepare(&self) -> io::Result<()> {
        self.handle.fs.order(Call::PreparePage { path: self.handle.path() }, |_| Ok(()))
    }

    fn store(&self, index: usize, value: u64) {
        self.check(index);
        let call = Call::Store { path: self.handle.path(), index, value };
        // Only a process that is dead or stopped is refused, and it has no way to notice.
        let _ = self.handle.fs.order(call, |state| {
            let ino = state.handle(self.handle.id)?.ino;
            state.file_mut(ino).store(index, value);
            Ok(())
        });
    }

    fn replace(&self, index: usize, current: u64, value: u64) -> bool {
        self.check(index);
        let call = Call::Store { path: self.handle.path(), index, value };
        let mut replaced = true;
        // As for a store; a dead process must not try for ever.
        let _ = self.handle.fs.order(call, |state| {
            let ino = state.handle(self.handle.id)?.ino;
            let file = state.file_mut(ino);
            replaced = file.load(index) == current;
            if replaced {
                file.store(index, value);
            }
            Ok(())
        });
        replaced
    }

    fn memory(&self) -> Option<Arc<dyn PageMemory>> {
        None
    }

    fn is_current(&self) -> io::Result<bool> {
        self.handle.is_current()
    }
}
