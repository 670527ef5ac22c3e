'use strict'

// Writing all entities of a caller's storage as one map. Only JavaScript knows the path that belongs to an entity, so it is
// asked for the paths of the entities that the map adds and of those that it removes.

const { valueOf } = require('./answers.js')
const { throwIfAborted } = require('./abort.js')
const { checkMap, mapOf, memberOf } = require('./entries.js')
const { refusal } = require('./errors.js')
const { Records } = require('./records.js')
const { now, turn } = require('./timers.js')

/** How many paths of entities are asked for in one turn of the event loop. */
const AT_ONCE = 256

/** Returns the members of a map of entities, as they are at this moment. */
function entityMembers(map) {
  checkMap(map)
  return Object.keys(map).map((key) => memberOf(map[key], key))
}

/**
 * Writes a map of entities and returns it as stored. If other writers have created or deleted entities whose paths are not
 * known yet, the paths are added and the write is tried again, for no longer than `patience`.
 * @param members what `entityMembers` returned
 * @param calls `{ documents, pathOf, read, write, onConflict }`: the native collection, the function that returns the path
 *   belonging to an entity, those that start a read and a write of records, and the one called when an attempt has failed
 */
async function writeEntities(members, patience, signal, { documents, pathOf, read, write, onConflict }) {
  const end = now() + patience
  const records = new Records(members, ({ text }) => [text()])
  records.isReused = true
  try {
    await records.complete(signal)
    const paths = Object.create(null)
    let changed = await read((ticket) => documents.compareKeys(ticket, records.native))
    for (;;) {
      const [gone, places] = JSON.parse(changed)
      await addPaths(paths, [...gone, ...places.map((at) => members[at].id)], pathOf, signal)
      const text = JSON.stringify(paths)
      const answer = await write((ticket) => documents.writeAll(ticket, records.native, text), records)
      if (typeof answer !== 'string') return mapOf(valueOf(answer))
      onConflict()
      if (now() > end) throw tooManyChanges(patience)
      changed = answer
    }
  } finally {
    records.native.release()
  }
}

function tooManyChanges(patience) {
  const message = `a map was not written within ${patience} ms, because others keep creating or deleting entities; try again, or raise lockTimeout`
  return refusal('CONFLICT', message)
}

/** Adds the paths that belong to entities, by key. */
async function addPaths(paths, ids, pathOf, signal) {
  for (let at = 0; at < ids.length; at++) {
    if (at > 0 && at % AT_ONCE === 0) await turn()
    throwIfAborted(signal)
    paths[ids[at]] = pathOf(ids[at])
  }
}

module.exports = { entityMembers, writeEntities }
