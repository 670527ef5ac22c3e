//! The way back to JavaScript: the answers of calls that left the calling thread.
//!
//! JavaScript keeps the promises and numbers them; native code only posts how the call with a number has ended. One
//! threadsafe function per environment wakes JavaScript up, however many answers wait. It keeps the process alive, and the
//! JavaScript that it wakes in memory, only while JavaScript says that it is waiting.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use napi::bindgen_prelude::{Either, Either3, Function, Null};
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Env, JsString, Result, Status};
use napi_derive::napi;
use parking_lot::Mutex;

use super::error::describe;
use super::parts::{JsParts, Parts};
use super::statistics::event_text;
use super::weak_function::WeakFunction;
use crate::engine::cancel::Cancel;
use crate::engine::{Database, Error, Event, LONGEST_TEXT, Observer, Warning, patience};

type Wake = ThreadsafeFunction<(), (), (), Status, false, true>;

/// What a call returns: JSON text, documents whose large fields are apart, or nothing.
pub enum Answer {
    Nothing,
    Text(Arc<[u8]>),
    Parts(Parts),
}

impl Answer {
    pub fn text(text: impl Into<Arc<[u8]>>) -> Answer {
        Answer::Text(text.into())
    }

    pub fn json(value: serde_json::Value) -> Answer {
        Answer::text(value.to_string().into_bytes())
    }

    pub fn maybe(text: Option<impl Into<Arc<[u8]>>>) -> Answer {
        text.map_or(Answer::Nothing, |text| Answer::Text(text.into()))
    }

    /// Whether the answer is small enough for JavaScript.
    pub fn fits(&self) -> bool {
        match self {
            Answer::Nothing => true,
            Answer::Text(text) => text.len() <= LONGEST_TEXT,
            Answer::Parts(parts) => parts.longest() <= LONGEST_TEXT,
        }
    }

    /// Returns the answer if it fits. A write asks this before it commits, so that it changes nothing if it cannot be
    /// answered.
    ///
    /// # Errors
    /// `TOO_LARGE`.
    pub fn fitting(self) -> crate::engine::Result<Answer> {
        if self.fits() { Ok(self) } else { Err(Error::TooLarge("the answer".into())) }
    }

    pub fn to_js<'env>(&self, env: &'env Env) -> Result<JsAnswer<'env>> {
        Ok(match self {
            Answer::Nothing => Either3::A(Null),
            Answer::Text(text) => Either3::B(json_string(env, text)?),
            Answer::Parts(parts) => Either3::C(parts.to_js(env)?),
        })
    }
}

/// An answer as it crosses.
pub type JsAnswer<'env> = Either3<Null, JsString<'env>, JsParts<'env>>;

/// Returns JSON text as a JavaScript string. The texts of the engine are known to be UTF-8.
pub fn json_string<'env>(env: &'env Env, text: &[u8]) -> Result<JsString<'env>> {
    if text.is_ascii() {
        env.create_string_latin1(text)
    } else {
        env.create_string(String::from_utf8_lossy(text))
    }
}

enum Message {
    Answered(u32, Answer),
    /// A piece of an answer, with `true` for the first piece.
    Piece(u32, bool, Answer),
    Failed(u32, Error),
    Warned(Warning),
    /// There is something to take for the listener on this channel.
    Notified(u32),
    Progressed(u32, u64, u64),
    /// A call waits for other processes, as this text says.
    Delayed(u32, String),
    /// An event of a database, as JSON.
    Happened(String),
}

/// The mailbox of one environment.
#[derive(Clone)]
pub struct Mailbox {
    inner: Arc<Inner>,
    observer: Arc<dyn Observer>,
    /// The calls that may be aborted, by ticket, until JavaScript takes their answers.
    cancels: Arc<Mutex<HashMap<u32, Cancel>>>,
}

struct Inner {
    messages: Mutex<Vec<Message>>,
    wake: Wake,
    /// Whether the environment is gone, such as that of a worker thread that was terminated.
    ended: AtomicBool,
}

/// Posts the events that databases raise of their own accord, and the warnings that come with them.
struct Watcher(Arc<Inner>);

impl Observer for Watcher {
    fn notice(&self, database: &Database, event: &Event) {
        for warning in database.take_warnings() {
            self.0.post(Message::Warned(warning));
        }
        if let Some(text) = event_text(database, event) {
            self.0.post(Message::Happened(text));
        }
    }
}

