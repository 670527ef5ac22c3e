'use strict'

// What callers pass, as JSON text.

const { invalid } = require('./errors.js')

/**
 * Returns a value as JSON text. An error that the caller's own code throws is passed on.
 *
 * @throws `INVALID_ARGUMENT` for a value that JSON refuses, and for one whose text no string can hold
 */
function jsonText(value) {
  try {
    return JSON.stringify(value)
  } catch (error) {
    const reason = refusalOf(error)
    throw reason === undefined ? error : invalid(`a record does not fit into JSON: ${reason}`)
  }
}

/** Returns why JSON refused a value; undefined for an error that comes from elsewhere. */
function refusalOf(error) {
  if (error instanceof TypeError && /JSON|BigInt/.test(error.message)) return error.message
  if (!(error instanceof RangeError)) return undefined
  if (/call stack/.test(error.message)) return 'it is nested deeper than 100 levels'
  // Node and Bun say it differently.
  if (/string length|out of memory/i.test(error.message)) return 'it is longer than a string can be; divide it'
  return undefined
}

module.exports = { jsonText }
