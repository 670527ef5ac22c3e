//! Answers that are long in the making: what is ready goes ahead, so that JavaScript works on it meanwhile.

use super::port::{Answer, Mailbox};
use crate::engine::{Error, Result};

/// The pieces of the answer to one call, in their order.
pub struct Pieces {
    mailbox: Mailbox,
    ticket: u32,
    /// The newest piece, and whether it is the first one: it waits, since the last one is the answer.
    newest: Option<(bool, Answer)>,
    sent: bool,
    failure: Option<Error>,
}

impl Pieces {
    pub fn new(mailbox: Mailbox, ticket: u32) -> Pieces {
        Pieces { mailbox, ticket, newest: None, sent: false, failure: None }
    }

    /// Adds a piece. Before the `first` one there was nothing, or nothing that counts.
    pub fn add(&mut self, first: bool, piece: Answer) {
        if first {
            self.failure = None;
        }
        if !piece.fits() {
            self.failure = Some(Error::TooLarge("the answer".into()));
            return;
        }
        let before = self.newest.replace((first, piece));
        if let Some((was_first, piece)) = before.filter(|_| !first) {
            self.send(was_first, piece);
        }
    }

    fn send(&mut self, first: bool, piece: Answer) {
        self.sent = true;
        self.mailbox.piece(self.ticket, first, piece);
    }

    /// What the call is answered with at last.
    pub fn last(mut self) -> Result<Answer> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        match self.newest.take() {
            Some((true, piece)) if self.sent => {
                self.send(true, piece);
                Ok(Answer::Nothing)
            }
            Some((_, piece)) => Ok(piece),
            None => Ok(Answer::Nothing),
        }
    }
}
