'use strict'

// All documents of a collection: from the objects that are kept, from the engine's cache of texts, or from the disk.

const { valueOf } = require('./answers.js')
const { isForgotten, moment, HEAD_LIST, WHOLE_LIST } = require('./objects.js')

/**
 * @param whole whether the documents come with their large field
 * @param objects returns what is kept of the collection, or undefined
 * @param read starts a call off this thread, where it may wait
 */
async function listOf(documents, whole, objects, read) {
  const kind = whole ? WHOLE_LIST : HEAD_LIST
  const kept = objects()
  const known = kept?.getList(kind, documents)
  if (known !== undefined) return known
  const peeked = documents.peekList(whole)
  if (peeked === undefined) {
    const outdated = kept?.outdatedList(kind)
    const updated = outdated && (await updatedOf(documents, whole, outdated, objects, read))
    return updated ?? (await readOf(documents, whole, kind, objects, read))
  }
  const list = valueOf(peeked)
  const freshFor = kept === undefined ? 0 : documents.freshFor()
  return freshFor > 0 ? kept.putList(kind, list, freshFor) : list
}

/** Brings a kept list up to date, reading what changed off this thread; undefined if the list is not current even then. */
async function updatedOf(documents, whole, outdated, objects, read) {
  const since = moment()
  const changed = valueOf(await read((ticket) => documents.some(ticket, outdated.ids, whole)))
  const kept = keeper(documents, objects, since)
  return kept === outdated.entry.collection ? kept.updateList(outdated, changed, documents) : undefined
}

/** Reads a list off this thread, and keeps it if it is still current when it arrives. */
async function readOf(documents, whole, kind, objects, read) {
  const [before, engine] = [objects(), documents.engine()]
  const [since, seq] = [moment(), before?.engine.acknowledged]
  // Before the engine is open, nobody knows whether objects can be kept. Usually they can.
  const willKeep = before === undefined ? engine === null : before.keepsLists && before.engine.number === engine
  const list = valueOf(await read((ticket) => documents.list(ticket, whole, willKeep)))
  const kept = keeper(documents, objects, since)
  if (kept === undefined || (before !== undefined && before !== kept)) return list
  return kept.keepList(kind, list, seq ?? documents.openedAt(), since.time + kept.engine.freshFor) ?? list
}

/** Returns the objects that may keep the answer of a call that began at `since`; undefined if it must not be kept. */
function keeper(documents, objects, since) {
  if (isForgotten(since)) return undefined
  const kept = objects()
  return kept?.engine.number === documents.engine() ? kept : undefined
}

module.exports = { keeper, listOf }
