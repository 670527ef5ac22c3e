//! Files that other programs wrote and whose records only their caller can judge.

use std::fs;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use octoprompt_storage::engine::fs::{Call, Fault, OsFs, Repeat, SimFs};
use octoprompt_storage::engine::{
    CollectionSpec, Database, DatabaseOptions, Durability, Error, Event, FileHash, Foreign, Observer, Part,
    Transaction, Verdicts, WarningCode,
};

use crate::support::simulated::{checkpoint, machine, name, open, put, warnings};
use crate::support::{Fixture, Handle, READ, record, wait};

fn asking() -> Arc<CollectionSpec> {
    Arc::new(CollectionSpec {
        path: "asked.json".into(),
        large_field: None,
        indexes: Vec::new(),
        foreign: Foreign::Ask,
    })
}

fn fixture() -> Fixture {
    let fixture = Fixture::new();
    fs::write(fixture.path("asked.json"), r#"{"1":{"id":1,"name":"a"},"2":{"id":2,"name":"b"}}"#)
        .expect("written");
    fixture
}

/// Accepts all records as they are, except the one with the id `refused`.
fn verdicts(database: &Database, refused: u64) -> (FileHash, Verdicts) {
    let found = database.foreign_records(&asking()).expect("readable").expect("a foreign file");
    let judge = |raw| if refused == 0 { Ok(raw) } else { Err("refused".to_owned()) };
    let verdicts = found.records.into_iter().map(|(id, raw)| {
        let verdict = if id == refused.into() { judge(raw) } else { Ok(raw) };
        (id, verdict)
    });
    (found.hash, verdicts.collect())
}

fn names(database: &Handle) -> String {
    let list = database.list(&asking(), Part::Whole, READ).expect("readable");
    String::from_utf8_lossy(&list).into_owned()
}

fn is_unadopted<T>(result: Result<T, Error>) -> bool {
    matches!(result, Err(Error::Unadopted { .. }))
}

#[test]
fn every_call_is_refused_until_the_verdicts_arrive_except_on_other_collections() {
    let fixture = fixture();
    let database = fixture.open();
    assert!(is_unadopted(database.get(&asking(), &1.into(), READ)));
    assert!(is_unadopted(database.list(&asking(), Part::Whole, READ)));
    let put = database.write(Durability::Full, |tx| tx.put(&asking(), 3.into(), record(3, "c").into_bytes()));
    assert!(is_unadopted(put));
    fixture.put(&database, 1, "other");
    fixture.checkpoint(&database);
    assert_eq!(fixture.get(&database, 1), Some(record(1, "other")));
}

#[test]
fn a_refused_document_is_set_aside_and_the_others_are_served() {
    let fixture = fixture();
    let database = fixture.open();
    let (hash, verdicts) = verdicts(&database, 2);
    assert!(database.adopt_judged(&asking(), hash, &verdicts, wait()).expect("adopted"));
    assert_eq!(names(&database), r#"[{"id":1,"name":"a"}]"#);
    assert_eq!(fixture.files_like("asked.json.corrupt-").len(), 1);
    let warnings: Vec<String> = database.take_warnings().into_iter().map(|warning| warning.message).collect();
    assert!(
        warnings.iter().any(|message| message.contains("document 2") && message.contains("refused")),
        "{warnings:?}"
    );
}

#[test]
fn verdicts_on_an_older_version_of_the_file_are_rejected() {
    let fixture = fixture();
    let database = fixture.open();
    let (hash, verdicts) = verdicts(&database, 0);
    fs::write(fixture.path("asked.json"), r#"{"3":{"id":3}}"#).expect("written");
    assert!(!database.adopt_judged(&asking(), hash, &verdicts, wait()).expect("looked at"));
    assert!(is_unadopted(database.list(&asking(), Part::Whole, READ)));
}

#[test]
fn the_first_verdicts_win_and_the_other_process_sees_their_result() {
    let fixture = fixture();
    let (one, other) = (fixture.open(), fixture.open());
    let (hash, all) = verdicts(&one, 0);
    let (same, some) = verdicts(&other, 2);
    assert_eq!(hash, same);
    assert!(one.adopt_judged(&asking(), hash, &all, wait()).expect("adopted"));
    assert!(other.adopt_judged(&asking(), same, &some, wait()).expect("adopted"));
    assert_eq!(names(&one), names(&other));
    assert!(names(&other).contains("\"b\""));
}

#[test]
fn an_edit_made_while_open_waits_for_verdicts_and_newer_writes_survive() {
    let fixture = fixture();
    let database = fixture.open();
    let (hash, all) = verdicts(&database, 0);
    database.adopt_judged(&asking(), hash, &all, wait()).expect("adopted");
    let put = |tx: &mut Transaction<'_>| tx.put(&asking(), 3.into(), record(3, "c").into_bytes());
    database.write(Durability::Full, put).expect("written");
    fs::write(fixture.path("asked.json"), r#"{"9":{"id":9}}"#).expect("edited");
    for _ in 0..3 {
        fixture.checkpoint(&database);
    }
    drop(database);
    let database = fixture.open();
    assert!(is_unadopted(database.list(&asking(), Part::Whole, READ)));
    let (hash, all) = verdicts(&database, 0);
    assert!(database.adopt_judged(&asking(), hash, &all, wait()).expect("adopted"));
    assert_eq!(names(&database), format!("[{},{}]", record(3, "c"), r#"{"id":9}"#));
}

#[test]
fn a_document_whose_verdict_is_missing_or_not_an_object_is_refused() {
    let fixture = fixture();
    let database = fixture.open();
    let (hash, _) = verdicts(&database, 0);
    let odd = Verdicts::from([(1.into(), Ok(b"[1]".to_vec()))]);
    assert!(database.adopt_judged(&asking(), hash, &odd, wait()).expect("adopted"));
    assert_eq!(names(&database), "[]");
    assert_eq!(fixture.files_like("asked.json.corrupt-").len(), 1);
}

#[test]
fn verdicts_are_adopted_in_memory_on_a_read_only_disk() {
    let fs = SimFs::new();
    fs.write_file("/database/asked.json", br#"{ "1": { "id": 1 }, "2": { "id": 2 } }"#);
    fs.fail_when(Call::changes_state, Fault::ReadOnly, Repeat::Forever);
    let options = DatabaseOptions { background: false, ..DatabaseOptions::default() };
    let database = Database::open(fs.handle(), Path::new("/database"), options).expect("opened");
    assert!(is_unadopted(database.list(&asking(), Part::Whole, READ)));
    let (hash, some) = verdicts(&database, 2);
    let stored =
        some.into_iter().map(|(id, verdict)| (id, verdict.map(|_| br#"{"id":1,"new":true}"#.to_vec())));
    assert!(database.adopt_judged(&asking(), hash, &stored.collect(), wait()).expect("adopted"));
    assert_eq!(names(&database), r#"[{"id":1,"new":true}]"#);
    let put = |tx: &mut Transaction<'_>| tx.put(&asking(), 3.into(), record(3, "c").into_bytes());
    assert_eq!(database.write(Durability::Full, put).map_err(|error| error.code()), Err("IO_ERROR"));
}

fn pretty(records: &[(u64, &str)]) -> String {
    let members = records.iter().map(|(id, name)| {
        format!("  \"{id}\": {{\n    \"id\": {id},\n    \"name\": \"{name}\",\n    \"content\": \"content of {name}\"\n  }}")
    });
    format!("{{\n{}\n}}\n", members.collect::<Vec<_>>().join(",\n"))
}

/// Returns the document after the file was looked at.
fn looked_at(fixture: &Fixture, database: &Handle, id: u64) -> Option<String> {
    database.look_at_file(&fixture.spec(), READ).expect("looked at");
    fixture.get(database, id)
}

fn messages(database: &Handle) -> Vec<String> {
    database.take_warnings().into_iter().map(|warning| warning.message).collect()
}

#[test]
fn a_later_edit_wins_over_the_adopted_earlier_edit() {
    let fixture = Fixture::new();
    fs::write(fixture.path("items.json"), pretty(&[(1, "a"), (2, "b")])).expect("written");
    let database = fixture.open();
    assert_eq!(fixture.get(&database, 1), Some(record(1, "a")));
    for name in ["first", "second"] {
        fs::write(fixture.path("items.json"), pretty(&[(1, name), (2, "b")])).expect("edited");
        assert_eq!(looked_at(&fixture, &database, 1), Some(record(1, name)));
        assert_eq!(fixture.find(&database, name), [1]);
        let messages = messages(&database);
        assert!(matches!(&messages[..], [one] if one.ends_with("the change was adopted")), "{messages:?}");
    }
    fs::write(fixture.path("items.json"), format!("{{\"1\":{}}}", record(1, "compact"))).expect("edited");
    assert_eq!(looked_at(&fixture, &database, 1), Some(record(1, "compact")));
    assert_eq!(fixture.get(&database, 2), None);
    fixture.checkpoint(&database);
    assert_eq!(fixture.files_like("items.json.").len(), 0);
    let text = fs::read_to_string(fixture.path("items.json")).expect("a snapshot");
    assert_eq!(text, format!("{{\n\"1\":{}\n}}\n", record(1, "compact")));
}

#[test]
fn a_later_edit_wins_for_every_process_and_across_a_restart() {
    let fixture = Fixture::new();
    fs::write(fixture.path("items.json"), pretty(&[(1, "a"), (2, "b"), (3, "c")])).expect("written");
    let one = fixture.open();
    assert_eq!(fixture.get(&one, 1), Some(record(1, "a")));
    let other = fixture.open();
    fs::write(fixture.path("items.json"), pretty(&[(1, "first"), (2, "b"), (3, "c")])).expect("edited");
    assert_eq!(looked_at(&fixture, &one, 1), Some(record(1, "first")));
    assert_eq!(fixture.get(&other, 1), Some(record(1, "first")));
    fs::write(fixture.path("items.json"), pretty(&[(1, "second"), (3, "c")])).expect("edited");
    assert_eq!(looked_at(&fixture, &other, 1), Some(record(1, "second")));
    assert_eq!(looked_at(&fixture, &one, 2), None);
    drop((one, other));
    fs::write(fixture.path("items.json"), pretty(&[(1, "third")])).expect("edited");
    let database = fixture.open();
    assert_eq!(fixture.get(&database, 1), Some(record(1, "third")));
    assert_eq!(fixture.get(&database, 3), None);
    assert_eq!(fixture.files_like("items.json.").len(), 0);
}

#[test]
fn a_refused_document_is_adopted_once_it_is_corrected() {
    let fixture = fixture();
    let database = fixture.open();
    let (hash, refusing) = verdicts(&database, 2);
    assert!(database.adopt_judged(&asking(), hash, &refusing, wait()).expect("adopted"));
    fs::write(fixture.path("asked.json"), r#"{"1":{"id":1,"name":"a"},"2":{"id":2,"name":"right"}}"#)
        .expect("edited");
    assert!(is_unadopted(database.look_at_file(&asking(), READ)));
    let (hash, all) = verdicts(&database, 0);
    assert!(database.adopt_judged(&asking(), hash, &all, wait()).expect("adopted"));
    assert_eq!(names(&database), r#"[{"id":1,"name":"a"},{"id":2,"name":"right"}]"#);
}

#[test]
fn a_refused_document_that_a_later_edit_leaves_alone_is_not_set_aside_again() {
    let fixture = fixture();
    let database = fixture.open();
    for name in ["a", "edited"] {
        let text = format!(r#"{{"1":{{"id":1,"name":"{name}"}},"2":{{"id":2,"name":"b"}}}}"#);
        fs::write(fixture.path("asked.json"), text).expect("written");
        assert!(is_unadopted(database.look_at_file(&asking(), READ)));
        let (hash, refusing) = verdicts(&database, 2);
        assert!(database.adopt_judged(&asking(), hash, &refusing, wait()).expect("adopted"));
        assert_eq!(names(&database), format!(r#"[{{"id":1,"name":"{name}"}}]"#));
        assert_eq!(fixture.files_like("asked.json.corrupt-").len(), 1);
    }
}

/// Two documents in the file, of which the journal has a newer form of the first.
fn with_newer_document() -> (Fixture, Handle) {
    let fixture = Fixture::new();
    let database = fixture.open();
    fixture.put(&database, 1, "a");
    fixture.put(&database, 2, "b");
    fixture.checkpoint(&database);
    fixture.put(&database, 1, "newer");
    (fixture, database)
}

/// Like [`with_newer_document`], but the file was written by hand.
fn adopted_with_newer_document() -> (Fixture, Handle) {
    let fixture = Fixture::new();
    fs::write(fixture.path("items.json"), pretty(&[(1, "a"), (2, "b")])).expect("written");
    let database = fixture.open();
    fixture.put(&database, 1, "newer");
    (fixture, database)
}

#[test]
fn a_newer_write_does_not_conflict_with_an_edit_of_another_document() {
    for (fixture, database) in [with_newer_document(), adopted_with_newer_document()] {
        fs::write(fixture.path("items.json"), pretty(&[(1, "a"), (2, "edited")])).expect("edited");
        assert_eq!(looked_at(&fixture, &database, 1), Some(record(1, "newer")));
        assert_eq!(fixture.get(&database, 2), Some(record(2, "edited")));
        assert_eq!(fixture.files_like("items.json.").len(), 0);
    }
}

#[test]
fn a_document_removed_by_hand_and_by_a_newer_write_is_no_conflict() {
    let (fixture, database) = with_newer_document();
    fixture.delete(&database, 1);
    fs::write(fixture.path("items.json"), pretty(&[(2, "edited")])).expect("edited");
    assert_eq!(looked_at(&fixture, &database, 2), Some(record(2, "edited")));
    assert_eq!(fixture.get(&database, 1), None);
    assert_eq!(fixture.files_like("items.json.").len(), 0);
}

/// Checks that an edit of document 1 lost to its newer form: the edited file was kept, and one warning says so.
fn assert_conflict_over_1(fixture: &Fixture, database: &Handle) {
    assert_eq!(fixture.files_like("items.json.edited-").len(), 1);
    let messages = messages(database);
    assert!(matches!(&messages[..], [one] if one.contains("newer forms of 1 ")), "{messages:?}");
}

#[test]
fn a_partly_adopted_edit_is_reported_once_and_never_as_fully_adopted() {
    let (fixture, database) = adopted_with_newer_document();
    fs::write(fixture.path("items.json"), pretty(&[(1, "lost"), (2, "edited")])).expect("edited");
    assert_eq!(looked_at(&fixture, &database, 1), Some(record(1, "newer")));
    assert_eq!(fixture.get(&database, 2), Some(record(2, "edited")));
    assert_conflict_over_1(&fixture, &database);
}

#[test]
fn an_adoption_is_reported_only_once_it_is_committed() {
    let fs = machine();
    let database = open(&fs);
    put(&database, "items.json", 1, "stored");
    checkpoint(&database).expect("checkpointed");
    fs.write_file("/database/items.json", format!("{{ \"1\": {} }}", record(1, "by hand")).as_bytes());
    database.notice_all_edits().expect("looked at");
    let writes = |call: &Call| matches!(call, Call::Write { .. }) && call.name().starts_with("journal-");
    fs.fail_when(writes, Fault::NoSpace { written: 0 }, Repeat::Once);
    name(&database, "items.json", 1).expect_err("the disk is full");
    assert_eq!(warnings(&database), []);
    assert_eq!(name(&database, "items.json", 1), Ok(Some("by hand".into())));
    assert_eq!(warnings(&database), [WarningCode::SnapshotChanged]);
}

#[test]
fn a_document_removed_by_hand_stays_in_its_newer_form_and_the_edited_file_is_kept() {
    let (fixture, database) = with_newer_document();
    fixture.put(&database, 3, "new");
    fs::write(fixture.path("items.json"), pretty(&[(2, "b")])).expect("edited");
    assert_eq!(looked_at(&fixture, &database, 1), Some(record(1, "newer")));
    assert_eq!(fixture.get(&database, 3), Some(record(3, "new")));
    assert_conflict_over_1(&fixture, &database);
}

#[test]
fn a_newer_document_that_one_edit_leaves_alone_and_the_next_removes_stays_and_that_file_is_kept() {
    let (fixture, database) = with_newer_document();
    fs::write(fixture.path("items.json"), pretty(&[(1, "a"), (2, "first")])).expect("edited");
    assert_eq!(looked_at(&fixture, &database, 2), Some(record(2, "first")));
    assert_eq!(messages(&database).len(), 1);
    assert_eq!(fixture.files_like("items.json.").len(), 0);
    fs::write(fixture.path("items.json"), pretty(&[(2, "second")])).expect("edited");
    assert_eq!(looked_at(&fixture, &database, 1), Some(record(1, "newer")));
    assert_eq!(fixture.get(&database, 2), Some(record(2, "second")));
    assert_conflict_over_1(&fixture, &database);
}

#[test]
fn a_document_removed_by_hand_after_a_kill_stays_in_its_newer_form_and_the_edited_file_is_kept() {
    let (fixture, database) = with_newer_document();
    fixture.put(&database, 3, "new");
    fixture.put(&database, 3, "newest");
    drop(database);
    fs::write(fixture.path("items.json"), pretty(&[(2, "b")])).expect("edited");
    let database = fixture.open();
    assert_eq!(fixture.get(&database, 1), Some(record(1, "newer")));
    assert_eq!(fixture.get(&database, 3), Some(record(3, "newest")));
    assert_conflict_over_1(&fixture, &database);
}

#[test]
fn the_next_checkpoint_replaces_an_unsalvageable_file_with_an_empty_map() {
    for broken in ["{\"1\": {\"id\":1", "[]", ""] {
        let fixture = Fixture::new();
        fs::write(fixture.path("items.json"), broken).expect("written");
        let database = fixture.open();
        assert_eq!(fixture.get(&database, 1), None);
        fixture.checkpoint(&database);
        assert_eq!(fs::read_to_string(fixture.path("items.json")).expect("a snapshot"), "{}\n");
        assert_eq!(fixture.get(&database, 1), None);
        drop(database);
        assert_eq!(fixture.get(&fixture.open(), 1), None);
        assert_eq!(fixture.files_like("items.json.corrupt-").len(), 1);
    }
}

#[test]
fn a_checkpoint_after_reopening_replaces_an_unsalvageable_file_with_an_empty_map() {
    let fixture = Fixture::new();
    fs::write(fixture.path("items.json"), "[]").expect("written");
    assert_eq!(fixture.get(&fixture.open(), 1), None);
    fixture.checkpoint(&fixture.open());
    assert_eq!(fs::read_to_string(fixture.path("items.json")).expect("a snapshot"), "{}\n");
}

#[test]
fn a_checkpoint_does_not_overwrite_a_broken_file_that_was_corrected_by_hand() {
    let fixture = Fixture::new();
    fs::write(fixture.path("items.json"), "[]").expect("written");
    let database = fixture.open();
    assert_eq!(fixture.get(&database, 1), None);
    fs::write(fixture.path("items.json"), pretty(&[(1, "right")])).expect("edited");
    fixture.checkpoint(&database);
    assert_eq!(looked_at(&fixture, &database, 1), Some(record(1, "right")));
}

/// Reports checkpoints.
struct Checkpoints(mpsc::Sender<()>);

impl Observer for Checkpoints {
    fn notice(&self, _: &Database, event: &Event) {
        if matches!(event, Event::Checkpointed(_)) {
            // Nobody listens any more when the test has ended.
            let _ = self.0.send(());
        }
    }
}

#[test]
fn an_idle_database_checkpoints_the_file_that_a_read_adopted() {
    let fixture = Fixture::new();
    fs::write(fixture.path("items.json"), pretty(&[(1, "a")])).expect("written");
    let database =
        Database::open(Arc::new(OsFs), &fixture.path(""), DatabaseOptions::default()).expect("opened");
    let (sender, checkpoints) = mpsc::channel();
    let observer: Arc<dyn Observer> = Arc::new(Checkpoints(sender));
    database.observe(&observer);
    assert_eq!(fixture.get(&database, 1), Some(record(1, "a")));
    checkpoints.recv_timeout(Duration::from_secs(60)).expect("a checkpoint");
    let text = fs::read_to_string(fixture.path("items.json")).expect("a snapshot");
    assert_eq!(text, format!("{{\n\"1\":{}\n}}\n", record(1, "a")));
}

#[test]
fn a_file_that_another_process_checkpoints_under_a_reader_needs_no_verdicts() {
    let fs = machine();
    let (writer, reading) = (open(&fs), fs.process());
    put(&writer, "asked.json", 1, "stored");
    let reader = open(&reading);
    let opens = |call: &Call| matches!(call, Call::Open { path, .. } if path.ends_with("asked.json"));
    reading.before(opens, move || checkpoint(&writer).expect("checkpointed"));
    let found = reader.get(&asking(), &1.into(), READ);
    assert!(matches!(found, Ok(Some(_))), "{:?}", found.map(drop));
}
