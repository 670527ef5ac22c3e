'use strict'

// Where in a user's modules something was thrown.

const path = require('node:path')
const { printable } = require('./display-text.js')

/** How many lines of a stack are shown. */
const SHOWN = 10

const root = path.join(__dirname, '..')

/** The places of this package and of the runtime, as stacks name them. */
const OWN = ['node:', 'ext:', '(native', ...['bin/', 'binding.', 'index.', 'lib/'].map((part) => path.join(root, part))]

/** Returns the lines of a stack that name places in a user's modules: those of the error, or else of what caused it. */
function linesOf(thrown) {
  for (const error of [thrown, thrown?.cause]) {
    const stack = error instanceof Error && typeof error.stack === 'string' ? error.stack.split('\n') : []
    const lines = stack.filter((line) => /^\s+at .*:\d+/.test(line) && !OWN.some((own) => line.includes(own)))
    if (lines.length > 0) return lines.slice(0, SHOWN).map(printable)
  }
  return []
}

module.exports = { linesOf }
