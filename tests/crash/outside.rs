//! Crashes that concern files outside the database's directory: a collection, what belongs to its documents, and a file
//! whose records are judged by its caller.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use octoprompt_storage::engine::fs::{Extreme, SimFs};
use octoprompt_storage::engine::{
    CollectionSpec, Durability, Error, Foreign, Part, Transaction, Verdicts, json, read_file, replace_file,
};

use crate::support::no_wait;
use crate::world::{Handle, READ, empty_machine, open, text};

const FILE: &str = "/base/out/deep/items.json";
const ATTACHMENT: &str = "/base/files/1";
/// The path of the attachment as the database names it.
const OWN_PATH: &str = "../files/1";
/// Records of this version are refused by their caller.
const BAD: u32 = 13;

/// The version of each document, and whether what belongs to document 1 is there.
type State = (BTreeMap<u64, u32>, bool);

fn spec() -> Arc<CollectionSpec> {
    static SPEC: LazyLock<Arc<CollectionSpec>> = LazyLock::new(|| {
        Arc::new(CollectionSpec {
            path: "../out/deep/items.json".into(),
            large_field: None,
            indexes: Vec::new(),
            foreign: Foreign::Ask,
        })
    });
    Arc::clone(&SPEC)
}

fn number(text: &[u8], field: &str) -> u64 {
    json::get(text, field).and_then(json::parse_number).map_or(0, |number| number as u64)
}

/// Judges records as a caller would: some are refused, all others are stored as this package writes them.
fn judge(database: &Handle) -> Result<(), Error> {
    while let Some(found) = database.foreign_records(&spec())? {
        let verdict = |raw: &[u8]| match number(raw, "version") as u32 {
            BAD => Err("bad".to_owned()),
            version => Ok(text(number(raw, "id"), version).into_bytes()),
        };
        let verdicts: Verdicts = found.records.into_iter().map(|(id, raw)| (id, verdict(&raw))).collect();
        if database.adopt_judged(&spec(), found.hash, &verdicts, no_wait())? {
            break;
        }
    }
    Ok(())
}

fn judge_edit(database: &Handle) -> Result<(), String> {
    let fresh = database.look_at_file(&spec(), READ);
    assert!(matches!(fresh, Err(Error::Unadopted { .. })), "{fresh:?}");
    judge(database).map_err(|error| error.to_string())
}

fn observe(fs: &SimFs, database: &Handle) -> Result<State, String> {
    let texts = match database.filter(&spec(), Part::Whole, READ, |_| true) {
        Err(Error::Unadopted { .. }) => {
            judge(database).and_then(|()| database.filter(&spec(), Part::Whole, READ, |_| true))
        }
        other => other,
    };
    let texts = texts.map_err(|error| format!("unreadable: {}: {error}", error.code()))?;
    let document = |text: &Arc<[u8]>| (number(text, "id"), number(text, "version") as u32);
    Ok((texts.iter().map(document).collect(), fs.read_file(ATTACHMENT).is_some()))
}

/// Checks a machine after a crash: the database opens to one of the allowed states, and stays there through another write, a
/// checkpoint and another power loss.
fn check(fs: &SimFs, allowed: &[State]) -> Result<(), String> {
    let process = fs.process();
    let database = open(&process, None)?;
    let (mut documents, attachment) = observe(fs, &database)?;
    if !allowed.contains(&(documents.clone(), attachment)) {
        return Err(format!("opened to {documents:?} with attachment: {attachment}"));
    }
    write(&database, |tx| tx.put(&spec(), 100.into(), text(100, 1).into_bytes()))?;
    documents.insert(100, 1);
    database.checkpoint(no_wait()).map_err(|error| format!("the checkpoint failed: {error}"))?;
    let after = fs.power_loss(&mut Extreme::Nothing);
    drop(database);
    let database = open(&after.process(), None)?;
    let found = observe(&after, &database)?;
    if found != (documents, attachment) {
        return Err(format!("after a write, a checkpoint and a power loss there is {found:?}"));
    }
    Ok(())
}

