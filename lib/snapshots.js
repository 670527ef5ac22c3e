'use strict'

// What a caller passed, as it is at this moment. It is copied until there is time to turn it into JSON, which takes longer
// than the copy, since the copy shares all strings.

/** Stands for a value whose JSON form only its own code determines. That code must be called at once. */
const OPAQUE = Symbol('opaque')

/** A value that is nested deeper, or contains itself, is not copied. */
const MAX_DEPTH = 100

/** Returns a copy of a value made of plain objects, arrays, dates and non-objects; `OPAQUE` for any other value. */
function snapshotOf(value, depth = 0) {
  if (typeof value !== 'object' || value === null) return value
  if (depth > MAX_DEPTH) return OPAQUE
  const type = Object.getPrototypeOf(value)
  if (type === Date.prototype) return value.toJSON === type.toJSON ? new Date(value.getTime()) : OPAQUE
  if (typeof value.toJSON === 'function') return OPAQUE
  if (type === Array.prototype) return arraySnapshot(value, depth)
  return type === null || Object.getPrototypeOf(type) === null ? objectSnapshot(value, depth) : OPAQUE
}

function arraySnapshot(array, depth) {
  const copy = array.slice()
  for (let at = 0; at < copy.length; at++) {
    const element = copy[at]
    if (typeof element !== 'object' || element === null) continue
    const snapshot = snapshotOf(element, depth + 1)
    if (snapshot === OPAQUE) return OPAQUE
    copy[at] = snapshot
  }
  return copy
}

function objectSnapshot(object, depth) {
  // The spread defines `__proto__` as an own property, so assigning to it below does not set the prototype.
  const copy = { ...object }
  for (const key in copy) {
    const member = copy[key]
    if (typeof member !== 'object' || member === null || !Object.hasOwn(copy, key)) continue
    const snapshot = snapshotOf(member, depth + 1)
    if (snapshot === OPAQUE) return OPAQUE
    copy[key] = snapshot
  }
  return copy
}

module.exports = { OPAQUE, snapshotOf }
