'use strict'

// Writing all entities of a caller's storage as one map. Only JavaScript knows the path that belongs to an entity, so it is
// asked for the paths of the entities that the map adds and of those that it removes.

const { valueOf } = require('./answers.js')
const { checkMap, mapOf, memberOf } = require('./entries.js')
const { refusal } = require('./errors.js')
const { Records } = require('./records.js')
const { now } = require('./timers.js')

/** Returns the members of a map of entities, as they are at this moment. */
function entityMembers(map) {
  checkMap(map)
  return Object.keys(map).map((key) => memberOf(map[key], key))
}

/**
 * Writes a map of entities and returns it as stored. If other writers have created or deleted entities whose paths are not
 * known yet, the paths are added and the write is tried again, for no longer than `patience`.
 * @param members what `entityMembers` returned
 * @param batch as in batches.js
 */
async function writeEntities(members, { documents, rules, read, write, onConflict, patience, signal }) {
  const end = now() + patience
  const records = new Records(members, ({ text }) => [text()])
  records.isReused = true
  try {
    await records.complete(signal)
    const paths = Object.create(null)
    let changed = await read((ticket) => documents.compareKeys(ticket, records.native))
    for (;;) {
      const [gone, places] = JSON.parse(changed)
      await addPaths(paths, [...gone, ...places.map((at) => members[at].id)], rules, signal)
      const text = JSON.stringify(paths)
      const answer = await write((ticket) => documents.writeAll(ticket, records.native, text), members.length, records)
      if (typeof answer !== 'string') return mapOf(valueOf(answer))
      onConflict()
      if (now() > end) throw conflict(patience)
      changed = answer
    }
  } finally {
    records.native.release()
  }
}

function conflict(patience) {
  const message = `a map was not written within ${patience} ms, because others keep creating or deleting entities; try again, or raise lockTimeout`
  return refusal('CONFLICT', message)
}

/** Adds the paths that belong to entities, by key. */
async function addPaths(paths, ids, rules, signal) {
  const found = await rules.ownPaths(ids, signal)
  ids.forEach((id, at) => (paths[id] = found[at]))
}

module.exports = { entityMembers, writeEntities }
