//! All documents of a collection, or some of them.

use std::sync::Arc;

use napi::Env;
use napi_derive::napi;

use super::collection::{NativeCollection, Peeked, part, peeked};
use super::parts::PartsList;
use super::pieces::Pieces;
use super::port::Answer;
use crate::engine::document::{DocumentId, head_len};
use crate::engine::{Part, Peek, ReadOptions};

#[napi]
impl NativeCollection {
    #[napi(catch_unwind)]
    pub fn peek_list<'env>(&self, env: &'env Env, with_large_field: bool) -> napi::Result<Peeked<'env>> {
        let Some(engine) = self.session.engine() else { return peeked(env, Peek::Wait) };
        let (spec, options) = (&self.spec, self.session.read_options());
        let found = match spec.large_field.filter(|_| with_large_field) {
            None => match engine.peek_list(spec, part(with_large_field), options) {
                Peek::Ready((text, left)) => Peek::Ready((Answer::Text(text), left)),
                Peek::Wait => Peek::Wait,
            },
            Some(field) => {
                let push = |list: &mut PartsList, text: &[u8], head| list.push(text, head, field);
                match engine.peek_list_into(spec, options, PartsList::default, push) {
                    Peek::Ready((list, left)) => Peek::Ready((Answer::Parts(list.finish()), left)),
                    Peek::Wait => Peek::Wait,
                }
            }
        };
        let (peek, left) = match found {
            Peek::Ready((answer, left)) => (Peek::Ready(answer), Some(left)),
            Peek::Wait => (Peek::Wait, None),
        };
        self.fresh_for.note(left);
        peeked(env, peek)
    }

    /// Those of the documents with these ids that there are, as of one moment. Counts as no read, and the cache keeps nothing
    /// of it.
    #[napi(catch_unwind)]
    pub fn peek_some<'env>(
        &self,
        env: &'env Env,
        ids: Vec<f64>,
        with_large_field: bool,
    ) -> napi::Result<Peeked<'env>> {
        let Some(engine) = self.session.engine() else { return peeked(env, Peek::Wait) };
        let part = part(with_large_field);
        let ids: Vec<DocumentId> = ids.into_iter().map(|id| (id as u64).into()).collect();
        let found = match engine.peek_part(&self.spec, part, |_| Ok(ids)) {
            Ok(Peek::Ready(texts)) => texts,
            Ok(Peek::Wait) | Err(_) => return peeked(env, Peek::Wait),
        };
        let mut list = PartsList::default();
        for text in &found {
            match self.spec.large_field {
                Some(field) if part == Part::Whole => list.push(text, head_len(text, Some(field)), field),
                _ => list.push_whole(text),
            }
        }
        peeked(env, Peek::Ready(Answer::Parts(list.finish())))
    }

    /// Answers in pieces. `caller_keeps` says that the caller keeps the list, so that the cache need not.
    #[napi(catch_unwind)]
    pub fn list(&self, ticket: u32, with_large_field: bool, caller_keeps: bool) {
        let (spec, mailbox) = (Arc::clone(&self.spec), self.session.mailbox().clone());
        self.session.read(ticket, move |database, options| {
            let options = ReadOptions { cached: options.cached && !caller_keeps, ..options };
            let mut pieces = Pieces::new(mailbox, ticket);
            let hand_over = |first, list: PartsList| pieces.add(first, Answer::Parts(list.finish()));
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
