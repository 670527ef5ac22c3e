//! Native calls for the change feed.

use std::sync::{Arc, OnceLock};

use napi_derive::napi;
use parking_lot::Mutex;

use super::collection::NativeCollection;
use super::error::describe;
use super::port::{Answer, Port};
use super::queries::push_id;
use crate::engine::document::DocumentId;
use crate::engine::{Change, Subscription, json};

/// The native side of one feed. It ends when it is closed or garbage-collected.
#[napi]
#[derive(Default)]
pub struct NativeChanges {
    subscription: Arc<Mutex<Listening>>,
    /// The batch after which the listening starts, if its caller named none. It stays the same if the call must be repeated
    /// because a file must first be adopted: what is written meanwhile is reported, and so is the adoption.
    start: Arc<OnceLock<u64>>,
}

#[derive(Default)]
enum Listening {
    #[default]
    NotYet,
    To(Arc<Subscription>),
    NoMore,
}

#[napi]
impl NativeChanges {
    #[napi(constructor, catch_unwind)]
    pub fn new() -> NativeChanges {
        NativeChanges::default()
    }

    /// Starts listening: to the changes after batch `from`, or to those from now on; to one collection, or to the whole
    /// database. The port is notified on `channel` when there are changes to take. Answers with the sequence number after
    /// which the listening starts.
    #[napi(catch_unwind)]
    pub fn open(
        &self,
        ticket: u32,
        port: &Port,
        collection: &NativeCollection,
        everything: bool,
        from: Option<f64>,
        channel: u32,
    ) {
        let (subscription, mailbox) = (Arc::clone(&self.subscription), port.mailbox());
        let first = Arc::clone(&self.start);
        let (spec, session) = (Arc::clone(&collection.spec), Arc::clone(&collection.session));
        // Writes that are called from now on must be reported, even if they are committed before the listening starts;
        // earlier ones of other processes must not, even if memory does not know them yet.
        let now = session.engine().map(|engine| engine.acknowledged_sequence());
        collection.session.read(ticket, move |database, options| {
            let first = *first.get_or_init(|| now.unwrap_or_else(|| session.opened_at()));
            let from = from.map_or(first, |from| from as u64);
            // Fails if the file must first be adopted.
            database.view(&spec, options)?;
            let path = (!everything).then(|| Arc::clone(&spec.path));
            let (opened, start) = database.subscribe(path, Some(from), move || mailbox.notify(channel))?;
            let mut subscription = subscription.lock();
            if !matches!(*subscription, Listening::NoMore) {
                *subscription = Listening::To(opened);
            }
            Ok(Answer::json(start.into()))
        });
    }

    /// Returns the changes since the last call as JSON: an array, or the description of an error; `null` if the engine is
    /// gone and the feed must be opened again.
    #[napi(catch_unwind)]
    pub fn take(&self) -> String {
        let changes = match &*self.subscription.lock() {
            Listening::To(subscription) => match subscription.take() {
                Ok(changes) if changes.is_empty() && subscription.is_over() => return "null".into(),
                taken => taken,
            },
            Listening::NotYet | Listening::NoMore => Ok(Vec::new()),
        };
        match changes {
            Ok(changes) => {
                let mut out = vec![b'['];
                for (at, change) in changes.iter().enumerate() {
                    out.extend_from_slice(if at == 0 { b"" } else { b"," });
                    push_change(&mut out, change);
                }
                out.push(b']');
                String::from_utf8(out).unwrap_or_default()
            }
            Err(error) => describe(&error),
        }
    }

    #[napi(catch_unwind)]
    pub fn close(&self) {
        *self.subscription.lock() = Listening::NoMore;
    }
}

#[napi]
impl NativeCollection {
    /// Answers with the sequence number of the last batch of the database.
    #[napi(catch_unwind)]
    pub fn sequence(&self, ticket: u32) {
        self.session.read(ticket, |database, _| Ok(Answer::json(database.sequence()?.into())));
    }
}

fn push_change(out: &mut Vec<u8>, change: &Change) {
    let text = |path: &Arc<str>| json::quote(path).to_string();
    match change {
        Change::Reset { seq, collection } => {
            let collection = collection.as_ref().map_or("null".to_owned(), text);
            let reset = format!("{{\"kind\":\"reset\",\"sequence\":{seq},\"collection\":{collection}}}");
            out.extend_from_slice(reset.as_bytes());
        }
        Change::Documents { seq, collection, dropped, created, updated, deleted } => {
            let start = format!(
                "{{\"kind\":\"change\",\"sequence\":{seq},\"collection\":{},\"emptied\":{dropped}",
                text(collection)
            );
            out.extend_from_slice(start.as_bytes());
            for (name, ids) in [("created", created), ("updated", updated), ("deleted", deleted)] {
                push_ids(out, name, ids);
            }
            out.push(b'}');
        }
    }
}

fn push_ids(out: &mut Vec<u8>, name: &str, ids: &[DocumentId]) {
    out.extend_from_slice(format!(",\"{name}\":[").as_bytes());
    for (at, id) in ids.iter().enumerate() {
        out.extend_from_slice(if at == 0 { b"" } else { b"," });
        push_id(out, id);
    }
    out.push(b']');
}
