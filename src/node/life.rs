//! The state of an instance of a storage: the calls in progress, the repairs that need it to themselves, and its end.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::engine::cancel::Cancel;
use crate::engine::{Database, Declaration, Request};

pub type Job = Box<dyn FnOnce() + Send>;

#[derive(Default)]
pub struct Life {
    pub engine: Engine,
    /// The number of calls that have begun and have not been answered yet, and of openings under way for writes.
    pub pending: usize,
    /// Repairs that have not been answered yet. The first one has the database to itself, or waits until it has.
    pub repairs: VecDeque<Repair>,
    /// Calls that arrived while there were repairs.
    pub later: Later,
    /// Whether further calls are refused.
    pub closing: bool,
    /// The tickets of those who wait until every call is answered, in order to end the instance.
    pub closers: Vec<u32>,
}

pub struct Repair {
    pub ticket: u32,
    pub cancel: Cancel,
}

/// The calls that begin once the repairs have ended.
#[derive(Default)]
pub struct Later {
    pub jobs: Vec<Job>,
    /// In the order of their calls.
    pub writes: Vec<Request>,
}

/// What must be done on the pool after a change of a life. It is begun only once the life is unlocked: without threads, the
/// pool runs the work at once, and that work takes the lock.
pub enum Next {
    Nothing,
    Open,
    Drain(Arc<Database>),
    Finish(Vec<u32>),
}

impl Life {
    /// Hands a write to the engine, or keeps it until the engine is open.
    pub fn queue(&mut self, request: Request) -> Next {
        match &mut self.engine {
            Engine::Open(Opened { database, .. }) => {
                if database.submit(request) {
                    return Next::Drain(Arc::clone(database));
                }
                Next::Nothing
            }
            Engine::Opening(waiting) => {
                waiting.push(request);
                Next::Nothing
            }
            Engine::Unopened => {
                self.engine = Engine::Opening(vec![request]);
                self.pending += 1;
                Next::Open
            }
        }
    }

    /// Returns the end of the instance if it was asked for and every call is answered.
    pub fn end_if_idle(&mut self) -> Next {
        if self.closers.is_empty() || self.pending > 0 || !self.repairs.is_empty() {
            return Next::Nothing;
        }
        Next::Finish(std::mem::take(&mut self.closers))
    }
}

#[derive(Default)]
pub enum Engine {
    #[default]
    Unopened,
    /// Writes that arrive while the engine is being opened, in their order.
    Opening(Vec<Request>),
    Open(Opened),
}

#[derive(Clone)]
pub struct Opened {
    pub database: Arc<Database>,
    /// Claims the indexes of the instance's collection until the instance ends.
    pub _declaration: Option<Arc<Declaration>>,
}
