'use strict'

// The steps of a caller's storage within a transaction, where schemas run in JavaScript.

const { valueOf } = require('./answers.js')
const { deleteMany, entitiesOf, idsOf, insertMany, patchesOf, replaceMany } = require('./batches.js')
const { copyOf, keyOf } = require('./entries.js')

/** The place of a step, which begins once the steps before it have ended. */
const OWN_TURN = { begin: (signal, start) => start() }

const NOTHING = Promise.resolve()

/**
 * Returns the steps of a storage, as `Scope` takes them: each copies its arguments and returns the function that runs it.
 *
 * @param documents returns the native collection
 * @param rules the `EntityRules` of the storage
 */
function entitySteps(documents, rules) {
  return {
    documents,
    get: (id) => {
      const key = keyOf(id)
      return async (call, native) => valueOf(await call((ticket) => native.get(ticket, documents(), key)))
    },
    create: (data) => {
      const given = copyOf(data, 'an entity')
      return (call, native) => rules.insert(given, undefined, (...entity) => call((ticket) => native.insert(ticket, documents(), ...entity)))
    },
    update: (id, patch) => {
      const key = keyOf(id)
      const given = copyOf(patch, 'a patch')
      return async (call, native) => {
        const before = await call((ticket) => native.get(ticket, documents(), key))
        if (before === null) return null
        const text = await rules.patched(JSON.parse(before), given)
        await call((ticket) => native.put(ticket, documents(), key, text))
        return JSON.parse(text)
      }
    },
    delete: (id) => {
      const key = keyOf(id)
      const belongings = rules.ownPath(id) ?? undefined
      return async (call, native) => valueOf(await call((ticket) => native.delete(ticket, documents(), key, belongings)))
    },
    createMany: (data) => {
      const given = entitiesOf(data)
      return (...step) => insertMany(given, batchOf(documents, rules, ...step))
    },
    updateMany: (changes) => {
      const given = patchesOf(changes)
      return (...step) => replaceMany(given, batchOf(documents, rules, ...step))
    },
    deleteMany: (ids) => {
      const given = idsOf(ids)
      return (...step) => deleteMany(given, batchOf(documents, rules, ...step))
    },
  }
}

/** Returns what a step that writes many entities works with: see batches.js. If others change what it reads, it fails. */
function batchOf(documents, rules, call, native, signal) {
  return {
    rules,
    signal,
    place: OWN_TURN,
    earlier: NOTHING,
    read: call,
    write: (start) => call(start),
    documents: {
      insertMany: (ticket, ...given) => native.insertMany(ticket, documents(), ...given),
      getMany: (ticket, keys) => native.getMany(ticket, documents(), keys),
      replaceMany: (ticket, members) => native.putMany(ticket, documents(), members),
      deleteMany: (ticket, keys, paths) => native.deleteMany(ticket, documents(), keys, paths),
    },
  }
}

module.exports = { entitySteps }
