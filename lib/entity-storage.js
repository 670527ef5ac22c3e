'use strict'

const { valueOf } = require('./answers.js')
const { idOf, mapText, recordText } = require('./arguments.js')
const { BaseStorage, checkId, ensureOpen, write } = require('./base-storage.js')
const { invalid } = require('./errors.js')

/** The native calls that write entities of one kind. */
const entities = Symbol('entities')

/** A storage whose entities native code knows: it checks them itself, and ids may be given as numeric strings. */
class EntityStorage extends BaseStorage {
  constructor(storageSchema, dataDir, options) {
    if (new.target.indexes !== undefined || options?.indexes !== undefined) {
      throw invalid(`${new.target.name} has indexes of its own; declare yours in a storage that extends BaseStorage`)
    }
    super(storageSchema, null, dataDir, options)
  }

  async create(data) {
    this[ensureOpen]()
    const input = recordText(data)
    return valueOf(await this[write]((ticket) => this[entities].create(ticket, input)))
  }

  [checkId](id) {
    return idOf(id)
  }

  async update(id, patch) {
    this[ensureOpen]()
    const key = idOf(id)
    const input = recordText(patch)
    return valueOf(await this[write]((ticket) => this[entities].update(ticket, key, input)))
  }

  async delete(id) {
    this[ensureOpen]()
    const key = idOf(id)
    return valueOf(await this[write]((ticket) => this[entities].delete(ticket, key)))
  }

  async deleteAll() {
    this[ensureOpen]()
    await this[write]((ticket) => this[entities].deleteAll(ticket))
  }

  async writeAll(data) {
    this[ensureOpen]()
    const map = mapText(data)
    return valueOf(await this[write]((ticket) => this[entities].writeAll(ticket, map)))
  }
}

module.exports = { EntityStorage, entities }
