'use strict'

// Numeric ids: milliseconds since 1970, or just above the last id.

const { newId } = require('./native.js')

/**
 * Returns the id of an entity to be inserted. While the database is not open, other processes do not know that the id is
 * taken, so the entity is inserted with a `claim` to it: the insertion fails with `ALREADY_EXISTS` if they have used the id.
 */
function idToInsert(documents) {
  const id = documents.peekId()
  return id === null ? { id: newId(), claim: true } : { id, claim: false }
}

module.exports = { idToInsert }
