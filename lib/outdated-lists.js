'use strict'

// Kept lists of which a few documents have changed: reading only these costs less than reading all documents.

/** A list of which more documents have changed is read anew. */
const MOST_OUTDATED = 100

/** Returns the ids of the documents to read to bring a list up to date; undefined if not all ids are numbers. */
function outdatedIds(list, ids) {
  const keys = Array.from(ids)
  return keys.every(isNumber) && list.every(({ id }) => isNumber(id)) ? keys : undefined
}

/**
 * Returns a list with the documents of some ids as they are now, and the documents that were removed from it for that.
 * @param list documents, ids ascending
 * @param ids of documents that may have been changed, created or deleted
 * @param added the documents with these ids that exist; an id that looks like a number may be a string there
 */
function updatedList(list, ids, added) {
  const removed = list.filter(({ id }) => ids.has(id))
  const updated = list.filter(({ id }) => !ids.has(id))
  const last = updated.at(-1)?.id ?? -1
  updated.push(...added.sort(byId))
  // Most new ids are the greatest ones.
  if (added.length > 0 && added[0].id < last) updated.sort(byId)
  return { list: updated, removed }
}

/** Whether an id is ordered as a number. Other ids are ordered as texts, behind the numbers. */
const isNumber = (id) => Number.isSafeInteger(id) && id >= 0

const byId = (one, other) => one.id - other.id

module.exports = { MOST_OUTDATED, outdatedIds, updatedList }
