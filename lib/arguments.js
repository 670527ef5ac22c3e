'use strict'

// Arguments on their way in: copied to JSON text at the moment of the call, so that later changes do not show.

const { invalid } = require('./errors.js')

/** The largest id and timestamp: the year 2050 in milliseconds. */
const LATEST = 2_524_608_000_000

/** Checks an id, given as a number or as the key of a map. */
function idOf(value) {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= LATEST) return value
  if (typeof value === 'string' && /^(0|[1-9]\d{0,12})$/.test(value) && Number(value) <= LATEST) return Number(value)
  throw invalid(`an id is an integer from 0 to ${LATEST}, got ${describe(value)}`)
}

function textOf(value, what) {
  if (typeof value === 'string') return value
  throw invalid(`${what} must be a string, got ${describe(value)}`)
}

function arrayOf(value, what) {
  if (Array.isArray(value)) return value
  throw invalid(`${what} must be an array, got ${describe(value)}`)
}

function describe(value) {
  if (value === null) return 'null'
  if (typeof value === 'string') return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value)
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  return Array.isArray(value) ? 'an array' : typeof value === 'object' ? 'an object' : typeof value
}

/** Stands in for values that JSON would drop or turn into null: no field takes an array of arrays. */
const UNREPRESENTABLE = [[]]

function representable(value) {
  switch (typeof value) {
    case 'number':
      return Number.isFinite(value) ? value : UNREPRESENTABLE
    case 'bigint':
    case 'function':
    case 'symbol':
      return UNREPRESENTABLE
    case 'object':
      return value instanceof Date && Number.isNaN(value.getTime()) ? UNREPRESENTABLE : value
    default:
      return value
  }
}

/** The fields of a record, each read once. What is no object stays what it is: native code says what is wrong. */
function fieldsOf(record) {
  if (record === null || typeof record !== 'object' || Array.isArray(record)) return representable(record)
  const fields = {}
  for (const key of Object.keys(record)) {
    const value = representable(record[key])
    if (key === '__proto__') Object.defineProperty(fields, key, { value, enumerable: true, configurable: true, writable: true })
    else fields[key] = value
  }
  return fields
}

/** A record as JSON text. */
function recordText(record) {
  return JSON.stringify(fieldsOf(record)) ?? 'null'
}

/** A map of records as JSON text. */
function mapText(map) {
  if (map === null || typeof map !== 'object' || Array.isArray(map)) return JSON.stringify(representable(map)) ?? 'null'
  const keys = Object.keys(map)
  return `{${keys.map((key) => `${JSON.stringify(key)}:${recordText(map[key])}`).join(',')}}`
}

module.exports = { idOf, textOf, arrayOf, describe, recordText, mapText, representable }
