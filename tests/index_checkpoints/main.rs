//! Index checkpoints: when a collection is loaded from one and when from its documents, and that queries find the same
//! either way.

mod loading;
#[path = "../support/mod.rs"]
mod support;
mod times;
mod world;
mod writing;
