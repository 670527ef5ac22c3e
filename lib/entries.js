'use strict'

// Entities on their way into a map: the key and the text of each.

const { describe } = require('./arguments.js')
const { invalid, ValidationError } = require('./errors.js')
const { exactText } = require('./validation.js')

/** The key under which an entity lies in its map. */
function keyOf(id) {
  // Half a character has no form in a key, so two such ids would be one.
  if (typeof id === 'string' ? id.isWellFormed() : Number.isFinite(id)) return String(id)
  throw invalid(`an id is a string of whole characters or a number, got ${describe(id)}`)
}

/** An entity's key and text. Its id must be the one it is to be stored under. */
function entry(entity, id) {
  const key = keyOf(id)
  if (entity === null || typeof entity !== 'object' || String(entity.id) !== key) {
    const message = `expected an entity whose id is ${describe(id)}, got ${describe(entity?.id ?? entity)}`
    throw new ValidationError(message, [{ path: [key, 'id'], message, code: 'custom' }])
  }
  return { key, text: exactText(entity) }
}

/** The fields of an object that a caller passed. */
function copyOf(value, what) {
  if (value === null || typeof value !== 'object') throw invalid(`${what} is an object, got ${describe(value)}`)
  return { ...value }
}

module.exports = { copyOf, entry, keyOf }
