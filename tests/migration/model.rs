//! Runs against a naive model: the data is a list of words, and what was applied is a list of versions.

use std::cmp::Ordering;
use std::path::Path;
use std::sync::Arc;

use octoprompt_storage::engine::fs::SimFs;
use octoprompt_storage::engine::migration::{
    Goal, Next, Progress, Registered, Registry, Run, Safeguard, StateFile, Step, Undone, Version, status,
};
use octoprompt_storage::engine::{BasePath, Error};
use parking_lot::Mutex;
use proptest::prelude::*;

const BASE: &str = "/base";
const STATE: &str = "/base/data/.migration-state.json";

/// A version, parsed according to the specification of semantic versions.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Parts {
    numbers: [u8; 3],
    pre: Vec<Identifier>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Identifier {
    Number(u8),
    Word(&'static str),
}

impl Parts {
    /// Compares by precedence, exactly as in section 11 of the specification.
    fn compare(&self, other: &Parts) -> Ordering {
        self.numbers.cmp(&other.numbers).then_with(|| match (self.pre.is_empty(), other.pre.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => self.pre.cmp(&other.pre),
        })
    }

    fn text(&self) -> String {
        let [major, minor, patch] = self.numbers;
        let mut text = format!("{major}.{minor}.{patch}");
        for (at, identifier) in self.pre.iter().enumerate() {
            text.push(if at == 0 { '-' } else { '.' });
            match identifier {
                Identifier::Number(number) => text.push_str(&number.to_string()),
                Identifier::Word(word) => text.push_str(word),
            }
        }
        text
    }
}

fn parts() -> impl Strategy<Value = Parts> {
    let identifier = prop_oneof![
        (0..12_u8).prop_map(Identifier::Number),
        prop::sample::select(vec!["alpha", "beta", "rc", "x-1", "A"]).prop_map(Identifier::Word),
    ];
    let numbers = [0..3_u8, 0..12_u8, 0..2_u8];
    // Below 0.0.0 there are only its own pre-releases, which nobody needs.
    (numbers, prop::collection::vec(identifier, 0..3))
        .prop_map(|(numbers, pre)| Parts { numbers, pre })
        .prop_filter("above nothing", |parts| parts.numbers != [0, 0, 0])
}

/// How one step ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Success,
    Failure,
    /// Keeping the data before the step fails.
    NotKept,
    /// Making its changes final fails.
    NotAccepted,
    /// The driver of the run disappears.
    Dropped,
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![
        12 => Just(End::Success),
        2 => Just(End::Failure),
        1 => Just(End::NotKept),
        1 => Just(End::NotAccepted),
        1 => Just(End::Dropped),
    ]
}

#[derive(Debug, Clone, Copy)]
enum Call {
    Migrate,
    MigrateTo(prop::sample::Index),
    RollBack,
    RollBackTo(prop::sample::Index),
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        3 => Just(Call::Migrate),
        2 => any::<prop::sample::Index>().prop_map(Call::MigrateTo),
        1 => Just(Call::RollBack),
        2 => any::<prop::sample::Index>().prop_map(Call::RollBackTo),
    ]
}

/// Data in memory, with a copy of the data and of the state file.
struct Words {
    fs: SimFs,
    data: Arc<Mutex<Vec<String>>>,
    kept: Option<(Vec<String>, Option<Vec<u8>>)>,
    fails: Arc<Mutex<Option<End>>>,
}

impl Words {
    fn fails(&self, end: End) -> Result<(), Error> {
        if self.fails.lock().take_if(|next| *next == end).is_some() {
            return Err(Error::InvalidArgument("the disk is full".into()));
        }
        Ok(())
    }
}

impl Safeguard for Words {
    fn keep(&mut self) -> Result<(), Error> {
        self.fails(End::NotKept)?;
        self.kept = Some((self.data.lock().clone(), self.fs.read_file(STATE)));
        Ok(())
    }

    fn put_back(&mut self) -> Result<(), Error> {
        let (data, state) = self.kept.take().expect("kept before it is put back");
        *self.data.lock() = data;
        match state {
            Some(text) => self.fs.write_file(STATE, &text),
            None if self.fs.read_file(STATE).is_some() => {
                self.fs.handle().remove_file(Path::new(STATE)).expect("removable");
            }
            None => {}
        }
        Ok(())
    }

