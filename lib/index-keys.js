'use strict'

// Incoming declarations of indexes, names of indexes and keys of queries, copied at the moment of the call.

const { isDate } = require('node:util/types')
const { describe } = require('./arguments.js')
const { invalid } = require('./errors.js')
const { INDEX, warnOfMisspelt } = require('./option-names.js')

/** The kinds of queries, numbered as in native code. */
const BY_KEY = 0
const BY_RANGE = 1
const BY_WORDS = 2

const TYPES = ['hash', 'btree', 'inverted']

/** Values that are nested deeper are neither indexed nor looked up. */
const MAX_DEPTH = 96

/** Whether a value is a non-empty string of valid Unicode, which crosses to native code unchanged. */
const isText = (value) => typeof value === 'string' && value !== '' && value.isWellFormed()

/** Checks the index declarations of a storage and copies them. */
function indexConfigs(given) {
  if (!Array.isArray(given)) throw invalid(`indexes must be an array, got ${describe(given)}`)
  const configs = Array.from(given, indexConfig)
  const names = new Set()
  for (const { name } of configs) {
    if (names.has(name)) throw invalid(`index ${name} is declared twice; give one of the two another name`)
    names.add(name)
  }
  return configs
}

/** Checks the declaration of an index and copies it, each property read once. */
function indexConfig(given) {
  if (given === null || typeof given !== 'object') throw invalid(`an index is an object { name, type, fields }, got ${describe(given)}`)
  warnOfMisspelt(given, INDEX)
  const { name, type, fields, unique = false, sparse = false } = given
  if (!isText(name)) throw invalid(`the name of an index must be a string of valid Unicode that is not empty, got ${describe(name)}`)
  if (!TYPES.includes(type)) throw invalid(`index ${name}: type must be 'hash', 'btree' or 'inverted', got ${describe(type)}`)
  const paths = fieldPaths(fields, name)
  for (const [flag, value] of Object.entries({ unique, sparse })) {
    if (typeof value !== 'boolean') throw invalid(`index ${name}: ${flag} must be a boolean, got ${describe(value)}`)
  }
  if (unique && type === 'inverted') {
    throw invalid(`index ${name} cannot be unique: documents share words; use type 'hash' or 'btree'`)
  }
  return { name, type, fields: paths, unique, sparse }
}

function fieldPaths(fields, name) {
  const rule = `index ${name}: fields must be an array of strings, with at least one field`
  if (!Array.isArray(fields)) throw invalid(`${rule}, got ${describe(fields)}`)
  const paths = Array.from(fields)
  if (paths.length === 0) throw invalid(`${rule}, got none`)
  const wrong = paths.findIndex((field) => !isText(field))
  if (wrong === -1) return paths
  throw invalid(`index ${name}: fields[${wrong}] must be a string of valid Unicode that is not empty, got ${describe(paths[wrong])}`)
}

/** Checks the name of an index in a call. */
function indexName(name) {
  if (typeof name !== 'string') throw invalid(`the name of an index must be a string, got ${describe(name)}`)
  if (!name.isWellFormed()) throw invalid(`${describe(name)} cannot be the name of an index: it is not valid Unicode`)
  return name
}

/** Returns a key to look up as JSON text, which has a special form for infinite numbers. */
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
      if (isDate(key) && !Number.isNaN(key.getTime())) return String(key.getTime())
      if (!Array.isArray(key)) break
      // This also ends the descent into an array that contains itself.
      if (depth >= MAX_DEPTH) throw invalid(`${what} is nested too deep`)
      return `[${Array.from(key, (part) => keyText(part, what, depth + 1)).join(',')}]`
  }
  throw invalid(`${what} must be a string, number, boolean, null, valid Date or an array of those, got ${describe(key)}`)
}

/** Returns the ends of a range as JSON texts, and whether they belong to the range. */
function rangeTexts(start, end, inclusive) {
  if (typeof inclusive !== 'boolean') throw invalid(`inclusive must be a boolean, got ${describe(inclusive)}`)
  return [keyText(start, 'the start'), keyText(end, 'the end'), inclusive]
}

module.exports = { BY_KEY, BY_RANGE, BY_WORDS, MAX_DEPTH, indexConfig, indexConfigs, indexName, keyText, rangeTexts }
