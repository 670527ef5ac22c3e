'use strict'

// Where the files of a storage are.

const path = require('node:path')
const { describe } = require('./arguments.js')
const { invalid } = require('./errors.js')

/** Returns the path of a file or directory under the base path, relative to the database, with `/` between the names. */
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

/** Resolves a path that a caller passed against the directory of the database. */
function resolved(storage, given, what) {
  if (isPath(given) && given !== '') return path.resolve(directoryOf(storage), given)
  throw invalid(`${what} is named by a path, got ${describe(given)}`)
}

/** Returns the directory of a storage's database. */
function directoryOf(storage) {
  return path.join(storage.basePath, storage.dataDir)
}

module.exports = { directoryOf, placed, resolved }
