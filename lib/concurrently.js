'use strict'

// Code of the caller that runs on many items, such as a schema: it may take long on each, or answer later.

const { throwIfAborted } = require('./abort.js')
const { turn } = require('./timers.js')

/** How many items are begun in one turn of the event loop. */
const AT_ONCE = 32

/**
 * Runs async work on items, and returns the results in their order. The event loop turns while they are begun. If one fails,
 * no further ones are begun; of those that fail, the first in the order of the items is reported.
 */
async function concurrently(items, signal, work) {
  const begun = []
  let failure
  const failed = (error, at) => {
    if (failure === undefined || at < failure.at) failure = { error, at }
  }
  for (let at = 0; at < items.length && failure === undefined; at++) {
    if (at > 0 && at % AT_ONCE === 0) await turn()
    throwIfAborted(signal)
    begun.push(work(items[at], at).catch((error) => failed(error, at)))
  }
  const results = await Promise.all(begun)
  if (failure !== undefined) throw failure.error
  return results
}

module.exports = { concurrently }