fn write(
    database: &Handle,
    work: impl FnOnce(&mut Transaction<'_>) -> Result<(), Error> + Send + 'static,
) -> Result<(), String> {
    database.write(Durability::Full, work).map_err(|error| format!("a write failed: {error}"))
}

/// A history in steps, each of which is crashed at every call.
struct History {
    fs: SimFs,
    database: Option<Handle>,
    state: State,
    checked: usize,
}

impl History {
    fn begin() -> History {
        let fs = empty_machine();
        fs.write_file(ATTACHMENT, b"x");
        let database = Some(open(&fs, None).expect("a new database opens"));
        History { fs, database, state: (BTreeMap::new(), true), checked: 0 }
    }

    fn database(&self) -> &Handle {
        self.database.as_ref().expect("the database is open")
    }

    /// Runs a step that leads from the current state to `after`.
    fn step(&mut self, what: &str, after: State, work: impl FnOnce(&Handle) -> Result<(), String>) {
        self.fs.record();
        work(self.database()).unwrap_or_else(|problem| panic!("{what}: {problem}"));
        let before = std::mem::replace(&mut self.state, after.clone());
        let moments = self.fs.moments();
        let last = moments.len() - 1;
        for (at, moment) in moments.iter().enumerate() {
            let both = [before.clone(), after.clone()];
            let allowed = if at == last { &both[1..] } else { &both[..] };
            let crashed = moment.crash_states(12, at as u64).chain([moment.kill()]);
            for (number, crashed) in crashed.enumerate() {
                self.checked += 1;
                if let Err(problem) = check(&crashed, allowed) {
                    let origin = crashed.origin().map(ToString::to_string).unwrap_or_default();
                    panic!(
                        "{what}, call {at} of {last}, crash {number}: {problem}; allowed: {allowed:?}\n{origin}"
                    );
                }
            }
        }
        self.fs.record();
    }
}

fn put(id: u64, version: u32) -> impl FnOnce(&Handle) -> Result<(), String> {
    move |database| {
        write(database, move |tx| {
            tx.put(&spec(), id.into(), text(id, version).into_bytes())?;
            if id == 1 { tx.keep_entity_paths([OWN_PATH].into_iter()) } else { Ok(()) }
        })
    }
}

fn delete_one(database: &Handle) -> Result<(), String> {
    write(database, |tx| {
        tx.delete(&spec(), 1.into())?;
        tx.remove_entity_path(OWN_PATH)
    })
}

fn checkpoint(database: &Handle) -> Result<(), String> {
    database.checkpoint(no_wait()).map_err(|error| error.to_string())
}

fn documents(of: &[(u64, u32)]) -> BTreeMap<u64, u32> {
    of.iter().copied().collect()
}

#[test]
fn a_collection_outside_the_directory_and_its_attachments_survive_every_crash() {
    let mut history = History::begin();
    history.step("a first document", (documents(&[(1, 1)]), true), put(1, 1));
    history.step("a second document", (documents(&[(1, 1), (2, 2)]), true), put(2, 2));
    history.step("the first checkpoint", history.state.clone(), checkpoint);
    history.step("a removal", (documents(&[(2, 2)]), false), delete_one);
    history.step("the same document again", (documents(&[(1, 4), (2, 2)]), false), put(1, 4));
    history.fs.write_file(ATTACHMENT, b"new");
    history.state.1 = true;
    history.step("a checkpoint that must not repeat the removal", history.state.clone(), checkpoint);
    history.step("a removal before a checkpoint", (documents(&[(2, 2)]), false), delete_one);
    history.step("a checkpoint after it", history.state.clone(), checkpoint);
    assert!(history.checked > 500, "only {} crashes", history.checked);
}

#[test]
fn a_plain_file_is_replaced_whole_or_not_at_all() {
    const PATH: &str = "/base/settings/a.json";
    let fs = empty_machine();
    let contents =
        [None, Some(b"first".to_vec()), Some("second ".repeat(500).into_bytes()), Some(b"3".to_vec())];
    let mut checked = 0;
    for (before, after) in contents.iter().zip(contents.iter().skip(1)) {
        fs.record();
        let content = after.as_deref().unwrap_or_default();
        replace_file(&*fs.handle(), Path::new(PATH), content, Durability::Full).expect("written");
        let moments = fs.moments();
        for (at, moment) in moments.iter().enumerate() {
            for crashed in moment.crash_states(8, at as u64).chain([moment.kill()]) {
                let found = read_file(&*crashed.process().handle(), Path::new(PATH)).expect("readable");
                let found = found.as_deref().map(<[u8]>::to_vec);
                let done = at + 1 == moments.len();
                assert!(found == *after || (!done && found == *before), "call {at}: {found:?}");
                checked += 1;
            }
        }
    }
    assert!(checked > 30, "only {checked} crashes");
}

#[test]
fn adopting_a_judged_edit_survives_every_crash() {
    let mut history = History::begin();
    history.step("a document", (documents(&[(2, 2)]), true), put(2, 2));
    history.step("a checkpoint", history.state.clone(), checkpoint);
    history.step("a newer document", (documents(&[(2, 2), (3, 3)]), true), put(3, 3));
    let edited = format!("{{\n  \"1\": {},\n  \"4\": {}\n}}", r#"{ "id": 1, "version": 5 }"#, text(4, BAD));
    history.fs.remove(FILE);
    history.fs.write_file(FILE, edited.as_bytes());
    // The edit wins, except for documents that are newer in the journal and records that its caller refuses.
    history.state.0 = documents(&[(1, 5), (3, 3)]);
    history.step("judging an edit", history.state.clone(), judge_edit);
    let again = format!("{{\n  \"1\": {},\n  \"5\": {}\n}}", r#"{ "id": 1, "version": 6 }"#, text(5, 1));
    history.fs.remove(FILE);
    history.fs.write_file(FILE, again.as_bytes());
    // What the first edit put into the journal is not newer than the second edit.
    history.state.0 = documents(&[(1, 6), (3, 3), (5, 1)]);
    history.step("judging an edit of the edit", history.state.clone(), judge_edit);
    history.step("a checkpoint after the edit", history.state.clone(), checkpoint);
    assert!(history.checked > 250, "only {} crashes", history.checked);
}
