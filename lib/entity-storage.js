'use strict'

const { idOf, mapText, recordText } = require('./arguments.js')
const { BaseStorage, ensureOpen, parse, write } = require('./base-storage.js')
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
    return parse(await this[write]((ticket) => this[entities].create(ticket, input)))
  }

  async getById(id) {
    return super.getById(idOf(id))
  }

  async update(id, patch) {
    this[ensureOpen]()
    const key = idOf(id)
    const input = recordText(patch)
    return parse(await this[write]((ticket) => this[entities].update(ticket, key, input)))
  }

  async delete(id) {
    this[ensureOpen]()
    const key = idOf(id)
    return parse(await this[write]((ticket) => this[entities].delete(ticket, key)))
  }

  async deleteAll() {
    this[ensureOpen]()
    await this[write]((ticket) => this[entities].deleteAll(ticket))
  }

  async writeAll(data) {
    this[ensureOpen]()
    const map = mapText(data)
    return parse(await this[write]((ticket) => this[entities].writeAll(ticket, map)))
  }
}

module.exports = { EntityStorage, entities }