impl Mailbox {
    fn new(wake: Wake) -> Mailbox {
        let inner = Arc::new(Inner { messages: Mutex::default(), wake, ended: AtomicBool::new(false) });
        Mailbox { observer: Arc::new(Watcher(Arc::clone(&inner))), inner, cancels: Arc::default() }
    }

    /// Returns the observer of the events of the databases that this environment uses.
    pub fn observer(&self) -> &Arc<dyn Observer> {
        &self.observer
    }

    fn post(&self, message: Message) {
        self.inner.post(message);
    }

    /// Checked before a call changes anything, so that no call left behind by a migration takes effect after the migration
    /// was undone.
    ///
    /// # Errors
    /// `ABORTED` if the environment is gone, and the caller with it.
    pub fn check_caller(&self) -> crate::engine::Result<()> {
        if self.inner.ended.load(Ordering::Acquire) {
            return Err(Error::Aborted("the call"));
        }
        Ok(())
    }

    /// Returns the cancellation flag of a call, or a flag that is never raised if the call cannot be aborted.
    pub fn cancel_of(&self, ticket: u32) -> Cancel {
        self.cancels.lock().get(&ticket).cloned().unwrap_or_default()
    }

    pub fn answer(&self, ticket: u32, result: crate::engine::Result<Answer>) {
        self.post(match result.and_then(Answer::fitting) {
            Ok(answer) => Message::Answered(ticket, answer),
            Err(error) => Message::Failed(ticket, error),
        });
    }

    /// Sends a piece of an answer ahead. The piece fits. The `first` piece replaces whatever was sent before it.
    pub fn piece(&self, ticket: u32, first: bool, piece: Answer) {
        self.post(Message::Piece(ticket, first, piece));
    }

    pub fn warn(&self, warnings: Vec<Warning>) {
        warnings.into_iter().for_each(|warning| self.post(Message::Warned(warning)));
    }

    /// Reports how many of how many bytes the call has processed.
    pub fn progress(&self, ticket: u32, done: u64, total: u64) {
        self.post(Message::Progressed(ticket, done, total));
    }

    /// Runs the work of a call, and tells JavaScript once if it waits long for other processes.
    pub fn watched<T>(&self, ticket: u32, work: impl FnOnce() -> T) -> T {
        let mailbox = self.clone();
        let watcher = move |busy: &Error| {
            let text = patience::describe(busy, |path| path.display().to_string());
            mailbox.post(Message::Delayed(ticket, text));
        };
        patience::watched(watcher, work)
    }

    pub fn notify(&self, channel: u32) {
        self.post(Message::Notified(channel));
    }
}

impl Inner {
    fn post(&self, message: Message) {
        let first = {
            let mut messages = self.messages.lock();
            messages.push(message);
            messages.len() == 1
        };
        if first {
            // An environment that is going away accepts no calls; its promises are gone too.
            self.wake.call((), ThreadsafeFunctionCallMode::NonBlocking);
        }
    }
}

/// The kinds of messages, as numbered in what `take` returns.
const ANSWERED: u32 = 0;
const FAILED: u32 = 1;
const WARNED: u32 = 2;
const PROGRESSED: u32 = 3;
const NOTIFIED: u32 = 4;
const HAPPENED: u32 = 5;
const BEGUN: u32 = 6;
const CONTINUED: u32 = 7;
const DELAYED: u32 = 8;

#[napi]
pub struct Port {
    mailbox: Mailbox,
    holder: Mutex<Wake>,
    wake: Rc<WeakFunction>,
}

#[napi]
impl Port {
    /// `wake` is called on the JavaScript thread when messages wait. It is kept in memory only while a call is under way or a
    /// listener waits: it refers to the port and to the whole package, and so would keep every copy that hot reloading or a
    /// test runner evaluates.
    #[napi(constructor, catch_unwind)]
    pub fn new(env: Env, wake: Function<'_, (), ()>) -> Result<Port> {
        let wake = WeakFunction::new(&env, &wake)?;
        let caller = wake.caller(&env)?;
        let build = || caller.build_threadsafe_function::<()>().weak::<true>().build_callback(|_| Ok(()));
        let mailbox = Mailbox::new(build()?);
        // Runs before the objects of the environment are dropped. A migration in progress is one of them, and is undone
        // then.
        env.add_env_cleanup_hook(Arc::downgrade(&mailbox.inner), |inner| {
            if let Some(inner) = inner.upgrade() {
                inner.ended.store(true, Ordering::Release);
            }
        })?;
        Ok(Port { mailbox, holder: Mutex::new(build()?), wake })
    }

