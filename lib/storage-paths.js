'use strict'

// Where a storage's files lie.

const path = require('node:path')
const { describe } = require('./arguments.js')
const { invalid } = require('./errors.js')

/** The place of a file or directory under the base path, relative to the database, with `/` between the names. */
function placed(storage, target, what) {
  if (!isPath(target)) throw invalid(`${what} must return a path, got ${describe(target)}`)
  const directory = directoryOf(storage)
  const absolute = path.resolve(directory, target)
  if (!isBelow(directory, absolute) && !isBelow(storage.basePath, absolute)) {
    throw invalid(`${what} must return a path inside ${storage.basePath}, got ${describe(target)}`)
  }
  return path.relative(directory, absolute).split(path.sep).join('/')
}

/** Whether a value can be a path on every system. */
const isPath = (value) => typeof value === 'string' && !value.includes('\0') && value.isWellFormed()

function isBelow(directory, target) {
  const relative = path.relative(directory, target)
  return relative !== '' && relative.split(path.sep)[0] !== '..' && !path.isAbsolute(relative)
}

/** A path of a caller's, relative ones below the database's directory. */
function resolved(storage, given, what) {
  if (isPath(given) && given !== '') return path.resolve(directoryOf(storage), given)
  throw invalid(`${what} is named by a path, got ${describe(given)}`)
}

/** The directory of a storage's database. */
function directoryOf(storage) {
  return path.join(storage.basePath, storage.dataDir)
}

module.exports = { directoryOf, placed, resolved }
