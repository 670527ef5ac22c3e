//! Several real processes on one database: each document behaves like one register, whoever reads and writes it.
//!
//! `PROCESS_SECONDS=600 cargo test --test processes` runs longer.

mod history;
mod holder;
#[cfg(unix)]
mod limits;
mod pause;
#[path = "../support/reached.rs"]
mod reached;
mod registers;
#[path = "../support/mod.rs"]
mod support;
mod worker;
