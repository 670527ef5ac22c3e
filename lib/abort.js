'use strict'

// AbortSignals: a call that is given up rejects at once, and the work behind it ends soon.

const { describe } = require('./arguments.js')
const { setTimeout } = require('./timers.js')
const { invalid, refusal } = require('./errors.js')

/** Checks a signal that a caller passed; `undefined` stands for none. */
function signalOf(signal) {
  if (signal === undefined) return undefined
  const complete = signal !== null && typeof signal === 'object' && typeof signal.aborted === 'boolean'
  if (complete && typeof signal.addEventListener === 'function') return signal
  throw invalid(`signal must be an AbortSignal, got ${describe(signal)}`)
}

/** The `signal` of an options object, and nothing else. */
function signalOption(options) {
  if (options === undefined) return undefined
  if (options === null || typeof options !== 'object' || Array.isArray(options)) throw invalid(`options must be an object, got ${describe(options)}`)
  return signalOf(options.signal)
}

function aborted(signal) {
  return refusal('ABORTED', 'the call was aborted', { cause: signal.reason, reason: signal.reason })
}

function throwIfAborted(signal) {
  if (signal?.aborted) throw aborted(signal)
}

/** What is waiting for a signal, by signal. */
const waiting = new WeakMap()

/**
 * Calls `act` when a signal is raised, if there is one. Gives what forgets that. However many calls have a signal, it has one
 * listener of this package: runtimes take many for a leak and warn of them.
 */
function whenAborted(signal, act) {
  if (signal === undefined) return () => {}
  const known = waiting.get(signal) ?? listenTo(signal)
  known.acts.add(act)
  return () => {
    known.acts.delete(act)
    if (known.acts.size > 0) return
    waiting.delete(signal)
    try {
      signal.removeEventListener('abort', known.listener)
    } catch {
      // A signal that is none of the runtime's. Nobody waits for it any more, whatever it says.
    }
  }
}

function listenTo(signal) {
  const acts = new Set()
  const listener = () => {
    waiting.delete(signal)
    for (const act of acts) act()
  }
  signal.addEventListener('abort', listener, { once: true })
  const known = { acts, listener }
  waiting.set(signal, known)
  return known
}

/** What a promise gives, unless the signal is raised before. What it gives later is of no account. */
function unlessAborted(signal, promise, onAbort = () => {}) {
  if (signal === undefined) return promise
  return new Promise((resolve, reject) => {
    const giveUp = () => {
      reject(aborted(signal))
      onAbort()
    }
    let forget
    // First of all: a promise that nobody waits for any more may still be rejected.
    promise.then(resolve, reject).finally(() => forget?.())
    if (signal.aborted) return giveUp()
    forget = whenAborted(signal, giveUp)
  })
}

/** Resolves after a short pause, unless the signal is raised before. */
function pause(ms, signal) {
  return unlessAborted(signal, new Promise((resolve) => setTimeout(resolve, ms)))
}

module.exports = { aborted, pause, signalOf, signalOption, throwIfAborted, unlessAborted, whenAborted }