    fn accept(&mut self) -> Result<(), Error> {
        self.fails(End::NotAccepted)?;
        self.kept = None;
        Ok(())
    }
}

/// What the model knows.
#[derive(Default)]
struct Model {
    /// The versions in the order in which they were applied.
    applied: Vec<Parts>,
    words: Vec<String>,
}

impl Model {
    fn current(&self) -> Option<&Parts> {
        self.applied.iter().max_by(|one, other| one.compare(other))
    }

    fn has(&self, version: &Parts) -> bool {
        self.applied.iter().any(|applied| applied == version)
    }
}

struct World {
    fs: SimFs,
    registered: Vec<(Parts, bool)>,
    data: Arc<Mutex<Vec<String>>>,
    model: Model,
}

fn version(parts: &Parts) -> Version {
    Version::parse(&parts.text()).expect("a version")
}

impl World {
    fn registry(&self) -> Registry {
        let mut registry = Registry::default();
        for (parts, reversible) in &self.registered {
            let description = format!("about {}", parts.text());
            let migration = Registered { version: version(parts), description, reversible: *reversible };
            registry.register(migration).expect("registered once");
        }
        registry
    }

    fn file(&self) -> StateFile {
        StateFile::of(&BasePath::new(self.fs.handle(), Path::new(BASE)))
    }

    /// Returns what should run, computed naively; `None` if the call is refused.
    fn expected(&self, call: Call) -> Option<Vec<(bool, Parts)>> {
        let target = |index: prop::sample::Index| index.get(&self.registered).0.clone();
        let above = |parts: &Parts, other: &Parts| parts.compare(other).is_gt();
        let (up, target) = match call {
            Call::Migrate => (true, None),
            Call::MigrateTo(index) => (true, Some(target(index))),
            Call::RollBack => (false, None),
            Call::RollBackTo(index) => (false, Some(target(index))),
        };
        let current = self.model.current();
        if let Some(target) = &target {
            let refused = match (up, current) {
                (true, Some(current)) => above(current, target),
                (true, None) => false,
                (false, Some(current)) => above(target, current),
                (false, None) => true,
            };
            if refused {
                return None;
            }
        }
        let mut steps: Vec<Parts> = if up {
            let pending =
                self.registered.iter().map(|(parts, _)| parts).filter(|parts| !self.model.has(parts));
            pending
                .filter(|parts| target.as_ref().is_none_or(|target| !above(parts, target)))
                .cloned()
                .collect()
        } else {
            let applied = self.model.applied.iter();
            applied
                .filter(|parts| target.as_ref().is_none_or(|target| above(parts, target)))
                .cloned()
                .collect()
        };
        steps.sort_by(|one, other| if up { one.compare(other) } else { other.compare(one) });
        let reversible = |parts: &Parts| self.registered.iter().any(|(own, down)| own == parts && *down);
        if !up && !steps.iter().all(reversible) {
            return None;
        }
        Some(steps.into_iter().map(|parts| (up, parts)).collect())
    }

    fn goal(&self, call: Call) -> Goal {
        let target = |index: prop::sample::Index| version(&index.get(&self.registered).0);
        match call {
            Call::Migrate => Goal::Latest,
            Call::MigrateTo(index) => Goal::Up(target(index)),
            Call::RollBack => Goal::Down(Version::NONE),
            Call::RollBackTo(index) => Goal::Down(target(index)),
        }
    }

