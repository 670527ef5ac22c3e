'use strict'

const path = require('node:path')
const { newId } = require('../binding.js')
const { mapText, recordText } = require('./arguments.js')
const { call } = require('./calls.js')
const { closed } = require('./errors.js')
const { resolveOptions } = require('./options.js')

/** The native side of a storage, set by the classes of this package. */
const handle = Symbol('handle')
/** Checks an id and gives it in the form that native code takes. */
const identify = Symbol('identify')
/** Starts a write and remembers it until it is answered, so that `close()` can wait for it. */
const write = Symbol('write')
/** Starts a read. */
const read = Symbol('read')
/** Throws if the storage is closed. */
const ensureOpen = Symbol('ensureOpen')
/** Ends the native side. */
const finish = Symbol('finish')

const parse = (text) => (text === null ? null : JSON.parse(text))

const asyncDispose = Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose')

class BaseStorage {
  #closing
  #writes = new Set()

  constructor(storageSchema, entitySchema, dataDir, options) {
    this.options = resolveOptions(options)
    this.basePath = this.options.basePath
    this.dataDir = dataDir
  }

  async create(data) {
    this[ensureOpen]()
    const input = recordText(data)
    return parse(await this[write]((ticket) => this[handle].create(ticket, input)))
  }

  async getById(id) {
    this[ensureOpen]()
    const key = this[identify](id)
    const known = this[handle].peek(key)
    return parse(known === undefined ? await this[read]((ticket) => this[handle].get(ticket, key)) : known)
  }

  async update(id, patch) {
    this[ensureOpen]()
    const key = this[identify](id)
    const input = recordText(patch)
    return parse(await this[write]((ticket) => this[handle].update(ticket, key, input)))
  }

  async delete(id) {
    this[ensureOpen]()
    const key = this[identify](id)
    return parse(await this[write]((ticket) => this[handle].delete(ticket, key)))
  }

  async list() {
    this[ensureOpen]()
    return JSON.parse(this[handle].peekList(true) ?? (await this[read]((ticket) => this[handle].list(ticket, true, true))))
  }

  async deleteAll() {
    this[ensureOpen]()
    await this[write]((ticket) => this[handle].deleteAll(ticket))
  }

  async readAll() {
    const map = {}
    for (const entity of await BaseStorage.prototype.list.call(this)) map[entity.id] = entity
    return map
  }

  async writeAll(data) {
    this[ensureOpen]()
    const map = mapText(data)
    return parse(await this[write]((ticket) => this[handle].writeAll(ticket, map)))
  }

  generateId() {
    return newId()
  }

  clearCache() {
    this[handle].clearCache()
  }

  getCacheStats() {
    const { size, maxSize, ttl, hits, misses } = this[handle].cacheStats()
    const reads = hits + misses
    return { size, maxSize, ttl, enabled: this.options.cacheEnabled, hits, misses, hitRate: reads === 0 ? 0 : hits / reads }
  }

  async rebuildIndexes() {
    this[ensureOpen]()
    await this[read]((ticket) => this[handle].rebuildIndexes(ticket))
  }

  async close() {
    this.#closing ??= (async () => {
      await Promise.allSettled(this.#writes)
      await this[finish]()
    })()
    await this.#closing
  }

  async [asyncDispose]() {
    await this.close()
  }

  [write](start) {
    const answer = call(start)
    this.#writes.add(answer)
    const forget = () => this.#writes.delete(answer)
    answer.then(forget, forget)
    return answer
  }

  [read](start) {
    return call(start)
  }

  [ensureOpen]() {
    if (this.#closing) throw closed()
  }

  [finish]() {
    return call((ticket) => this[handle].close(ticket))
  }
}

/** The directory of a storage's database. */
function directoryOf(storage) {
  return path.join(storage.basePath, storage.dataDir)
}

module.exports = { BaseStorage, handle, identify, write, read, ensureOpen, finish, parse, directoryOf }
