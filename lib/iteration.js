'use strict'

const { signalOf, throwIfAborted } = require('./abort.js')
const { valueOf } = require('./answers.js')
const { describe } = require('./arguments.js')
const { optionsOf } = require('./call-options.js')
const { keyOf } = require('./entries.js')
const { invalid } = require('./errors.js')
const { conditionOf } = require('./query.js')

const DEFAULT_BATCH = 100

/** Checks and copies the options of an iteration. */
function iterationOf(options) {
  const { batchSize = DEFAULT_BATCH, after, where, signal } = optionsOf(options)
  if (!Number.isSafeInteger(batchSize) || batchSize < 1) {
    throw invalid(`batchSize must be a positive integer, got ${describe(batchSize)}`)
  }
  return { batchSize, after: after === undefined ? undefined : keyOf(after), query: conditionOf(where), signal: signalOf(signal) }
}

/**
 * Yields the entities of a collection as it is at the first step.
 *
 * @param open creates the native iteration
 * @param read starts a native call, which a signal aborts
 */
async function* iterate({ batchSize, after, query, signal }, open, read) {
  const iteration = open(query, after)
  try {
    for (;;) {
      const entities = valueOf(await read((ticket) => iteration.next(ticket, batchSize), signal))
      if (entities === null) return
      for (const entity of entities) {
        yield entity
        throwIfAborted(signal)
      }
    }
  } finally {
    iteration.end()
  }
}

module.exports = { iterate, iterationOf }
