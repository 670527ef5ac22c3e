'use strict'

// Incoming arguments: copied to JSON text at the moment of the call, so that later changes by the caller have no effect.

const { isDate } = require('node:util/types')
const { invalid } = require('./errors.js')
const { jsonText } = require('./json-text.js')
const { isMap, isPlain, isRecord } = require('./shapes.js')
const { OPAQUE, snapshotOf } = require('./snapshots.js')

/** The largest id and timestamp: the year 2050 in milliseconds. */
const LATEST = 2_524_608_000_000

/** Checks an id, given as a number or as the key of a map, and returns it as a number. */
function idOf(value) {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= LATEST) return value
  if (typeof value === 'string' && /^(0|[1-9]\d{0,12})$/.test(value) && Number(value) <= LATEST) return Number(value)
  throw invalid(`an id is an integer from 0 to ${LATEST}, got ${describe(value)}`)
}

function checkText(value, what) {
  if (typeof value !== 'string') throw invalid(`${what} must be a string, got ${describe(value)}`)
}

/** Checks a text and returns it as JSON, which can represent lone surrogates. */
function textOf(value, what) {
  checkText(value, what)
  return jsonText(value)
}

function arrayOf(value, what) {
  if (Array.isArray(value)) return value
  throw invalid(`${what} must be an array, got ${describe(value)}`)
}

/** Returns the id and the data of each change of an array of `{ id, data }`, as these functions return them. */
function changesOf(value, idOf, dataOf) {
  return Array.from(arrayOf(value, 'changes'), (change) => {
    if (change === null || typeof change !== 'object') throw invalid(`a change is { id, data }, got ${describe(change)}`)
    return { id: idOf(change.id), data: dataOf(change.data) }
  })
}

function describe(value) {
  if (value === null) return 'null'
  if (typeof value === 'string') return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value)
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  if (value === undefined) return 'undefined'
  if (typeof value !== 'object') return `a ${typeof value}`
  try {
    return describeObject(value)
  } catch {
    // The value is a revoked proxy.
    return 'an object'
  }
}

function describeObject(value) {
  if (Array.isArray(value)) return 'an array'
  if (isDate(value) && Number.isNaN(value.getTime())) return 'an invalid Date'
  const name = isPlain(value) ? undefined : value.constructor?.name
  if (typeof name !== 'string' || name === 'Object' || !/^\w{1,40}$/.test(name)) return 'an object'
  return `${/^[AEIO]/i.test(name) ? 'an' : 'a'} ${name}`
}

/** Whether a value is a primitive that JSON can represent, or undefined, which JSON leaves out. */
function isExact(value) {
  return typeof value === 'string' || value === null || typeof value === 'boolean' || value === undefined || Number.isFinite(value)
}

/**
 * Returns a stand-in for a value that no field accepts: the value itself if it is a primitive of JSON, otherwise its
 * description, in a form that native code recognises and that no field accepts either.
 */
function standIn(value) {
  if (isExact(value) && value !== undefined) return value
  return Array.isArray(value) ? [] : [[`\0${describe(value)}`]]
}

/**
 * Returns the value itself, the text of a date, or a stand-in. With `flat`, other objects lose their content, since no field
 * of an entity accepts an object.
 */
function representable(value, flat) {
  if (typeof value !== 'object') return standIn(value)
  if (isDate(value)) return Number.isNaN(value.getTime()) ? standIn(value) : value.toJSON()
  if (!flat) return value
  return isPlain(value) ? {} : standIn(value)
}

/** Returns the fields of a record, each read once. Anything else becomes a stand-in: native code says what is wrong. */
function fieldsOf(record, flat) {
  if (!isRecord(record)) return standIn(record)
  // Copying the whole shape, and turning that copy into text, is much faster than copying field by field. The spread defines
  // `__proto__` as an own property, so assigning to it below does not set the prototype.
  const fields = { ...record }
  for (const key in fields) {
    const value = fields[key]
    if (!isExact(value) && Object.hasOwn(fields, key)) fields[key] = representable(value, flat)
  }
  return fields
}

/** Returns a value that is not a record as JSON text. */
const valueText = (value) => jsonText(standIn(value))

/** Returns a record as JSON text, with its objects emptied. */
const recordText = (record) => jsonText(fieldsOf(record, true))

/**
 * Returns the members of a map, `{ key, record, parts }`, each field read once; a value that is not a record stays as it is.
 * `parts` returns what native code receives for the member, as the member is at this moment.
 */
function membersOf(map, partsOf = memberParts) {
  return Object.keys(map).map((key) => {
    const given = map[key]
    const record = isRecord(given) ? { ...given } : given
    const copy = snapshotOf(record)
    if (copy !== OPAQUE) return { key, record: copy, parts: () => partsOf(key, copy) }
    const parts = partsOf(key, record)
    return { key, record, parts: () => parts }
  })
}

const memberParts = (key, record) => [memberText(key, fieldsOf(record, false))]

/** Returns a key and the fields of a record as a member in JSON text, with all their content. */
const memberText = (key, fields) => `${JSON.stringify(key)}:${jsonText(fields)}`

/** Returns a map of records as JSON text, with their objects emptied; a value that is not a map becomes its stand-in. */
function mapText(map) {
  if (!isMap(map)) return valueText(map)
  return `{${Object.keys(map).map((key) => `${JSON.stringify(key)}:${recordText(map[key])}`).join(',')}}`
}

module.exports = { checkText, idOf, textOf, arrayOf, changesOf, describe, fieldsOf, valueText, recordText, membersOf, memberText, mapText }
