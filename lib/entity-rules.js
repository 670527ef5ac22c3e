'use strict'

// The rules for the entities of a caller's storage: what creating and patching fill in, and the path that belongs to each.

const { unlessAborted } = require('./abort.js')
const { describe } = require('./arguments.js')
const { entry } = require('./entries.js')
const { idToInsert } = require('./new-id.js')
const { placed } = require('./storage-paths.js')
const { validated, withIssue } = require('./validation.js')

class EntityRules {
  #storage
  #schema
  #documents

  /** @param documents returns the native collection of the storage */
  constructor(storage, schema, documents) {
    this.#storage = storage
    this.#schema = schema
    this.#documents = documents
  }

  /** Fills in what an entity lacks and inserts it under a free id. A signal ends the waiting for the schema. */
  async insert(given, signal, insert) {
    const type = this.#storage.constructor
    const own = type.newId !== undefined || typeof given.id === 'string'
    for (;;) {
      const { id, claim } = own ? { id: given.id ?? type.newId(), claim: false } : idToInsert(this.#documents())
      const now = Date.now()
      const complete = { ...given, id, created: now, updated: now }
      const { key, text } = entry(own ? await this.#validated(complete, signal) : await this.#withNewId(complete, signal), id)
      // Only an id of the caller's own may have been used before.
      const belongings = own ? (this.ownPath(id) ?? undefined) : undefined
      try {
        await insert(key, text, claim, belongings)
        return JSON.parse(text)
      } catch (error) {
        // Another writer has taken the generated id, so the next one is tried. An id that the caller chose is not replaced.
        if (own || error.code !== 'ALREADY_EXISTS') throw error
      }
    }
  }

  /** Returns what the schema makes of an entity whose id was generated. If it rejects that id, the error says what to do. */
  async #withNewId(entity, signal) {
    try {
      return await this.#validated(entity, signal)
    } catch (error) {
      if (!Array.isArray(error?.issues) || !error.issues.some((issue) => issue?.path?.[0] === 'id')) throw error
      const advice = 'pass one, or give the class of the storage a static newId() that returns one'
      const message = `this number was generated because the data has no id that is a string: ${advice}`
      throw withIssue(error, { code: 'custom', path: ['id'], message })
    }
  }

  /** Returns the text of an entity with a patch applied. A signal ends the waiting for the schema. */
  async patched(current, given, signal) {
    const updated = Math.max(Date.now(), Number(current.updated) || 0)
    const merged = { ...current, ...given, id: current.id, created: current.created, updated }
    return entry(await this.#validated(merged, signal), current.id).text
  }

  async #validated(entity, signal) {
    return await unlessAborted(signal, validated(this.#schema, entity))
  }

  /** Returns the path that belongs to an entity, relative to the database. */
  ownPath(id) {
    const own = this.#storage.getEntityPath(id)
    return own === null ? null : placed(this.#storage, own, `getEntityPath(${describe(id)})`)
  }
}

module.exports = { EntityRules }
