'use strict'

const path = require('node:path')
const { NativeCollection, newId } = require('../binding.js')
const { describe } = require('./arguments.js')
const { call, port } = require('./calls.js')
const { closed, invalid, ValidationError } = require('./errors.js')
const { nativeOptions, resolveOptions } = require('./options.js')
const { reportFrom } = require('./reports.js')
const { exactText, validated } = require('./validation.js')

/** The documents of a storage as native code has them. */
const documents = Symbol('documents')
/** Starts a write and remembers it until it is answered, so that `close()` can wait for it. */
const write = Symbol('write')
/** Throws if the storage is closed. */
const ensureOpen = Symbol('ensureOpen')
/** Ends the native side. */
const finish = Symbol('finish')

const parse = (text) => (text === null ? null : JSON.parse(text))

const asyncDispose = Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose')

class BaseStorage {
  #storageSchema
  #entitySchema
  #documents
  #closing
  #writes = new Set()

  constructor(storageSchema, entitySchema, dataDir, options) {
    if (new.target === BaseStorage) throw new TypeError('BaseStorage is abstract: extend it')
    if (typeof dataDir !== 'string') throw new TypeError('dataDir must be a string')
    if (dataDir === '' || dataDir.includes('\0')) throw new RangeError('dataDir must be a path')
    this.options = resolveOptions(options)
    this.basePath = this.options.basePath
    this.dataDir = dataDir
    this.#storageSchema = storageSchema
    this.#entitySchema = entitySchema
  }

  getIndexPath() {
    throw new TypeError(`${this.constructor.name} must implement getIndexPath()`)
  }

  getEntityPath() {
    return null
  }

