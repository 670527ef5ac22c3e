'use strict'

// Lists that are kept of which a few documents changed since: reading these costs less than reading all of them.

/** A list of which more documents changed is read anew. */
const MOST_OUTDATED = 100

/** What has to be read of a list to bring it up to date: the ids of what changed. Undefined where ids are not all numbers. */
function outdatedIds(list, ids) {
  const keys = Array.from(ids)
  return keys.every(isNumber) && list.every(({ id }) => isNumber(id)) ? keys : undefined
}

/**
 * A list with the documents of some ids as they are now, and what of it was removed for that.
 * @param list documents, ids ascending
 * @param ids of documents that may be others now, or new, or gone
 * @param added those of the documents with these ids that there are
 * @returns undefined where that cannot be told
 */
function updatedList(list, ids, added) {
  if (!added.every(({ id }) => ids.has(id))) return undefined
  const removed = list.filter(({ id }) => ids.has(id))
  const updated = list.filter(({ id }) => !ids.has(id))
  const last = updated.at(-1)?.id ?? -1
  updated.push(...added.sort(byId))
  // Most new ids are the greatest ones.
  if (added.length > 0 && added[0].id < last) updated.sort(byId)
  return { list: updated, removed }
}

/** Other ids are ordered as texts, behind the numbers. */
const isNumber = (id) => Number.isSafeInteger(id) && id >= 0

const byId = (one, other) => one.id - other.id

module.exports = { MOST_OUTDATED, outdatedIds, updatedList }
