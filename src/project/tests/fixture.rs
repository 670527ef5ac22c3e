//! The data set that the old package wrote is accepted as it is.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use super::super::*;
use super::*;
use crate::engine::json;

fn read(path: &str) -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("__test__/fixtures/v1-data/project_storage");
    let path: PathBuf = root.join(path);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn records(map: &[u8]) -> Vec<(String, &[u8])> {
    let member = |member: json::Member<'_>| json::unescape_lossy(member.key).into_owned();
    json::members(map).map(Result::unwrap).map(|found| (member(found), found.value)).collect()
}

/// Every value of the record on disk is in the canonical one, and fields that are new there have defaults.
fn assert_kept(raw: &[u8], stored: &[u8]) {
    let (before, after) = (value(raw), value(stored));
    for (name, value) in before.as_object().unwrap() {
        assert_eq!(&after[name], value, "{name}");
    }
    for (name, value) in after.as_object().unwrap() {
        assert!(
            before.get(name).is_some() || ["lastSyncedAt", "syncVersion"].contains(&name.as_str()),
            "{name}: {value}"
        );
    }
}

#[test]
fn every_project_of_the_old_package_is_adopted() {
    let map = read("projects.json");
    let projects = records(&map);
    assert_eq!(projects.len(), 3);
    for (key, raw) in projects {
        let stored = stored_project(&key, raw).unwrap();
        assert_kept(raw, &stored);
        assert!(matches!(stored_project(&key, &stored), Ok(Cow::Borrowed(_))));
    }
}

#[test]
fn every_file_of_the_old_package_is_adopted_with_its_exact_content() {
    let mut count = 0;
    for project in [1_718_000_000_000, 1_718_000_000_001, 1_718_000_000_002] {
        let map = read(&format!("project_data/{project}/files.json"));
        for (key, raw) in records(&map) {
            let stored = stored_file(&key, project, raw).unwrap();
            assert_kept(raw, &stored);
            assert_eq!(content_of(&stored), json::get(raw, LARGE_FIELD), "{key}");
            assert!(matches!(stored_file(&key, project, &stored), Ok(Cow::Borrowed(_))));
            count += 1;
        }
    }
    assert_eq!(count, 23);
}

#[test]
fn the_schemas_accept_the_maps_of_the_old_package() {
    assert_eq!(parse_map(MapKind::Projects, &read("projects.json")).unwrap().len(), 3);
    for (project, count) in [(0, 13), (1, 10), (2, 0)] {
        let map = read(&format!("project_data/171800000000{project}/files.json"));
        assert_eq!(parse_map(MapKind::Files, &map).unwrap().len(), count);
    }
}

#[test]
fn versions_are_made_as_the_old_package_made_them() {
    let map = read("project_data/1718000000000/files.json");
    let stored =
        |id: &str| stored_file(id, 1_718_000_000_000, json::get(&map, id).unwrap()).unwrap().into_owned();
    let (first, second) = (stored("1718000001003"), stored("1795433779670"));
    let chain = Chain {
        version: 2,
        prev: Some(1_718_000_001_003),
        next: Some(1_795_433_779_675),
        is_latest: false,
        original: Some(1_718_000_001_003),
    };
    assert_eq!(chain_of(&second), chain);
    let content = content_of(&second).unwrap();
    let made =
        next_version(&first, Content::Json(content), None, chain, 1_795_433_779_670, 1_795_433_779_675)
            .unwrap();
    // The old package kept the checksum of the previous content; ours is that of the new content.
    let mut expected = value(&second);
    expected["checksum"] = value(&made)["checksum"].clone();
    assert_eq!(value(&made), expected);
    assert_ne!(expected["checksum"], value(&first)["checksum"]);
}
