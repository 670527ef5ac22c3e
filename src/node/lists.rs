//! Native calls for all documents of a collection, or for some of them.

use std::sync::Arc;

use napi::Env;
use napi_derive::napi;

use super::collection::{NativeCollection, Peeked, documents, part, peeked};
use super::parts::PartsList;
use super::port::Answer;
use crate::engine::document::DocumentId;
use crate::engine::{Peek, ReadOptions};

#[napi]
impl NativeCollection {
    #[napi(catch_unwind)]
    pub fn peek_list<'env>(&self, env: &'env Env, with_large_field: bool) -> napi::Result<Peeked<'env>> {
        let Some(engine) = self.session.engine() else { return peeked(env, Peek::Wait) };
        let (spec, options) = (&self.spec, self.session.read_options());
        let found = match spec.large_field.filter(|_| with_large_field) {
            None => {
                let found = engine.peek_list(spec, part(with_large_field), options);
                found.map(|(text, left)| (Answer::Text(text), left))
            }
            Some(field) => {
                let push = |list: &mut PartsList, text: &[u8], head| list.push(text, head, field);
                let found = engine.peek_list_into(spec, options, PartsList::default, push);
                found.map(|(list, left)| (Answer::Parts(list.finish()), left))
            }
        };
        let noted = |(answer, left)| {
            self.fresh_for.note(Some(left));
            answer
        };
        peeked(env, found.map(noted))
    }

    /// Returns those of the documents with these ids that exist, all of one moment. Does not count as a read and leaves
    /// nothing in the cache.
    #[napi(catch_unwind)]
    pub fn peek_some<'env>(
        &self,
        env: &'env Env,
        ids: Vec<f64>,
        with_large_field: bool,
    ) -> napi::Result<Peeked<'env>> {
        let Some(engine) = self.session.engine() else { return peeked(env, Peek::Wait) };
        let part = part(with_large_field);
        let found = engine.peek_part(&self.spec, part, |_| Ok(document_ids(ids))).unwrap_or(Peek::Wait);
        let field = self.spec.large_field.filter(|_| with_large_field);
        peeked(env, found.map(|texts| documents(&texts, field)))
    }

    /// Like [`NativeCollection::peek_some`], but may wait.
    #[napi(catch_unwind)]
    pub fn some(&self, ticket: u32, ids: Vec<f64>, with_large_field: bool) {
        let (spec, ids) = (Arc::clone(&self.spec), document_ids(ids));
        let field = spec.large_field.filter(|_| with_large_field);
        self.session.read_documents(ticket, field, move |database, options| {
            database.select_part(&spec, part(with_large_field), options, |_| Ok(ids.clone()))
        });
    }

    /// Answers in pieces. With `caller_keeps`, the caller keeps the list, so the cache need not.
    #[napi(catch_unwind)]
    pub fn list(&self, ticket: u32, with_large_field: bool, caller_keeps: bool) {
        let (spec, mut pieces) = (Arc::clone(&self.spec), self.session.pieces(ticket));
        self.session.read(ticket, move |database, options| {
            let options = ReadOptions { cached: options.cached && !caller_keeps, ..options };
            let hand_over = |first, list| {
                if first {
                    pieces.start_over();
                }
                pieces.add(list);
            };
            let field = spec.large_field.filter(|_| with_large_field);
            let push = |list: &mut PartsList, text: &[u8], head| match field {
                Some(field) => list.push(text, head, field),
                None => list.push_whole(text),
            };
            database.list_in_pieces(
                &spec,
                part(with_large_field),
                options,
                PartsList::default,
                push,
                hand_over,
            )?;
            pieces.last()
        });
    }
}

fn document_ids(ids: Vec<f64>) -> Vec<DocumentId> {
    ids.into_iter().map(|id| (id as u64).into()).collect()
}
