'use strict'

// The ids of new entities: generated ones are milliseconds since 1970, or just above the last id.

const { newId } = require('./native.js')

/**
 * Returns the id of an entity to be inserted. While the database is not open, other processes do not know that the id is
 * taken, so the entity is inserted with a `claim` to it: the insertion fails with `ALREADY_EXISTS` if they have used the id.
 */
function idToInsert(documents) {
  const id = documents.peekId()
  return id === null ? { id: newId(), claim: true } : { id, claim: false }
}

/** Returns those ids of entities to be inserted that the caller chose. */
const ownIds = (entities) => entities.map(({ id }) => id).filter((id) => typeof id === 'string')

module.exports = { idToInsert, ownIds }
