'use strict'

// Backups and restores: long calls that report their progress and can be aborted.

const path = require('node:path')
const { signalOf, whenAborted } = require('./abort.js')
const { describe } = require('./arguments.js')
const { optionsOf } = require('./call-options.js')
const { call, port } = require('./calls.js')
const { invalid, refusal } = require('./errors.js')
const { delayLogger } = require('./logger.js')
const { keepOf } = require('./migration-arguments.js')
const { progressOf } = require('./progress.js')

/** The options of one call, each read once. */
function callOptions(given) {
  const { onProgress, signal, keep } = optionsOf(given)
  if (onProgress !== undefined && typeof onProgress !== 'function') {
    throw invalid(`onProgress must be a function, got ${describe(onProgress)}`)
  }
  return { onProgress, signal: signalOf(signal), keep: keepOf(keep, { ofType: invalid, ofValue: invalid }) }
}

/** Checks the name of a backup to be made. */
function nameOf(value) {
  if (typeof value === 'string') return value
  throw invalid(`the name of a backup must be a string, got ${describe(value)}`)
}

/** Returns the name of a backup as it is, or the path of one made absolute. */
function backupOf(value) {
  if (typeof value !== 'string' || value === '' || value.includes('\0')) {
    throw invalid(`a backup is given by its name or path, got ${describe(value)}`)
  }
  return path.basename(value) === value && value !== '.' && value !== '..' ? value : path.resolve(value)
}

const aborted = (what, cause) => refusal('ABORTED', `${what} was aborted; nothing was changed`, { cause, reason: cause })

/**
 * Runs a call that a signal stops, and waits until it has stopped completely. `label` names it beside the bar on a terminal.
 * An error that `onProgress` throws or rejects with also stops the call, which then rejects with that error.
 */
async function stoppable({ logger, terminal }, label, { onProgress, signal }, start) {
  if (signal?.aborted) throw aborted(label, signal.reason)
  const bar = progressOf(terminal(process.stderr).stream, logger.info, label)
  let ticket
  let failure
  const stop = () => port().abort(ticket)
  const tell = async (done, total) => {
    if (failure) return
    try {
      bar.update(done, total)
      await onProgress?.(done, total)
    } catch (error) {
      failure ??= { error }
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
    const answer = await call(begin, { progress: tell, delayed: delayLogger(logger) })
    // The call had finished before it could be stopped.
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