    /// Runs a call. The steps end as `ends` says, and any further ones succeed.
    fn run(&mut self, call: Call, ends: &[End]) -> Result<(), TestCaseError> {
        let fails = Arc::new(Mutex::new(None));
        let (fs, data) = (self.fs.clone(), Arc::clone(&self.data));
        let words = Words { fs: fs.clone(), data: Arc::clone(&data), kept: None, fails: Arc::clone(&fails) };
        let started = Run::start((), self.file(), self.registry(), &self.goal(call), |()| Ok(words));
        let Some(expected) = self.expected(call) else {
            let code = started.map(drop).map_err(|error| error.code());
            prop_assert_eq!(code, Err("INVALID_ARGUMENT"), "{:?} is refused", call);
            return self.check(None);
        };
        let mut run = started.map_err(|error| TestCaseError::fail(error.to_string()))?;
        let mut ends = ends.iter().copied();
        let mut failed = None;
        for (up, parts) in &expected {
            let end = ends.next().unwrap_or(End::Success);
            *fails.lock() = Some(end);
            let step = if *up { Step::Up(version(parts)) } else { Step::Down(version(parts)) };
            match run.advance() {
                Ok(Next::Begin(begun)) => prop_assert_eq!(begun, step),
                Ok(Next::Done(_)) => return Err(TestCaseError::fail(format!("done before {step:?}"))),
                Err(error) => {
                    prop_assert_eq!((end, error.code()), (End::NotKept, "INVALID_ARGUMENT"));
                    break;
                }
            }
            let word = format!("{} {}", if *up { "up" } else { "down" }, parts.text());
            data.lock().push(if end == End::Success { word.clone() } else { "half".into() });
            match end {
                End::Success => run.succeeded(1).map_err(|error| TestCaseError::fail(error.to_string()))?,
                End::Failure => {
                    let undone = run.failed("it broke", 1);
                    prop_assert!(matches!(undone, Ok(Undone::Recorded)));
                    failed = Some((*up, parts.clone()));
                }
                End::NotAccepted => {
                    let code = run.succeeded(1).map_err(|error| error.code());
                    prop_assert_eq!(code, Err("INVALID_ARGUMENT"));
                }
                End::Dropped | End::NotKept => {}
            }
            if matches!(end, End::Failure | End::NotAccepted) {
                prop_assert!(matches!(run.advance(), Ok(Next::Done(_))), "the run has ended");
            }
            if end != End::Success {
                break;
            }
            self.model.words.push(word);
            if *up {
                self.model.applied.push(parts.clone());
            } else {
                self.model.applied.retain(|applied| applied != parts);
            }
        }
        drop(run);
        self.check(failed)
    }

    /// Checks that data, state and status are what the model says.
    fn check(&self, failed: Option<(bool, Parts)>) -> Result<(), TestCaseError> {
        prop_assert_eq!(&*self.data.lock(), &self.model.words);
        let state = self.file().load().map_err(|error| TestCaseError::fail(error.to_string()))?;
        let current = self.model.current().map_or_else(|| "0.0.0".into(), Parts::text);
        prop_assert_eq!(state.current().to_string(), current);
        let applied: Vec<String> = state.applied().map(|record| record.version.to_string()).collect();
        prop_assert_eq!(applied, self.model.applied.iter().map(Parts::text).collect::<Vec<_>>());
        if let Some((up, parts)) = failed {
            let record = state.counting().remove(&version(&parts)).expect("recorded");
            prop_assert_eq!((record.success, record.error.as_deref()), (!up, Some("it broke")));
        }
        let all = status(&self.registry(), &state);
        prop_assert_eq!(all.len(), self.registered.len());
        prop_assert!(all.windows(2).all(|pair| pair[0].version < pair[1].version));
        for one in all {
            let (parts, reversible) = self
                .registered
                .iter()
                .find(|(parts, _)| parts.text() == one.version.to_string())
                .expect("registered");
            prop_assert_eq!(one.reversible, *reversible);
            prop_assert_eq!(one.progress == Progress::Applied, self.model.has(parts));
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn every_run_agrees_with_the_model(
        versions in prop::collection::vec((parts(), prop::bool::weighted(0.8)), 1..12),
        later in prop::collection::vec((parts(), prop::bool::weighted(0.8)), 0..4),
        calls in prop::collection::vec((call(), prop::collection::vec(end(), 0..6)), 1..8),
    ) {
        let fs = SimFs::new();
        fs.make_dirs(BASE);
        let mut registered: Vec<(Parts, bool)> = Vec::new();
        let distinct = |registered: &mut Vec<(Parts, bool)>, more: Vec<(Parts, bool)>| {
            for (parts, down) in more {
                if registered.iter().all(|(own, _)| *own != parts) {
                    registered.push((parts, down));
                }
            }
        };
        distinct(&mut registered, versions);
        let mut world = World { fs, registered, data: Arc::default(), model: Model::default() };
        let half = calls.len() / 2;
        for (at, (call, ends)) in calls.into_iter().enumerate() {
            // A branch with other versions, some of them lower, is merged in the middle.
            if at == half {
                distinct(&mut world.registered, later.clone());
            }
            world.run(call, &ends)?;
        }
    }

    #[test]
    fn versions_order_as_the_specification_says(one in parts(), other in parts()) {
        prop_assert_eq!(version(&one).cmp(&version(&other)), one.compare(&other));
    }
}
