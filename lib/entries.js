'use strict'

// Maps of entities by id: the key and the text of each entity on its way in, and the map of those that are stored.

const { describe } = require('./arguments.js')
const { invalid, ValidationError } = require('./errors.js')
const { isMap, isPromise, isRecord } = require('./shapes.js')
const { OPAQUE, snapshotOf } = require('./snapshots.js')
const { exactText, formOf } = require('./validation.js')

/** The key under which an entity lies in its map. */
function keyOf(id) {
  // Half a character has no form in a key, so two such ids would be one.
  if (typeof id === 'string' ? id.isWellFormed() : Number.isFinite(id)) return String(id)
  throw invalid(`an id is a string of whole characters or a number, got ${describe(id)}`)
}

/**
 * An entity's key, id and text, all of the form that JSON gives it. Its id must be the one it is to be stored under. `at` is its
 * path in what a caller gave.
 */
function entry(entity, id, at) {
  const key = keyOf(id)
  const form = formOf(entity, key)
  if (form === null || typeof form !== 'object' || Array.isArray(form) || String(form.id) !== key) {
    const found = isRecord(form) && form.id === undefined ? 'one without an id; give it one that its schema keeps' : describe(form?.id ?? form)
    const message = `expected an entity whose id is ${describe(id)}, got ${found}`
    throw new ValidationError(message, [{ path: [key, 'id'], message, code: 'custom' }])
  }
  return { key, id: form.id, text: exactText(form, at) }
}

/** An entity as the member of a map: its id, and what gives the member as JSON text, as the entity is at this moment. */
function memberOf(entity, key) {
  const member = ({ text }) => `${JSON.stringify(key)}:${text}`
  const copy = snapshotOf(entity)
  if (copy !== OPAQUE) return { id: copy?.id, text: () => member(entry(copy, key, [key])) }
  const now = entry(entity, key, [key])
  return { id: now.id, text: () => member(now) }
}

/** The map of entities that are stored. */
function mapOf(entities) {
  const map = {}
  for (const entity of entities) {
    // As a plain assignment it would be lost under the key __proto__.
    Object.defineProperty(map, entity.id, { value: entity, enumerable: true, configurable: true, writable: true })
  }
  return map
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

module.exports = { checkMap, checkNoPromise, copyOf, entry, keyOf, mapOf, memberOf }
