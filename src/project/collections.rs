//! The collections of projects and files, and their indexes.

use std::sync::{Arc, LazyLock};

use super::files::stored_file;
use super::layout::LARGE_FIELD;
use super::projects::stored_project;
use crate::engine::document::DocumentId;
use crate::engine::index::{Extractor, IndexConfig, IndexKey, IndexSpec, IndexType, Keys};
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
/// Files by exact path. Versions that are not the latest have separate keys.
pub const FILES_BY_PATH: &str = "files_by_path";
/// Files by extension. Versions that are not the latest have separate keys.
pub const FILES_BY_EXTENSION: &str = "files_by_extension";
/// All files by the root of their chain and their version.
pub const FILES_BY_VERSION: &str = "files_by_version";

fn spec(name: &str, kind: IndexType, fields: &[&str], extractor: Extractor) -> Arc<IndexSpec> {
    let fields = fields.iter().map(|field| (*field).to_owned()).collect();
    // A sparse index cannot order all documents. Times are in every document, so leaving none out costs nothing.
    let sparse = kind != IndexType::Btree;
    let config = IndexConfig { name: name.to_owned(), kind, fields, unique: false, sparse };
    Arc::new(IndexSpec::new(config, extractor))
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
        spec(
            FILES_BY_PATH,
            IndexType::Hash,
            &["path"],
            Extractor::Computed {
                of: &["isLatest", "path"],
                rule: path_key,
                lookup: Some(|equal| of_versions(equal, equal("path")?)),
                version: 2,
            },
        ),
        spec(
            FILES_BY_EXTENSION,
            IndexType::Hash,
            &["extension"],
            Extractor::Computed {
                of: &["isLatest", "extension"],
                rule: extension_keys,
                lookup: Some(|equal| match equal("extension")? {
                    IndexKey::Text(extension) => of_versions(equal, extension_key(&extension)),
                    _ => None,
                }),
                version: 2,
            },
        ),
        spec(
            FILES_BY_VERSION,
            IndexType::Btree,
            &["originalFileId", "version"],
            Extractor::Computed {
                of: &["id", "originalFileId", "version"],
                rule: chain_key,
                lookup: Some(of_chain),
                version: 1,
            },
        ),
    ]
});

/// Returns the collection of all projects.
pub fn projects() -> Arc<CollectionSpec> {
    Arc::clone(&PROJECTS)
}

/// Returns the directory with everything that belongs to a project, which is removed with it.
pub fn project_directory(project_id: u64) -> String {
    format!("project_data/{project_id}")
}

/// Returns whether a collection holds the files of a project.
pub fn is_files(collection: &str) -> bool {
    project_of(collection).is_some()
}

/// Returns the project whose files a collection holds, if it holds files.
pub fn project_of(collection: &str) -> Option<DocumentId> {
    let id = collection.strip_prefix("project_data/")?.strip_suffix("/files.json")?;
    Some(DocumentId::from_key(id)).filter(|id| matches!(id, DocumentId::Number(_)))
}

/// Returns the collection of one project's files, with all versions.
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

/// Returns the key of a file from `isLatest` and the key that it has as the latest version.
fn versioned(is_latest: Option<&[u8]>, key: IndexKey) -> IndexKey {
    if is_latest == Some(b"false") { of_older(key) } else { key }
}

/// Returns the key of a version that is not the latest, so that a query for latest versions does not find it.
fn of_older(key: IndexKey) -> IndexKey {
    IndexKey::tuple([key])
}

fn path_key(values: &[Option<&[u8]>]) -> Vec<IndexKey> {
    let [is_latest, path] = *values else { return Vec::new() };
    path.and_then(IndexKey::from_json).map(|key| versioned(is_latest, key)).into_iter().collect()
}

fn extension_keys(values: &[Option<&[u8]>]) -> Vec<IndexKey> {
    let [is_latest, extension] = *values else { return Vec::new() };
    extension.map(|raw| versioned(is_latest, extension_key(&json::unescape(raw)))).into_iter().collect()
}

/// Returns the keys of files that have this key as the latest version, and of those that have it as any other version.
fn of_versions(equal: &dyn Fn(&str) -> Option<IndexKey>, key: IndexKey) -> Option<Keys> {
    if !matches!(key, IndexKey::Text(_)) {
        return None;
    }
    Some(Keys::These(match equal("isLatest") {
        Some(IndexKey::Bool(true)) => vec![key],
        Some(IndexKey::Bool(false)) => vec![of_older(key)],
        _ => vec![key.clone(), of_older(key)],
    }))
}

/// Returns the keys of the files of a chain, except its root.
fn of_chain(equal: &dyn Fn(&str) -> Option<IndexKey>) -> Option<Keys> {
    let IndexKey::Number(root) = equal("originalFileId")? else { return None };
    match equal("version") {
        Some(version @ IndexKey::Number(_)) => {
            Some(Keys::These(vec![IndexKey::tuple([IndexKey::Number(root), version])]))
        }
        // A missing version counts as the first.
        Some(_) => None,
        // Roots are whole numbers, and so small that the next one is another number.
        None => Some(Keys::Between(
            IndexKey::tuple([IndexKey::Number(root)]),
            IndexKey::tuple([IndexKey::number(root.get() + 1.0)?]),
        )),
    }
}

/// Returns the key of an extension, which callers give with or without its dot. Files without an extension have the empty
/// key.
pub fn extension_key(extension: &[u8]) -> IndexKey {
    IndexKey::Text(extension.strip_prefix(b".").unwrap_or(extension).into())
}

/// Computes the key from `id`, `originalFileId` and `version`. Missing fields have the values of a chain's root.
fn chain_key(values: &[Option<&[u8]>]) -> Vec<IndexKey> {
    let [id, original, version] = *values else { return Vec::new() };
    let number =
        |raw: Option<&[u8]>| IndexKey::from_json(raw?).filter(|key| matches!(key, IndexKey::Number(_)));
    let root = number(original).or_else(|| number(id));
    let version = number(version).or_else(|| IndexKey::number(1.0));
    match (root, version) {
        (Some(root), Some(version)) => vec![IndexKey::tuple([root, version])],
        _ => Vec::new(),
    }
}
