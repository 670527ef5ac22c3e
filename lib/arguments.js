'use strict'

// Arguments on their way in: copied to JSON text at the moment of the call, so that later changes do not show.

const { isDate } = require('node:util/types')
const { invalid } = require('./errors.js')
const { isMap, isPlain, isRecord } = require('./shapes.js')
const { OPAQUE, snapshotOf } = require('./snapshots.js')

/** The largest id and timestamp: the year 2050 in milliseconds. */
const LATEST = 2_524_608_000_000

/** Checks an id, given as a number or as the key of a map. */
function idOf(value) {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= LATEST) return value
  if (typeof value === 'string' && /^(0|[1-9]\d{0,12})$/.test(value) && Number(value) <= LATEST) return Number(value)
  throw invalid(`an id is an integer from 0 to ${LATEST}, got ${describe(value)}`)
}

function checkText(value, what) {
  if (typeof value !== 'string') throw invalid(`${what} must be a string, got ${describe(value)}`)
}

/** Checks a text and gives it as JSON, which carries lone surrogates. */
function textOf(value, what) {
  checkText(value, what)
  return JSON.stringify(value)
}

function arrayOf(value, what) {
  if (Array.isArray(value)) return value
  throw invalid(`${what} must be an array, got ${describe(value)}`)
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
    // A proxy that was revoked.
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

/** Whether a value is no object and has a form in JSON, or is undefined, which JSON leaves out. */
function isExact(value) {
  return typeof value === 'string' || value === null || typeof value === 'boolean' || value === undefined || Number.isFinite(value)
}

/**
 * Stands in for a value that no field takes: itself where JSON has it, else its name, in a form that native code knows and
 * that is no value of any field.
 */
function standIn(value) {
  if (isExact(value) && value !== undefined) return value
  return Array.isArray(value) ? [] : [[`\0${describe(value)}`]]
}

/**
 * The value, or what stands in for it: for a date, its text. With `flat`, other objects lose their content: no field of an entity
 * takes one.
 */
function representable(value, flat) {
  if (typeof value !== 'object') return standIn(value)
  if (isDate(value)) return Number.isNaN(value.getTime()) ? standIn(value) : value.toJSON()
  if (!flat) return value
  return isPlain(value) ? {} : standIn(value)
}

/** The fields of a record, each read once. What is no record stays what it is: native code says what is wrong. */
function fieldsOf(record, flat) {
  if (!isRecord(record)) return standIn(record)
  // A copy of the same shape is made, and becomes text, much faster than one made field by field. The spread makes a property of
  // `__proto__` too, so assigning to it below sets no prototype.
  const fields = { ...record }
  for (const key in fields) {
    const value = fields[key]
    if (!isExact(value) && Object.hasOwn(fields, key)) fields[key] = representable(value, flat)
  }
  return fields
}

/** One value that is no record as JSON text. */
const valueText = (value) => JSON.stringify(standIn(value))

/** A record as JSON text, its objects without their content. */
const recordText = (record) => JSON.stringify(fieldsOf(record, true))

/**
 * The members of a map, `{ key, record, parts }`, each field read once; what is no record stays what it is. `parts` gives what
 * crosses of the member, as it is at this moment.
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

const memberParts = (key, record) => [memberText(key, record)]

/** A record of a map as JSON text, with its key and everything in it. */
const memberText = (key, record) => `${JSON.stringify(key)}:${wholeText(fieldsOf(record, false))}`

/** A map of records as JSON text, their objects without their content; what is no map stays what it is. */
function mapText(map) {
  if (!isMap(map)) return valueText(map)
  return `{${Object.keys(map).map((key) => `${JSON.stringify(key)}:${recordText(map[key])}`).join(',')}}`
}

function wholeText(fields) {
  try {
    return JSON.stringify(fields)
  } catch (error) {
    // What a getter of the caller throws is the caller's; what JSON refuses is named.
    if (error instanceof TypeError && /JSON|BigInt/.test(error.message)) throw invalid(`a record does not fit into JSON: ${error.message}`)
    throw error
  }
}

module.exports = { checkText, idOf, textOf, arrayOf, describe, fieldsOf, valueText, recordText, membersOf, memberText, mapText }
