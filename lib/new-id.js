'use strict'

// Ids that are numbers: milliseconds since 1970, or just above the last one.

const { newId } = require('./native.js')

/**
 * The id of an entity that is about to be inserted. As long as the database is not open, other processes do not know that it
 * is taken: then the entity is inserted with a `claim` to it, which fails with `ALREADY_EXISTS` where they were given it.
 */
function idToInsert(documents) {
  const id = documents.peekId()
  return id === null ? { id: newId(), claim: true } : { id, claim: false }
}

module.exports = { idToInsert }
