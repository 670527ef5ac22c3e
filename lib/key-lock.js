'use strict'

// Locks that callers take by key: in turn within this thread, by lock files between threads and processes.

const { AsyncLocalStorage } = require('node:async_hooks')
const { pause, throwIfAborted, unlessAborted } = require('./abort.js')
const { describe } = require('./arguments.js')
const { call } = require('./calls.js')
const { refusal } = require('./errors.js')

/** The longest time that a timer can wait, in milliseconds. */
const LONGEST = 2 ** 31 - 1

/** From the directory and the key to those of this thread that wait for the lock. It is there while somebody has it. */
const queues = new Map()

/** The locks that the running code is inside of, innermost first. */
const inside = new AsyncLocalStorage()

/**
 * Runs `work` while this call has the lock of `key`. Whoever waits longer than `timeout` fails with `LOCK_TIMEOUT`; the
 * `signal` ends the waiting too. A call inside the `work` that has the lock waits for that to end: awaited there, it waits in
 * vain, and its error says so.
 *
 * @param native the lock files of one database
 * @param place what tells databases apart
 */
async function withKeyLock(native, place, key, { timeout, signal }, work) {
  const end = performance.now() + timeout
  const id = `${place}\0${key}`
  const nested = isInside(id)
  const timedOut = (holder) => {
    const who = holder === null ? 'another call' : `process ${holder}`
    const why = nested
      ? 'the function that has it is the one in which this lock was asked for; do not await it there'
      : `${who} has it; try again, or raise lockTimeout`
    const message = `no lock for the key ${describe(key)} within ${timeout} ms: ${why}`
    return refusal('LOCK_TIMEOUT', message, holder === null ? {} : { holder })
  }
  await turn(id, timeout, signal, timedOut)
  try {
    const lock = await take(native, key, end, signal, timedOut)
    try {
      return await runInside(id, work)
    } finally {
      native.unlock(lock)
    }
  } finally {
    pass(id)
  }
}

async function runInside(id, work) {
  const lock = { id, ended: false, outer: inside.getStore() }
  try {
    return await inside.run(lock, work)
  } finally {
    lock.ended = true
  }
}

function isInside(id) {
  for (let lock = inside.getStore(); lock; lock = lock.outer) if (lock.id === id && !lock.ended) return true
  return false
}

/** Waits until nobody of this thread has the lock. */
function turn(id, timeout, signal, timedOut) {
  const waiting = queues.get(id)
  if (waiting === undefined) {
    queues.set(id, [])
    return
  }
  let timer
  let go
  const leave = () => {
    clearTimeout(timer)
    waiting.splice(waiting.indexOf(go), 1)
  }
  const come = new Promise((resolve, reject) => {
    go = () => {
      clearTimeout(timer)
      resolve()
    }
    timer = setTimeout(() => {
      leave()
      reject(timedOut(process.pid))
    }, Math.min(timeout, LONGEST))
    waiting.push(go)
  })
  return unlessAborted(signal, come, leave)
}

function pass(id) {
  const next = queues.get(id).shift()
  if (next) next()
  else queues.delete(id)
}

/** Takes the lock between threads and processes, asking again until the time is up. */
async function take(native, key, end, signal, timedOut) {
  for (let wait = 1; ; wait = Math.min(wait * 2, 20)) {
    throwIfAborted(signal)
    const { taken, holder } = JSON.parse(await call((ticket) => native.tryLock(ticket, key)))
    if (taken !== undefined) return taken
    const left = end - performance.now()
    if (left <= 0) throw timedOut(holder)
    await pause(Math.min(wait, left), signal)
  }
}

module.exports = { withKeyLock, LONGEST }
