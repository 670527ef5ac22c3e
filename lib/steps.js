'use strict'

// The steps of a caller's storage within a transaction, where schemas run in JavaScript.

const { valueOf } = require('./answers.js')
const { copyOf, keyOf } = require('./entries.js')

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
  }
}

module.exports = { entitySteps }
