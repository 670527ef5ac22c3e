'use strict'

// The rules for the entities of a caller's storage: what creating and patching fill in, and the path that belongs to each.

const { throwIfAborted, unlessAborted } = require('./abort.js')
const { describe } = require('./arguments.js')
const { entry } = require('./entries.js')
const { idToInsert } = require('./new-id.js')
const { placed } = require('./storage-paths.js')
const { turn } = require('./timers.js')
const { below, validated, withIssue } = require('./validation.js')

/** How many paths of entities are asked for in one turn of the event loop. */
const PATHS_AT_ONCE = 256

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
    for (;;) {
      const { key, text, own, claim, belongings } = await unlessAborted(signal, this.completed(given))
      try {
        await insert(key, text, claim, belongings)
        return JSON.parse(text)
      } catch (error) {
        // Another writer has taken the generated id, so the next one is tried. An id that the caller chose is not replaced.
        if (own || error.code !== 'ALREADY_EXISTS') throw error
      }
    }
  }

  /**
   * Fills in what an entity lacks. Returns its key and text, whether the id is the caller's `own`, whether a generated one
   * must be `claim`ed, and the path that may have belonged to an earlier entity with this id.
   * @param at the path of the entity in the caller's argument
   */
  async completed(given, at = []) {
    const type = this.#storage.constructor
    const own = type.newId !== undefined || typeof given.id === 'string'
    const { id, claim } = own ? { id: given.id ?? type.newId(), claim: false } : idToInsert(this.#documents())
    const now = Date.now()
    const complete = { ...given, id, created: now, updated: now }
    const validate = own ? this.#validated(complete, at) : this.#withNewId(complete, at)
    const { key, text } = entry(await validate, id, at)
    // Only an id of the caller's own may have been used before.
    const belongings = own ? (this.ownPath(id) ?? undefined) : undefined
    return { key, text, own, claim, belongings }
  }

  async #validated(entity, at) {
    try {
      return await validated(this.#schema, entity)
    } catch (error) {
      throw below(error, at)
    }
  }

  /** Returns what the schema makes of an entity whose id was generated. If it rejects that id, the error says what to do. */
  async #withNewId(entity, at) {
    try {
      return await this.#validated(entity, at)
    } catch (error) {
      const isOfId = (issue) => issue?.path?.[at.length] === 'id'
      if (!Array.isArray(error?.issues) || !error.issues.some(isOfId)) throw error
      const advice = 'pass one, or give the class of the storage a static newId() that returns one'
      const message = `this number was generated because the data has no id that is a string: ${advice}`
      throw withIssue(error, { code: 'custom', path: [...at, 'id'], message })
    }
  }

  /** Returns the text of an entity with a patch applied. `at` is the path of the patch in the caller's argument. */
  async patched(current, given, at = []) {
    const updated = Math.max(Date.now(), Number(current.updated) || 0)
    const merged = { ...current, ...given, id: current.id, created: current.created, updated }
    return entry(await this.#validated(merged, at), current.id, at).text
  }

  /** Returns the path that belongs to an entity, relative to the database. */
  ownPath(id) {
    const own = this.#storage.getEntityPath(id)
    return own === null ? null : placed(this.#storage, own, `getEntityPath(${describe(id)})`)
  }

  /** Like `ownPath`, for many entities. The event loop turns while their paths are asked for. */
  async ownPaths(ids, signal) {
    const paths = []
    for (const id of ids) {
      if (paths.length > 0 && paths.length % PATHS_AT_ONCE === 0) await turn()
      throwIfAborted(signal)
      paths.push(this.ownPath(id))
    }
    return paths
  }
}

module.exports = { EntityRules }
