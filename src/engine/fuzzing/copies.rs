//! What is read of backups and migrations: manifests, intents, and the state of migrations.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::LazyLock;

use sha2::{Digest, Sha256};

use super::{READ, no_wait, options, spec};
use crate::engine::backup::{BackupOptions, Site, back_up, list_backups, restore, settle};
use crate::engine::base_path::BasePath;
use crate::engine::database::Part;
use crate::engine::error::Result;
use crate::engine::fs::{Fs, SimFs, Snapshot};
use crate::engine::json;
use crate::engine::migration::{StateFile, Version};
use crate::engine::options::Durability;
use crate::engine::registry::Registry;

const BASE: &str = "/base";
const BEFORE: &[u8] = br#"{"id":1,"name":"before"}"#;
const AFTER: &[u8] = br#"{"id":1,"name":"after"}"#;
const OUTSIDE: [(&str, &[u8]); 2] = [("/outside/file", b"not ours"), ("/file", b"not ours either")];

fn site(fs: &SimFs) -> Site {
    let base = BasePath::new(fs.handle(), Path::new(BASE));
    Site { base, registry: Registry::default(), options: options() }
}

/// Returns a machine with the backup `copy`, and with data that is newer than the backup.
fn machine() -> SimFs {
    static MADE: LazyLock<Snapshot> = LazyLock::new(|| {
        let fs = SimFs::new();
        OUTSIDE.iter().for_each(|(path, bytes)| fs.write_file(path, bytes));
        fs.write_file("/base/data/notes.txt", b"notes");
        let site = site(&fs);
        let database = site.open_under(Path::new("/base/data/db")).expect("it opens");
        let put = |text: &[u8]| {
            let text = text.to_vec();
            database.write(Durability::Full, move |t| t.put(&spec(), 1.into(), text)).expect("it is written");
        };
        put(BEFORE);
        let wanted = BackupOptions { include: Vec::new(), wait: no_wait() };
        back_up(&site, Some("copy"), &wanted, &mut |_, _| ControlFlow::Continue(())).expect("it is copied");
        put(AFTER);
        drop((database, site));
        fs.kill().snapshot()
    });
    MADE.kill()
}

/// Returns the only document, as a new process finds it.
fn document(site: &Site) -> Result<Option<Vec<u8>>> {
    let database = site.open_under(Path::new("/base/data/db"))?;
    Ok(database.filter(&spec(), Part::Whole, READ, |_| true)?.first().map(|text| text.to_vec()))
}

/// Returns the content with a right checksum, so that the code that follows the check of checksums is reached.
fn sealed(state: &str, content: &[u8]) -> Vec<u8> {
    let content = content.trim_ascii();
    let digest: String = Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
    let begin = format!("{{{state}\"format\":1,\"checksum\":\"{digest}\",\"content\":");
    [begin.as_bytes(), content, b"}"].concat()
}

fn nothing_outside_changed(fs: &SimFs) {
    for (path, bytes) in OUTSIDE {
        assert_eq!(fs.read_file(path).as_deref(), Some(bytes), "{path}");
    }
    assert_eq!(fs.list_dir(Path::new("/")).expect("a directory"), ["base", "file", "outside"]);
}

/// Uses the bytes as the manifest of a backup, with a right checksum if the first byte is odd. A backup that cannot be
/// restored changes nothing.
pub fn manifest(bytes: &[u8]) {
    let fs = machine();
    let content = match bytes {
        [odd, content @ ..] if odd % 2 == 1 => sealed("", content),
        _ => bytes.to_vec(),
    };
    fs.write_file("/base/backups/copy/manifest.json", &content);
    let site = site(&fs);
    let listed = list_backups(&site).expect("they are listed");
    assert_eq!(listed.len(), 1);
    match restore(&site, Path::new("copy"), no_wait(), &mut |_, _| ControlFlow::Continue(())) {
        Ok(()) => {
            if let Err(error) = document(&site) {
                assert_eq!(error.code(), "CORRUPT_DATA", "after a restore: {error}");
            }
        }
        Err(error) => {
            assert!(matches!(error.code(), "CORRUPT_DATA" | "UNSUPPORTED_FORMAT" | "IO_ERROR"), "{error}");
            let found = document(&site).unwrap_or_else(|after| panic!("{after} after {error}"));
            assert_eq!(found.as_deref(), Some(AFTER), "after {error}");
        }
    }
    nothing_outside_changed(&fs);
}

/// Uses the bytes as an intent. The first byte chooses whether it is the intent of a restore or of a migration, and whether
/// its checksum is right. The intent is followed or refused, and nothing outside the base path changes.
pub fn intents(bytes: &[u8]) {
    let Some((kind, rest)) = bytes.split_first() else { return };
    let path = ["/base/data/.restore/intent.json", "/base/data/.migration/intent.json"];
    let content = match kind & 2 {
        0 => rest.to_vec(),
        _ => sealed("\"done\":\"n\",", rest),
    };
    let fs = machine();
    fs.write_file(path[usize::from(kind & 1)], &content);
    let first = site(&fs);
    let settled = settle(&first, no_wait());
    if let Err(error) = &settled {
        assert!(matches!(error.code(), "CORRUPT_DATA" | "UNSUPPORTED_FORMAT" | "IO_ERROR"), "{error}");
    }
    nothing_outside_changed(&fs);
    drop(first);
    // If the first process followed the intent, so does the next one; if the first refused it, the next one does too.
    let fs = fs.kill();
    let again = settle(&site(&fs), no_wait());
    assert_eq!(settled.is_ok(), again.is_ok(), "{settled:?}, then {again:?}");
    nothing_outside_changed(&fs);
}

/// Uses the bytes as the state of migrations. A state that is accepted is consistent, and stays the same when it is written
/// and read again.
pub fn migration_state(bytes: &[u8]) {
    let fs = SimFs::new();
    fs.make_dirs("/base/data");
    fs.write_file("/base/data/.migration-state.json", bytes);
    let file = StateFile::of(&BasePath::new(fs.handle(), Path::new(BASE)));
    let mut state = match file.load() {
        Ok(state) => state,
        Err(error) => return assert_eq!(error.code(), "CORRUPT_DATA", "{error}"),
    };
    let current = state.current();
    assert!(current == Version::NONE || state.is_applied(&current), "{current}");
    file.save(&state).expect("it is saved");
    assert_eq!(file.load().expect("it is read again"), state);
    let text = state.to_json();
    assert_eq!(json::check(text.as_bytes()), Ok(()), "{text}");
    for record in state.clone().records() {
        state.forget(&record.version);
        assert!(!state.counting().contains_key(&record.version));
    }
    assert_eq!(state.current(), Version::NONE);
}
