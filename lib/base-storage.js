'use strict'

const path = require('node:path')
const { NativeCollection, newId } = require('../binding.js')
const { describe } = require('./arguments.js')
const { valueOf } = require('./answers.js')
const { call, port } = require('./calls.js')
const { closed, invalid, ValidationError } = require('./errors.js')
const { engineObjects, objectsOf, HEAD_LIST, WHOLE_LIST } = require('./objects.js')
const { nativeOptions, resolveOptions } = require('./options.js')
const { exactText, validated } = require('./validation.js')

/** The documents of a storage as native code has them. */
const documents = Symbol('documents')
/** Starts a write and remembers it until it is answered, so that `close()` can wait for it. */
const write = Symbol('write')
/** What is kept of them as objects. */
const objects = Symbol('objects')
/** Checks an id that a caller gave: a number or a string. */
const checkId = Symbol('checkId')
/** Reads all documents, with their large field or without. */
const readList = Symbol('readList')
/** Throws if the storage is closed. */
const ensureOpen = Symbol('ensureOpen')
/** Ends the native side. */
const finish = Symbol('finish')

const asyncDispose = Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose')

class BaseStorage {
  #storageSchema
  #entitySchema
  #documents
  #objects
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
    const checked = this[checkId](id)
    const kept = this[objects]
    const known = kept?.get(checked)
    if (known !== undefined) return known
    const key = String(checked)
    const peeked = this[documents].peek(key)
    if (peeked === undefined) return valueOf(await call((ticket) => this[documents].get(ticket, key)))
    const entity = valueOf(peeked)
    // What is read a second time will be read again: from now on it is kept as an object.
    const freshFor = entity === null || kept === undefined ? 0 : this[documents].freshFor()
    return freshFor > 0 ? kept.put(checked, entity, freshFor) : entity
  }

  [checkId](id) {
    keyOf(id)
    return id
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
    return valueOf(await this[write]((ticket) => this[documents].delete(ticket, key, own)))
  }

  async list() {
    this[ensureOpen]()
    return this[readList](true)
  }

  async [readList](whole) {
    const kind = whole ? WHOLE_LIST : HEAD_LIST
    const kept = this[objects]
    const known = kept?.getList(kind)
    if (known !== undefined) return known
    const peeked = this[documents].peekList(whole)
    if (peeked === undefined) return valueOf(await call((ticket) => this[documents].list(ticket, whole)))
    const list = valueOf(peeked)
    const freshFor = kept === undefined ? 0 : this[documents].freshFor()
    return freshFor > 0 ? kept.putList(kind, list, freshFor) : list
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
    return valueOf(await this[write]((ticket) => this[documents].writeAll(ticket, map, JSON.stringify(paths))))
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
    engineObjects(this[documents])?.clear()
  }

  getCacheStats() {
    const kept = engineObjects(this[documents])
    if (kept !== undefined) this[documents].countHits(kept.takeHits())
    const { size: texts, maxSize, ttl, hits, misses } = this[documents].cacheStats()
    // An entry may be there as text and as object.
    const size = Math.max(texts, kept?.size ?? 0)
    const reads = hits + misses
    const hitRate = reads === 0 ? 0 : hits / reads
    return { size, maxSize, ttl, enabled: this.options.cacheEnabled, hits, misses, hitRate }
  }

  async rebuildIndexes() {
    this[ensureOpen]()
    await call((ticket) => this[documents].rebuildIndexes(ticket))
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

  /** What this thread keeps of the collection as objects; undefined where it keeps none. */
  get [objects]() {
    if (this.#objects === undefined && this.options.cacheEnabled) this.#objects = objectsOf(this[documents], this.options)
    return this.#objects
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

module.exports = { BaseStorage, checkId, documents, readList, write, ensureOpen, finish, directoryOf }
