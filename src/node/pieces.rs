//! Lists on their way out. A long list crosses in pieces: JavaScript works on the pieces that are ready while the rest is
//! being made, and its event loop turns between them.

use super::parts::PartsList;
use super::port::{Answer, Mailbox};
use crate::engine::cancel;
use crate::engine::parallel::{self, shares};
use crate::engine::{Error, Result};

/// The pieces of the answer to one call, in order.
pub struct Pieces {
    mailbox: Mailbox,
    ticket: u32,
    /// The newest piece, and whether it is the first. It is held back, since the last piece is the answer.
    newest: Option<(bool, Answer)>,
    begun: bool,
    sent: bool,
    failure: Option<Error>,
}

impl Pieces {
    pub fn new(mailbox: Mailbox, ticket: u32) -> Pieces {
        Pieces { mailbox, ticket, newest: None, begun: false, sent: false, failure: None }
    }

    /// Discards what was added: another first piece follows.
    pub fn start_over(&mut self) {
        self.newest = None;
        self.begun = false;
        self.failure = None;
    }

    pub fn add(&mut self, list: PartsList) {
        let first = !std::mem::replace(&mut self.begun, true);
        match Answer::Parts(list.finish()).fitting() {
            Ok(piece) => {
                if let Some((was_first, piece)) = self.newest.replace((first, piece)) {
                    self.send(was_first, piece);
                }
            }
            Err(failure) => self.failure = Some(failure),
        }
    }

    fn send(&mut self, first: bool, piece: Answer) {
        self.sent = true;
        self.mailbox.piece(self.ticket, first, piece);
    }

    /// Returns the last piece, with which the call is answered.
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
            None => Ok(Answer::Parts(PartsList::default().finish())),
        }
    }

    /// Returns the answer that lists these items, each of which has `bytes` bytes; `push` adds an item to a piece.
    ///
    /// # Errors
    /// `ABORTED`, `TOO_LARGE`.
    pub fn list<T: Sync>(
        mut self,
        items: &[T],
        bytes: impl Fn(&T) -> usize,
        push: impl Fn(&mut PartsList, &T) + Sync,
    ) -> Result<Answer> {
        let all = items.iter().map(&bytes).sum();
        let make = |share: &&[T]| {
            cancel::check()?;
            let mut list = PartsList::default();
            share.iter().for_each(|item| push(&mut list, item));
            Ok(list)
        };
        parallel::in_order(&shares(items, bytes), all, make, |list| self.add(list))?;
        self.last()
    }

    /// Returns the answer that lists documents, with the large `field` apart where they have one.
    ///
    /// # Errors
    /// As [`Pieces::list`].
    pub fn documents<T: AsRef<[u8]> + Sync>(self, texts: &[T], field: Option<&str>) -> Result<Answer> {
        self.list(texts, |text| text.as_ref().len(), |list, text| list.push_document(text.as_ref(), field))
    }
}
