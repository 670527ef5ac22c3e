'use strict'

// What callers pass to a MigrationManager, each field read once and checked.

const path = require('node:path')
const { describe } = require('./arguments.js')
const { invalid, wrongType, wrongValue } = require('./errors.js')
const { resolveLogger } = require('./logger.js')
const { checkOptions, optionOf } = require('./options.js')

/** Returns the base path of a manager as an absolute path. */
function basePathOf(value) {
  if (typeof value !== 'string') throw wrongType(`basePath must be a string, got ${describe(value)}`)
  if (value === '' || value.includes('\0')) throw wrongValue('basePath must be a path')
  return path.resolve(value)
}

function managerOptions(given = {}) {
  checkOptions(given)
  const lockTimeout = optionOf(given, 'lockTimeout')
  const { logger, include = [], keep } = given
  if (!Array.isArray(include) || !include.every((entry) => typeof entry === 'string')) {
    throw wrongType('option include must be an array of paths')
  }
  return Object.freeze({
    lockTimeout,
    logger: resolveLogger(logger),
    terminal: logger === undefined ? terminalOf : () => ({}),
    include: Object.freeze([...include]),
    keep: keepOf(keep),
  })
}

/** Checks how many backups to keep, in the options of a constructor or of a call; undefined means all. */
function keepOf(value, { ofType, ofValue } = { ofType: wrongType, ofValue: wrongValue }) {
  if (value === undefined) return undefined
  if (typeof value !== 'number') throw ofType('option keep must be a number')
  if (!(Number.isSafeInteger(value) && value >= 1)) throw ofValue('option keep must be an integer of at least 1')
  return value
}

/** Returns what a stream of this process can show, if it is a terminal. */
function terminalOf(stream) {
  if (!stream.isTTY) return {}
  const { NO_COLOR, TERM } = process.env
  return { stream, width: stream.columns || 80, colour: !NO_COLOR && TERM !== 'dumb' }
}

/** Checks a migration to be registered. Its callbacks see the caller's object as `this`. */
function migrationOf(given) {
  if (given === null || typeof given !== 'object') throw invalid(`a migration is an object, got ${describe(given)}`)
  const { version, description, up, down } = given
  if (typeof version !== 'string') {
    throw invalid(`the version of a migration must be a string, got ${describe(version)}`)
  }
  const name = `migration ${describe(version)}`
  if (typeof description !== 'string') {
    throw invalid(`the description of ${name} must be a string, got ${describe(description)}`)
  }
  if (typeof up !== 'function') throw invalid(`up of ${name} must be a function, got ${describe(up)}`)
  if (down !== undefined && down !== null && typeof down !== 'function') {
    throw invalid(`down of ${name} must be a function or left out, got ${describe(down)}`)
  }
  return {
    version,
    description: description.toWellFormed(),
    up: (context) => Reflect.apply(up, given, [context]),
    down: down ? (context) => Reflect.apply(down, given, [context]) : undefined,
  }
}

/** Checks the version to migrate or roll back to. */
function targetOf(value) {
  if (typeof value === 'string') return value
  throw invalid(`a target version must be a string, got ${describe(value)}`)
}

module.exports = { basePathOf, managerOptions, keepOf, migrationOf, targetOf }
