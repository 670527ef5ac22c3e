//! How far an instance of a storage is: the calls that it answers, repairs that want it for themselves, its end.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::engine::cancel::Cancel;
use crate::engine::{Database, Request};

pub type Job = Box<dyn FnOnce() + Send>;

#[derive(Default)]
pub struct Life {
    pub engine: Engine,
    /// Calls that have begun and are not answered yet.
    pub pending: usize,
    /// Repairs that are not answered yet: the first one has the database for itself, or waits until it has.
    pub repairs: VecDeque<Repair>,
    /// Calls that came while there were repairs.
    pub later: Later,
    /// No more calls are taken.
    pub closing: bool,
    /// Those who wait until every call is answered, to end the instance.
    pub closers: Vec<u32>,
}

pub struct Repair {
    pub ticket: u32,
    pub cancel: Cancel,
}

/// What begins when the repairs have ended.
#[derive(Default)]
pub struct Later {
    pub jobs: Vec<Job>,
    /// In their order.
    pub writes: Vec<Request>,
}

/// What is to be done on the pool after a change of a life. It is begun when the life is unlocked: without threads the
/// pool does its work at once, and that work takes the lock.
pub enum Next {
    Nothing,
    Open,
    Drain(Arc<Database>),
    Finish(Vec<u32>),
}

impl Life {
    /// Hands a write to the engine, or to those who open it.
    pub fn queue(&mut self, request: Request) -> Next {
        match &mut self.engine {
            Engine::Open(database) => {
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
                Next::Open
            }
        }
    }

    /// The end of the instance, if somebody wants that and every call is answered.
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
    /// Writes that arrived meanwhile keep their order.
    Opening(Vec<Request>),
    Open(Arc<Database>),
}
