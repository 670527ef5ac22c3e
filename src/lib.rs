//! Embedded storage for JavaScript servers that keep their data as plain JSON files.
//!
//! The map of the house:
//!
//! - [`engine`] is the storage engine: pure, synchronous Rust that knows neither napi nor JavaScript.
//! - [`project`] holds OctoPrompt's own types and rules: projects, files and their version chains.
//! - [`reports`] is what the engine reports as JSON.
//! - `src/cli` is the command line over them, `src/node` the binding (options in, errors out, promises), `src/json` what is
//!   known of JSON as text: crates of their own.
//!
//! `docs/design.md` describes the file formats byte by byte, the commit protocol and the lock order.

pub mod engine;
pub mod project;
pub mod reports;
