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
  if (typeof value !== 'object') return typeof value
  try {
    return Array.isArray(value) ? 'an array' : 'an object'
  } catch {
    // A proxy that was revoked.
    return 'an object'
  }
}

/** Stands in for values that JSON would drop or turn into null: no field takes an array of arrays. */
const UNREPRESENTABLE = [[]]

/** The value, or what stands in for it. With `flat`, objects lose their content: no field of an entity takes one. */
function representable(value, flat) {
  switch (typeof value) {
    case 'number':
      return Number.isFinite(value) ? value : UNREPRESENTABLE
    case 'bigint':
    case 'function':
    case 'symbol':
      return UNREPRESENTABLE
    case 'object':
      if (value instanceof Date) return Number.isNaN(value.getTime()) ? UNREPRESENTABLE : value
      return value === null || !flat ? value : Array.isArray(value) ? [] : {}
    default:
      return value
  }
}

/** The fields of a record, each read once. What is no object stays what it is: native code says what is wrong. */
function fieldsOf(record, flat) {
  if (record === null || typeof record !== 'object' || Array.isArray(record)) return representable(record, flat)
  const fields = {}
  for (const key of Object.keys(record)) {
    const value = representable(record[key], flat)
    if (key === '__proto__') Object.defineProperty(fields, key, { value, enumerable: true, configurable: true, writable: true })
    else fields[key] = value
  }
  return fields
}

/** One value as JSON text. */
function valueText(value) {
  return JSON.stringify(representable(value, true)) ?? 'null'
}

/** A record as JSON text, its objects without their content. */
function recordText(record) {
  return JSON.stringify(fieldsOf(record, true)) ?? 'null'
}

const isObject = (value) => value !== null && typeof value === 'object' && !Array.isArray(value)

/** The keys and records of a map, each field read once; what is no map or no record stays what it is. */
function membersOf(map) {
  if (!isObject(map)) return { noMap: map }
  return Object.keys(map).map((key) => {
    const record = map[key]
    return [key, isObject(record) ? { ...record } : record]
  })
}

/** A record of a map as JSON text, with its key. */
const memberText = (key, record) => `${JSON.stringify(key)}:${wholeText(fieldsOf(record, false))}`

/** A map of records as JSON text, with everything in them. */
function mapText(map) {
  const members = membersOf(map)
  return Array.isArray(members) ? `{${members.map((member) => memberText(...member)).join(',')}}` : valueText(members.noMap)
}

function wholeText(fields) {
  try {
    return JSON.stringify(fields) ?? 'null'
  } catch (error) {
    // What a getter of the caller throws is the caller's; what JSON refuses is named.
    if (error instanceof TypeError && /JSON|BigInt/.test(error.message)) throw invalid(`a record does not fit into JSON: ${error.message}`)
    throw error
  }
}

module.exports = { checkText, idOf, textOf, arrayOf, describe, fieldsOf, valueText, recordText, membersOf, memberText, mapText }
