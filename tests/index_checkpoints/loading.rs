//! When a collection is loaded from its index checkpoint, and when from its documents.

use std::sync::Arc;

use octoprompt_storage::engine::fs::{Call, Fault, Repeat};
use octoprompt_storage::engine::index::{Extractor, IndexConfig, IndexKey, IndexSpec, IndexType};
use octoprompt_storage::engine::{Durability, Part, Queryable};

use crate::support::{READ, record};
use crate::world::{
    DIRECTORY, checkpoint, computed, filled, found, index, index_file, loading_looks_at, looked_at, machine,
    open, put, reserved, scanned, spec, spec_with,
};

#[test]
fn a_collection_is_loaded_without_reading_its_documents() {
    let fs = filled();
    assert_eq!(loading_looks_at(&fs, &spec("a.json")), 0);
}

#[test]
fn only_documents_changed_since_the_snapshot_are_read() {
    let fs = filled();
    let database = open(&fs.process());
    let a = spec("a.json");
    put(&database, &a, 2, "plum");
    put(&database, &a, 4, "pear");
    let deleted = Arc::clone(&a);
    database.write(Durability::Full, move |t| t.delete(&deleted, 3.into())).expect("deleted");
    // Only the two documents that were put, and none of the snapshot.
    assert_eq!(loading_looks_at(&fs, &a), 2);
}

#[test]
fn an_index_checkpoint_covers_text_ids_and_hand_formatted_files() {
    let fs = machine();
    let a = spec("a.json");
    let pretty = format!(
        "{{ \"z\": {},\n\t\"10\": {},\n \"9\": {}, \"\u{e9}\": {}, \"z\": {} }}",
        record(5, "pear"),
        record(10, "red apple"),
        record(9, "plum"),
        record(6, "green apple"),
        record(7, "plum")
    );
    fs.write_file(format!("{DIRECTORY}/a.json"), pretty.as_bytes());
    let database = open(&fs);
    database.persist_indexes(&a, READ).expect("persisted");
    assert_eq!(
        fs.read_file(format!("{DIRECTORY}/a.json")),
        Some(pretty.into_bytes()),
        "the file stays as it was"
    );
    drop(database);
    assert_eq!(loading_looks_at(&fs, &a), 0);
}

#[test]
fn an_index_checkpoint_of_another_snapshot_is_ignored() {
    let fs = filled();
    let path = index_file(&fs);
    let before = fs.read_file(&path).expect("an index checkpoint");
    let database = open(&fs);
    put(&database, &spec("a.json"), 2, "plum");
    checkpoint(&database);
    let after = fs.read_file(&path).expect("an index checkpoint");
    assert_ne!(before, after);
    fs.write_file(&path, &before);
    assert_eq!(loading_looks_at(&fs, &spec("a.json")), 3);
}

#[test]
fn an_index_checkpoint_of_another_collection_or_database_is_ignored() {
    let fs = filled();
    let (path, ours) = (index_file(&fs), fs.read_file(index_file(&fs)).expect("an index checkpoint"));
    let database = open(&fs);
    for (id, name) in [(1, "red apple"), (2, "pear"), (3, "green apple")] {
        put(&database, &spec("b.json"), id, name);
    }
    checkpoint(&database);
    let other = reserved(&fs, "index-").into_iter().find(|other| *other != path).expect("one of b.json");
    let snapshots = ["a.json", "b.json"].map(|name| fs.read_file(format!("{DIRECTORY}/{name}")));
    assert_eq!(snapshots[0], snapshots[1], "the snapshots alone would not tell them apart");
    fs.write_file(&path, &fs.read_file(other).expect("an index checkpoint"));
    assert_eq!(loading_looks_at(&fs, &spec("a.json")), 3);

    let twin = filled();
    assert_eq!(twin.read_file(format!("{DIRECTORY}/a.json")), snapshots[0]);
    twin.write_file(index_file(&twin), &ours);
    assert_eq!(loading_looks_at(&twin, &spec("a.json")), 3);
}

#[test]
fn changed_or_additional_indexes_are_built_from_the_documents() {
    let fs = filled();
    let own = spec("a.json").indexes.clone();
    let replaced = |at: usize, index: Arc<IndexSpec>| {
        let mut indexes = own.clone();
        indexes[at] = index;
        indexes
    };
    let mut configs = Vec::new();
    for change in [
        |config: &mut IndexConfig| config.fields = vec!["id".into()],
        |config: &mut IndexConfig| config.sparse = true,
        |config: &mut IndexConfig| config.unique = true,
        |config: &mut IndexConfig| config.kind = IndexType::Btree,
    ] {
        let mut config = own[1].config.clone();
        change(&mut config);
        configs.push(replaced(1, Arc::new(IndexSpec::new(config, Extractor::Fields))));
    }
    let mut more = own.clone();
    more.push(index("another", IndexType::Hash, Extractor::Fields));
    for (what, large_field, indexes) in [
        ("a new version of the rule", Some("content"), replaced(0, computed(2))),
        ("one more index", Some("content"), more),
        ("another large field", None, own.clone()),
    ]
    .into_iter()
    .chain(configs.into_iter().map(|indexes| ("another config", Some("content"), indexes)))
    {
        let changed = spec_with("a.json", large_field, indexes);
        assert_eq!(loading_looks_at(&fs, &changed), 3, "{what}");
    }
}

#[test]
fn a_subset_of_the_indexes_is_loaded_in_any_order() {
    let fs = filled();
    let mut indexes = spec("a.json").indexes.clone();
    indexes.reverse();
    let reversed = spec_with("a.json", Some("content"), indexes.clone());
    assert_eq!(loading_looks_at(&fs, &reversed), 0);
    let database = open(&fs);
    let only = spec_with("a.json", Some("content"), vec![computed(1)]);
    let choose = |query: &Queryable<'_>| Ok(query.index("computed")?.find(&IndexKey::text("pear")));
    let (count, texts) = looked_at(|| database.select(&only, Part::Head, READ, choose).expect("readable"));
    assert_eq!((count, texts.len()), (0, 1));
}

#[test]
fn an_edited_snapshot_is_adopted_despite_its_index_checkpoint() {
    let fs = filled();
    let edited = format!("{{\"2\":{},\"4\":{}}}", record(2, "plum"), record(4, "pear"));
    fs.write_file(format!("{DIRECTORY}/a.json"), edited.as_bytes());
    let database = open(&fs);
    let (_, all) = found(&database, &spec("a.json"));
    assert_eq!(all, [record(2, "plum"), record(4, "pear")]);
    assert_eq!(found(&database, &spec("a.json")), scanned(&fs, &spec("a.json")));
}

#[test]
fn an_unreadable_index_checkpoint_is_ignored() {
    let fs = filled();
    let expected = scanned(&fs, &spec("a.json"));
    let touches = |call: &Call| call.path().to_string_lossy().contains("index-");
    for repeat in [Repeat::Once, Repeat::Forever] {
        let process = fs.process();
        let database = open(&process);
        process.fail_when(touches, Fault::Io, repeat);
        let (count, found) = looked_at(|| found(&database, &spec("a.json")));
        assert_eq!((count, found), (3, expected.clone()));
        process.heal();
    }
}
