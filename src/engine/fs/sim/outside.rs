//! What tests do from outside the simulated processes: look, edit by hand, inject, branch.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::SimFs;
use super::bytes::Bytes;
use super::call::{Call, LogEntry};
use super::fault::{Fault, Repeat, Rule};
use super::file::FileNode;
use super::machine::{Coverage, Machine, Process, Stop, Traits, Waiting};
use super::names::DirNode;
use super::state::{Body, State};
use crate::engine::fs::{Fs, OpenFiles};

/// A running child process. It does nothing but keep open what it inherited; dropping it ends it.
pub struct ChildProcess {
    fs: SimFs,
    id: u64,
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        self.fs.machine.with(|inner| inner.state.end_child(self.id));
    }
}

/// Processes, their calls and their ends.
impl SimFs {
    /// A new machine with an empty root directory.
    pub fn new() -> Self {
        Self::with_coverage(&Coverage::default())
    }

    /// A new machine that counts the states that it leaves together with those of other machines.
    pub fn with_coverage(coverage: &Coverage) -> Self {
        let traits = Traits { coverage: coverage.clone(), ignored: Vec::new(), most_open: 256 };
        Self::on(State::new(), traits)
    }

    pub(super) fn on(state: State, traits: Traits) -> Self {
        let open_files = Arc::new(OpenFiles::new(traits.most_open));
        Self { machine: Machine::new(state, traits), process: 0, open_files, origin: None }
    }

    /// The same process, for code that owns its file system.
    pub fn handle(&self) -> Arc<dyn Fs> {
        Arc::new(self.clone())
    }

    /// Starts another process on the same machine.
    pub fn process(&self) -> Self {
        let (process, most_open) = self.machine.with(|inner| {
            inner.processes.push(Process::default());
            (inner.processes.len() - 1, inner.traits.most_open)
        });
        Self { process, open_files: Arc::new(OpenFiles::new(most_open)), ..self.clone() }
    }

    /// Kills this process: its handles are dead and its locks released; what it wrote stays. Returns a new
    /// process on the same machine.
    pub fn kill(&self) -> Self {
        self.machine.with(|inner| inner.state.kill(self.process));
        self.process()
    }

    /// Starts a child that inherits every handle this process has open.
    pub fn spawn_child(&self) -> ChildProcess {
        let id = self.machine.with(|inner| {
            inner.next_id += 1;
            inner.state.spawn_child(inner.next_id - 1, self.process);
            inner.next_id - 1
        });
        ChildProcess { fs: self.clone(), id }
    }

    /// Makes every call of this process fail without any effect, from this one on (the first is 1).
    pub fn stop_at(&self, call: u64) {
        self.stop_at_after(call, 0);
    }

    /// Like [`SimFs::stop_at`], but if that call is a write, its first `written` bytes are applied.
    pub fn stop_at_after(&self, call: u64, written: usize) {
        self.own(|process| process.stop = Some(Stop { at: call, written }));
    }

    /// Whether the process has reached the call at which it was to stop.
    pub fn is_stopped(&self) -> bool {
        self.own(|process| process.stopped)
    }

    /// How many calls this process has made, including the one at which it was stopped and none after it.
    pub fn calls(&self) -> u64 {
        self.own(|process| process.calls)
    }

    /// How many calls all processes of the machine have made.
    pub fn total_calls(&self) -> u64 {
        self.machine.with(|inner| inner.calls)
    }

    /// The calls of all processes, in order.
    pub fn log(&self) -> Vec<LogEntry> {
        self.machine.with(|inner| inner.log.clone())
    }

    /// Makes the first call of this process that the fault can hit fail, from this one on (the first of all is 1), or, with
    /// [`Repeat::Forever`], all of these.
    pub fn fail_from(&self, call: u64, fault: Fault, repeat: Repeat) {
        let when = move |number: u64, _: &Call| number >= call;
        self.own(|process| process.rules.push(Rule::new(Box::new(when), fault, repeat)));
    }

    /// Makes the first call of this process that fits fail, or every one.
    pub fn fail_when(&self, fits: impl Fn(&Call) -> bool + Send + 'static, fault: Fault, repeat: Repeat) {
        let when = Box::new(move |_: u64, call: &Call| fits(call));
        self.own(|process| process.rules.push(Rule::new(when, fault, repeat)));
    }

    /// Runs `act` just before the first call of this process that fits. The call waits for it, with all the locks that its
    /// process holds; `act` may use the file system.
    pub fn before(&self, fits: impl Fn(&Call) -> bool + Send + 'static, act: impl FnOnce() + Send + 'static) {
        self.own(|process| process.waiting.push(Waiting { fits: Box::new(fits), act: Box::new(act) }));
    }

