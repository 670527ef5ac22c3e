'use strict'

// Backups and restores: long calls that say how far they are and can be stopped.

const path = require('node:path')
const { signalOf, whenAborted } = require('./abort.js')
const { describe } = require('./arguments.js')
const { call, port } = require('./calls.js')
const { invalid, refusal } = require('./errors.js')
const { keepOf } = require('./migration-arguments.js')
const { progressOf } = require('./progress.js')

/** The options of one call, each read once. */
function callOptions(given = {}) {
  if (given === null || typeof given !== 'object') throw invalid(`options are an object, got ${describe(given)}`)
  const { onProgress, signal, keep } = given
  if (onProgress !== undefined && typeof onProgress !== 'function') {
    throw invalid(`onProgress must be a function, got ${describe(onProgress)}`)
  }
  return { onProgress, signal: signalOf(signal), keep: keepOf(keep) }
}

/** The name of a backup that is to be made. */
function nameOf(value) {
  if (typeof value === 'string') return value
  throw invalid(`the name of a backup must be a string, got ${describe(value)}`)
}

/** The name of a backup, or its path, made absolute. */
function backupOf(value) {
  if (typeof value !== 'string' || value === '' || value.includes('\0')) {
    throw invalid(`a backup is given by its name or path, got ${describe(value)}`)
  }
  return path.basename(value) === value ? value : path.resolve(value)
}

const aborted = (what, cause) => refusal('ABORTED', `${what} was aborted; nothing was changed`, { cause, reason: cause })

/**
 * Runs a call that a signal stops: it is waited for until nothing of it is left. `label` names it beside the bar on a
 * terminal. What `onProgress` throws stops it too, and is what the call rejects with.
 */
async function stoppable({ logger, terminal }, label, { onProgress, signal }, start) {
  if (signal?.aborted) throw aborted(label, signal.reason)
  const bar = progressOf(terminal(process.stderr).stream, logger.info, label)
  let ticket
  let failure
  const stop = () => port().abort(ticket)
  const tell = (done, total) => {
    if (failure) return
    try {
      bar.update(done, total)
      onProgress?.(done, total)
    } catch (error) {
      failure = { error }
      stop()
    }
  }
  const forget = whenAborted(signal, stop)
  try {
    const begin = (own) => {
      ticket = own
      port().mayAbort(own)
      start(own)
    }
    const answer = await call(begin, { progress: tell })
    // Too late to stop: it is done.
    if (failure) throw failure.error
    return answer
  } catch (error) {
    if (failure) throw failure.error
    if (error.code === 'ABORTED' && signal?.aborted) throw aborted(label, signal.reason)
    throw error
  } finally {
    forget()
    bar.end()
  }
}

module.exports = { callOptions, nameOf, backupOf, stoppable }
