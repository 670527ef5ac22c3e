//! What a power loss has to decide, and the ways to decide it.

use std::fmt;
use std::sync::Arc;

use super::random::Random;

/// One thing that a power loss decides about, independently of the others except for `needs`.
#[derive(Debug, Clone)]
pub struct Effect {
    pub kind: EffectKind,
    /// The inode concerned: all effects on one file have the same. For a name, it is the directory's.
    pub inode: u64,
    /// A description, for messages.
    pub what: Arc<str>,
    /// How many versions there are. Version 0 is what the disk certainly holds, the last one is what
    /// processes saw.
    pub versions: usize,
    /// Effects (by index, all earlier) without which this one does not survive or is not seen.
    pub needs: Vec<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EffectKind {
    /// One call on names: create, rename or remove. Two versions: lost and kept.
    Name,
    /// The length of a file.
    Length,
    /// One sector of a file. A sector that survives as version 0 beyond the old end reads as zeros.
    Sector(u64),
    /// The content of a shared page.
    Page,
}

/// What becomes of an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Version(usize),
    /// Sectors only: of the bytes in which this version (not 0) differs from the one before, the first few are of this
    /// version and the rest of the one before; `cut` (in 512ths) says how many.
    Torn {
        version: usize,
        cut: usize,
    },
    /// Shared pages only.
    Zeros,
    /// Shared pages only: words drawn from this seed.
    Rubbish(u64),
}

impl Effect {
    pub fn lost(&self) -> Fate {
        match self.kind {
            EffectKind::Page => Fate::Zeros,
            _ => Fate::Version(0),
        }
    }

    pub fn kept(&self) -> Fate {
        Fate::Version(self.versions - 1)
    }

    /// The number of fates to choose from. For a shared page, the last two are zeros and rubbish.
    pub(super) fn options(&self) -> usize {
        self.versions + if self.kind == EffectKind::Page { 2 } else { 0 }
    }

    pub(super) fn option(&self, index: usize) -> Fate {
        match index.checked_sub(self.versions) {
            None => Fate::Version(index),
            Some(0) => Fate::Zeros,
            Some(_) => Fate::Rubbish(index as u64),
        }
    }
}

/// Decides the fate of every effect. Its `Debug` text is printed with a failing state, and should suffice to
/// produce that state again.
pub trait Chooser: fmt::Debug {
    /// One fate for each effect, in the same order.
    fn decide(&mut self, effects: &[Effect]) -> Vec<Fate>;
}

/// The choosers that involve no chance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extreme {
    /// Nothing unsynced survives; shared pages are zeros.
    Nothing,
    /// Everything survives, shared pages too.
    Everything,
    /// Contents and lengths survive, names do not; shared pages are rubbish.
    DataWithoutNames,
    /// Names survive, contents and lengths do not; shared pages hold their oldest content.
    NamesWithoutData,
    /// Names and lengths survive, contents do not: grown files end in zeros.
    ZeroedData,
}

impl Extreme {
    pub const ALL: [Self; 5] =
        [Self::Nothing, Self::Everything, Self::DataWithoutNames, Self::NamesWithoutData, Self::ZeroedData];
}

impl Chooser for Extreme {
    fn decide(&mut self, effects: &[Effect]) -> Vec<Fate> {
        let fate = |effect: &Effect| match (*self, effect.kind) {
            (Self::DataWithoutNames, EffectKind::Page) => Fate::Rubbish(1),
            (Self::NamesWithoutData, EffectKind::Page) => Fate::Version(0),
            (Self::Nothing, _) => effect.lost(),
            (Self::Everything, _) => effect.kept(),
            (Self::DataWithoutNames, EffectKind::Name) => effect.lost(),
            (Self::DataWithoutNames, _) => effect.kept(),
            (Self::NamesWithoutData | Self::ZeroedData, EffectKind::Name) => effect.kept(),
            (Self::ZeroedData, EffectKind::Length) => effect.kept(),
            (Self::NamesWithoutData | Self::ZeroedData, _) => effect.lost(),
        };
        effects.iter().map(fate).collect()
    }
}

/// Everything survives except this one effect, and what cannot survive without it.
#[derive(Debug, Clone, Copy)]
pub struct LostAlone(pub usize);

impl Chooser for LostAlone {
    fn decide(&mut self, effects: &[Effect]) -> Vec<Fate> {
        let fate = |(index, effect): (usize, &Effect)| match index == self.0 {
            true => effect.lost(),
            false => effect.kept(),
        };
        effects.iter().enumerate().map(fate).collect()
    }
}

