'use strict'

const { signalOption } = require('./abort.js')
const { valueOf } = require('./answers.js')
const { arrayOf, changesOf, idOf, membersOf, recordText } = require('./arguments.js')
const { BaseStorage } = require('./base-storage.js')
const { checkMap, mapOf } = require('./entries.js')
const { Records } = require('./records.js')
const { checkId, documents, ensureOpen, scope, write } = require('./storage-members.js')
const { Scope } = require('./transaction.js')
const { invalid } = require('./errors.js')

/** The native calls that write entities of one kind. */
const entities = Symbol('entities')
/** Returns the steps that read and write them within a transaction, as `Scope` takes them. */
const steps = Symbol('steps')

/** A storage whose entities native code knows: it checks them itself, and an id may also be given as a numeric string. */
class EntityStorage extends BaseStorage {
  constructor(storageSchema, dataDir, options) {
    if (new.target.indexes !== undefined || options?.indexes !== undefined) {
      throw invalid(`${new.target.name} has indexes of its own; declare yours in a storage that extends BaseStorage`)
    }
    super(storageSchema, null, dataDir, options)
  }

  async create(data, options) {
    this[ensureOpen]()
    const signal = signalOption(options)
    const input = recordText(data)
    return valueOf(await this[write]((ticket) => this[entities].create(ticket, input), signal, 'create', 1, input))
  }

  [checkId](id) {
    return idOf(id)
  }

  async update(id, patch, options) {
    this[ensureOpen]()
    const signal = signalOption(options)
    const key = idOf(id)
    const input = recordText(patch)
    return valueOf(await this[write]((ticket) => this[entities].update(ticket, key, input), signal, 'update', 1, input))
  }

  async delete(id, options) {
    this[ensureOpen]()
    const signal = signalOption(options)
    const key = idOf(id)
    return valueOf(await this[write]((ticket) => this[entities].delete(ticket, key), signal, 'delete', 1))
  }

  async createMany(data, options) {
    this[ensureOpen]()
    const signal = signalOption(options)
    const texts = Array.from(arrayOf(data, 'entities'), recordText)
    const records = new Records(texts, (text) => [text])
    const start = (ticket) => this[entities].createMany(ticket, records.native)
    return valueOf(await this[write](start, signal, 'createMany', texts.length, records))
  }

  async updateMany(changes, options) {
    this[ensureOpen]()
    const signal = signalOption(options)
    const given = changesOf(changes, idOf, recordText)
    const patches = new Records(given, ({ data }) => [data])
    const start = (ticket) => this[entities].updateMany(ticket, given.map(({ id }) => id), patches.native)
    return valueOf(await this[write](start, signal, 'updateMany', given.length, patches))
  }

  async deleteMany(ids, options) {
    this[ensureOpen]()
    const signal = signalOption(options)
    const keys = Array.from(arrayOf(ids, 'ids'), idOf)
    return valueOf(await this[write]((ticket) => this[entities].deleteMany(ticket, keys), signal, 'deleteMany', keys.length))
  }

  [scope](run) {
    return new Scope(run, this, this[steps]())
  }

  /** @param kind the name of the entities in native calls */
  [steps](kind) {
    const step = (name, ...args) => async (call, native) => {
      return valueOf(await call((ticket) => native[`${name}${kind}`](ticket, this[entities], ...args)))
    }
    return {
      documents: () => this[documents],
      get: (id) => {
        const key = String(idOf(id))
        return async (call, native) => valueOf(await call((ticket) => native.get(ticket, this[documents], key)))
      },
      create: (data) => step('create', recordText(data)),
      update: (id, patch) => step('update', idOf(id), recordText(patch)),
      delete: (id) => step('delete', idOf(id)),
    }
  }

  async deleteAll(options) {
    this[ensureOpen]()
    await this[write]((ticket) => this[entities].deleteAll(ticket), signalOption(options), 'deleteAll')
  }

  async writeAll(data, options) {
    this[ensureOpen]()
    const signal = signalOption(options)
    checkMap(data)
    const members = membersOf(data)
    const records = new Records(members, ({ parts }) => parts())
    const start = (ticket) => this[entities].writeAll(ticket, records.native)
    return mapOf(valueOf(await this[write](start, signal, 'writeAll', members.length, records)))
  }
}

module.exports = { EntityStorage, entities, steps }
