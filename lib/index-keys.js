'use strict'

// Index declarations and the keys of queries on their way in.

const { describe } = require('./arguments.js')
const { invalid } = require('./errors.js')

const TYPES = new Set(['hash', 'btree', 'inverted'])

/** Checks index declarations and copies them. */
function indexConfigs(given) {
  if (!Array.isArray(given)) throw invalid(`indexes must be an array, got ${describe(given)}`)
  const configs = given.map(indexConfig)
  const names = new Set()
  for (const { name } of configs) {
    if (names.has(name)) throw invalid(`index ${name} is declared twice; give one of the two another name`)
    names.add(name)
  }
  return configs
}

const isText = (value) => typeof value === 'string' && value !== '' && value.isWellFormed()

function indexConfig(given) {
  if (given === null || typeof given !== 'object') throw invalid(`an index is { name, type, fields }, got ${describe(given)}`)
  const { name, type, fields, unique = false, sparse = false } = given
  if (!isText(name)) throw invalid(`an index needs a name that is not empty, got ${describe(name)}`)
  if (!TYPES.has(type)) throw invalid(`index ${name}: type must be 'hash', 'btree' or 'inverted', got ${describe(type)}`)
  if (!Array.isArray(fields) || fields.length === 0 || !fields.every(isText)) {
    throw invalid(`index ${name}: fields must be an array of paths that is not empty, got ${describe(fields)}`)
  }
  for (const [flag, value] of Object.entries({ unique, sparse })) {
    if (typeof value !== 'boolean') throw invalid(`index ${name}: ${flag} must be a boolean, got ${describe(value)}`)
  }
  if (unique && type === 'inverted') {
    throw invalid(`index ${name} cannot be unique: documents share words; use type 'hash' or 'btree'`)
  }
  return { name, type, fields: [...fields], unique, sparse }
}

/** Keys nested deeper than this are refused. */
const MAX_DEPTH = 96

/** A key as JSON text, with a form of its own for infinite numbers. */
function keyText(key, what, depth = 0) {
  switch (typeof key) {
    case 'string':
    case 'boolean':
      return JSON.stringify(key)
    case 'number':
      if (Number.isNaN(key)) break
      return Number.isFinite(key) ? String(key) : `{"infinite":${Math.sign(key)}}`
    case 'object':
      if (key === null) return 'null'
      if (key instanceof Date && !Number.isNaN(key.getTime())) return String(key.getTime())
      if (Array.isArray(key) && depth < MAX_DEPTH) return `[${Array.from(key, (part) => keyText(part, what, depth + 1)).join(',')}]`
  }
  throw invalid(`${what} must be a string, number, boolean, null, valid Date or an array of those, got ${describe(key)}`)
}

/** The name of an index in a query. */
function indexName(name) {
  if (typeof name === 'string') return name
  throw invalid(`an index is named by a string, got ${describe(name)}`)
}

module.exports = { indexConfigs, indexName, keyText }
