'use strict'

// Calls that leave the JavaScript thread: each promise has a ticket, and native code answers by ticket.

const { AsyncResource } = require('node:async_hooks')
const { Port } = require('./native.js')
const { Pieces } = require('./answers.js')
const { aborted, throwIfAborted, whenAborted } = require('./abort.js')
const { channels, publish, warn } = require('./diagnostics.js')
const { errorFrom, retraced } = require('./errors.js')
const { outside } = require('./outside.js')
const { setImmediate } = require('./timers.js')

const ANSWERED = 0
const FAILED = 1
const WARNED = 2
const PROGRESSED = 3
const NOTIFIED = 4
const HAPPENED = 5
const BEGUN = 6
const CONTINUED = 7
const DELAYED = 8

const waiting = new Map()
/** The listeners that native code notifies, by channel. */
const listeners = new Map()
let lastChannel = 0
let last = 0
let opened

/** The mailbox of this thread, opened with the first storage. */
function port() {
  return (opened ??= outside(() => new Port(settle)))
}

/** Whether the event loop must turn before more answers are taken. */
let resting = false

/** Settles the promises whose answers have arrived. Nothing in here throws, since an error would reach no caller. */
function settle() {
  if (resting) return
  let messages
  try {
    messages = opened.take()
  } catch (error) {
    // It is unknown whose answers these were, so all waiting calls fail.
    for (const ticket of [...waiting.keys()]) ended(ticket).reject(error)
    releaseIfIdle()
    // Messages may wait behind a piece of an answer, and nothing else wakes this thread up for them.
    rest()
    return
  }
  for (let at = 0; at < messages.length; at += 3) deliver(messages[at], messages[at + 1], messages[at + 2])
  releaseIfIdle()
}

/** Delivers one message. It is for a call, by its ticket, for a listener, by its channel, or for the whole process. */
function deliver(kind, to, content) {
  switch (kind) {
    case NOTIFIED:
      return listeners.get(to)?.notify()
    case PROGRESSED:
      return waiting.get(to)?.progress?.(...JSON.parse(content))
    case DELAYED:
      return waiting.get(to)?.delayed?.(content)
    case HAPPENED:
      return publishNative(content)
    case WARNED: {
      const { code, message } = JSON.parse(content)
      return warn(code, message)
    }
    case BEGUN:
    case CONTINUED:
      rest()
      return addPiece(to, kind === BEGUN, content)
    default: {
      const promise = ended(to)
      if (promise !== undefined) answerTo(promise, kind, content)
    }
  }
}

/** Lets the process end if no call waits, and lets this module be garbage-collected if no listener waits either. */
function releaseIfIdle() {
  if (waiting.size === 0) opened?.release(listeners.size > 0)
}

function answerTo({ resolve, reject, pieces }, kind, answer) {
  try {
    if (kind === ANSWERED) resolve(withPieces(pieces, answer))
    else reject(errorFrom(JSON.parse(answer)))
  } catch (error) {
    // The answer is too large for this thread.
    reject(error)
  }
}

/** Removes and returns the promise of a call that has ended; undefined if the call was aborted. */
function ended(ticket) {
  const promise = waiting.get(ticket)
  waiting.delete(ticket)
  promise?.forget?.()
  return promise
}

/** Lets the event loop turn before more messages, such as the next piece of a long answer, are taken. */
function rest() {
  resting = true
  setImmediate(() => {
    resting = false
    settle()
  })
}

/** Adds a piece to the answer of a call, which fails if the answer becomes too large for this thread. */
function addPiece(ticket, first, answer) {
  const promise = waiting.get(ticket)
  if (promise === undefined) return
  try {
    if (first) promise.pieces = new Pieces()
    promise.pieces.add(answer)
  } catch (error) {
    ended(ticket).reject(error)
  }
}

/** Returns an answer together with the pieces that came before it. */
function withPieces(pieces, answer) {
  if (pieces === undefined) return answer
  if (answer !== null) pieces.add(answer)
  return pieces
}

/** Publishes an event that a database raised of its own accord. */
function publishNative(text) {
  const { channel, event, error } = JSON.parse(text)
  publish(channels[channel], () => {
    event.time = Date.now() - event.duration
    return error === null ? event : { ...event, error: errorFrom(JSON.parse(error)) }
  })
}

/**
 * Lets a signal abort a call: at once, unless the call is already changing something and therefore runs to its end. Returns
 * a function that detaches the signal.
 */
function endWith(signal, ticket) {
  const giveUp = () => {
    if (!opened.abort(ticket)) return
    const promise = waiting.get(ticket)
    waiting.delete(ticket)
    releaseIfIdle()
    promise?.reject(aborted(signal))
  }
  const forget = whenAborted(signal, giveUp)
  opened.mayAbort(ticket)
  return forget
}

/**
 * Starts a call and resolves with its answer, which `valueOf` turns into a value. The process stays alive until then.
 * `progress(done, total)` is called from time to time if native code reports progress, and `delayed(sentence)` once if the
 * call waits long for other processes, both in the caller's context; neither may throw. A `signal` aborts the call.
 *
 * Answers arrive in a turn of the event loop that has no trace of the caller. Since the promise is awaited here, the stack
 * of an error leads back to the caller, provided that every function in between awaits it too: a function that returns the
 * promise without awaiting it, or handles it a second time, would cut that stack off.
 */
async function call(start, options) {
  try {
    return await begun(start, options)
  } catch (error) {
    throw retraced(error, call)
  }
}

/** Returns a function that calls this one, if it is one, in the present context of `AsyncLocalStorage`. */
const inContext = (callback) => callback && AsyncResource.bind(callback)

function begun(start, { progress, delayed, signal } = {}) {
  return new Promise((resolve, reject) => {
    throwIfAborted(signal)
    do last = (last + 1) >>> 0
    while (waiting.has(last))
    const ticket = last
    const own = port()
    const forget = signal && endWith(signal, ticket)
    if (waiting.size === 0) own.hold()
    waiting.set(ticket, { resolve, reject, progress: inContext(progress), delayed: inContext(delayed), forget, pieces: undefined })
    try {
      start(ticket)
    } catch (error) {
      waiting.delete(ticket)
      forget?.()
      opened.abort(ticket)
      releaseIfIdle()
      reject(error)
    }
  })
}

/** Registers a listener, which then begins a call, and returns its channel. Listening does not keep the process alive. */
function listen(listener) {
  do lastChannel = (lastChannel + 1) >>> 0
  while (listeners.has(lastChannel))
  listeners.set(lastChannel, listener)
  return lastChannel
}

function silence(channel) {
  listeners.delete(channel)
  releaseIfIdle()
}

module.exports = { call, listen, port, silence }
