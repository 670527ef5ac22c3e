'use strict'

// What counts as a map and what as a record, which is an entity or a patch. An object that hides its members, such as a
// promise or a `Map`, looks like one without members: as a map it would delete everything, as a patch it would change
// nothing.

const isObject = (value) => value !== null && typeof value === 'object'

/** Whether an object is not an instance of a class, whichever realm it comes from. */
function isPlain(value) {
  const type = Object.getPrototypeOf(value)
  return type === null || Object.getPrototypeOf(type) === null
}

const isPromise = (value) => isObject(value) && typeof value.then === 'function'

/** Whether a value is a map by key: a plain object, as for `z.record`. */
const isMap = (value) => isObject(value) && isPlain(value)

/** Whether a value is a record: a plain object, or one of a caller's class that has fields and is no promise or collection. */
function isRecord(value) {
  if (!isObject(value) || isPromise(value)) return false
  return isPlain(value) || (typeof value[Symbol.iterator] !== 'function' && Object.keys(value).length > 0)
}

module.exports = { isMap, isPlain, isPromise, isRecord }
