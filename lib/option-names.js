'use strict'

// Options that were probably misspelt, and parts of index declarations. Callers may pass more properties than this package
// knows, so an unknown name is no error, and none that resembles no option is worth a warning.

const { warn } = require('./diagnostics.js')

/** There is a limit to how many names a program can misspell. */
const MOST_JUDGED = 1000

/** Names that may occur together, and all names that need not be looked at again. */
const vocabulary = (names) => ({ names, judged: new Set(names) })

const OPTIONS = vocabulary([
  // Of constructors.
  ...['basePath', 'cacheEnabled', 'cacheTTL', 'maxCacheSize', 'lockTimeout', 'durability', 'indexes', 'logger', 'include', 'keep'],
  // Of calls.
  ...['signal', 'includeContent', 'includeAllVersions', 'onProgress', 'batchSize', 'after', 'where', 'from', 'scope'],
])
const INDEX = vocabulary(['name', 'type', 'fields', 'unique', 'sparse', 'collection'])

/** Issues a warning for each property whose name is almost one of the names, once for each. */
function warnOfMisspelt(given, { names, judged } = OPTIONS) {
  for (const name of Object.keys(given)) {
    if (judged.has(name) || judged.size >= MOST_JUDGED) continue
    judged.add(name)
    const meant = names.find((known) => resembles(name, known))
    if (meant !== undefined) warn('UNKNOWN_OPTION', `there is no option ${name}, so it is ignored: ${meant} was probably meant`)
  }
}

/** Whether a name differs from an option in case only, or in one letter of three, and in two at most. */
function resembles(name, option) {
  const most = Math.min(2, Math.floor(option.length / 3))
  return Math.abs(name.length - option.length) <= most && distance(name.toLowerCase(), option.toLowerCase()) <= most
}

/** Returns how many letters must be inserted, removed or replaced to turn one text into another. */
function distance(one, other) {
  let above = Array.from({ length: other.length + 1 }, (_, at) => at)
  for (let row = 1; row <= one.length; row++) {
    const line = [row]
    for (let at = 1; at <= other.length; at++) {
      const replaced = above[at - 1] + (one[row - 1] === other[at - 1] ? 0 : 1)
      line.push(Math.min(replaced, above[at] + 1, line[at - 1] + 1))
    }
    above = line
  }
  return above[other.length]
}

module.exports = { INDEX, warnOfMisspelt }
