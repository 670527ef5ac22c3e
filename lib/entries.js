'use strict'

// Maps of entities by id: the key and the text of each incoming entity, and the map of the stored ones.

const { describe } = require('./arguments.js')
const { invalid, ValidationError } = require('./errors.js')
const { isMap, isPromise, isRecord } = require('./shapes.js')
const { detachedFields, OPAQUE, snapshotOf } = require('./snapshots.js')
const { exactText, formOf } = require('./validation.js')

/** Returns the key of an entity in its map. */
function keyOf(id) {
  // A lone surrogate has no form in a key, so two ids with one could get the same key.
  if (typeof id === 'string' ? id.isWellFormed() : Number.isFinite(id)) return String(id)
  throw invalid(`an id is a string of whole characters or a number, got ${describe(id)}`)
}

/**
 * Returns the key, the id and the text of an entity, all in the form that JSON gives them. Throws if its id is not the one
 * under which it is to be stored. `at` is the path of the entity in the caller's argument.
 */
function entry(entity, id, at = []) {
  const key = keyOf(id)
  const form = formOf(entity, key)
  if (form === null || typeof form !== 'object' || Array.isArray(form) || String(form.id) !== key) {
    const found = isRecord(form) && form.id === undefined ? 'one without an id; give it one that its schema keeps' : describe(form?.id ?? form)
    const message = `expected an entity whose id is ${describe(id)}, got ${found}`
    throw new ValidationError(message, [{ path: [...(at.length > 0 ? at : [key]), 'id'], message, code: 'custom' }])
  }
  return { key, id: form.id, text: exactText(form, at) }
}

/** Returns an entity as a member of a map: its id, and a function that returns its present state as JSON text. */
function memberOf(entity, key) {
  const member = ({ text }) => `${JSON.stringify(key)}:${text}`
  const copy = snapshotOf(entity)
  if (copy !== OPAQUE) return { id: copy?.id, text: () => member(entry(copy, key, [key])) }
  const now = entry(entity, key, [key])
  return { id: now.id, text: () => member(now) }
}

/** Returns stored entities as a map by id. */
function mapOf(entities) {
  const map = {}
  for (const entity of entities) {
    // A plain assignment to the key `__proto__` would lose the entity.
    Object.defineProperty(map, entity.id, { value: entity, enumerable: true, configurable: true, writable: true })
  }
  return map
}

/** Throws if a value is not a map of entities. */
function checkMap(value) {
  if (!isMap(value)) refuseMap(value)
}

/** Throws if a value is the promise of a map, for which an `await` is missing: the schema's output would wait for it too. */
function checkNoPromise(value) {
  if (isPromise(value)) refuseMap(value)
}

function refuseMap(value) {
  const message = `expected a map of entities by id, which is a plain object, got ${describe(value)}`
  throw new ValidationError(message, [{ path: [], message, code: 'invalid_type' }])
}

/** Returns a copy of the fields of an object that a caller passed. A schema may get to see it only after other writes. */
function copyOf(value, what) {
  if (!isRecord(value)) throw invalid(`${what} is an object, got ${describe(value)}`)
  return detachedFields(value)
}

module.exports = { checkMap, checkNoPromise, copyOf, entry, keyOf, mapOf, memberOf }
