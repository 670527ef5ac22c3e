'use strict'

const path = require('node:path')
const { NativeBase, NativeCollection, newId } = require('../binding.js')
const { UNADOPTED, adopt } = require('./adoption.js')
const { valueOf } = require('./answers.js')
const { describe, textOf } = require('./arguments.js')
const { call, port } = require('./calls.js')
const { entry, keyOf } = require('./entries.js')
const { closed, invalid, StorageError } = require('./errors.js')
const { BY_KEY, BY_RANGE, BY_WORDS, indexConfigs, indexName, keyText } = require('./index-keys.js')
const { withKeyLock } = require('./key-lock.js')
const { engineObjects, objectsOf, HEAD_LIST, WHOLE_LIST } = require('./objects.js')
const { nativeOptions, resolveOptions } = require('./options.js')
const { reportFrom } = require('./reports.js')
const { exactText, validated } = require('./validation.js')

/** The documents of a storage as native code has them. */
const documents = Symbol('documents')
/** Starts a read where it may wait. */
const read = Symbol('read')
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

/** Methods never call one another through the instance: a subclass may override any of them and call `super`. */
class BaseStorage {
  #storageSchema
  #entitySchema
  #indexes
  #documents
  #objects
  #base
  #adoption
  #closing
  #writes = new Set()

  constructor(storageSchema, entitySchema, dataDir, options) {
    if (new.target === BaseStorage) throw new TypeError('BaseStorage is abstract: extend it')
    if (typeof dataDir !== 'string') throw new TypeError('dataDir must be a string')
    if (dataDir === '' || dataDir.includes('\0')) throw new RangeError('dataDir must be a path')
    Object.defineProperty(this, 'options', { value: resolveOptions(options), enumerable: true })
    this.basePath = this.options.basePath
    this.dataDir = dataDir
    this.#storageSchema = storageSchema
    this.#entitySchema = entitySchema
    this.#indexes = indexConfigs(options?.indexes ?? new.target.indexes ?? [])
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
      // Only an id of the caller's own may have been used before.
      const belongings = own ? (this.#ownPath(id) ?? undefined) : undefined
      try {
        await this[write]((ticket) => this[documents].insert(ticket, key, text, belongings))
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
    if (peeked === undefined) return valueOf(await this[read]((ticket) => this[documents].get(ticket, key)))
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
    return known === undefined ? this[read]((ticket) => this[documents].get(ticket, key)) : known
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
    const belongings = this.#ownPath(id) ?? undefined
    return valueOf(await this[write]((ticket) => this[documents].delete(ticket, key, belongings)))
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
    if (peeked === undefined) return valueOf(await this[read]((ticket) => this[documents].list(ticket, whole)))
    const list = valueOf(peeked)
    const freshFor = kept === undefined ? 0 : this[documents].freshFor()
    return freshFor > 0 ? kept.putList(kind, list, freshFor) : list
  }

  async deleteAll() {
    this[ensureOpen]()
    await this.#writeMap({})
  }

  async readAll() {
    this[ensureOpen]()
    const map = {}
    for (const entity of await this[readList](true)) {
      // As a plain assignment it would be lost under the key __proto__.
      Object.defineProperty(map, entity.id, { value: entity, enumerable: true, configurable: true, writable: true })
    }
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
    for (;;) {
      const paths = Object.create(null)
      for (const { id } of [...(await this[readList](true)), ...Object.values(data)]) paths[id] ??= this.#ownPath(id)
      try {
        return valueOf(await this[write]((ticket) => this[documents].writeAll(ticket, map, JSON.stringify(paths))))
      } catch (error) {
        // Somebody created an entity meanwhile, and what belongs to it goes with it.
        if (error.code !== 'CONFLICT') throw error
      }
    }
  }

  /** The path that belongs to an entity, relative to the database. */
  #ownPath(id) {
    const own = this.getEntityPath(id)
    return own === null ? null : placed(this, own, `getEntityPath(${describe(id)})`)
  }

  async findBy(index, key) {
    return this.#find(BY_KEY, index, keyText(key, 'the key'))
  }

  async findRange(index, start, end, inclusive = true) {
    if (typeof inclusive !== 'boolean') throw invalid(`inclusive must be a boolean, got ${describe(inclusive)}`)
    return this.#find(BY_RANGE, index, keyText(start, 'the start'), keyText(end, 'the end'), inclusive)
  }

  async searchBy(index, query) {
    return this.#find(BY_WORDS, index, textOf(query, 'the query'))
  }

  async #find(kind, index, start, end = 'null', inclusive = true) {
    this[ensureOpen]()
    const name = indexName(index)
    const known = this[documents].peekFind(name, kind, start, end, inclusive)
    const find = (ticket) => this[documents].find(ticket, name, kind, start, end, inclusive)
    return valueOf(known ?? (await this[read](find)))
  }

  generateId() {
    return newId()
  }

