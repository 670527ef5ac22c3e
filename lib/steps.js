'use strict'

// What a storage of a caller does within a transaction, where schemas run in JavaScript.

const { valueOf } = require('./answers.js')
const { copyOf, keyOf } = require('./entries.js')

/**
 * The steps of a storage, as `Scope` takes them: each copies its arguments and gives what runs it.
 *
 * @param documents gives the native collection
 * @param rules of the storage: `insert(given, insert)` completes an entity and inserts it, `patched(current, given)` gives the
 *   text of an entity with a patch, `ownPath(id)` what belongs to one
 */
function entitySteps(documents, { insert, patched, ownPath }) {
  return {
    documents,
    get: (id) => {
      const key = keyOf(id)
      return async (call, native) => valueOf(await call((ticket) => native.get(ticket, documents(), key)))
    },
    create: (data) => {
      const given = copyOf(data, 'an entity')
      return (call, native) => insert(given, (...entity) => call((ticket) => native.insert(ticket, documents(), ...entity)))
    },
    update: (id, patch) => {
      const key = keyOf(id)
      const given = copyOf(patch, 'a patch')
      return async (call, native) => {
        const before = await call((ticket) => native.get(ticket, documents(), key))
        if (before === null) return null
        const text = await patched(JSON.parse(before), given)
        await call((ticket) => native.put(ticket, documents(), key, text))
        return JSON.parse(text)
      }
    },
    delete: (id) => {
      const key = keyOf(id)
      const belongings = ownPath(id) ?? undefined
      return async (call, native) => valueOf(await call((ticket) => native.delete(ticket, documents(), key, belongings)))
    },
  }
}

module.exports = { entitySteps }
