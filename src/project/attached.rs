//! The indexes of projects and files, as anyone who inspects the database may query them.
//!
//! The indexes of projects have the names in `collections`. The files of each project have indexes of their own:
//! `files_by_path@<id>` is that of the files of project `<id>`.

use std::path::Path;
use std::sync::Arc;

use super::collections::{self, FILES_BY_EXTENSION, FILES_BY_PATH, FILES_BY_VERSION, extension_key};
use crate::engine::document::DocumentId;
use crate::engine::index::{IndexConfig, IndexKey};
use crate::engine::index_set::{Attached, AttachedIndexes};
use crate::engine::{CollectionSpec, Database, Owners, Queryable, ReadOptions, Result};

/// Where the database of projects is under a base path.
pub const DIRECTORY: &str = "data/project_storage";

const FILE_INDEXES: [&str; 3] = [FILES_BY_PATH, FILES_BY_EXTENSION, FILES_BY_VERSION];

/// Projects own their files, if the database in this directory is that of projects.
pub fn owners(directory: &Path) -> Option<Owners> {
    let owners = || Owners { spec: collections::projects(), owner: collections::project_of };
    directory.ends_with(DIRECTORY).then(owners)
}

/// Returns the indexes that projects and files keep in the database in this directory, if it is that of projects.
pub fn attached_indexes(directory: &Path) -> Option<Arc<dyn AttachedIndexes>> {
    directory.ends_with(DIRECTORY).then(|| Arc::new(ProjectIndexes) as Arc<dyn AttachedIndexes>)
}

/// Returns the collections of all projects' files, one for each project.
pub fn file_collections(database: &Database, options: ReadOptions) -> Result<Vec<Arc<CollectionSpec>>> {
    Ok(project_ids(database, options)?.into_iter().map(collections::files).collect())
}

fn project_ids(database: &Database, options: ReadOptions) -> Result<Vec<u64>> {
    let number = |id: &DocumentId| match id {
        DocumentId::Number(number) => Some(*number),
        DocumentId::Text(_) => None,
    };
    let ids = |projects: &Queryable<'_>| -> Vec<u64> {
        projects.documents().iter().filter_map(|(id, _)| number(id)).collect()
    };
    database.query(&collections::projects(), options, ids)
}

struct ProjectIndexes;

impl AttachedIndexes for ProjectIndexes {
    fn find(&self, name: &str) -> Option<Attached> {
        let (kind, project) = match name.split_once('@') {
            Some((kind, id)) => match DocumentId::from_key(id) {
                DocumentId::Number(project) => (kind, Some(project)),
                DocumentId::Text(_) => return None,
            },
            None => (name, None),
        };
        match project {
            Some(project) => of_files(project, kind),
            None => attached(collections::projects(), kind, name.to_owned()),
        }
    }

    fn exists(&self, database: &Database, options: ReadOptions, index: &Attached) -> Result<bool> {
        match index.config.name.split_once('@') {
            Some((_, project)) => {
                let id = DocumentId::from_key(project);
                let there = |projects: &Queryable<'_>| projects.documents().get(&id).is_some();
                database.query(&collections::projects(), options, there)
            }
            None => Ok(true),
        }
    }

    fn list(&self, database: &Database, options: ReadOptions) -> Result<Vec<Attached>> {
        let projects = collections::projects();
        let names = projects.indexes.iter().map(|index| index.config.name.clone());
        let mut found: Vec<Attached> = names.filter_map(|name| self.find(&name)).collect();
        for project in project_ids(database, options)? {
            found.extend(FILE_INDEXES.iter().filter_map(|kind| of_files(project, kind)));
        }
        Ok(found)
    }

    fn covers(&self, collection: &str) -> bool {
        collection == &*collections::projects().path || collections::is_files(collection)
    }
}

fn of_files(project: u64, kind: &str) -> Option<Attached> {
    attached(collections::files(project), kind, format!("{kind}@{project}"))
}

fn attached(collection: Arc<CollectionSpec>, index: &str, name: String) -> Option<Attached> {
    let spec = Arc::clone(collection.indexes.iter().find(|spec| spec.config.name == index)?);
    let key = if index == FILES_BY_EXTENSION { without_dot } else { as_given };
    let config = IndexConfig { name, ..spec.config.clone() };
    Some(Attached { config, collection, index: spec, key })
}

fn as_given(key: IndexKey) -> IndexKey {
    key
}

/// Extensions may be given with or without their dot.
fn without_dot(key: IndexKey) -> IndexKey {
    match key {
        IndexKey::Text(extension) => extension_key(&extension),
        other => other,
    }
}
