'use strict'

// Writing many entities of a caller's storage as one batch.
//
// `batch` is `{ documents, rules, read, write, onConflict, place, earlier, patience, signal }`: the native collection, or the
// same calls as steps of a transaction; the `EntityRules`; the functions that start a read and a write of so many entities and
// records; the one to call when an attempt has failed because of other writers, for which a transaction has none; the place in
// which the write begins; the end of the earlier writes of the same entities; for how long a write is tried again; and the
// caller's signal.

const { unlessAborted } = require('./abort.js')
const { valueOf } = require('./answers.js')
const { arrayOf, changesOf } = require('./arguments.js')
const { concurrently } = require('./concurrently.js')
const { copyOf, keyOf } = require('./entries.js')
const { refusal } = require('./errors.js')
const { NativeReadings } = require('./native.js')
const { Records } = require('./records.js')
const { now } = require('./timers.js')

/** Where an id comes from, as native code expects it. */
const OWN = 0
const GENERATED = 1
const CLAIMED = 2

const originOf = ({ own, claim }) => (own ? OWN : claim ? CLAIMED : GENERATED)

/** Returns copies of given entities. */
const entitiesOf = (data) => Array.from(arrayOf(data, 'entities'), (entity) => copyOf(entity, 'each entity'))

/** Returns given changes as `{ id, data }`, with the key of each entity and a copy of each patch. */
const patchesOf = (changes) => changesOf(changes, keyOf, (patch) => copyOf(patch, 'each patch'))

/** Returns given ids and their keys. */
function idsOf(value) {
  const ids = [...arrayOf(value, 'ids')]
  return { ids, keys: ids.map((id) => keyOf(id)) }
}

/** Inserts entities and returns them as stored. */
async function insertMany(given, batch) {
  const { documents, rules, earlier, signal } = batch
  const entities = []
  let places = [...given.keys()]
  for (;;) {
    const completed = concurrently(places, signal, async (at) => {
      const entity = await rules.completed(given[at], [at])
      entities[at] = { ...entity, stored: JSON.parse(entity.text) }
    })
    await unlessAborted(signal, completed)
    await unlessAborted(signal, earlier)
    const origins = Uint8Array.from(entities, originOf)
    const paths = entities.flatMap(({ belongings }) => belongings ?? [])
    const insert = (ticket, members) => documents.insertMany(ticket, members, origins, paths)
    const taken = await written(entities, ({ key, text }) => [key, text], entities.length, insert, batch)
    if (taken.length === 0) return entities.map(({ stored }) => stored)
    // Other writers have taken these generated ids, so the next ones are tried. The others are claimed by now.
    places = taken
    for (const entity of entities) entity.claim = false
  }
}

/** Merges patches into entities and returns what the entity is after each. */
async function replaceMany(changes, batch) {
  const readings = new NativeReadings()
  try {
    return await replaced(changes, readings, batch)
  } finally {
    readings.release()
  }
}

async function replaced(changes, readings, batch) {
  const { documents, rules, read, onConflict, earlier, patience, signal } = batch
  const end = now() + patience
  const places = placesByKey(changes)
  const keys = [...places.keys()]
  const [texts, entities] = [new Map(), []]
  await unlessAborted(signal, earlier)
  for (let outdated = keys; ; ) {
    const current = valueOf(await read((ticket) => documents.getMany(ticket, outdated, readings)))
    const patched = concurrently(outdated, signal, async (key, nth) => {
      let entity = current[nth]
      for (const at of places.get(key)) {
        const text = await rules.patched(entity, changes[at].data, [at, 'data'])
        texts.set(key, text)
        entity = entities[at] = JSON.parse(text)
      }
    })
    await unlessAborted(signal, patched)
    const replace = (ticket, members) => documents.replaceMany(ticket, members, readings)
    const changed = await written(keys, (key) => [key, texts.get(key)], changes.length, replace, batch)
    if (changed.length === 0) return entities
    // Other writers have changed these entities since. To keep that, the patches are applied to the new state.
    onConflict()
    if (now() > end) throw conflict(patience)
    outdated = changed.map((at) => keys[at])
  }
}

/** Deletes those entities that exist, and returns how many did. */
async function deleteMany({ ids, keys }, { documents, rules, write, place, earlier, signal }) {
  const paths = await rules.ownPaths(ids, signal)
  await unlessAborted(signal, earlier)
  const start = (ticket) => documents.deleteMany(ticket, keys, paths)
  return JSON.parse(await place.begin(signal, () => write(start, ids.length)))
}

/**
 * Passes items to native code, as the members that `memberOf` returns as `[key, text]`, and writes them. Returns the places
 * of those because of which nothing was written.
 */
async function written(items, memberOf, entities, start, { write, place, signal }) {
  const records = new Records(items, (item) => {
    const [key, text] = memberOf(item)
    return [`${JSON.stringify(key)}:${text}`]
  })
  const begin = (native) => place.begin(signal, () => write((ticket) => start(ticket, native), entities, records))
  return JSON.parse(await records.passedTo(begin, signal))
}

/** Returns the places of the changes of each entity, by key. */
function placesByKey(changes) {
  const places = new Map()
  changes.forEach(({ id }, at) => {
    if (places.has(id)) places.get(id).push(at)
    else places.set(id, [at])
  })
  return places
}

function conflict(patience) {
  const message = `entities were not updated within ${patience} ms, because others keep changing them; try again with fewer at a time, or raise lockTimeout`
  return refusal('CONFLICT', message)
}

module.exports = { deleteMany, entitiesOf, idsOf, insertMany, patchesOf, replaceMany }
