'use strict'

// Locks that callers take by key: in turn within this thread, through lock files between threads and processes.

const { aborted, pause, throwIfAborted, whenAborted } = require('./abort.js')
const { describe } = require('./arguments.js')
const { call } = require('./calls.js')
const { refusal } = require('./errors.js')
const { Nesting } = require('./nesting.js')
const { clearTimeout, LONGEST, now, setTimeout } = require('./timers.js')

/** For each directory and key, the calls of this thread that wait for the lock. It exists while a call holds the lock. */
const queues = new Map()

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
  throwIfAborted(signal)
  await turn(id, timeout, signal, timedOut)
  try {
    const lock = await take(native, key, end, signal, timedOut)
    try {
      return await inside.run(id, work)
    } finally {
      native.unlock(lock)
    }
  } finally {
    pass(id)
  }
}

/** Waits until no other call of this thread has the lock. A call that has its turn must pass the lock on with `pass`. */
function turn(id, timeout, signal, timedOut) {
  const waiting = queues.get(id)
  if (waiting === undefined) {
    queues.set(id, [])
    return
  }
  return new Promise((resolve, reject) => {
    const forget = () => {
      clearTimeout(timer)
      unheard()
    }
    const go = () => {
      forget()
      resolve()
    }
    const giveUp = (error) => {
      waiting.splice(waiting.indexOf(go), 1)
      forget()
      reject(error)
    }
    const unheard = whenAborted(signal, () => giveUp(aborted(signal)))
    const timer = setTimeout(() => giveUp(timedOut(process.pid)), Math.min(timeout, LONGEST))
    waiting.push(go)
  })
}

function pass(id) {
  const next = queues.get(id).shift()
  if (next) next()
  else queues.delete(id)
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
