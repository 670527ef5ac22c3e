'use strict'

// Where the lines of a manager go.

const { describe } = require('./arguments.js')
const { warn } = require('./diagnostics.js')
const { printable } = require('./display-text.js')
const { wrongType } = require('./errors.js')

const LEVELS = ['info', 'warn', 'error']

/**
 * Makes a log function that never throws or rejects, since work must not fail because its log does. The first error is
 * reported.
 */
function guarded(write, state) {
  return async (line) => {
    try {
      await write(line)
    } catch (error) {
      if (state.reported) return
      state.reported = true
      warn('LOGGER_FAILED', `a logger threw: ${messageOf(error)}`)
    }
  }
}

/** Returns the logger that an option asks for: an object with a function for each level. `null` means silence. */
function resolveLogger(option) {
  if (option === undefined) return loggerOf((level) => (line) => console[level](line))
  if (option === null) return loggerOf(() => () => {})
  if (typeof option === 'function') return loggerOf((level) => (line) => option(line, level))
  if (typeof option !== 'object') {
    throw wrongType(`option logger must be an object, a function or null, got ${describe(option)}`)
  }
  for (const level of LEVELS) {
    if (typeof option[level] !== 'function') throw wrongType(`option logger must have a function ${level}`)
  }
  return loggerOf((level) => (line) => option[level](line))
}

function loggerOf(write) {
  const state = { reported: false }
  return Object.freeze(Object.fromEntries(LEVELS.map((level) => [level, guarded(write(level), state)])))
}

/** Returns what logs that a call waits for other processes. */
const delayLogger = (logger) => (sentence) => logger.info(printable(sentence))

/** Longer messages are cut, because they are stored with the state of the data. */
const LONGEST_MESSAGE = 2_000

/** Returns a text for anything that was thrown. */
function messageOf(thrown) {
  const text = readable(thrown)
  return (text.length > LONGEST_MESSAGE ? `${text.slice(0, LONGEST_MESSAGE)}…` : text).toWellFormed()
}

function readable(thrown) {
  try {
    if (typeof thrown === 'string') return thrown === '' ? 'an empty string was thrown' : thrown
    if (thrown === null || typeof thrown !== 'object') return `${String(thrown)} was thrown`
    const { message } = thrown
    if (typeof message === 'string' && message !== '') return message
    const { name } = thrown
    return typeof name === 'string' && name !== '' ? `${name} without a message` : `${describe(thrown)} was thrown`
  } catch {
    return 'something that cannot be described was thrown'
  }
}

module.exports = { delayLogger, resolveLogger, messageOf }
