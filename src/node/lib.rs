//! The binding between the engine and JavaScript: options in, errors out, promises. No storage logic.
//!
//! What is exported here is internal; `index.js` is the public face. Calls that may leave the thread take the ticket of
//! the promise that waits for them and are answered through the [`port`]; calls named `peek…` answer at once or give
//! `undefined`. Documents cross as JSON text.

#![cfg_attr(test, allow(dead_code, reason = "exports are registered outside of tests only"))]

// The engine's modules under the names that they have there.
use octoprompt_storage::*;

mod backup;
mod base;
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
mod watch;
