'use strict'

// The options of calls, which come last among the arguments.

const { describe } = require('./arguments.js')
const { invalid } = require('./errors.js')
const { warnOfMisspelt } = require('./option-names.js')

const NONE = Object.freeze({})

/** Checks the options of a call; undefined and null stand for none. Properties that no call has are ignored. */
function optionsOf(given) {
  if (given === undefined || given === null) return NONE
  if (typeof given === 'object' && !Array.isArray(given)) {
    warnOfMisspelt(given)
    return given
  }
  // Array methods pass a position, which nobody means as options.
  const advice = '; in map() and the like, call the method in a function of your own: (id) => storage.getById(id)'
  throw invalid(`options must be an object, got ${describe(given)}${typeof given === 'number' ? advice : ''}`)
}

module.exports = { optionsOf }
