'use strict'

// Lists that are kept of which a few documents changed since: reading these costs less than reading all of them.

/** So many documents are looked up one after another on this thread, and no more. */
const MOST_OUTDATED = 100

/**
 * A list with the documents of some ids as they are now, what of it is gone, and what has come.
 * @param list documents, ids ascending
 * @param ids of documents that may be others now, or new, or gone
 * @param read gives the document of an id, null where there is none, undefined if that cannot be told at once
 * @returns undefined where it cannot be told, and where ids are not all numbers
 */
function updatedList(list, ids, read) {
  const now = new Map()
  for (const id of ids) {
    const document = typeof id === 'number' ? read(id) : undefined
    if (document === undefined) return undefined
    now.set(id, document)
  }
  const come = Array.from(now.values()).filter((document) => document !== null)
  const gone = []
  const updated = []
  for (const document of list) {
    const { id } = document
    if (typeof id !== 'number') return undefined
    if (!now.has(id)) {
      updated.push(document)
      continue
    }
    gone.push(document)
    if (now.get(id) !== null) updated.push(now.get(id))
    now.delete(id)
  }
  const added = Array.from(now.values()).filter((document) => document !== null)
  if (added.length > 0) updated.push(...added.sort(byId))
  // Most new ids are the greatest ones.
  if (added.length > 0 && added[0].id < updated.at(-added.length - 1)?.id) updated.sort(byId)
  return { list: updated, gone, come }
}

const byId = (one, other) => one.id - other.id

module.exports = { MOST_OUTDATED, updatedList }
