'use strict'

// Locks that callers take by key: in turn within this thread, through lock files between threads and processes.

const { pause, throwIfAborted } = require('./abort.js')
const { describe } = require('./arguments.js')
const { call } = require('./calls.js')
const { refusal } = require('./errors.js')
const { Nesting } = require('./nesting.js')
const { now } = require('./timers.js')
const { Turns } = require('./turns.js')

/** The turns of the calls of this thread, by directory and key. */
const turns = new Turns()

/** The locks whose functions the running code is part of. */
const inside = new Nesting()

/**
 * Runs `work` while this call holds the lock of `key`. A call that waits longer than `timeout` fails with `LOCK_TIMEOUT`;
 * the `signal` also ends the wait. A call for the same lock inside `work` waits for `work` to end: if `work` awaits it, it
 * waits in vain, and its error says so.
 *
 * @param native the lock files of one database
 * @param place identifies the database
 */
async function withKeyLock(native, place, key, { timeout, signal }, work) {
  const end = now() + timeout
  const id = `${place}\0${key}`
  const nested = [...inside].includes(id)
  const timedOut = (holder, stopped) => {
    const who = holder === null ? 'another call' : `process ${holder}`
    const has = stopped
      ? `${who}, which is stopped, has it; continue it (kill -CONT ${holder}) or end it`
      : `${who} has it; try again, or raise lockTimeout`
    const why = nested ? 'the function that has it is the one in which this lock was asked for; do not await it there' : has
    const message = `no lock for the key ${describe(key)} within ${timeout} ms: ${why}`
    return refusal('LOCK_TIMEOUT', message, holder === null ? {} : { holder })
  }
  const leave = await turns.take(id, timeout, signal, () => timedOut(process.pid))
  try {
    const lock = await take(native, key, end, signal, timedOut)
    try {
      throwIfAborted(signal)
      return await inside.run(id, work)
    } finally {
      native.unlock(lock)
    }
  } finally {
    leave()
  }
}

/** Takes the lock between threads and processes, trying again until the time is up. */
async function take(native, key, end, signal, timedOut) {
  for (let wait = 1; ; wait = Math.min(wait * 2, 20)) {
    throwIfAborted(signal)
    const { taken, holder, stopped } = JSON.parse(await call((ticket) => native.tryLock(ticket, key)))
    if (taken !== undefined) return taken
    const left = end - now()
    if (left <= 0) throw timedOut(holder, stopped)
    await pause(Math.min(wait, left), signal)
  }
}

module.exports = { withKeyLock }
