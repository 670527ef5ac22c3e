//! Files that a batch removes: they are removed after a crash too, and nothing else is. On a simulated file system.

use std::sync::Arc;

use crate::support::simulated::{checkpoint, machine, name, open, put, warnings};
use crate::support::{record, spec};
use octoprompt_storage::engine::fs::{Call, Extreme, Fault, OpenMode, Repeat, SimFs};
use octoprompt_storage::engine::{Database, Durability, Transaction, WarningCode};

const NESTED: &str = "folder/7/items.json";

fn is_removal(call: &Call) -> bool {
    matches!(call, Call::RemoveFile { path } | Call::RemoveDir { path } if !path.starts_with("/database/.storage"))
}

/// Drops a collection and the folder that holds its file.
fn remove(database: &Database) {
    let nested = spec(NESTED);
    let removal = move |t: &mut Transaction<'_>| {
        t.drop_collection(&nested)?;
        t.remove_path("folder/7")
    };
    database.write(Durability::Full, removal).expect("written");
}

fn filled(fs: &SimFs) -> Arc<Database> {
    let database = open(fs);
    put(&database, NESTED, 1, "given up");
    put(&database, "items.json", 1, "given up");
    checkpoint(&database).expect("checkpointed");
    database
}

#[test]
fn a_failed_removal_raises_a_warning_and_is_repeated_by_the_next_checkpoint() {
    let fs = machine();
    let database = filled(&fs);
    fs.fail_when(is_removal, Fault::Io, Repeat::Once);
    remove(&database);
    assert_eq!(warnings(&database), [WarningCode::CheckpointFailed]);
    checkpoint(&database).expect("checkpointed");
    assert_eq!(fs.read_file("/database/folder/7/items.json"), None);
}

#[test]
fn a_file_that_one_process_adopts_at_a_removed_path_is_spared_by_the_others() {
    let fs = machine();
    let [one, other] = [(); 2].map(|()| open(&fs.process()));
    put(&one, "items.json", 1, "stored");
    assert_eq!(name(&other, "items.json", 1), Ok(Some("stored".into())));
    one.write(Durability::Full, |t| t.remove_path("folder")).expect("removed");
    let by_hand = format!("{{\"1\":{}}}", record(1, "by hand"));
    fs.write_file(format!("/database/{NESTED}"), by_hand.as_bytes());
    let check = |database: &Database| assert_eq!(name(database, NESTED, 1), Ok(Some("by hand".into())));
    check(&one);
    check(&other);
    checkpoint(&other).expect("checkpointed");
    assert!(fs.read_file(format!("/database/{NESTED}")).is_some());
    check(&one);
    check(&other);
    check(&open(&fs.power_loss(&mut Extreme::Nothing)));
}

#[test]
fn recovery_spares_a_file_put_in_place_of_a_dropped_collection() {
    let fs = machine();
    let database = filled(&fs);
    fs.fail_when(is_removal, Fault::Io, Repeat::Forever);
    remove(&database);
    drop(database);
    fs.heal();
    fs.write_file("/database/folder/7/items.json", b"{}");
    fs.write_file("/database/folder/7/beside.txt", b"given up");
    drop(open(&fs.kill()));
    assert_eq!(fs.read_file("/database/folder/7/items.json").as_deref(), Some(&b"{}"[..]));
    assert_eq!(fs.read_file("/database/folder/7/beside.txt"), None);
}

#[test]
fn recovery_removes_an_empty_file_in_place_of_a_dropped_collection() {
    let fs = machine();
    let database = filled(&fs);
    remove(&database);
    drop(database);
    fs.write_file("/database/folder/7/items.json", b"");
    drop(open(&fs.kill()));
    assert_eq!(fs.read_file("/database/folder/7/items.json"), None);
}

#[test]
fn a_removal_that_cannot_be_repeated_on_a_full_disk_does_not_block_opening() {
    let fs = machine();
    let database = filled(&fs);
    let items = spec("items.json");
    database.write(Durability::Full, move |t| t.drop_collection(&items)).expect("dropped");
    drop(database);
    let creates = |call: &Call| matches!(call, Call::Open { path, mode: OpenMode::CreateNew } if path.ends_with("items.json"));
    fs.fail_when(creates, Fault::NoSpace { written: 0 }, Repeat::Forever);
    let database = open(&fs);
    assert!(fs.faults() > 0);
    assert_eq!(name(&database, NESTED, 1), Ok(Some("given up".into())));
}

#[cfg(unix)]
#[test]
fn a_removal_does_not_follow_a_symbolic_link() {
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let path = |name: &str| temporary.path().join(name);
    std::fs::create_dir(path("database")).expect("a directory");
    let options = octoprompt_storage::engine::DatabaseOptions::default();
    let handle = Arc::new(octoprompt_storage::engine::fs::OsFs);
    let database = Database::open(handle, &path("database"), options).expect("opens");
    put(&database, "../files/items.json", 1, "given up");
    checkpoint(&database).expect("checkpointed");
    std::fs::rename(path("files"), path("elsewhere")).expect("moved");
    std::os::unix::fs::symlink(path("elsewhere"), path("files")).expect("a link");
    let items = spec("../files/items.json");
    let _ = database.write(Durability::Full, move |t| t.drop_collection(&items));
    assert!(path("elsewhere/items.json").exists());
}

#[test]
fn a_batch_that_removes_a_file_is_durable_even_if_it_need_not_be() {
    let dropping = |t: &mut Transaction<'_>| t.drop_collection(&spec(NESTED));
    let deleting = |t: &mut Transaction<'_>| {
        t.delete(&spec(NESTED), 1.into())?;
        t.remove_path("attachment")
    };
    for drops in [true, false] {
        let fs = machine();
        let database = filled(&fs);
        fs.write_file("/database/attachment", b"given up");
        let write = match drops {
            true => database.write(Durability::Os, dropping),
            false => database.write(Durability::Os, deleting),
        };
        write.expect("written");
        let fs = fs.power_loss(&mut Extreme::NamesWithoutData);
        let removed = if drops { "/database/folder/7/items.json" } else { "/database/attachment" };
        assert_eq!(fs.read_file(removed), None);
        assert_eq!(name(&open(&fs), NESTED, 1), Ok(None));
    }
}

#[test]
fn an_empty_file_at_the_place_of_a_dropped_collection_is_nobodys_edit() {
    let fs = machine();
    let database = filled(&fs);
    remove(&database);
    // As a removal leaves it that is repeated and cut short.
    fs.write_file(format!("/database/{NESTED}"), b"");
    let database = open(&fs.process());
    assert_eq!(name(&database, NESTED, 1), Ok(None));
    assert_eq!(warnings(&database), []);
    checkpoint(&database).expect("checkpointed");
    assert_eq!(fs.read_file(format!("/database/{NESTED}")), None);
}
