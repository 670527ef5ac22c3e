'use strict'

// Incoming queries, copied to JSON text at the moment of the call. What operators mean is known to native code.

const { isDate, isRegExp } = require('node:util/types')
const { signalOf } = require('./abort.js')
const { describe } = require('./arguments.js')
const { invalid } = require('./errors.js')
const { isPlain } = require('./shapes.js')

/** Conditions nested deeper than this are refused. */
const MAX_DEPTH = 90

const PARTS = ['where', 'orderBy', 'limit', 'offset', 'select']

/** Throws unless a value is an object that has no other members than these parts and a signal. */
function checkParts(value, what, parts) {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) {
    throw invalid(`${what} is { ${parts.join(', ')} }, got ${describe(value)}`)
  }
  for (const name of Object.keys(value)) {
    if (name === 'signal' || parts.includes(name)) continue
    throw invalid(`${name}: ${what} has ${parts.length === 1 ? `only ${parts[0]}` : `${parts.slice(0, -1).join(', ')} and ${parts.at(-1)}`}`)
  }
}

/** Returns a query as JSON text, and its signal. */
function queryOf(query = {}) {
  checkParts(query, 'a query', PARTS)
  const { where, orderBy, limit, offset, select, signal } = query
  const parts = []
  if (where !== undefined) parts.push(`"where":${valueText(where, 'where', 0)}`)
  if (orderBy !== undefined) parts.push(`"orderBy":${JSON.stringify(orderOf(orderBy))}`)
  if (limit !== undefined) parts.push(`"limit":${valueText(limit, 'limit', 0)}`)
  if (offset !== undefined) parts.push(`"offset":${valueText(offset, 'offset', 0)}`)
  if (select !== undefined) parts.push(`"select":${valueText(select, 'select', 0)}`)
  return { text: `{${parts.join(',')}}`, signal: signalOf(signal) }
}

/** Like `queryOf`, for what is counted; without a condition, the text is undefined. */
function countOf(query = {}) {
  checkParts(query, 'a count', ['where'])
  const { where, signal } = query
  return { text: where === undefined ? undefined : conditionOf(where), signal: signalOf(signal) }
}

/** Returns the query that consists of a condition alone. */
function conditionOf(where) {
  return where === undefined ? '{}' : `{"where":${valueText(where, 'where', 0)}}`
}

/** Returns pairs of path and direction. */
function orderOf(orderBy) {
  return Array.isArray(orderBy) ? orderBy.flatMap(pathsOf) : pathsOf(orderBy)
}

function pathsOf(order) {
  if (typeof order === 'string') return [[order, 'asc']]
  if (order === null || typeof order !== 'object' || Array.isArray(order)) {
    throw invalid(`orderBy: must be a path, { path: 'asc' | 'desc' } or an array of those, got ${describe(order)}`)
  }
  return Object.keys(order).map((path) => {
    const direction = order[path]
    if (direction === 'asc' || direction === 'desc') return [path, direction]
    throw invalid(`orderBy.${path}: the direction must be 'asc' or 'desc', got ${describe(direction)}`)
  })
}

function valueText(value, place, depth) {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return JSON.stringify(value)
    case 'number':
      if (Number.isFinite(value)) return JSON.stringify(value)
      break
    case 'object':
      return value === null ? 'null' : objectText(value, place, depth)
  }
  throw invalid(`${place}: must be a value that JSON has, a Date or a RegExp, got ${describe(value)}`)
}

function objectText(value, place, depth) {
  if (depth > MAX_DEPTH) throw invalid(`${place}: is nested too deep`)
  if (isDate(value)) {
    if (Number.isNaN(value.getTime())) throw invalid(`${place}: is no valid Date`)
    return String(value.getTime())
  }
  if (isRegExp(value)) {
    const pattern = JSON.stringify({ source: value.source, flags: value.flags })
    return place.endsWith('.$regex') ? pattern : `{"$regex":${pattern}}`
  }
  if (Array.isArray(value)) {
    const elements = Array.from(value, (element, at) => valueText(element, `${place}.${at}`, depth + 1))
    return `[${elements.join(',')}]`
  }
  if (!isPlain(value)) throw invalid(`${place}: ${describe(value)} is no value to compare with`)
  const members = Object.keys(value).map((name) => {
    return `${JSON.stringify(name)}:${valueText(value[name], `${place}.${name}`, depth + 1)}`
  })
  return `{${members.join(',')}}`
}

module.exports = { conditionOf, countOf, queryOf }
