'use strict'

const path = require('node:path')
const { wrongType, wrongValue } = require('./errors.js')
const { warnOfMisspelt } = require('./option-names.js')

const DEFAULTS = {
  cacheEnabled: true,
  cacheTTL: 300_000,
  maxCacheSize: 100,
  lockTimeout: 30_000,
  durability: 'full',
}

/** Checks that the options of a constructor are an object, and warns of names that are probably misspelt. */
function checkOptions(given) {
  if (given === null || typeof given !== 'object' || Array.isArray(given)) throw wrongType('options must be an object')
  warnOfMisspelt(given)
}

/** Checks the directory of a database, relative to the base path. */
function checkDataDir(given) {
  if (typeof given !== 'string') throw wrongType('dataDir must be a string')
  if (given === '' || given.includes('\0')) throw wrongValue('dataDir must be a path')
}

/** Checks the options of a storage and fills in the defaults; `basePath` becomes absolute. */
function resolveOptions(given = {}) {
  checkOptions(given)
  const { basePath = process.cwd() } = given
  if (typeof basePath !== 'string') throw wrongType('option basePath must be a string')
  if (basePath === '' || basePath.includes('\0')) throw wrongValue('option basePath must be a path')
  const options = { basePath: path.resolve(basePath) }
  for (const name of Object.keys(DEFAULTS)) options[name] = optionOf(given, name)
  if (options.durability !== 'full' && options.durability !== 'os') {
    throw wrongValue("option durability must be 'full' or 'os'")
  }
  return Object.freeze(options)
}

/** Returns an option that has a default, with its type checked. */
function optionOf(given, name) {
  const fallback = DEFAULTS[name]
  const { [name]: value = fallback } = given
  if (typeof value !== typeof fallback) throw wrongType(`option ${name} must be a ${typeof fallback}`)
  if (typeof value === 'number' && !(Number.isFinite(value) && value >= 0)) {
    throw wrongValue(`option ${name} must be a finite number that is not negative`)
  }
  return value
}

/** Returns the options as native code expects them. */
function nativeOptions(options) {
  return {
    cacheEnabled: options.cacheEnabled,
    cacheTtl: options.cacheTTL,
    maxCacheSize: options.maxCacheSize,
    lockTimeout: options.lockTimeout,
    fullDurability: options.durability === 'full',
  }
}

module.exports = { checkDataDir, checkOptions, optionOf, resolveOptions, nativeOptions }
