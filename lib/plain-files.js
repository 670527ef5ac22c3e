'use strict'

// JSON files beside the entities of a storage.

const { call } = require('./calls.js')
const { refusal } = require('./errors.js')
const { detached } = require('./snapshots.js')
const { exactText, validated } = require('./validation.js')

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

module.exports = { readFile, writeFile }
