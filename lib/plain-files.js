'use strict'

// JSON files beside the entities of a storage.

const path = require('node:path')
const { call } = require('./calls.js')
const { invalid, refusal } = require('./errors.js')
const { detached } = require('./snapshots.js')
const { directoryOf, resolved } = require('./storage-paths.js')
const { exactText, validated } = require('./validation.js')

/** Returns the path of a file that a caller names, which must not be the one that holds the entities of the storage. */
function plainFile(storage, given) {
  const target = resolved(storage, given, 'a file')
  if (target !== path.resolve(directoryOf(storage), storage.getIndexPath())) return target
  throw invalid(`${target} holds the entities of this storage: use its methods`)
}

/** Reads and validates the value in a file. Returns `fallback` if there is no file. */
async function readFile(native, file, schema, fallback) {
  const text = await call((ticket) => native.read(ticket, file))
  if (text === null) return fallback
  let value
  try {
    // Some editors begin a file with a byte order mark.
    value = JSON.parse(text.replace(/^\ufeff/, ''))
  } catch (error) {
    const message = `${file} is not valid JSON: ${error.message}; mend it, or restore it from a backup`
    throw refusal('CORRUPT_DATA', message, { cause: error, path: file })
  }
  return validated(schema, value)
}

/** Replaces a file. */
async function writeFile(native, file, data, schema) {
  const value = await validated(schema, detached(data))
  const text = `${JSON.stringify(JSON.parse(exactText(value)), null, 2)}\n`
  await call((ticket) => native.write(ticket, file, text))
  return value
}

module.exports = { plainFile, readFile, writeFile }
