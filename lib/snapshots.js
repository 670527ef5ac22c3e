'use strict'

// What a caller passed, as it is at this moment. It is copied until there is time to turn it into JSON, which takes longer
// than the copy, since the copy shares all strings.

const { isDate } = require('node:util/types')
const { isPlain } = require('./shapes.js')

/** Stands for a value whose JSON form only its own code determines. That code must be called at once. */
const OPAQUE = Symbol('opaque')

/** A value that is nested deeper, or contains itself, is not copied. */
const MAX_DEPTH = 100

/** Returns a copy of a value made of plain objects, arrays, dates and non-objects; `OPAQUE` for any other value. */
const snapshotOf = (value) => copied(value, 0, () => OPAQUE)

/** Like `snapshotOf`, but an object whose JSON form only its own code determines stays, at whatever depth. */
function detached(value) {
  const copy = copied(value, 0, (object) => object)
  return copy === OPAQUE ? value : copy
}

/** Like `detached`, for the fields of a record, which may be an instance of a class. */
function detachedFields(record) {
  const copy = objectCopy(record, 0, (object) => object)
  return copy === OPAQUE ? { ...record } : copy
}

/** @param other returns what stands for an object that is not copied; with `OPAQUE`, that stands for the whole value */
function copied(value, depth, other) {
  if (typeof value !== 'object' || value === null) return value
  if (depth > MAX_DEPTH) return OPAQUE
  const type = Object.getPrototypeOf(value)
  if (typeof value.toJSON === 'function') return dateCopy(value, type) ?? other(value)
  if (type === Array.prototype || (Array.isArray(value) && isOfLanguage(type))) return arrayCopy(value, depth, other)
  return type === null || Object.getPrototypeOf(type) === null ? objectCopy(value, depth, other) : other(value)
}

/** Whether an array or a date with this prototype is one of the language, of whichever realm, and not of a caller's class. */
const isOfLanguage = (type) => type !== null && isPlain(type)

/** Returns a copy of a date; undefined for anything else, and for a date whose JSON form its own code determines. */
function dateCopy(value, type) {
  const isOrdinary = type === Date.prototype || (isDate(value) && isOfLanguage(type))
  if (!isOrdinary || value.toJSON !== type.toJSON) return undefined
  return Object.setPrototypeOf(new Date(value.getTime()), type)
}

function arrayCopy(array, depth, other) {
  const copy = array.slice()
  for (let at = 0; at < copy.length; at++) {
    const element = copy[at]
    if (typeof element !== 'object' || element === null) continue
    const inner = copied(element, depth + 1, other)
    if (inner === OPAQUE) return OPAQUE
    copy[at] = inner
  }
  return copy
}

function objectCopy(object, depth, other) {
  // The spread defines `__proto__` as an own property, so assigning to it below does not set the prototype.
  const copy = { ...object }
  for (const key in copy) {
    const member = copy[key]
    if (typeof member !== 'object' || member === null || !Object.hasOwn(copy, key)) continue
    const inner = copied(member, depth + 1, other)
    if (inner === OPAQUE) return OPAQUE
    copy[key] = inner
  }
  return copy
}

module.exports = { detached, detachedFields, OPAQUE, snapshotOf }
