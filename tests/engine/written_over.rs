//! Files that someone overwrites while they are open: what the handles read is no longer what was found there.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use crate::support::simulated::{DIRECTORY, checkpoint, machine, name, open, put};
use crate::support::{Fixture, Handle, READ, record, spec, wait};
use octoprompt_storage::engine::fs::Call;
use octoprompt_storage::engine::{
    Database, Durability, Error, Interactive, Part, Peek, ReadOptions, Transaction,
};

const UNCACHED: ReadOptions = ReadOptions { cached: false, ..READ };

fn lines(records: &[(u64, &str)]) -> String {
    let members: Vec<String> =
        records.iter().map(|&(id, name)| format!("  \"{id}\": {}", record(id, name))).collect();
    format!("{{\n{}\n}}\n", members.join(",\n"))
}

/// A checkpointed collection that two processes have loaded.
fn loaded_twice() -> (Fixture, Handle, Handle) {
    let fixture = Fixture::new();
    let one = fixture.open();
    fixture.put(&one, 1, "a");
    fixture.put(&one, 2, "b");
    fixture.checkpoint(&one);
    let other = fixture.open();
    assert_eq!(fixture.get(&one, 2), Some(record(2, "b")));
    assert_eq!(fixture.get(&other, 2), Some(record(2, "b")));
    (fixture, one, other)
}

fn write_over(fixture: &Fixture, records: &[(u64, &str)]) {
    fs::write(fixture.path("items.json"), lines(records)).expect("written");
}

fn text(fixture: &Fixture, database: &Handle, id: u64) -> Option<String> {
    let found = database.get(&fixture.spec(), &id.into(), UNCACHED).expect("readable")?;
    Some(String::from_utf8_lossy(&found.text).into_owned())
}

#[test]
fn a_process_with_an_edited_file_open_follows_the_process_that_adopted_it() {
    let (fixture, one, other) = loaded_twice();
    // The white space is not stored, so adopting the file puts documents.
    let edited = lines(&[(1, "edited"), (2, "b")]).replace("\"name\":", "\"name\": ");
    fs::write(fixture.path("items.json"), edited).expect("written");
    one.look_at_file(&fixture.spec(), READ).expect("looked at");
    assert_eq!(text(&fixture, &one, 1), Some(record(1, "edited")));
    assert_eq!(other.get(&spec("unrelated.json"), &1.into(), UNCACHED).expect("readable"), None);
    assert_eq!(text(&fixture, &other, 1), Some(record(1, "edited")));
    assert_eq!(fixture.find(&other, "edited"), [1]);
    assert_eq!(fixture.find(&other, "a"), [] as [u64; 0]);
}

#[test]
fn a_write_wins_over_an_unnoticed_edit_and_the_edit_is_set_aside() {
    let (fixture, one, other) = loaded_twice();
    write_over(&fixture, &[(1, "lost"), (2, "edited")]);
    fixture.put(&one, 1, "newer");
    for database in [&one, &other] {
        assert_eq!(text(&fixture, database, 1), Some(record(1, "newer")));
        assert_eq!(text(&fixture, database, 2), Some(record(2, "edited")));
        assert_eq!(fixture.find(database, "newer"), [1]);
        assert_eq!(fixture.find(database, "edited"), [2]);
        assert_eq!(fixture.find(database, "a"), [] as [u64; 0]);
    }
    assert_eq!(fixture.files_like("items.json.edited-").len(), 1);
}

#[test]
fn an_index_forgets_an_overwritten_document_at_once() {
    let (fixture, one, _) = loaded_twice();
    write_over(&fixture, &[(1, "lost"), (2, "edited")]);
    fixture.put(&one, 1, "newer");
    assert_eq!(fixture.find(&one, "a"), [] as [u64; 0]);
    assert_eq!(fixture.find(&one, "newer"), [1]);
}

#[test]
fn the_next_checkpoint_of_any_process_adopts_the_rest_of_an_overwritten_edit() {
    for by_other in [false, true] {
        let (fixture, one, other) = loaded_twice();
        write_over(&fixture, &[(1, "lost"), (2, "edited")]);
        fixture.put(&one, 1, "newer");
        fixture.checkpoint(if by_other { &other } else { &one });
        let text = fs::read_to_string(fixture.path("items.json")).expect("a snapshot");
        assert_eq!(text, format!("{{\n\"1\":{},\n\"2\":{}\n}}\n", record(1, "newer"), record(2, "edited")));
        assert_eq!(fixture.files_like("items.json.edited-").len(), 1);
    }
}

#[test]
fn deleting_a_document_from_an_unnoticed_edit_adopts_the_rest_of_it() {
    let (fixture, one, other) = loaded_twice();
    write_over(&fixture, &[(1, "lost"), (2, "edited")]);
    fixture.delete(&one, 1);
    for database in [&one, &other] {
        assert_eq!(text(&fixture, database, 1), None);
        assert_eq!(text(&fixture, database, 2), Some(record(2, "edited")));
    }
}

/// Appends to the name of a document, after reading it.
fn append(id: u64) -> impl Fn(&mut Transaction<'_>) -> Result<(), Error> {
    move |t| {
        let spec = spec("items.json");
        let found = t.get(&spec, &id.into())?.expect("a document");
        let text = String::from_utf8_lossy(&found.text).replace("\",\"content", " and more\",\"content");
        t.put(&spec, id.into(), text.into_bytes())
    }
}

