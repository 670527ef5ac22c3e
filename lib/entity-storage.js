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
/** The name of that kind in the steps of native transactions. */
const kind = Symbol('kind')
/** Reads a record or a patch once and returns `{ input, plain }`: its JSON and, if it is passed apart, its large field. */
const taken = Symbol('taken')
/** Returns a created entity from the answer of native code and what `taken` returned. */
const created = Symbol('created')
/** Returns an updated entity from the answer of native code and what `taken` returned. */
const updated = Symbol('updated')
/** Returns the steps that read and write entities within a transaction, as `Scope` takes them. */
const steps = Symbol('steps')

/** What `taken` returned for several records, on its way into native code. */
const recordsOf = (given) => new Records(given, ({ input, plain }) => [input, plain])

/** A storage whose entities native code knows: it checks them itself, and an id may also be given as a numeric string. */
class EntityStorage extends BaseStorage {
  constructor(storageSchema, dataDir, options) {
    if (new.target.indexes !== undefined || options?.indexes !== undefined) {
      throw invalid(`${new.target.name} has indexes of its own; declare yours in a storage that extends BaseStorage`)
    }
    super(storageSchema, null, dataDir, options)
  }

  [taken](record) {
    return { input: recordText(record) }
  }

  [created](entity) {
    return entity
  }

  [updated](entity) {
    return entity
  }

  #allTaken(data) {
    return Array.from(arrayOf(data, 'entities'), (record) => this[taken](record))
  }

  /** Returns the ids of changes, and their patches as `taken`. */
  #changes(changes) {
    const given = changesOf(changes, idOf, (patch) => this[taken](patch))
    return { ids: given.map(({ id }) => id), patches: given.map(({ data }) => data) }
  }

  #allCreated(answer, given) {
    return valueOf(answer).map((entity, at) => this[created](entity, given[at]))
  }

  #allUpdated(answer, patches) {
    return valueOf(answer).map((entity, at) => this[updated](entity, patches[at]))
  }

  async create(data, options) {
    this[ensureOpen]()
    const signal = signalOption(options)
    const given = this[taken](data)
    const { input, plain } = given
    const answer = await this[write]((ticket) => this[entities].create(ticket, input, plain), signal, 'create', 1, [input, plain])
    return this[created](valueOf(answer), given)
  }

  [checkId](id) {
    return idOf(id)
  }

  async update(id, patch, options) {
    this[ensureOpen]()
    const signal = signalOption(options)
    const key = idOf(id)
    const given = this[taken](patch)
    const { input, plain } = given
    const answer = await this[write]((ticket) => this[entities].update(ticket, key, input, plain), signal, 'update', 1, [input, plain])
    return answer === null ? null : this[updated](valueOf(answer), given)
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
    const given = this.#allTaken(data)
    const records = recordsOf(given)
    const start = (ticket) => this[entities].createMany(ticket, records.native)
    return this.#allCreated(await this[write](start, signal, 'createMany', given.length, records), given)
  }

  async updateMany(changes, options) {
    this[ensureOpen]()
    const signal = signalOption(options)
    const { ids, patches } = this.#changes(changes)
    const records = recordsOf(patches)
    const start = (ticket) => this[entities].updateMany(ticket, ids, records.native)
    return this.#allUpdated(await this[write](start, signal, 'updateMany', ids.length, records), patches)
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

  [steps]() {
    const [one, many] = [this[kind], `${this[kind]}s`]
    const step = (name, ...args) => async (call, native) => {
      return valueOf(await call((ticket) => native[name](ticket, this[entities], ...args)))
    }
    /** Returns the answer of a step that takes many records behind its other arguments. */
    const answerOf = (name, given, [call, native, signal], ...args) => {
      const start = (records) => call((ticket) => native[name](ticket, this[entities], ...args, records))
      return recordsOf(given).passedTo(start, signal)
    }
    return {
      documents: () => this[documents],
      get: (id) => {
        const key = String(idOf(id))
        return async (call, native) => valueOf(await call((ticket) => native.get(ticket, this[documents], key)))
      },
      create: (data) => step(`create${one}`, recordText(data)),
      update: (id, patch) => step(`update${one}`, idOf(id), recordText(patch)),
      delete: (id) => step(`delete${one}`, idOf(id)),
      createMany: (data) => {
        const given = this.#allTaken(data)
        return async (...run) => this.#allCreated(await answerOf(`create${many}`, given, run), given)
      },
      updateMany: (changes) => {
        const { ids, patches } = this.#changes(changes)
        return async (...run) => this.#allUpdated(await answerOf(`update${many}`, patches, run, ids), patches)
      },
      deleteMany: (ids) => step(`delete${many}`, Array.from(arrayOf(ids, 'ids'), idOf)),
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

module.exports = { EntityStorage, created, entities, kind, steps, taken, updated }