  async create(data) {
    this[ensureOpen]()
    if (data === null || typeof data !== 'object') throw invalid(`an entity is an object, got ${describe(data)}`)
    const given = { ...data }
    const own = this.constructor.newId !== undefined || typeof given.id === 'string'
    for (;;) {
      const id = own ? (given.id ?? this.constructor.newId()) : newId()
      const now = Date.now()
      const entity = await validated(this.#entitySchema, { ...given, id, created: now, updated: now })
      const { key, text } = entry(entity, id)
      try {
        await this[write]((ticket) => this[documents].insert(ticket, key, text))
        return JSON.parse(text)
      } catch (error) {
        // Another process took the number: the next one is free. An id of the caller's own is the caller's to change.
        if (own || error.code !== 'ALREADY_EXISTS') throw error
      }
    }
  }

  async getById(id) {
    this[ensureOpen]()
    return parse(await this.#read(keyOf(id)))
  }

  async #read(key) {
    const known = this[documents].peek(key)
    return known === undefined ? call((ticket) => this[documents].get(ticket, key)) : known
  }

  async update(id, patch) {
    this[ensureOpen]()
    const key = keyOf(id)
    if (patch === null || typeof patch !== 'object') throw invalid(`a patch is an object, got ${describe(patch)}`)
    const given = { ...patch }
    for (;;) {
      const before = await this.#read(key)
      if (before === null) return null
      const current = JSON.parse(before)
      const updated = Math.max(Date.now(), Number(current.updated) || 0)
      const merged = { ...current, ...given, id: current.id, created: current.created, updated }
      const { text } = entry(await validated(this.#entitySchema, merged), current.id)
      const replaced = await this[write]((ticket) => this[documents].replace(ticket, key, before, text))
      // Somebody else changed the document since: what they wrote must not be lost, so the patch is tried on that.
      if (JSON.parse(replaced)) return JSON.parse(text)
    }
  }

  async delete(id) {
    this[ensureOpen]()
    const key = keyOf(id)
    const own = this.#ownPath(id)
    return parse(await this[write]((ticket) => this[documents].delete(ticket, key, own)))
  }

  async list() {
    this[ensureOpen]()
    return JSON.parse(this[documents].peekList(true) ?? (await call((ticket) => this[documents].list(ticket, true))))
  }

  async deleteAll() {
    await this.#writeMap({})
  }

  async readAll() {
    const map = {}
    for (const entity of await BaseStorage.prototype.list.call(this)) map[entity.id] = entity
    return map
  }

  async writeAll(data) {
    this[ensureOpen]()
    return this.#writeMap(await validated(this.#storageSchema, data))
  }

  async #writeMap(data) {
    if (data === null || typeof data !== 'object') throw invalid(`a storage is a map of entities, got ${describe(data)}`)
    const entries = Object.keys(data).map((key) => [key, entry(data[key], key).text])
    const map = `{${entries.map(([key, text]) => `${JSON.stringify(key)}:${text}`).join(',')}}`
    const paths = {}
    for (const { id } of await BaseStorage.prototype.list.call(this)) {
      if (!Object.hasOwn(data, id)) paths[id] = this.#ownPath(id) ?? undefined
    }
    return parse(await this[write]((ticket) => this[documents].writeAll(ticket, map, JSON.stringify(paths))))
  }

  /** The path that belongs to an entity, relative to the database. */
  #ownPath(id) {
    const own = this.getEntityPath(id)
    return own === null ? null : inside(directoryOf(this), own, `getEntityPath(${describe(id)})`)
  }

  generateId() {
    return newId()
  }

  clearCache() {
    this[documents].clearCache()
  }

  getCacheStats() {
    const { size, maxSize, ttl, hits, misses } = this[documents].cacheStats()
    const reads = hits + misses
    const hitRate = reads === 0 ? 0 : hits / reads
    return { size, maxSize, ttl, enabled: this.options.cacheEnabled, hits, misses, hitRate }
  }

  async rebuildIndexes() {
    this[ensureOpen]()
    await call((ticket) => this[documents].rebuildIndexes(ticket))
  }

  async verify() {
    this[ensureOpen]()
    return reportFrom(await call((ticket) => this[documents].verify(ticket)))
  }

  async repair() {
    this[ensureOpen]()
    return reportFrom(await this[write]((ticket) => this[documents].repair(ticket)))
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

  /** Opened at first use: fields of a subclass, on which `getIndexPath()` may depend, do not exist in the constructor. */
  get [documents]() {
    if (this.#documents === undefined) {
      const directory = directoryOf(this)
      const file = inside(directory, this.getIndexPath(), 'getIndexPath()')
      this.#documents = new NativeCollection(port(), this.basePath, directory, file, nativeOptions(this.options))
    }
    return this.#documents
  }

  set [documents](collection) {
    this.#documents = collection
  }

  [write](start) {
    const answer = call(start)
    this.#writes.add(answer)
    const forget = () => this.#writes.delete(answer)
    answer.then(forget, forget)
    return answer
  }

  [ensureOpen]() {
    if (this.#closing) throw closed()
  }

  [finish]() {
    return call((ticket) => this[documents].close(ticket))
  }
}

/** The key under which an entity lies in its map. */
function keyOf(id) {
  if (typeof id === 'string' || (typeof id === 'number' && Number.isFinite(id))) return String(id)
  throw invalid(`an id is a string or a number, got ${describe(id)}`)
}

/** An entity's key and text. Its id must be the one it is to be stored under. */
function entry(entity, id) {
  const key = keyOf(id)
  if (entity === null || typeof entity !== 'object' || String(entity.id) !== key) {
    const message = `expected an entity whose id is ${describe(id)}, got ${describe(entity?.id ?? entity)}`
    throw new ValidationError(message, [{ path: [key, 'id'], message, code: 'custom' }])
  }
  return { key, text: exactText(entity) }
}

/** A path below a directory, relative to it, with `/` between the names. */
function inside(directory, target, what) {
  if (typeof target !== 'string') throw invalid(`${what} must return a path, got ${describe(target)}`)
  const relative = path.relative(directory, path.resolve(directory, target))
  const names = relative.split(path.sep)
  if (relative === '' || names[0] === '..' || path.isAbsolute(relative)) {
    throw invalid(`${what} must return a path inside ${directory}, got ${describe(target)}`)
  }
  return names.join('/')
}

/** The directory of a storage's database. */
function directoryOf(storage) {
  return path.join(storage.basePath, storage.dataDir)
}

module.exports = { BaseStorage, documents, write, ensureOpen, finish, parse, directoryOf }
