//! Statistics and events on their way to JavaScript.

use std::time::Duration;

use serde_json::{Value, json};

use super::error::describe;
use crate::engine::{CollectionStatistics, Database, Event, Statistics, Timing};

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

fn timing(timing: &Timing) -> Value {
    json!({ "count": timing.count, "total": milliseconds(timing.total), "longest": milliseconds(timing.longest) })
}

fn collection(collection: &CollectionStatistics) -> Value {
    json!({
        "path": &*collection.path,
        "documents": collection.documents,
        "bytes": collection.bytes,
        "changedDocuments": collection.changed_documents,
        "changedBytes": collection.changed_bytes,
    })
}

/// Returns statistics as JSON; `engine` and `cache` are for `statistics.js`, callers receive the rest as it is.
pub fn statistics_text(found: &Statistics) -> Vec<u8> {
    let (sequence, journal, writes) = (&found.sequence, &found.journal, &found.writes);
    let last = found.checkpoints.last.map(
        |last| json!({ "at": last.at, "age": milliseconds(last.age), "duration": milliseconds(last.took) }),
    );
    let mut checkpoints = timing(&found.checkpoints.timing);
    checkpoints["failed"] = found.checkpoints.failed.into();
    checkpoints["last"] = last.into();
    let text = json!({
        "engine": found.engine,
        "directory": found.directory.display().to_string(),
        "opened": found.opened,
        "readOnly": found.read_only,
        "sequence": {
            "last": sequence.last,
            "acknowledged": sequence.acknowledged,
            "durable": sequence.durable,
            "covered": sequence.covered,
        },
        "journal": {
            "generation": journal.generation,
            "files": journal.files,
            "bytes": journal.bytes,
            "pendingBytes": journal.pending_bytes,
        },
        "collections": found.collections.iter().map(collection).collect::<Vec<_>>(),
        "writes": {
            "groups": writes.groups,
            "batches": writes.batches,
            "documents": writes.documents,
            "documentBytes": writes.document_bytes,
            "journalBytes": writes.journal_bytes,
            "snapshotBytes": writes.snapshot_bytes,
            "indexBytes": writes.index_bytes,
            "amplification": writes.amplification(),
            "conflicts": writes.conflicts,
        },
        "syncs": timing(&found.syncs),
        "lockWaits": timing(&found.lock_waits),
        "checkpoints": checkpoints,
        "catchUps": {
            "count": found.catch_ups.count,
            "batches": found.catch_ups.batches,
            "reloads": found.catch_ups.reloads,
        },
        "cache": {
            "size": found.cache.size,
            "maxSize": found.cache.limits.entries,
            "ttl": found.cache.limits.ttl.as_millis() as u64,
            "hits": found.cache.hits,
            "misses": found.cache.misses,
        },
        "openFiles": found.open_files,
        "tipMapped": found.tip_mapped,
    });
    text.to_string().into_bytes()
}

/// Returns an event of a channel as JSON: the channel's name, the members for subscribers, and the error as in [`describe`].
pub fn event_text(database: &Database, event: &Event) -> Option<String> {
    let (channel, mut fields, took, error) = match event {
        Event::Opened(opened) => {
            let fields = json!({
                "alone": opened.alone,
                "readOnly": opened.read_only,
                "cut": opened.cut,
                "sequence": opened.sequence,
                "pendingBatches": opened.pending_batches,
            });
            ("open", fields, opened.took, None)
        }
        Event::Checkpointed(written) => {
            let fields = json!({
                "collections": written.collections,
                "bytes": written.bytes,
                "sequence": written.covered,
            });
            ("checkpoint", fields, written.took, None)
        }
        Event::CheckpointFailed { error, took } => ("checkpoint", json!({}), *took, Some(describe(error))),
        Event::Warned => return None,
    };
    fields["database"] = database.directory().display().to_string().into();
    fields["duration"] = milliseconds(took).into();
    Some(json!({ "channel": channel, "event": fields, "error": error }).to_string())
}