  async idExists(id) {
    this[ensureOpen]()
    return (await this.#read(keyOf(id))) !== null
  }

  clearCache() {
    this.#forgetAll()
  }

  invalidateCache(key) {
    if (key === undefined) {
      this.#forgetAll()
      return
    }
    this[documents].forget(keyOf(key))
    this[objects]?.forget(keyOf(key))
  }

  #forgetAll() {
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
    await this[read]((ticket) => this[documents].rebuildIndexes(ticket))
  }

  async readValidatedJson(file, schema, fallback) {
    this[ensureOpen]()
    const target = this.#plainFile(file)
    const text = await call((ticket) => this.#native.read(ticket, target))
    if (text === null) return fallback
    let value
    try {
      value = JSON.parse(text)
    } catch (error) {
      const message = `${target} is not valid JSON: ${error.message}; mend it, or restore it from a backup`
      throw Object.assign(new StorageError(message, 'CORRUPT_DATA', { cause: error }), { path: target })
    }
    return validated(schema, value)
  }

  async writeValidatedJson(file, data, schema) {
    this[ensureOpen]()
    const target = this.#plainFile(file)
    const value = await validated(schema, data)
    const text = `${JSON.stringify(JSON.parse(exactText(value)), null, 2)}\n`
    await this.#remember(call((ticket) => this.#native.write(ticket, target, text)))
    return value
  }

  async ensureDirExists(directory) {
    this[ensureOpen]()
    const target = this.#resolved(directory, 'a directory')
    await this.#remember(call((ticket) => this.#native.ensureDirectory(ticket, target)))
  }

  async withLock(key, work) {
    this[ensureOpen]()
    if (typeof key !== 'string') throw invalid(`a lock is named by a string, got ${describe(key)}`)
    if (typeof work !== 'function') throw invalid(`withLock runs a function, got ${describe(work)}`)
    return withKeyLock(this.#native, directoryOf(this), key, this.options.lockTimeout, work)
  }

  /** A path of the caller's, relative ones below the database's directory. */
  #resolved(given, what) {
    if (isPath(given) && given !== '') return path.resolve(directoryOf(this), given)
    throw invalid(`${what} is named by a path, got ${describe(given)}`)
  }

  #plainFile(given) {
    const target = this.#resolved(given, 'a file')
    if (target !== path.resolve(directoryOf(this), this.getIndexPath())) return target
    throw invalid(`${target} holds the entities of this storage: use its methods`)
  }

  get #native() {
    return (this.#base ??= new NativeBase(port(), this.basePath, directoryOf(this), nativeOptions(this.options)))
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
      const file = placed(this, this.getIndexPath(), 'getIndexPath()')
      const [options, indexes] = [nativeOptions(this.options), JSON.stringify(this.#indexes)]
      this.#documents = new NativeCollection(port(), this.basePath, directoryOf(this), file, indexes, options)
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

  /** A file that somebody else wrote is adopted first, whatever the call. */
  [read](start) {
    return call(start).catch(async (error) => {
      if (error.code !== UNADOPTED) throw error
      this.#adoption ??= adopt(this[documents], this.#entitySchema, this.options.lockTimeout).finally(() => {
        this.#adoption = undefined
      })
      await this.#adoption
      return this[read](start)
    })
  }

  [write](start) {
    return this.#remember(this[read](start))
  }

  #remember(answer) {
    this.#writes.add(answer)
    const forget = () => this.#writes.delete(answer)
    answer.then(forget, forget)
    return answer
  }

  [ensureOpen]() {
    if (this.#closing) throw closed()
  }

  async [finish]() {
    // Never used: nothing to bring up to date.
    if (this.#documents === undefined) return
    try {
      // What a person did to the file meanwhile is taken in before it is written.
      if (this.#entitySchema !== null && this.#documents.hasChanges()) await this[read]((ticket) => this.#documents.lookAtFile(ticket))
    } finally {
      await call((ticket) => this.#documents.close(ticket))
    }
  }
}

/** The place of a file or directory under the base path, relative to the database, with `/` between the names. */
function placed(storage, target, what) {
  if (!isPath(target)) throw invalid(`${what} must return a path, got ${describe(target)}`)
  const directory = directoryOf(storage)
  const absolute = path.resolve(directory, target)
  if (!isBelow(directory, absolute) && !isBelow(storage.basePath, absolute)) {
    throw invalid(`${what} must return a path inside ${storage.basePath}, got ${describe(target)}`)
  }
  return path.relative(directory, absolute).split(path.sep).join('/')
}

/** Whether a value can be a path on every system. */
const isPath = (value) => typeof value === 'string' && !value.includes('\0') && value.isWellFormed()

function isBelow(directory, target) {
  const relative = path.relative(directory, target)
  return relative !== '' && relative.split(path.sep)[0] !== '..' && !path.isAbsolute(relative)
}

/** The directory of a storage's database. */
function directoryOf(storage) {
  return path.join(storage.basePath, storage.dataDir)
}

module.exports = { BaseStorage, checkId, documents, readList, write, ensureOpen, finish, directoryOf }