#[test]
fn a_write_that_reads_an_edited_document_sees_the_edit() {
    let (fixture, one, other) = loaded_twice();
    write_over(&fixture, &[(1, "edited"), (2, "b")]);
    one.write(Durability::Full, append(1)).expect("written");
    for database in [&one, &other] {
        assert!(text(&fixture, database, 1).is_some_and(|text| text.contains("\"edited and more\"")));
        assert_eq!(fixture.find(database, "edited and more"), [1]);
    }
    assert_eq!(fixture.files_like("items.json.").len(), 0);
}

#[test]
fn a_write_that_relies_on_the_overwritten_file_fails_with_a_conflict() {
    let (fixture, one, _) = loaded_twice();
    write_over(&fixture, &[(1, "edited"), (2, "b")]);
    let compared = |t: &mut Transaction<'_>| {
        assert!(t.contains(&spec("items.json"), &2.into())?);
        append(1)(t)
    };
    let lost = one.write(Durability::Full, compared).map_err(|error| error.code());
    assert_eq!(lost, Err("CONFLICT"));
    one.write(Durability::Full, compared).expect("written");
    assert!(text(&fixture, &one, 1).is_some_and(|text| text.contains("\"edited and more\"")));
}

#[test]
fn a_transaction_step_that_reads_an_edited_document_sees_the_edit() {
    let (fixture, one, _) = loaded_twice();
    write_over(&fixture, &[(1, "edited"), (2, "b")]);
    let transaction = Interactive::default();
    transaction.step(&one, wait(), append(1)).expect("a step");
    let commit = transaction.finish().expect("finished");
    one.write(Durability::Full, move |t| commit.apply(t)).expect("committed");
    assert!(text(&fixture, &one, 1).is_some_and(|text| text.contains("\"edited and more\"")));
}

#[test]
fn a_transaction_is_lost_if_a_step_finds_the_file_overwritten_between_two_reads() {
    let (fixture, one, _) = loaded_twice();
    write_over(&fixture, &[(1, "edited"), (2, "b")]);
    let transaction = Interactive::default();
    let step = |t: &mut Transaction<'_>| {
        assert!(t.contains(&spec("items.json"), &2.into())?);
        append(1)(t)
    };
    let lost = transaction.step(&one, wait(), step);
    assert_eq!(lost.map_err(|error| error.code()), Err("CONFLICT"));
    assert!(transaction.is_lost());
}

#[test]
fn a_damaged_file_that_looks_unchanged_does_not_keep_the_others_from_their_checkpoint() {
    let (fixture, one, _) = loaded_twice();
    let path = fixture.path("items.json");
    let modified = fs::metadata(&path).and_then(|found| found.modified()).expect("a time");
    let damaged = fs::read_to_string(&path).expect("a snapshot").replace("\"a\"", "\"x\"");
    fs::write(&path, damaged).expect("written");
    let file = fs::File::options().write(true).open(&path).expect("opened");
    file.set_modified(modified).expect("as before");
    fixture.put(&one, 2, "newer");
    put(&one, "others.json", 1, "beside it");
    let checkpoint = || one.checkpoint(wait()).map_err(|error| error.code());
    assert_eq!(checkpoint(), Err("CORRUPT_DATA"));
    assert!(fs::read_to_string(fixture.path("others.json")).is_ok_and(|text| text.contains("beside it")));
    // It is found to be another file now, and adopted.
    assert_eq!(checkpoint(), Ok(()));
    assert!(fs::read_to_string(&path).is_ok_and(|text| text.contains("newer")));
}

#[test]
fn peeking_never_returns_bytes_of_an_overwritten_file() {
    let fs = machine();
    let database = open(&fs);
    put(&database, "items.json", 1, "a");
    checkpoint(&database).expect("checkpointed");
    fs.write_file("/database/items.json", lines(&[(1, "edited")]).as_bytes());
    let spec = spec("items.json");
    assert_eq!(database.peek(&spec, &1.into(), UNCACHED), Peek::Wait);
    for part in [Part::Whole, Part::Head] {
        let found = database.peek_many(&spec, part, |_| Ok(vec![1.into()])).expect("chosen");
        assert_eq!(found, Peek::Wait);
    }
}

#[test]
fn a_read_that_a_clearing_overtakes_leaves_nothing_in_the_cache_that_hides_an_edit() {
    let get =
        |database: &Database| drop(database.get(&spec("items.json"), &1.into(), READ).expect("readable"));
    let list =
        |database: &Database| drop(database.list(&spec("items.json"), Part::Whole, READ).expect("readable"));
    for read in [&get as &dyn Fn(&Database), &list] {
        let fs = machine();
        let database = open(&fs);
        put(&database, "items.json", 1, "old");
        checkpoint(&database).expect("checkpointed");
        let (editing, clearing) = (fs.clone(), Arc::clone(&database));
        fs.before(
            |call| matches!(call, Call::Read { .. }),
            move || {
                editing.write_file(format!("{DIRECTORY}/edited"), lines(&[(1, "edited")]).as_bytes());
                let [from, to] = ["edited", "items.json"].map(|name| Path::new(DIRECTORY).join(name));
                editing.handle().rename(&from, &to).expect("renamed");
                clearing.clear_cache();
            },
        );
        // This reads the file that was there before.
        read(&database);
        assert_eq!(database.peek(&spec("items.json"), &1.into(), READ), Peek::Wait);
        assert_eq!(database.peek_list(&spec("items.json"), Part::Whole, READ), Peek::Wait);
        assert_eq!(name(&database, "items.json", 1), Ok(Some("edited".to_owned())));
    }
}
