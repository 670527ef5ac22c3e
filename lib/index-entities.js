'use strict'

// Incoming entities and ids for an index, copied to text at the moment of the call.

const { isBigIntObject, isBooleanObject, isDate, isNumberObject, isStringObject } = require('node:util/types')
const { describe } = require('./arguments.js')
const { invalid } = require('./errors.js')
const { MAX_DEPTH } = require('./index-keys.js')
const { isRecord } = require('./shapes.js')
const { OPAQUE, snapshotOf } = require('./snapshots.js')

/** Returns the key of an entity: a number as it prints, a string as it is unless it could be mistaken for another key. */
function entityKey(id) {
  if (Number.isFinite(id)) return String(id)
  if (typeof id === 'string') {
    return id[0] === '"' || String(Number(id)) === id || !id.isWellFormed() ? JSON.stringify(id) : id
  }
  throw invalid(`the id of an entity is a finite number or a string, got ${describe(id)}`)
}

/**
 * Returns an entity as JSON, either whole or only with the members in `names`. Values that JSON cannot represent are marked,
 * so that they are refused only where an index looks at them.
 */
function entityText(entity, names) {
  const value = recordOf(entity)
  return objectText(value, namesOf(value, names), [value])
}

/** Returns a function that returns the `entityText` of an entity as it is at this moment. */
function entityTextLater(entity, names) {
  const value = recordOf(entity)
  const members = names === undefined ? { ...value } : Object.fromEntries(namesOf(value, names).map((name) => [name, value[name]]))
  const copy = snapshotOf(members)
  if (copy !== OPAQUE) return () => objectText(copy, Object.keys(copy), [copy])
  const text = objectText(members, Object.keys(members), [value])
  return () => text
}

function recordOf(entity) {
  const value = typeof entity?.toJSON === 'function' ? entity.toJSON('') : entity
  if (isRecord(value)) return value
  throw invalid(`an entity is an object, got ${describe(value)}`)
}

/** Returns those of `names` that are the entity's own members; all its members without `names`. */
function namesOf(value, names) {
  return names?.filter((name) => Object.prototype.propertyIsEnumerable.call(value, name)) ?? Object.keys(value)
}

/** Returns the JSON of a value, or `undefined` if it has none. */
function memberText(value, key, above) {
  switch (typeof value) {
    case 'string':
      return JSON.stringify(value)
    case 'number':
      return Number.isFinite(value) ? String(value) : unrepresentable(String(value))
    case 'boolean':
      return value ? 'true' : 'false'
    case 'bigint':
      return unrepresentable('a bigint')
    case 'object':
      return value === null ? 'null' : nestedText(value, key, above)
    default:
      return undefined
  }
}

function nestedText(value, key, above) {
  if (isDate(value)) {
    const time = value.getTime()
    return Number.isNaN(time) ? unrepresentable('an invalid Date') : String(time)
  }
  if (typeof value.toJSON === 'function') {
    const replaced = value.toJSON(key)
    if (replaced !== value) return above.length < MAX_DEPTH ? memberText(replaced, key, [...above, value]) : unrepresentable('something nested too deep')
  }
  if (isNumberObject(value) || isStringObject(value) || isBooleanObject(value) || isBigIntObject(value)) {
    return memberText(value.valueOf(), key, above)
  }
  if (above.includes(value)) return unrepresentable('an object that contains itself')
  if (above.length >= MAX_DEPTH) return unrepresentable('something nested too deep')
  const below = [...above, value]
  if (!Array.isArray(value)) return objectText(value, Object.keys(value), below)
  return `[${Array.from(value, (element, at) => memberText(element, String(at), below) ?? 'null').join(',')}]`
}

function objectText(object, keys, above) {
  let text = '{'
  for (const key of keys) {
    const value = memberText(object[key], key, above)
    if (value !== undefined) text += `${text.length > 1 ? ',' : ''}${JSON.stringify(key)}:${value}`
  }
  return `${text}}`
}

/** Returns a stand-in for a value that JSON cannot represent. Native code knows it by its only member, whose name is NUL. */
const unrepresentable = (what) => `{"\\u0000":${JSON.stringify(what)}}`

module.exports = { entityKey, entityText, entityTextLater }
