'use strict'

// Lists that are kept of which a few documents changed since: reading these costs less than reading all of them.

/** So many documents are read on this thread, and no more. */
const MOST_OUTDATED = 100

/**
 * A list with the documents of some ids as they are now, and what of it was removed and added for that.
 * @param list documents, ids ascending
 * @param ids of documents that may be others now, or new, or gone
 * @param read gives those of the documents with these ids that there are, undefined if that cannot be told at once
 * @returns undefined where it cannot be told, and where ids are not all numbers
 */
function updatedList(list, ids, read) {
  const keys = Array.from(ids)
  const added = keys.every(isNumber) && list.every(({ id }) => isNumber(id)) ? read(keys) : undefined
  if (added === undefined || !added.every(({ id }) => ids.has(id))) return undefined
  const removed = list.filter(({ id }) => ids.has(id))
  const updated = list.filter(({ id }) => !ids.has(id))
  const last = updated.at(-1)?.id ?? -1
  updated.push(...added.sort(byId))
  // Most new ids are the greatest ones.
  if (added.length > 0 && added[0].id < last) updated.sort(byId)
  return { list: updated, removed, added }
}

/** Other ids are ordered as texts, behind the numbers. */
const isNumber = (id) => Number.isSafeInteger(id) && id >= 0

const byId = (one, other) => one.id - other.id

module.exports = { MOST_OUTDATED, updatedList }
