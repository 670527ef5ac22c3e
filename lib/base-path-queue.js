'use strict'

// Runs operations that need a whole base path one after another within this process. Between processes the engine's lock
// does the same; waiting here keeps the engine's threads free for the operation in progress.

const { realpathSync } = require('node:fs')
const { invalid, refusal } = require('./errors.js')
const { Nesting } = require('./nesting.js')
const { now } = require('./timers.js')
const { Turns } = require('./turns.js')

/** The turns of operations, by base path. */
const turns = new Turns()

/** The base paths of the operations that the running code is part of. */
const inside = new Nesting()

/** Returns the canonical form of a base path, however it is spelled. */
function placeOf(base) {
  try {
    return realpathSync(base)
  } catch {
    // It does not exist yet.
    return base
  }
}

/**
 * Runs `work` once all earlier operations on `base` have ended, unless the signal is aborted first. `work` receives what is
 * left of `timeout` after waiting, in milliseconds.
 */
async function exclusively(base, timeout, name, work, signal) {
  refuseInside(base, name)
  const end = now() + timeout
  const late = () => {
    const problem = `another operation of this process on ${base} did not end within ${timeout} ms`
    return refusal('LOCK_TIMEOUT', `${problem}; try again, or raise lockTimeout`, { path: base, holder: process.pid })
  }
  const leave = await turns.take(placeOf(base), timeout, signal, late)
  try {
    return await work(Math.max(0, end - now()))
  } finally {
    leave()
  }
}

/** Runs a callback as part of an operation on `base`: what it calls must not wait for that operation to end. */
async function asPartOf(base, callback) {
  return inside.run(placeOf(base), callback)
}

/** Throws if the operation would wait for itself. */
function refuseInside(base, name) {
  const places = [...inside]
  if (places.length > 0 && places.includes(placeOf(base))) {
    const problem = `${name} was called inside a migration of ${base}, which it would wait for`
    throw invalid(`${problem}; call it when the migration has ended`)
  }
}

module.exports = { exclusively, asPartOf, refuseInside }
