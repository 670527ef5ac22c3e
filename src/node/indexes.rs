//! Native calls for `IndexManager`.

use std::path::PathBuf;
use std::sync::Arc;

use napi::Env;
use napi_derive::napi;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::collection::{Peeked, peeked};
use super::index_query::index_query;
use super::options::NativeOptions;
use super::port::{Answer, Port};
use super::records::NativeRecords;
use super::session::Session;
use crate::engine::document::DocumentId;
use crate::engine::index::IndexConfig;
use crate::engine::index_set::{Entity, IndexSet, IndexStats, Listed, id_list};
use crate::engine::{Error, Peek};
use crate::project::attached_indexes;

#[napi]
pub struct NativeIndexes {
    session: Arc<Session>,
    indexes: Arc<IndexSet>,
}

fn described(index: &Listed) -> Value {
    let config = &index.config;
    let mut fields = json!({
        "name": config.name,
        "type": config.kind,
        "fields": config.fields,
        "unique": config.unique,
        "sparse": config.sparse,
    });
    if let Some(collection) = &index.collection {
        fields["collection"] = (**collection).into();
    }
    fields
}

fn stats_text(stats: &IndexStats) -> Vec<u8> {
    let numbers = json!({
        "config": described(&stats.index),
        "uniqueKeys": stats.unique_keys,
        "totalEntries": stats.total_entries,
        "created": stats.created,
        "updated": stats.updated,
    });
    numbers.to_string().into_bytes()
}

/// Ids of entities are keys as `index-entities.js` makes them; entities are JSON.
#[napi]
impl NativeIndexes {
    /// Describes the indexes of the database in `directory`, which is below `base`. Touches no file.
    #[napi(constructor, catch_unwind)]
    pub fn new(port: &Port, base: String, directory: String, options: NativeOptions) -> NativeIndexes {
        let directory = PathBuf::from(directory);
        let indexes = Arc::new(IndexSet::new(attached_indexes(&directory)));
        NativeIndexes {
            session: Session::new(&base, directory, None, options.into(), port.mailbox()),
            indexes,
        }
    }

    /// `config` is JSON.
    #[napi(catch_unwind)]
    pub fn create(&self, ticket: u32, config: String) {
        let indexes = Arc::clone(&self.indexes);
        self.session.write(ticket, move |tx| {
            let config: IndexConfig = serde_json::from_str(&config)
                .map_err(|error| Error::InvalidArgument(format!("invalid index configuration: {error}")))?;
            indexes.create(tx, &config).map(|()| Answer::Nothing)
        });
    }

    #[napi(catch_unwind)]
    pub fn drop(&self, ticket: u32, name: String) {
        let indexes = Arc::clone(&self.indexes);
        self.session.write(ticket, move |tx| indexes.drop_index(tx, &name).map(|_| Answer::Nothing));
    }

    /// Returns the names of the members of an entity that the index looks at, as a JSON array, if they are known without
    /// waiting. A later call may then omit all other members and pass this text along with the entity.
    #[napi(catch_unwind)]
    pub fn peek_members(&self, name: String) -> Option<String> {
        Some(self.indexes.peek_members(&*self.session.engine()?, &name)?.to_string())
    }

    #[napi(catch_unwind)]
    pub fn add(&self, ticket: u32, name: String, id: String, entity: String, members: Option<String>) {
        let indexes = Arc::clone(&self.indexes);
        self.session.write(ticket, move |tx| {
            let entity = Entity { text: entity.as_bytes(), members: members.as_deref() };
            indexes.add(tx, &name, DocumentId::from_key(&id), entity).map(|()| Answer::Nothing)
        });
    }

    #[napi(catch_unwind)]
    pub fn remove(&self, ticket: u32, name: String, id: String) {
        let indexes = Arc::clone(&self.indexes);
        self.session.write(ticket, move |tx| {
            indexes.remove(tx, &name, DocumentId::from_key(&id)).map(|_| Answer::Nothing)
        });
    }

    /// Each of the entities is `[key, entity]`.
    #[napi(catch_unwind)]
    pub fn rebuild(
        &self,
        ticket: u32,
        name: String,
        entities: &NativeRecords,
        members: Option<String>,
    ) -> napi::Result<()> {
        let (indexes, given) = (Arc::clone(&self.indexes), entities.all()?);
        self.session.write(ticket, move |tx| {
            let unreadable = |error: serde_json::Error| Error::InvalidArgument(format!("entities: {error}"));
            let pairs: Vec<(String, &RawValue)> = given
                .iter()
                .map(|pair| serde_json::from_slice(pair.text).map_err(unreadable))
                .collect::<crate::engine::Result<_>>()?;
            let members = members.as_deref();
            let entities = pairs.iter().map(|(key, entity)| {
                (DocumentId::from_key(key), Entity { text: entity.get().as_bytes(), members })
            });
            indexes.rebuild(tx, &name, entities).map(|()| Answer::Nothing)
        });
        Ok(())
    }

    #[napi(catch_unwind)]
    pub fn list(&self, ticket: u32) {
        let indexes = Arc::clone(&self.indexes);
        self.session.read(ticket, move |database, options| {
            Ok(Answer::json(indexes.list(database, options)?.iter().map(described).collect()))
        });
    }

    #[napi(catch_unwind)]
    pub fn stats(&self, ticket: u32, name: String) {
        let indexes = Arc::clone(&self.indexes);
        self.session.read(ticket, move |database, options| {
            Ok(Answer::maybe(indexes.stats(database, options, &name)?.as_ref().map(stats_text)))
        });
    }

    #[napi(catch_unwind)]
    pub fn peek_ids<'env>(
        &self,
        env: &'env Env,
        kind: u32,
        name: String,
        start: String,
        end: String,
        inclusive: bool,
    ) -> napi::Result<Peeked<'env>> {
        let peek = || -> Option<Answer> {
            let query = index_query(kind, &start, &end, inclusive).ok()?;
            let options = self.session.read_options();
            match self.indexes.peek(&*self.session.engine()?, options, &name, &query) {
                Ok(Peek::Ready(ids)) => Some(Answer::text(id_list(&ids.unwrap_or_default()))),
                Ok(Peek::Wait) | Err(_) => None,
            }
        };
        peeked(env, peek().map_or(Peek::Wait, Peek::Ready))
    }

    #[napi(catch_unwind)]
    pub fn ids(&self, ticket: u32, kind: u32, name: String, start: String, end: String, inclusive: bool) {
        let indexes = Arc::clone(&self.indexes);
        self.session.read(ticket, move |database, options| {
            let query = index_query(kind, &start, &end, inclusive)?;
            let ids = indexes.ask(database, options, &name, &query)?;
            Ok(Answer::text(id_list(&ids.unwrap_or_default())))
        });
    }

    /// Answers with the report of [`super::report::verify_report`].
    #[napi(catch_unwind)]
    pub fn verify(&self, ticket: u32) {
        self.session.verify(ticket);
    }

    /// Answers with the report of [`super::report::repair_report`].
    #[napi(catch_unwind)]
    pub fn repair(&self, ticket: u32) {
        self.session.repair(ticket);
    }

    /// Answers with the text of [`super::statistics::statistics_text`].
    #[napi(catch_unwind)]
    pub fn statistics(&self, ticket: u32) {
        self.session.statistics(ticket);
    }

    /// Ends the session.
    #[napi(catch_unwind)]
    pub fn close(&self, ticket: u32) {
        self.session.close(ticket);
    }
}
