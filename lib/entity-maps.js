'use strict'

// Writing all entities of a caller's storage as one map. What belongs to an entity, JavaScript knows: it is asked of those that come
// and of those that go.

const { valueOf } = require('./answers.js')
const { throwIfAborted } = require('./abort.js')
const { checkMap, mapOf, memberOf } = require('./entries.js')
const { refusal } = require('./errors.js')
const { Records } = require('./records.js')
const { now, turn } = require('./timers.js')

/** So many entities are asked for in one turn of the event loop. */
const AT_ONCE = 256

/** The members of a map of entities, as they are at this moment. */
function entityMembers(map) {
  checkMap(map)
  return Object.keys(map).map((key) => memberOf(map[key], key))
}

/**
 * Writes a map of entities and gives it as it is stored. Those whose paths were not asked for, as others created or deleted them
 * since, are asked about until there are none; for longer than `patience` nobody waits for that.
 * @param members what `entityMembers` gave
 * @param calls `{ documents, pathOf, read, write, onConflict }`: the native collection, what gives the path that belongs to an
 *   entity, what starts a read and a write of records
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
