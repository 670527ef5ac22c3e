//! The definition of an index, as it is stored in `indexes.json`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::entity::Selection;
use super::file_name::{collection_path, is_collection_path};
use crate::engine::database::{CollectionSpec, Foreign, Queryable};
use crate::engine::document::{Document, DocumentId};
use crate::engine::error::{Error, Result};
use crate::engine::index::{Extractor, IndexConfig, IndexSpec, IndexType};
use crate::engine::index_query::IndexQuery;
use crate::engine::json;

const PATH: &str = "indexes.json";

/// The last member of a definition. It changes with each change of the index; everything before it stays the same.
const UPDATED: &str = "updated";

pub(super) struct Definition {
    pub config: IndexConfig,
    /// Milliseconds since 1970.
    pub created: u64,
    pub collection: Arc<CollectionSpec>,
    /// Which parts of an entity are stored.
    pub selection: Selection,
    /// The names of the entity's members that hold these parts, as a JSON array.
    pub members: Arc<str>,
    /// The text of the definition up to the time of its last change.
    head: Box<[u8]>,
}

/// The members of a definition except the last. The name of the index is its key in the map.
#[derive(Serialize, Deserialize)]
struct Stored {
    #[serde(rename = "type")]
    kind: IndexType,
    fields: Vec<String>,
    unique: bool,
    sparse: bool,
    created: u64,
}

/// The collection of all definitions.
pub(super) fn collection() -> Arc<CollectionSpec> {
    Arc::new(CollectionSpec {
        path: PATH.into(),
        large_field: Some(UPDATED),
        indexes: Vec::new(),
        foreign: Foreign::Refuse,
    })
}

/// Whether a collection has the path of the definitions.
pub fn is_definitions(collection: &str) -> bool {
    collection == PATH
}

/// Whether a document is the definition of an index.
pub fn is_definition(text: &[u8]) -> bool {
    serde_json::from_slice::<Stored>(text).is_ok()
}

/// Whether a collection is that of all definitions, or that of an index that callers fill.
pub(super) fn is_own(collection: &str) -> bool {
    collection == PATH || is_collection_path(collection)
}

/// The text of a new definition.
pub(super) fn text(config: &IndexConfig, now: u64) -> Result<Vec<u8>> {
    let IndexConfig { kind, fields, unique, sparse, .. } = config.clone();
    let stored = Stored { kind, fields, unique, sparse, created: now };
    let mut text = serde_json::to_vec(&stored)
        .map_err(|error| Error::InvalidArgument(format!("index {}: {error}", config.name)))?;
    text.pop();
    Ok(with_updated(&text, now))
}

/// When the index of a definition was last changed.
pub(super) fn updated(definition: &Document) -> Option<u64> {
    json::get(&definition.text, UPDATED).and_then(json::parse_number).map(|time| time as u64)
}

/// Returns the definition as it is after a change of its index. Its time never goes backwards.
pub(super) fn touched(definition: &Document, now: u64) -> Vec<u8> {
    with_updated(&definition.text[..definition.head], now.max(updated(definition).unwrap_or_default()))
}

fn with_updated(head: &[u8], time: u64) -> Vec<u8> {
    let mut text = head.to_vec();
    text.extend_from_slice(format!(",\"{UPDATED}\":{time}}}").as_bytes());
    text
}

impl Definition {
    pub fn read(name: &str, document: &Document) -> Result<Definition> {
        let stored: Stored = serde_json::from_slice(&document.text).map_err(|error| {
            Error::InvalidArgument(format!(
                "the definition of index {name} in {PATH} is not one that this version reads: {error}; update the \
                 package, or drop the index and create it again"
            ))
        })?;
        let Stored { kind, fields, unique, sparse, created } = stored;
        let config = IndexConfig { name: name.to_owned(), kind, fields, unique, sparse };
        let spec = Arc::new(IndexSpec::new(config.clone(), Extractor::Fields));
        let selection = Selection::new(&config.fields);
        Ok(Definition {
            members: serde_json::to_string(&selection.names().collect::<Vec<_>>()).unwrap_or_default().into(),
            selection,
            collection: index_collection(name, vec![spec]),
            config,
            created,
            head: document.text[..document.head].into(),
        })
    }

    /// Whether the document holds this definition, no matter when the index was last changed.
    pub fn is_in(&self, document: &Document) -> bool {
        *self.head == document.text[..document.head]
    }

    pub fn answer(&self, index: &Queryable<'_>, query: &IndexQuery) -> Result<Vec<DocumentId>> {
        query.answer(index.index(&self.config.name)?)
    }
}

/// The collection of an index. `indexes` may be empty if the collection is only to be dropped.
pub(super) fn index_collection(name: &str, indexes: Vec<Arc<IndexSpec>>) -> Arc<CollectionSpec> {
    Arc::new(CollectionSpec {
        path: collection_path(name).into(),
        large_field: None,
        indexes,
        foreign: Foreign::Refuse,
    })
}
