'use strict'

// Entities on their way into a map: the key and the text of each.

const { describe } = require('./arguments.js')
const { invalid, ValidationError } = require('./errors.js')
const { isMap, isPromise, isRecord } = require('./shapes.js')
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

/** Refuses what is no map of entities. */
function checkMap(value) {
  if (!isMap(value)) refuseMap(value)
}

/** Refuses the promise of a map, for which an `await` is missing: whatever waits for the schema would wait for it too. */
function checkNoPromise(value) {
  if (isPromise(value)) refuseMap(value)
}

function refuseMap(value) {
  const message = `expected a map of entities by id, which is a plain object, got ${describe(value)}`
  throw new ValidationError(message, [{ path: [], message, code: 'invalid_type' }])
}

/** The fields of an object that a caller passed. */
function copyOf(value, what) {
  if (!isRecord(value)) throw invalid(`${what} is an object, got ${describe(value)}`)
  return { ...value }
}

module.exports = { checkMap, checkNoPromise, copyOf, entry, keyOf }
