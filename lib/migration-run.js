'use strict'

// One run of migrations: the engine says which callback comes next, and is told how each one ended.

const { aborted, throwIfAborted } = require('./abort.js')
const { asPartOf } = require('./base-path-queue.js')
const { call } = require('./calls.js')
const { channels, published } = require('./diagnostics.js')
const { printable } = require('./display-text.js')
const { delayLogger, messageOf } = require('./logger.js')
const { progressOf } = require('./progress.js')
const { now } = require('./timers.js')

/**
 * Drives the run that `start` begins. `manager` has `basePath`, `native`, `callbacks` by version, `logger` and
 * `terminal`. Rejects with the very value that a callback threw. If the signal is aborted while a callback runs, the
 * callback is awaited and its changes are then undone.
 */
async function drive(manager, start, signal) {
  const { native, logger } = manager
  let next = JSON.parse(await call(start, { signal, delayed: delayLogger(logger) }))
  while (next.done === undefined) {
    const direction = next.up === undefined ? 'down' : 'up'
    const version = next[direction]
    const began = now()
    try {
      throwIfAborted(signal)
      await watched(manager.basePath, version, direction, () => callBack(manager, version, direction, signal))
      throwIfAborted(signal)
    } catch (thrown) {
      const problem = signal?.aborted ? aborted(signal) : thrown
      const { error } = await failed(manager, version, direction, problem, began)
      throw error
    }
    next = JSON.parse(await call((ticket) => native.succeeded(ticket)))
    logger.info(`${version} ${direction === 'up' ? 'applied' : 'rolled back'} in ${since(began)}`)
  }
  const { done: versions, currentVersion } = next
  logger.info(`${versions.length === 0 ? 'nothing to do: ' : ''}the data has version ${currentVersion}`)
  return { versions, currentVersion }
}

/** Runs a step and publishes how it went. */
function watched(basePath, version, direction, step) {
  if (!channels.migration.hasSubscribers) return step()
  return published(channels.migration, { operation: direction, basePath, version }, step)
}

/** Runs a callback to its end. */
async function callBack({ basePath, callbacks, logger, terminal }, version, direction, signal) {
  const { description, [direction]: callback } = callbacks.get(version)
  logger.info(printable(`${direction === 'up' ? '' : 'rolling back '}${version} ${description}`))
  const progress = progressOf(terminal(process.stderr).stream, logger.info, version)
  const line = (level) => (text) => progress.around(() => logger[level](text))
  const context = Object.freeze({
    basePath,
    version,
    direction,
    signal,
    logger: Object.freeze({ info: line('info'), warn: line('warn'), error: line('error') }),
    progress: (done, total) => progress.update(done, total),
  })
  try {
    await asPartOf(basePath, () => callback(context))
  } finally {
    progress.end()
  }
}

/**
 * Tells the engine that a callback threw, and returns what the caller is to receive. The value is wrapped in an object,
 * since it may be a thenable, which must not be awaited.
 */
async function failed({ native, logger }, version, direction, thrown, began) {
  const message = messageOf(thrown)
  try {
    const problem = await call((ticket) => native.failed(ticket, message))
    if (problem !== null) {
      logger.warn(`the failure of ${version} could not be recorded: ${JSON.parse(problem).message}`)
    }
  } catch (error) {
    // The data is not as it was before, which matters more than what the callback threw.
    return { error: Object.assign(error, { cause: thrown }) }
  }
  const what = `${version} failed${direction === 'up' ? '' : ' to roll back'}`
  logger.error(`${what} after ${since(began)}, the data is as before: ${printable(message)}`)
  return { error: thrown }
}

function since(began) {
  const elapsed = now() - began
  return elapsed < 1_000 ? `${Math.round(elapsed)} ms` : `${(elapsed / 1_000).toFixed(1)} s`
}

module.exports = { drive }
