//! The collections in which projects and files lie, and their indexes.

use std::sync::{Arc, LazyLock};

use super::chain::chain_of;
use super::files::stored_file;
use super::layout::LARGE_FIELD;
use super::projects::stored_project;
use crate::engine::index::{Extractor, IndexConfig, IndexKey, IndexSpec, IndexType};
use crate::engine::json;
use crate::engine::{CollectionSpec, Foreign};

/// Projects by exact name.
pub const BY_NAME: &str = "projects_by_name";
/// Projects by exact path.
pub const BY_PATH: &str = "projects_by_path";
/// Projects by creation time.
pub const BY_CREATED: &str = "projects_by_created";
/// Projects by the time of their last change.
pub const BY_UPDATED: &str = "projects_by_updated";
/// Projects by the words of their name.
pub const BY_WORDS: &str = "projects_by_words";
/// Latest versions of files by exact path.
pub const FILES_BY_PATH: &str = "files_by_path";
/// Latest versions of files by extension.
pub const FILES_BY_EXTENSION: &str = "files_by_extension";
/// All files by the root of their chain and their version.
pub const FILES_BY_VERSION: &str = "files_by_version";

fn spec(name: &str, kind: IndexType, fields: &[&str], extractor: Extractor) -> Arc<IndexSpec> {
    let fields = fields.iter().map(|field| (*field).to_owned()).collect();
    // A sparse index has no order of all documents; times are in every one, so leaving none out costs nothing.
    let sparse = kind != IndexType::Btree;
    let config = IndexConfig { name: name.to_owned(), kind, fields, unique: false, sparse };
    Arc::new(IndexSpec { config, extractor })
}

static PROJECTS: LazyLock<Arc<CollectionSpec>> = LazyLock::new(|| {
    Arc::new(CollectionSpec {
        path: "projects.json".into(),
        large_field: None,
        indexes: vec![
            spec(BY_NAME, IndexType::Hash, &["name"], Extractor::Fields),
            spec(BY_PATH, IndexType::Hash, &["path"], Extractor::Fields),
            spec(BY_CREATED, IndexType::Btree, &["created"], Extractor::Fields),
            spec(BY_UPDATED, IndexType::Btree, &["updated"], Extractor::Fields),
            spec(BY_WORDS, IndexType::Inverted, &["name"], Extractor::Fields),
        ],
        foreign: Foreign::Adopt(Some(Arc::new(|id, raw| {
            stored_project(&id.to_string(), raw).map(|text| text.into_owned())
        }))),
    })
});

static FILE_INDEXES: LazyLock<Vec<Arc<IndexSpec>>> = LazyLock::new(|| {
    vec![
        spec(FILES_BY_PATH, IndexType::Hash, &["path"], Extractor::Computed(path_key)),
        spec(FILES_BY_EXTENSION, IndexType::Hash, &["extension"], Extractor::Computed(extension_keys)),
        spec(
            FILES_BY_VERSION,
            IndexType::Btree,
            &["originalFileId", "version"],
            Extractor::Computed(chain_key),
        ),
    ]
});

/// The collection of all projects.
pub fn projects() -> Arc<CollectionSpec> {
    Arc::clone(&PROJECTS)
}

/// The directory with all that belongs to a project, removed with it.
pub fn project_directory(project_id: u64) -> String {
    format!("project_data/{project_id}")
}

/// The collection of one project's files, all versions.
pub fn files(project_id: u64) -> Arc<CollectionSpec> {
    Arc::new(CollectionSpec {
        path: format!("{}/files.json", project_directory(project_id)).into(),
        large_field: Some(LARGE_FIELD),
        indexes: FILE_INDEXES.clone(),
        foreign: Foreign::Adopt(Some(Arc::new(move |id, raw| {
            stored_file(&id.to_string(), project_id, raw).map(|text| text.into_owned())
        }))),
    })
}

fn latest_only<'a>(file: &'a [u8], field: &str) -> Option<&'a [u8]> {
    if chain_of(file).is_latest { json::get(file, field) } else { None }
}

fn path_key(file: &[u8]) -> Vec<IndexKey> {
    latest_only(file, "path").and_then(IndexKey::from_json).into_iter().collect()
}

fn extension_keys(file: &[u8]) -> Vec<IndexKey> {
    latest_only(file, "extension").map(|raw| extension_key(&json::unescape(raw))).into_iter().collect()
}

/// The key of an extension, which callers give with its dot or without. Files without one have the empty key.
pub fn extension_key(extension: &[u8]) -> IndexKey {
    IndexKey::Text(extension.strip_prefix(b".").unwrap_or(extension).into())
}

fn chain_key(file: &[u8]) -> Vec<IndexKey> {
    let chain = chain_of(file);
    let id = json::get(file, "id").and_then(json::parse_number);
    let root = chain.original.map(|root| root as f64).or(id);
    let parts = [root.and_then(IndexKey::number), IndexKey::number(chain.version as f64)];
    let parts: Vec<IndexKey> = parts.into_iter().flatten().collect();
    if parts.len() == 2 { vec![IndexKey::tuple(parts)] } else { Vec::new() }
}