    /// Takes the messages that wait, three elements each: kind, ticket, answer. Failures, warnings and events are JSON, and
    /// so is progress: `[done, total]`; why a call is delayed is a sentence. Messages behind a piece of an answer wait until
    /// the next call: one piece is enough work for JavaScript, and nothing wakes it up for the rest.
    #[napi(catch_unwind)]
    pub fn take<'env>(&self, env: &'env Env) -> Result<Vec<Either<u32, JsAnswer<'env>>>> {
        let messages: Vec<Message> = {
            let mut waiting = self.mailbox.inner.messages.lock();
            let piece = waiting.iter().position(|message| matches!(message, Message::Piece(..)));
            let count = piece.map_or(waiting.len(), |piece| piece + 1);
            waiting.drain(..count).collect()
        };
        let mut cancels = self.mailbox.cancels.lock();
        for message in &messages {
            if let Message::Answered(ticket, _) | Message::Failed(ticket, _) = message {
                cancels.remove(ticket);
            }
        }
        drop(cancels);
        let mut flat = Vec::with_capacity(messages.len() * 3);
        for message in messages {
            let (kind, ticket, answer) = match message {
                Message::Answered(ticket, answer) => (ANSWERED, ticket, answer),
                Message::Piece(ticket, true, piece) => (BEGUN, ticket, piece),
                Message::Piece(ticket, false, piece) => (CONTINUED, ticket, piece),
                Message::Happened(event) => (HAPPENED, 0, Answer::text(event.into_bytes())),
                Message::Delayed(ticket, text) => (DELAYED, ticket, Answer::text(text.into_bytes())),
                Message::Notified(channel) => (NOTIFIED, channel, Answer::Nothing),
                Message::Failed(ticket, error) => {
                    (FAILED, ticket, Answer::text(describe(&error).into_bytes()))
                }
                Message::Warned(warning) => {
                    let text =
                        serde_json::json!({ "code": warning.code.as_str(), "message": warning.message });
                    (WARNED, 0, Answer::text(text.to_string().into_bytes()))
                }
                Message::Progressed(ticket, done, total) => {
                    (PROGRESSED, ticket, Answer::text(format!("[{done},{total}]").into_bytes()))
                }
            };
            let (kind, answer) = match answer.to_js(env) {
                // JavaScript has no room for the answer. That must not keep the other calls from their answers.
                Err(_) if matches!(kind, ANSWERED | BEGUN | CONTINUED) => {
                    let error = describe(&Error::TooLarge("the answer".into()));
                    (FAILED, Answer::text(error.into_bytes()).to_js(env)?)
                }
                answer => (kind, answer?),
            };
            flat.extend([Either::A(kind), Either::A(ticket), Either::B(answer)]);
        }
        Ok(flat)
    }

    /// Declares, before a call begins, that the call may be aborted.
    #[napi(catch_unwind)]
    pub fn may_abort(&self, ticket: u32) {
        self.mailbox.cancels.lock().insert(ticket, Cancel::default());
    }

    /// Aborts a call, so that the work behind it ends soon. Returns false if it is too late because the call has begun to
    /// change something; its answer then tells how it ends.
    #[napi(catch_unwind)]
    pub fn abort(&self, ticket: u32) -> bool {
        self.mailbox.cancels.lock().remove(&ticket).is_some_and(|cancel| cancel.cancel())
    }

    /// Keeps the process alive, and `wake` in memory, until `release`.
    #[napi(catch_unwind)]
    #[allow(
        deprecated,
        reason = "the process must live only while a call is under way, which no newer call expresses"
    )]
    pub fn hold(&self, env: Env) -> Result<()> {
        self.wake.keep(true)?;
        self.holder.lock().refer(&env)
    }

    /// `listening` tells whether a listener still waits, for which `wake` stays in memory.
    #[napi(catch_unwind)]
    #[allow(deprecated, reason = "the counterpart of `hold`")]
    pub fn release(&self, env: Env, listening: bool) -> Result<()> {
        self.wake.keep(listening)?;
        self.holder.lock().unref(&env)
    }
}

impl Port {
    pub fn mailbox(&self) -> Mailbox {
        self.mailbox.clone()
    }
}
