'use strict'

// Writing all entities of a caller's storage as one map. What belongs to an entity, JavaScript knows: it is asked of those that come
// and of those that go.

const { valueOf } = require('./answers.js')
const { throwIfAborted } = require('./abort.js')
const { checkMap, mapOf, memberOf } = require('./entries.js')
const { Records } = require('./records.js')
const { turn } = require('./timers.js')

/** So many entities are asked for in one turn of the event loop. */
const AT_ONCE = 256

/** The members of a map of entities, as they are at this moment. */
function entityMembers(map) {
  checkMap(map)
  return Object.keys(map).map((key) => memberOf(map[key], key))
}

/**
 * Writes a map of entities and gives it as it is stored. What others create or delete in between has it start over.
 * @param members what `entityMembers` gave
 * @param calls `{ documents, pathOf, read, write, onConflict }`: the native collection, what gives the path that belongs to an
 *   entity, what starts a read and a write of records
 */
async function writeEntities(members, signal, { documents, pathOf, read, write, onConflict }) {
  for (;;) {
    const records = new Records(members, ({ text }) => text())
    try {
      await records.complete(signal)
      const [gone, places] = JSON.parse(await read((ticket) => documents.compareKeys(ticket, records.native)))
      const ids = gone.concat(places.map((at) => members[at].id))
      const paths = JSON.stringify(await pathsOf(ids, pathOf, signal))
      return mapOf(valueOf(await write((ticket) => documents.writeAll(ticket, records.native, paths), records)))
    } catch (error) {
      if (error.code !== 'CONFLICT') throw error
      onConflict()
    } finally {
      records.native.release()
    }
  }
}

/** The paths that belong to entities, by key. */
async function pathsOf(ids, pathOf, signal) {
  const paths = Object.create(null)
  for (let at = 0; at < ids.length; at++) {
    if (at > 0 && at % AT_ONCE === 0) await turn()
    throwIfAborted(signal)
    paths[ids[at]] = pathOf(ids[at])
  }
  return paths
}

module.exports = { entityMembers, writeEntities }
