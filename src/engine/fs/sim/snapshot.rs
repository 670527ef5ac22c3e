//! Frozen states of a machine, and the disks that power losses make of them.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::SimFs;
use super::choice::{Chooser, Effect, Fate};
use super::crash_states::CrashStates;
use super::loss::{Unsettled, image_hash};
use super::machine::{Inner, Traits};
use super::state::State;

/// A machine at one moment, with its processes' handles and locks.
#[derive(Clone)]
pub struct Snapshot {
    state: State,
    traits: Traits,
    calls: u64,
}

/// The power loss that left a machine as it is: printed with a failing test.
pub struct Origin {
    calls: u64,
    chooser: String,
    unsettled: Arc<Unsettled>,
    fates: Vec<Fate>,
}

impl Origin {
    /// The fates, which produce the same machine again with [`Replay`](super::Replay).
    pub fn fates(&self) -> &[Fate] {
        &self.fates
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "power lost after {} calls, chosen by {}:", self.calls, self.chooser)?;
        for (effect, fate) in self.unsettled.effects.iter().zip(&self.fates) {
            writeln!(f, "  {} ({} versions): {fate:?}", effect.what, effect.versions)?;
        }
        Ok(())
    }
}

impl Snapshot {
    /// How many calls the machine's processes had made.
    pub fn calls(&self) -> u64 {
        self.calls
    }

    /// What a power loss now would decide about.
    pub fn effects(&self) -> Vec<Effect> {
        Unsettled::of(&self.state).effects
    }

    /// Another machine in this state, all of whose processes have been killed.
    pub fn kill(&self) -> SimFs {
        let mut state = self.state.clone();
        state.handles.clear();
        state.children.clear();
        state.dead.clear();
        SimFs::on(state, self.traits.clone())
    }

    /// The machine after losing power and being switched on again: nothing is unsynced, no process runs, no lock is held,
    /// and it has another boot id.
    pub fn power_loss(&self, chooser: &mut dyn Chooser) -> SimFs {
        self.lose(&self.unsettled(), chooser).0
    }

    pub(super) fn unsettled(&self) -> Arc<Unsettled> {
        Arc::new(Unsettled::of(&self.state))
    }

    /// Returns the machine after the power loss, and the hash of its disk.
    pub(super) fn lose(&self, unsettled: &Arc<Unsettled>, chooser: &mut dyn Chooser) -> (SimFs, u64) {
        // Taken before it decides, so that the text says where a chooser that has been used before went on.
        let text = format!("{chooser:?}");
        let fates = chooser.decide(&unsettled.effects);
        let state = unsettled.lose(&self.state, &fates);
        let hash = image_hash(&state, None);
        self.traits.coverage.add(hash);
        let origin = Origin { calls: self.calls, chooser: text, unsettled: Arc::clone(unsettled), fates };
        let fs = SimFs { origin: Some(Arc::new(origin)), ..SimFs::on(state, self.traits.clone()) };
        (fs, hash)
    }
}

impl SimFs {
    /// The machine as it is now. Cheap: contents are shared until they change.
    pub fn snapshot(&self) -> Snapshot {
        self.machine.with(snapshot)
    }

    /// Returns to an earlier state of this machine: processes that were killed since live again, and handles opened since
    /// are dead. Counters, faults and the log continue.
    pub fn restore(&self, snapshot: &Snapshot) {
        self.machine.with(|inner| inner.state = snapshot.state.clone());
    }

    /// From now on, keeps the state after every call that may have changed what a power loss leaves, beginning with the
    /// present one, so that one run of a workload yields all its crash points.
    pub fn record(&self) {
        self.machine.with(|inner| inner.moments = Some(vec![(inner.calls, inner.state.clone())]));
    }

    /// The states kept since [`SimFs::record`], in order, and the present one.
    pub fn moments(&self) -> Vec<Snapshot> {
        self.machine.with(|inner| {
            let moments = inner.moments.iter().flatten().cloned().map(|(calls, state)| Snapshot {
                state,
                traits: inner.traits.clone(),
                calls,
            });
            let mut moments: Vec<Snapshot> = moments.collect();
            moments.push(snapshot(inner));
            moments
        })
    }

    /// Another machine: this one after losing power now. See [`Snapshot::power_loss`].
    pub fn power_loss(&self, chooser: &mut dyn Chooser) -> Self {
        self.snapshot().power_loss(chooser)
    }

    /// See [`Snapshot::crash_states`].
    pub fn crash_states(&self, limit: usize, seed: u64) -> CrashStates {
        self.snapshot().crash_states(limit, seed)
    }

    /// A hash that is equal for machines with the same names and contents.
    pub fn image_hash(&self) -> u64 {
        self.machine.with(|inner| image_hash(&inner.state, None))
    }

    /// Like [`SimFs::image_hash`], whatever the content of one file is.
    pub fn image_hash_without(&self, path: impl AsRef<Path>) -> u64 {
        self.machine.with(|inner| image_hash(&inner.state, inner.state.resolve(path.as_ref()).ok()))
    }

    /// Which power loss made this machine, if one did; for messages.
    pub fn origin(&self) -> Option<&Origin> {
        self.origin.as_deref()
    }
}

fn snapshot(inner: &mut Inner) -> Snapshot {
    Snapshot { state: inner.state.clone(), traits: inner.traits.clone(), calls: inner.calls }
}
