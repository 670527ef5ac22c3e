'use strict'

// What a caller gave, as it is at this moment: copied until there is time to make it JSON, which takes longer, as no string is
// copied.

/** Stands for a value of which only its own code says what JSON it is. That has to be asked at once. */
const OPAQUE = Symbol('opaque')

/** What is nested deeper, or contains itself, is not copied. */
const MAX_DEPTH = 100

/** A copy of a value that is made of plain objects, arrays, dates and what is no object; `OPAQUE` for any other. */
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
  // The spread makes a property of `__proto__` too, so assigning to it below sets no prototype.
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
