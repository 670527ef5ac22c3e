//! Lists that are handed over in pieces while the rest is being read.

use std::fs;

use crate::support::{Fixture, Handle, READ, record};
use octoprompt_storage::engine::{Durability, Part, Peek, ReadOptions, Result};

/// More documents than fit into one piece.
const MANY: u64 = 1000;

fn fill(fixture: &Fixture, database: &Handle, name: &'static str) {
    let spec = fixture.spec();
    let written = database.write(Durability::Os, move |tx| {
        (1..=MANY).try_for_each(|id| tx.put(&spec, id.into(), record(id, name).into_bytes()))
    });
    written.expect("written");
    fixture.checkpoint(database);
}

/// Returns each piece as it came: whether it is the first one, and its documents.
fn pieces(
    fixture: &Fixture,
    database: &Handle,
    part: Part,
    options: ReadOptions,
    mut seen: impl FnMut(bool) + Send,
) -> Result<Vec<(bool, Vec<String>)>> {
    let mut pieces = Vec::new();
    let push =
        |piece: &mut Vec<String>, text: &[u8], _| piece.push(String::from_utf8_lossy(text).into_owned());
    database.list_in_pieces(&fixture.spec(), part, options, Vec::new, push, |first, piece| {
        seen(first);
        pieces.push((first, piece));
    })?;
    Ok(pieces)
}

const UNCACHED: ReadOptions = ReadOptions { cached: false, ..READ };

#[test]
fn the_pieces_together_equal_the_list_in_order() {
    let fixture = Fixture::new();
    let database = fixture.open();
    fill(&fixture, &database, "x");
    for part in [Part::Whole, Part::Head] {
        let list = database.list(&fixture.spec(), part, UNCACHED).expect("readable");
        // Twice from the disk, the second time filling the cache, and then from the cache.
        for options in [UNCACHED, READ, READ] {
            let found = pieces(&fixture, &database, part, options, |_| ()).expect("readable");
            let firsts: Vec<bool> = found.iter().map(|(first, _)| *first).collect();
            assert!(firsts[0] && firsts[1..].iter().all(|first| !first), "{firsts:?}");
            let documents: Vec<String> = found.into_iter().flat_map(|(_, documents)| documents).collect();
            assert_eq!(format!("[{}]", documents.join(",")).as_bytes(), &*list);
        }
    }
}

#[test]
fn a_long_list_has_several_pieces() {
    let fixture = Fixture::new();
    let database = fixture.open();
    fill(&fixture, &database, "x");
    let found = pieces(&fixture, &database, Part::Whole, UNCACHED, |_| ()).expect("readable");
    assert!(found.len() > 1 && found.iter().all(|(_, documents)| documents.len() <= 256), "{}", found.len());
}

#[test]
fn an_empty_list_is_one_piece() {
    let fixture = Fixture::new();
    let found = pieces(&fixture, &fixture.open(), Part::Whole, READ, |_| ()).expect("readable");
    assert_eq!(found, [(true, Vec::new())]);
}

#[test]
fn a_list_restarts_if_the_file_is_edited_meanwhile() {
    let fixture = Fixture::new();
    let database = fixture.open();
    fill(&fixture, &database, "one");
    let path = fixture.path("items.json");
    let edited = fs::read_to_string(&path).expect("a file").replace("one", "two");
    let mut untouched = true;
    let found = pieces(&fixture, &database, Part::Whole, UNCACHED, |_| {
        if std::mem::take(&mut untouched) {
            fs::write(&path, &edited).expect("edited");
        }
    });
    let found = found.expect("readable");
    let anew = found.iter().rposition(|(first, _)| *first).expect("a first piece");
    assert!(anew > 0, "nothing was read before the edit");
    let documents: Vec<String> = found.into_iter().skip(anew).flat_map(|(_, documents)| documents).collect();
    let expected: Vec<String> = (1..=MANY).map(|id| record(id, "two")).collect();
    assert!(documents == expected, "{:?}", documents.first());
}

#[test]
fn a_reader_that_finds_an_edit_does_not_unload_the_collection_under_a_writer() {
    let fixture = Fixture::new();
    let database = fixture.open();
    fill(&fixture, &database, "one");
    let path = fixture.path("items.json");
    let edited = fs::read_to_string(&path).expect("a file").replace("content of one", "content of two");
    let (spec, reader, written) = (fixture.spec(), database.clone(), database.clone());
    let (begun, reading) = std::sync::mpsc::channel();
    let read = std::thread::spawn(move || {
        reading.recv().expect("begun");
        let read = reader.get(&spec, &2.into(), UNCACHED).expect("readable").expect("there");
        String::from_utf8_lossy(&read.text).into_owned()
    });
    let spec = fixture.spec();
    let result = database.write(Durability::Os, move |tx| {
        let stored = tx.hash(&spec, &1.into())?;
        fs::write(&path, &edited).expect("edited");
        begun.send(()).expect("sent");
        // The reader cannot continue before this ends, and nothing tells that it waits, so it gets time to do what it must
        // not do.
        for _ in 0..50 {
            std::thread::sleep(std::time::Duration::from_millis(1));
            let looked = written.peek_query(&spec, |query| query.documents().len());
            assert_eq!(looked, Peek::Ready(MANY as usize));
        }
        Ok(stored)
    });
    assert!(result.expect("written").is_some());
    assert_eq!(read.join().expect("no panic"), record(2, "one").replace("content of one", "content of two"));
}
