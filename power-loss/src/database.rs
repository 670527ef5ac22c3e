//! The database under test, and what a process sees of it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use octoprompt_storage::engine::backup::Site;
use octoprompt_storage::engine::fs::OsFs;
use octoprompt_storage::engine::index::{Extractor, IndexConfig, IndexKey, IndexSpec, IndexType};
use octoprompt_storage::engine::{
    BasePath, CollectionSpec, Database, DatabaseOptions, Error, Foreign, Mutant, Part, Queryable,
    ReadOptions, Registry, RoomOptions, Wait, json,
};

use crate::migrate;
use crate::model::{Documents, NAMES, PATHS, text};

pub const READ: ReadOptions = ReadOptions { cached: false, lock_timeout: Duration::from_secs(60) };

pub fn wait() -> Wait {
    Wait::at_most(Duration::from_secs(60))
}

pub fn to_the_end() -> impl FnMut(u64, u64) -> ControlFlow<()> {
    |_, _| ControlFlow::Continue(())
}

/// Returns the base path as a process of its own sees it, which has nothing open.
pub fn site(base: &Path, mutant: Option<Mutant>, much_room: bool) -> Site {
    let room = RoomOptions { block: 4096, within: Duration::MAX };
    let options = DatabaseOptions {
        lock_timeout: Duration::from_secs(60),
        background: false,
        room: if much_room { room } else { RoomOptions::default() },
        mutant,
        ..DatabaseOptions::default()
    };
    Site { base: BasePath::new(Arc::new(OsFs), base), registry: Registry::default(), options }
}

pub fn directory(site: &Site) -> PathBuf {
    site.base.data().join("db")
}

pub fn open(site: &Site) -> Result<Arc<Database>, Error> {
    site.open_under(&directory(site))
}

pub fn spec(collection: usize) -> Arc<CollectionSpec> {
    static SPECS: LazyLock<[Arc<CollectionSpec>; 3]> = LazyLock::new(|| PATHS.map(new_spec));
    Arc::clone(&SPECS[collection])
}

fn new_spec(path: &str) -> Arc<CollectionSpec> {
    let config = IndexConfig {
        name: "name".into(),
        kind: IndexType::Hash,
        fields: vec!["name".into()],
        unique: false,
        sparse: false,
    };
    Arc::new(CollectionSpec {
        path: path.into(),
        large_field: Some("content"),
        indexes: vec![Arc::new(IndexSpec::new(config, Extractor::Fields))],
        foreign: Foreign::Adopt(None),
    })
}

/// Returns every document, each whole and found by the index under its name, and what belongs to migrations.
pub fn observe(site: &Site, database: &Database) -> Result<Documents, String> {
    let unreadable = |error: Error| format!("unreadable: {}: {error}", error.code());
    let mut documents = Documents::new();
    for (collection, path) in PATHS.iter().enumerate() {
        let texts = database.filter(&spec(collection), Part::Whole, READ, |_| true).map_err(unreadable)?;
        let mut named: BTreeMap<u32, BTreeSet<u64>> = BTreeMap::new();
        for found in &texts {
            let (id, version, len) = identify(found)
                .ok_or_else(|| format!("{path} holds {:?}", String::from_utf8_lossy(found)))?;
            documents.insert((collection, id), (version, len));
            named.entry(version % NAMES).or_default().insert(id);
        }
        for name in 0..NAMES {
            let key = IndexKey::text(&format!("n{name}"));
            let choose = |query: &Queryable<'_>| Ok(query.index("name")?.find(&key));
            let heads = database.select(&spec(collection), Part::Head, READ, choose).map_err(unreadable)?;
            let ids: BTreeSet<u64> = heads.iter().filter_map(|head| number(head, "id")).collect();
            if ids != named.remove(&name).unwrap_or_default() || ids.len() != heads.len() {
                return Err(format!("the index of {path} has {ids:?} under n{name}: not what a scan finds"));
            }
        }
    }
    migrate::observe(site, &mut documents).map_err(|error| error.to_string())?;
    Ok(documents)
}

fn number(text: &[u8], field: &str) -> Option<u64> {
    json::get(text, field).and_then(json::parse_number).map(|number| number as u64)
}

pub fn identify(found: &[u8]) -> Option<(u64, u32, usize)> {
    let (id, version) = (number(found, "id")?, number(found, "version")? as u32);
    let len = json::get(found, "content")?.len().checked_sub(2)?;
    (found == text(id, version, len).as_bytes()).then_some((id, version, len))
}