/// Everything survives, but the last write to this sector is torn. An effect that is not a sector is kept.
#[derive(Debug, Clone, Copy)]
pub struct TornAlone {
    pub effect: usize,
    pub cut: usize,
}

impl Chooser for TornAlone {
    fn decide(&mut self, effects: &[Effect]) -> Vec<Fate> {
        let fate = |(index, effect): (usize, &Effect)| match effect.kind {
            EffectKind::Sector(_) if index == self.effect => {
                Fate::Torn { version: effect.versions - 1, cut: self.cut }
            }
            _ => effect.kept(),
        };
        effects.iter().enumerate().map(fate).collect()
    }
}

/// Nothing survives except this one effect, and what it needs.
#[derive(Debug, Clone, Copy)]
pub struct KeptAlone(pub usize);

impl Chooser for KeptAlone {
    fn decide(&mut self, effects: &[Effect]) -> Vec<Fate> {
        let mut fates: Vec<Fate> = effects.iter().map(Effect::lost).collect();
        let mut keep = vec![self.0];
        while let Some(index) = keep.pop() {
            fates[index] = effects[index].kept();
            keep.extend(&effects[index].needs);
        }
        fates
    }
}

/// One of all combinations of versions. A shared page does not multiply them: its content depends on nothing on the disk, so
/// its options are taken in turn.
#[derive(Debug, Clone, Copy)]
pub struct Combination(pub u64);

impl Combination {
    /// How many combinations there are; `None` if they are too many to count.
    pub fn count(effects: &[Effect]) -> Option<u64> {
        let disk = effects.iter().filter(|effect| effect.kind != EffectKind::Page);
        let count = disk.map(|effect| effect.versions as u64).try_fold(1_u64, u64::checked_mul)?;
        let pages = effects.iter().filter(|effect| effect.kind == EffectKind::Page);
        Some(pages.map(|effect| effect.options() as u64).fold(count, u64::max))
    }
}

impl Chooser for Combination {
    fn decide(&mut self, effects: &[Effect]) -> Vec<Fate> {
        let mut left = self.0;
        let mut digit = |base: usize| {
            let digit = left % base as u64;
            left /= base as u64;
            digit as usize
        };
        let fate = |effect: &Effect| match effect.kind {
            EffectKind::Page => effect.option((self.0 % effect.options() as u64) as usize),
            _ => Fate::Version(digit(effect.versions)),
        };
        effects.iter().map(fate).collect()
    }
}

/// Decides the same fates again, e.g. those that a failing state reported.
#[derive(Debug, Clone)]
pub struct Replay(pub Vec<Fate>);

impl Chooser for Replay {
    fn decide(&mut self, effects: &[Effect]) -> Vec<Fate> {
        assert_eq!(self.0.len(), effects.len(), "these fates belong to another state");
        self.0.clone()
    }
}

/// Decides by chance, from a seed. Each decision also draws how much survives, so that states near 'nothing' and
/// 'everything' are as common as those half way.
#[derive(Debug)]
pub struct Seeded {
    seed: u64,
    /// How many decisions were made before: a chooser that is used again decides differently.
    decisions: u64,
}

impl Seeded {
    pub fn new(seed: u64) -> Self {
        Self { seed, decisions: 0 }
    }
}

impl Chooser for Seeded {
    fn decide(&mut self, effects: &[Effect]) -> Vec<Fate> {
        let mut random = Random::new(self.seed).fork(self.decisions);
        self.decisions += 1;
        let names = random.likelihood();
        let data = random.likelihood();
        let fate = |effect: &Effect| {
            // A file often survives or is lost as a whole, so it may get a likelihood of its own, drawn from the inode.
            let mut file = random.fork(effect.inode);
            let data = if file.chance(128) { file.likelihood() } else { data };
            let any = random.below(effect.versions as u64) as usize;
            match effect.kind {
                EffectKind::Name if random.chance(names) => effect.kept(),
                EffectKind::Name => effect.lost(),
                EffectKind::Length | EffectKind::Sector(_) if random.chance(data) => effect.kept(),
                EffectKind::Sector(_) if random.chance(64) => {
                    let cut = random.below(super::bytes::SECTOR as u64) as usize;
                    Fate::Torn { version: any.max(1), cut }
                }
                EffectKind::Length | EffectKind::Sector(_) if random.chance(128) => effect.lost(),
                EffectKind::Length | EffectKind::Sector(_) => Fate::Version(any),
                EffectKind::Page => match random.below(4) {
                    0 => Fate::Zeros,
                    1 => Fate::Rubbish(random.next()),
                    2 => effect.kept(),
                    _ => Fate::Version(any),
                },
            }
        };
        effects.iter().map(fate).collect()
    }
}
