//! Documents that are chosen by what the head of another one says.

use std::cell::Cell;

use crate::support::{Fixture, Handle, READ};
use octoprompt_storage::engine::index::IndexKey;
use octoprompt_storage::engine::{Part, Queryable};
use serde_json::Value;

fn name_of(text: &[u8]) -> String {
    let document: Value = serde_json::from_slice(text).expect("JSON");
    document["name"].as_str().expect("a name").to_owned()
}

/// Returns the names of the documents that are called like document 1, and how often its head was read. `between` runs
/// between the first head and the choice.
fn alike(fixture: &Fixture, database: &Handle, between: impl Fn()) -> (Vec<String>, u32) {
    let heads = Cell::new(0);
    let learn = |head: Option<&[u8]>| {
        if heads.replace(heads.get() + 1) == 0 {
            between();
        }
        head.map(name_of)
    };
    let choose = |name: &Option<String>, items: &Queryable<'_>| match name {
        Some(name) => Ok(items.index("name")?.find(&IndexKey::text(name))),
        None => Ok(Vec::new()),
    };
    let texts = database.select_by_head(&fixture.spec(), &1.into(), Part::Head, READ, learn, choose);
    (texts.expect("found").iter().map(|text| name_of(text)).collect(), heads.get())
}

#[test]
fn the_head_and_what_is_chosen_by_it_are_of_one_moment() {
    let fixture = Fixture::new();
    let (database, other) = (fixture.open(), fixture.open());
    fixture.put(&database, 1, "a");
    fixture.put(&database, 2, "a");
    assert_eq!(alike(&fixture, &database, || fixture.put(&other, 1, "b")), (vec!["b".to_owned()], 2));
    assert_eq!(alike(&fixture, &database, || fixture.delete(&other, 1)), (vec![], 2));
    assert_eq!(alike(&fixture, &database, || fixture.put(&other, 1, "a")), (vec!["a".to_owned(); 2], 2));
}

#[test]
fn other_changes_in_between_cost_no_second_head() {
    let fixture = Fixture::new();
    let (database, other) = (fixture.open(), fixture.open());
    fixture.put(&database, 1, "a");
    assert_eq!(alike(&fixture, &database, || fixture.put(&other, 2, "a")), (vec!["a".to_owned(); 2], 1));
}
