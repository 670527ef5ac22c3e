//! Embedded storage for JavaScript servers that keep their data as plain JSON files.
//!
//! The map of the house:
//!
//! - [`engine`] is the storage engine: pure, synchronous Rust that knows neither napi nor JavaScript.
//! - [`project`] holds OctoPrompt's own types and rules: projects, files and their version chains.
//! - [`cli`] (feature `cli`) is the command line over both.
//! - `src/node` is the binding, a crate of its own: options in, errors out, promises.
//!
//! `docs/design.md` describes the file formats byte by byte, the commit protocol and the lock order.

#[cfg(feature = "cli")]
pub mod cli;
pub mod engine;
pub mod project;
#[cfg(feature = "cli")]
pub mod reports;
