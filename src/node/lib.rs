//! The binding between the engine and JavaScript, which converts options, errors and promises. It has no storage logic.
//!
//! What is exported here is internal; `index.js` is the public interface. A call that may leave the thread takes the ticket
//! of the promise that waits for it and is answered through the [`port`]. A call named `peek…` answers at once or returns
//! `undefined`. Documents cross as JSON text.

#![cfg_attr(test, allow(dead_code, reason = "exports are registered outside of tests only"))]

// The engine's modules, under the names that they have in the engine.
use octoprompt_storage::*;

mod backup;
mod base;
mod batches;
mod changes;
mod collection;
mod error;
mod files;
mod fresh;
mod given_texts;
mod index_query;
mod indexes;
mod life;
mod lists;
mod migrations;
mod options;
mod parts;
mod pieces;
mod pool;
mod port;
mod projects;
mod queries;
mod records;
mod report;
mod schema;
mod session;
mod site;
mod statistics;
mod streams;
mod text;
mod transaction;
mod transaction_batches;
mod watch;
mod weak_function;
