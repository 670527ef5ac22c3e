//! The states that a power loss may leave, one by one.

use std::collections::HashSet;
use std::sync::Arc;

use super::SimFs;
use super::bytes::SECTOR;
use super::choice::{
    Chooser, Combination, Effect, EffectKind, Extreme, KeptAlone, LostAlone, Seeded, TornAlone,
};
use super::loss::Unsettled;
use super::snapshot::Snapshot;

/// How many states in a row may be repeats before chance has little left to find: first where all combinations have been
/// tried and only torn sectors are left, then where there are too many combinations to try.
const PATIENCE: (usize, usize) = (16, 100);

/// Distinct states after a power loss; see [`Snapshot::crash_states`].
pub struct CrashStates {
    snapshot: Snapshot,
    unsettled: Arc<Unsettled>,
    planned: std::vec::IntoIter<Box<dyn Chooser>>,
    next_seed: u64,
    patience: usize,
    fruitless: usize,
    seen: HashSet<u64>,
    limit: usize,
}

impl Snapshot {
    /// Returns up to `limit` different states that a power loss may leave: all combinations of what survives if there are
    /// few enough, otherwise the extremes and each effect lost alone and kept alone (a sample of them if they are too many);
    /// then each sector torn alone, sampled likewise, and finally chance from `seed`.
    pub fn crash_states(&self, limit: usize, seed: u64) -> CrashStates {
        let unsettled = self.unsettled();
        let combinations = Combination::count(&unsettled.effects).filter(|count| *count <= limit as u64);
        CrashStates {
            snapshot: self.clone(),
            planned: plan(&unsettled.effects, combinations, limit, seed).into_iter(),
            patience: if combinations.is_some() { PATIENCE.0 } else { PATIENCE.1 },
            unsettled,
            // Neighbouring seeds share no choosers.
            next_seed: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15),
            fruitless: 0,
            seen: HashSet::new(),
            limit,
        }
    }
}

fn plan(effects: &[Effect], combinations: Option<u64>, limit: usize, seed: u64) -> Vec<Box<dyn Chooser>> {
    let boxed = |chooser: &dyn Fn(usize) -> Box<dyn Chooser>, count: usize| -> Vec<Box<dyn Chooser>> {
        (0..count).map(chooser).collect()
    };
    // Single effects take at most half of the limit; another seed takes another sample.
    let step = (6 * effects.len()).div_ceil(limit.max(1)).max(1);
    let sample = || (seed as usize % step..effects.len()).step_by(step);
    let mut planned = match combinations {
        Some(count) => boxed(&|index| Box::new(Combination(index as u64)), count as usize),
        None => {
            let mut planned = boxed(&|index| Box::new(Extreme::ALL[index]), Extreme::ALL.len());
            for effect in sample() {
                planned.push(Box::new(LostAlone(effect)));
                planned.push(Box::new(KeptAlone(effect)));
            }
            planned
        }
    };
    for effect in sample().filter(|&effect| matches!(effects[effect].kind, EffectKind::Sector(_))) {
        // At the first byte, in the middle and at the last byte; all three if there is room.
        let cuts = [0, SECTOR / 2, SECTOR];
        let cuts = if step == 1 { &cuts[..] } else { &cuts[(seed as usize + effect) % 3..][..1] };
        planned.extend(cuts.iter().map(|&cut| Box::new(TornAlone { effect, cut }) as Box<dyn Chooser>));
    }
    planned
}

impl CrashStates {
    fn next_chooser(&mut self) -> Option<Box<dyn Chooser>> {
        if let Some(chooser) = self.planned.next() {
            return Some(chooser);
        }
        if self.unsettled.effects.is_empty() || self.fruitless >= self.patience {
            return None;
        }
        self.fruitless += 1;
        self.next_seed = self.next_seed.wrapping_add(1);
        Some(Box::new(Seeded::new(self.next_seed)))
    }
}

impl Iterator for CrashStates {
    type Item = SimFs;

    fn next(&mut self) -> Option<SimFs> {
        while self.seen.len() < self.limit {
            let mut chooser = self.next_chooser()?;
            let (fs, hash) = self.snapshot.lose(&self.unsettled, &mut *chooser);
            if self.seen.insert(hash) {
                self.fruitless = 0;
                return Some(fs);
            }
        }
        None
    }
}