    /// How many calls have been made to fail since [`SimFs::heal`].
    pub fn faults(&self) -> u64 {
        self.own(|process| process.rules.iter().map(|rule| rule.hits).sum())
    }

    /// The first call of this process that failed; `None` if none did.
    pub fn first_fault(&self) -> Option<u64> {
        self.own(|process| process.rules.iter().filter_map(|rule| rule.first).min())
    }

    /// Clears all faults.
    pub fn heal(&self) {
        self.own(|process| process.rules.clear());
    }

    fn own<T>(&self, look: impl FnOnce(&mut Process) -> T) -> T {
        self.machine.with(|inner| look(&mut inner.processes[self.process]))
    }
}

/// The machine, for all its processes.
impl SimFs {
    /// Makes calls that fit succeed without doing anything, if they return nothing (syncs, writes, changes of names); on
    /// this machine and on all that power losses make of it. `fits` must not use the file system itself.
    pub fn ignore(&self, fits: impl Fn(&Call) -> bool + Send + Sync + 'static) {
        self.machine.with(|inner| inner.traits.ignored.push(Arc::new(fits)));
    }

    /// Sets how many of the files that they only read processes keep open, for processes that are started from now on; on
    /// this machine and on all that power losses make of it.
    pub fn set_most_open(&self, most_open: usize) {
        self.machine.with(|inner| inner.traits.most_open = most_open);
    }

    pub fn set_free_space(&self, bytes: u64) {
        self.machine.with(|inner| inner.state.free_space = bytes);
    }

    /// Sets whether `read_at_cached` answers, as it does by default.
    pub fn set_cached(&self, cached: bool) {
        self.machine.with(|inner| inner.state.cached = cached);
    }

    pub fn coverage(&self) -> Coverage {
        self.machine.with(|inner| inner.traits.coverage.clone())
    }

    /// What processes see of a file; `None` if no file is there.
    pub fn read_file(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        self.machine.with(|inner| {
            let state = &inner.state;
            Some(state.file(state.resolve(path.as_ref()).ok()?).ok()?.live().to_vec())
        })
    }

    /// Writes a file by hand, over the old one if there is one: it is on the disk at once, and so are the directories above
    /// it.
    pub fn write_file(&self, path: impl AsRef<Path>, bytes: &[u8]) {
        let (path, body) = (path.as_ref(), Body::File(FileNode::settled(Bytes::new(bytes))));
        if let Some(parent) = path.parent() {
            self.make_dirs(parent);
        }
        self.edit(path, |state| match state.resolve(path) {
            Ok(ino) => {
                state.file(ino)?;
                state.node_mut(ino).body = body;
                state.touch(ino);
                Ok(())
            }
            Err(_) => state.create(path, body).map(drop),
        });
    }

    /// Makes a directory and those above it by hand.
    pub fn make_dirs(&self, path: impl AsRef<Path>) {
        let path = path.as_ref();
        let (Some(parent), Some(_)) = (path.parent(), path.file_name()) else { return };
        self.make_dirs(parent);
        self.edit(path, |state| match state.resolve(path) {
            Ok(ino) => state.dir(ino).map(drop),
            Err(_) => state.create(path, Body::Dir(DirNode::default())).map(drop),
        });
    }

    /// Removes a file or an empty directory by hand.
    pub fn remove(&self, path: impl AsRef<Path>) {
        let path = path.as_ref();
        self.edit(path, |state| match state.dir(state.resolve(path)?) {
            Ok(_) => state.remove_dir(path),
            Err(_) => state.remove_file(path),
        });
    }

    /// Puts the disk on a network file system. From now on, the machine that uses it is named `host`.
    pub fn set_network(&self, file_system: &'static str, host: &str) {
        let network = crate::engine::fs::Network { file_system, host: host.to_owned() };
        self.machine.with(|inner| inner.state.network = Some(network));
    }

    pub fn mode(&self, path: impl AsRef<Path>) -> Option<u32> {
        self.machine.with(|inner| Some(inner.state.nodes[&inner.state.resolve(path.as_ref()).ok()?].mode))
    }

    pub fn set_mode(&self, path: impl AsRef<Path>, mode: u32) {
        let path = path.as_ref();
        self.edit(path, |state| {
            let ino = state.resolve(path)?;
            state.node_mut(ino).mode = mode;
            Ok(())
        });
    }

    /// Edits by hand. Only this entry becomes durable: the processes' own changes beside it stay unsynced.
    fn edit(&self, path: &Path, edit: impl FnOnce(&mut State) -> io::Result<()>) {
        let result = self.machine.with(|inner| {
            edit(&mut inner.state)?;
            let (dir, name) = inner.state.parent(path)?;
            inner.state.settle(|op| op.touches_entry(dir, &name));
            Ok::<_, io::Error>(())
        });
        result.unwrap_or_else(|error| panic!("editing {} by hand: {error}", path.display()));
    }
}
