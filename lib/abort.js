'use strict'

// AbortSignals: an aborted call rejects at once, and the work behind it ends soon afterwards.

const { describe } = require('./arguments.js')
const { optionsOf } = require('./call-options.js')
const { setTimeout } = require('./timers.js')
const { invalid, refusal, retraced } = require('./errors.js')

/** Checks a signal that a caller passed; `undefined` stands for none. */
function signalOf(signal) {
  if (signal === undefined) return undefined
  const complete = signal !== null && typeof signal === 'object' && typeof signal.aborted === 'boolean'
  if (complete && typeof signal.addEventListener === 'function') return signal
  throw invalid(`signal must be an AbortSignal, got ${describe(signal)}`)
}

/** Returns the `signal` of an options object; other properties are ignored. */
function signalOption(options) {
  return options === undefined ? undefined : signalOf(optionsOf(options).signal)
}

function aborted(signal) {
  const reason = reasonOf(signal)
  return refusal('ABORTED', 'the call was aborted', { cause: reason, reason })
}

/** Returns the reason of a signal. The signal may not be the runtime's own: what it throws is then the reason. */
function reasonOf(signal) {
  try {
    return signal.reason
  } catch (error) {
    return error
  }
}

function throwIfAborted(signal) {
  if (signal?.aborted) throw aborted(signal)
}

/** The callbacks that wait for a signal, by signal. */
const waiting = new WeakMap()

/**
 * Calls `act` when the signal, if there is one, is aborted. Returns a function that cancels this. However many calls share a
 * signal, this package adds only one listener to it: runtimes take many listeners for a leak and warn about them.
 */
function whenAborted(signal, act) {
  if (signal === undefined) return () => {}
  const known = waiting.get(signal) ?? listenTo(signal)
  known.acts.add(act)
  return () => {
    // Once the last callback is cancelled, later calls have a listener of their own, which this must not touch.
    if (!known.acts.delete(act) || known.acts.size > 0) return
    waiting.delete(signal)
    try {
      signal.removeEventListener('abort', known.listener)
    } catch {
      // The signal is not the runtime's own. Nothing waits for it any more, so this error does not matter.
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

/** Settles as `promise` does, unless the signal is aborted first; the outcome of the promise is then ignored. */
function unlessAborted(signal, promise, onAbort = () => {}) {
  return signal === undefined ? promise : raced(signal, promise, onAbort)
}

async function raced(signal, promise, onAbort) {
  let ours
  try {
    return await new Promise((resolve, reject) => {
      const giveUp = () => {
        reject((ours = aborted(signal)))
        onAbort()
      }
      let forget
      // Attached first, because the promise may still reject after it has been given up.
      promise.then(resolve, reject).finally(() => forget?.())
      if (signal.aborted) return giveUp()
      forget = whenAborted(signal, giveUp)
    })
  } catch (error) {
    throw error === ours ? retraced(error, raced) : error
  }
}

/** Resolves after a short pause; rejects if the signal is aborted first. */
function pause(ms, signal) {
  return unlessAborted(signal, new Promise((resolve) => setTimeout(resolve, ms)))
}

module.exports = { aborted, pause, signalOf, signalOption, throwIfAborted, unlessAborted, whenAborted }
