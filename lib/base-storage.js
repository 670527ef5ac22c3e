'use strict'

const { NativeBase, NativeCollection } = require('./native.js')
const { signalOption, throwIfAborted, unlessAborted } = require('./abort.js')
const { Adoption, UNADOPTED } = require('./adoption.js')
const { valueOf } = require('./answers.js')
const { describe, textOf } = require('./arguments.js')
const { asyncDispose } = require('./async-dispose.js')
const { deleteMany, entitiesOf, idsOf, insertMany, patchesOf, replaceMany } = require('./batches.js')
const { call, port } = require('./calls.js')
const { Changes, Feeds, Listeners } = require('./changes.js')
const { channels, publish, published } = require('./diagnostics.js')
const { entityMembers, writeEntities } = require('./entity-maps.js')
const { checkNoPromise, copyOf, keyOf, mapOf } = require('./entries.js')
const { EntityRules } = require('./entity-rules.js')
const { closed, invalid, wrongType } = require('./errors.js')
const { BY_KEY, BY_RANGE, BY_WORDS, indexConfigs, indexName, keyText, rangeTexts } = require('./index-keys.js')
const { iterate, iterationOf } = require('./iteration.js')
const { withKeyLock } = require('./key-lock.js')
const { listOf } = require('./lists.js')
const { idToInsert, ownIds } = require('./new-id.js')
const { clearCaches, forgetAll, forgetDocument, objectsOf, releaseClosed } = require('./objects.js')
const { checkDataDir, nativeOptions, resolveOptions } = require('./options.js')
const { plainFile, readFile, writeFile } = require('./plain-files.js')
const { countOf, queryOf } = require('./query.js')
const { attemptOf, publishedWrite } = require('./records.js')
const { reportFrom } = require('./reports.js')
const { detached } = require('./snapshots.js')
const { cacheStatistics, statistics } = require('./statistics.js')
const { entitySteps } = require('./steps.js')
const { checkId, documents, ensureOpen, feeds, findObjects, finish, objects, read, readList, scope, write, writes } = require('./storage-members.js')
const { directoryOf, placed, resolved } = require('./storage-paths.js')
const { Scope, transaction } = require('./transaction.js')
const { validated } = require('./validation.js')
const { ALL, Writes } = require('./writes.js')

/** Methods never call one another through `this`: a subclass may override any of them and call `super`. */
class BaseStorage {
  #storageSchema
  #entitySchema
  #rules
  #indexes
  #documents
  #objects
  #base
  #adoption
  #closing
  [feeds] = new Feeds()
  #listeners = new Listeners(() => this.#changes())

  constructor(storageSchema, entitySchema, dataDir, options) {
    if (new.target === BaseStorage) throw wrongType('BaseStorage is abstract: extend it')
    checkDataDir(dataDir)
    Object.defineProperty(this, 'options', { value: resolveOptions(options), enumerable: true })
    this.basePath = this.options.basePath
    this[writes] = new Writes(this.options.lockTimeout)
    this.dataDir = dataDir
    this.#storageSchema = storageSchema
    this.#entitySchema = entitySchema
    this.#rules = new EntityRules(this, entitySchema, () => this[documents])
    this.#indexes = indexConfigs(options?.indexes ?? new.target.indexes ?? [])
  }

  getIndexPath() {
    throw wrongType(`${this.constructor.name} must implement getIndexPath()`)
  }

  getEntityPath() {
    return null
  }

  async create(data, options) {
    this[ensureOpen]()
    const signal = signalOption(options)
    const given = copyOf(data, 'an entity')
    throwIfAborted(signal)
    return await this[writes].perform(ownIds([given]), (place, earlier) => {
      return this.#rules.insert(given, signal, async (...entity) => {
        await unlessAborted(signal, earlier)
        const start = (ticket) => this[documents].insert(ticket, ...entity)
        await place.begin(signal, () => this[write](start, signal, 'create', 1, entity[1], { within: place }))
      })
    })
  }

  async getById(id, options) {
    this[ensureOpen]()
    const checked = this[checkId](id)
    const signal = signalOption(options)
    throwIfAborted(signal)
    const kept = this[objects]
    const known = kept?.get(checked)
    if (known !== undefined) return known
    const key = String(checked)
    const peeked = this[documents].peek(key)
    if (peeked === undefined) return valueOf(await this[read]((ticket) => this[documents].get(ticket, key), signal, 'getById'))
    const entity = valueOf(peeked)
    // A document that is read a second time is likely to be read again: from now on it is kept as an object.
    const freshFor = entity === null || kept === undefined ? 0 : this[documents].freshFor()
    return freshFor > 0 ? kept.put(checked, entity, freshFor) : entity
  }

  [checkId](id) {
    keyOf(id)
    return id
  }

  async #read(key, signal) {
    const known = this[documents].peek(key)
    return known === undefined ? this[read]((ticket) => this[documents].get(ticket, key), signal, 'getById') : known
  }

  async update(id, patch, options) {
    this[ensureOpen]()
    const key = keyOf(id)
    const signal = signalOption(options)
    const given = copyOf(patch, 'a patch')
    throwIfAborted(signal)
    return await this[writes].perform([key], async (place, earlier) => {
      await unlessAborted(signal, earlier)
      for (;;) {
        throwIfAborted(signal)
        const before = await this.#read(key, signal)
        if (before === null) return null
        const text = await unlessAborted(signal, this.#rules.patched(JSON.parse(before), given))
        const start = (ticket) => this[documents].replace(ticket, key, before, text)
        const replaced = await place.begin(signal, () => this[write](start, signal, 'update', 1, text, { within: place }))
        // Another writer has changed the document since. To keep that change, the patch is applied to the new state.
        if (JSON.parse(replaced)) return JSON.parse(text)
        publish(channels.conflict, () => ({ ...this.#about('update'), id }))
      }
    })
  }

  async delete(id, options) {
    this[ensureOpen]()
    const key = keyOf(id)
    const signal = signalOption(options)
    const belongings = this.#rules.ownPath(id) ?? undefined
    throwIfAborted(signal)
    return await this[writes].perform([key], async (place, earlier) => {
      await unlessAborted(signal, earlier)
      const start = (ticket) => this[documents].delete(ticket, key, belongings)
      return valueOf(await place.begin(signal, () => this[write](start, signal, 'delete', 1, undefined, { within: place })))
    })
  }

  async list(options) {
    this[ensureOpen]()
    return await this[readList](true, signalOption(options))
  }

  async [readList](whole, signal) {
    throwIfAborted(signal)
    return await listOf(this[documents], whole, () => this[objects], (start) => this[read](start, signal, 'list'))
  }

  async deleteAll(options) {
    this[ensureOpen]()
    await this.#writeMap('deleteAll', async () => ({}), signalOption(options))
  }

  async readAll(options) {
    this[ensureOpen]()
    return mapOf(await this[readList](true, signalOption(options)))
  }

  async writeAll(data, options) {
    this[ensureOpen]()
    const signal = signalOption(options)
    checkNoPromise(data)
    // A schema may return what it is given, even later.
    return await this.#writeMap('writeAll', () => validated(this.#storageSchema, detached(data)), signal)
  }

  #writeMap(operation, given, signal) {
    throwIfAborted(signal)
    return this[writes].perform(ALL, async (place, earlier) => {
      const members = entityMembers(await unlessAborted(signal, given()))
      await unlessAborted(signal, earlier)
      // The write may have to start over, so the writes behind it wait until it is answered.
      await place.enter(signal)
      return await writeEntities(members, this.#batch(operation, signal, place, earlier))
    })
  }

  async createMany(data, options) {
    this[ensureOpen]()
    const signal = signalOption(options)
    const given = entitiesOf(data)
    throwIfAborted(signal)
    return await this[writes].perform(ownIds(given), (place, earlier) => insertMany(given, this.#batch('createMany', signal, place, earlier)))
  }

  async updateMany(changes, options) {
    this[ensureOpen]()
    const signal = signalOption(options)
    const given = patchesOf(changes)
    throwIfAborted(signal)
    const keys = given.map(({ id }) => id)
    return await this[writes].perform(keys, (place, earlier) => replaceMany(given, this.#batch('updateMany', signal, place, earlier)))
  }

  async deleteMany(ids, options) {
    this[ensureOpen]()
    const signal = signalOption(options)
    const given = idsOf(ids)
    throwIfAborted(signal)
    return await this[writes].perform(given.keys, (place, earlier) => deleteMany(given, this.#batch('deleteMany', signal, place, earlier)))
  }

  /** What a write of many entities works with. */
  #batch(operation, signal, place, earlier) {
    return {
      signal,
      place,
      earlier,
      patience: this.options.lockTimeout,
      rules: this.#rules,
      documents: this[documents],
      read: (start) => this[read](start, signal, operation),
      write: (start, entities, records) => this[write](start, signal, operation, entities, records, { within: place }),
      onConflict: () => publish(channels.conflict, () => this.#about(operation)),
    }
  }

  async findBy(index, key, options) {
    this[ensureOpen]()
    return await this.#find(BY_KEY, index, options, keyText(key, 'the key'))
  }

  async findRange(index, start, end, inclusive = true, options) {
    this[ensureOpen]()
    return await this.#find(BY_RANGE, index, options, ...rangeTexts(start, end, inclusive))
  }

  async searchBy(index, query, options) {
    this[ensureOpen]()
    return await this.#find(BY_WORDS, index, options, textOf(query, 'the query'))
  }

  async #find(kind, index, options, start, end = 'null', inclusive = true) {
    const signal = signalOption(options)
    throwIfAborted(signal)
    const name = indexName(index)
    const known = this[documents].peekFind(name, kind, start, end, inclusive)
    const find = (ticket) => this[documents].find(ticket, name, kind, start, end, inclusive)
    return valueOf(known ?? (await this[read](find, signal, 'find')))
  }

  async query(query) {
    this[ensureOpen]()
    const { text, signal } = queryOf(query)
    return valueOf(await this[read]((ticket) => this[documents].query(ticket, text), signal, 'query'))
  }

  async count(query) {
    this[ensureOpen]()
    const { text, signal } = countOf(query)
    throwIfAborted(signal)
    const known = text === undefined ? this[documents].peekCount() : null
    return known ?? JSON.parse(await this[read]((ticket) => this[documents].count(ticket, text ?? '{}'), signal, 'count'))
  }

  async explain(query) {
    this[ensureOpen]()
    const { text, signal } = queryOf(query)
    return JSON.parse(await this[read]((ticket) => this[documents].explain(ticket, text), signal, 'explain'))
  }

  iterate(options) {
    this[ensureOpen]()
    // The first step may come after `close()`.
    const open = (query, after) => this[ensureOpen]()[documents].iterate(query, after)
    return iterate(iterationOf(options), open, (start, signal) => this[read](start, signal, 'iterate'))
  }

  async transaction(work, options) {
    this[ensureOpen]()
    return await this[writes].around(() => transaction(this, work, options, this.options.lockTimeout, {
      scope: (run, storage) => storage?.[ensureOpen]?.()[scope]?.(run),
      read: (run, storage) => (start, signal) => storage[read](start, signal, 'transaction', run.storages),
      commit: (run, storage, signal) => {
        const start = (ticket) => run.commit(ticket, storage[documents])
        return storage[write](start, signal, 'transaction', undefined, undefined, { storages: run.storages })
      },
      place: directoryOf,
      about: (storage) => storage.#about('transaction'),
    }))
  }

  [scope](run) {
    return new Scope(run, this, entitySteps(() => this[documents], this.#rules))
  }

  changes(options) {
    return this[ensureOpen]().#changes(options)
  }

  #changes(options) {
    return new Changes(options, this[documents], (start, signal) => this[read](start, signal, 'changes'), this[feeds])
  }

  async sequence() {
    return JSON.parse(await this[ensureOpen]()[read]((ticket) => this[documents].sequence(ticket), undefined, 'sequence'))
  }

  on(event, listener) {
    this[ensureOpen]()
    this.#listeners.add(event, listener)
    return this
  }

  off(event, listener) {
    this.#listeners.remove(event, listener)
    return this
  }

  generateId() {
    return idToInsert(this[documents]).id
  }

  async idExists(id) {
    this[ensureOpen]()
    return (await this.#read(keyOf(id))) !== null
  }

  clearCache() {
    clearCaches(this[documents])
  }

  invalidateCache(key) {
    if (key === undefined) return clearCaches(this[documents])
    this[documents].forget(keyOf(key))
    forgetDocument(this[objects], keyOf(key))
  }

  getCacheStats() {
    return cacheStatistics(this[documents], this.options.cacheEnabled)
  }

  async stats() {
    this[ensureOpen]()
    return await statistics((ticket) => this[documents].statistics(ticket), this.options.cacheEnabled)
  }

  async rebuildIndexes(options) {
    this[ensureOpen]()
    await this[read]((ticket) => this[documents].rebuildIndexes(ticket), signalOption(options), 'rebuildIndexes')
  }

  async readValidatedJson(file, schema, fallback) {
    this[ensureOpen]()
    return await readFile(this.#native, plainFile(this, file), schema, fallback)
  }

  async writeValidatedJson(file, data, schema) {
    this[ensureOpen]()
    const target = plainFile(this, file)
    return await this[writes].remember(writeFile(this.#native, target, data, schema))
  }

  async ensureDirExists(directory) {
    this[ensureOpen]()
    const target = resolved(this, directory, 'a directory')
    await this[writes].remember(call((ticket) => this.#native.ensureDirectory(ticket, target)))
  }

  async withLock(key, work, options) {
    this[ensureOpen]()
    if (typeof key !== 'string') throw invalid(`a lock is named by a string, got ${describe(key)}`)
    if (typeof work !== 'function') throw invalid(`withLock runs a function, got ${describe(work)}`)
    const waiting = { timeout: this.options.lockTimeout, signal: signalOption(options) }
    return await this[writes].around(() => withKeyLock(this.#native, directoryOf(this), key, waiting, work))
  }

  get #native() {
    return (this.#base ??= new NativeBase(port(), this.basePath, directoryOf(this), nativeOptions(this.options)))
  }

  async verify(options) {
    this[ensureOpen]()
    return reportFrom(await call((ticket) => this[documents].verify(ticket), { signal: signalOption(options) }))
  }

  async repair(options) {
    this[ensureOpen]()
    const signal = signalOption(options)
    forgetAll(this[documents])
    try {
      return reportFrom(await this[write]((ticket) => this[documents].repair(ticket), signal, 'repair'))
    } finally {
      // A repaired database has a new engine.
      releaseClosed()
    }
  }

  async close() {
    // Code inside a call that `close()` waits for must not wait for `close()`.
    if (this.#closing !== undefined && this[writes].isInside) return
    this.#closing ??= (async () => {
      this[feeds].end()
      await this[writes].settled()
      this.#objects = undefined
      await this[finish]()
    })()
    await this.#closing
  }

  async [asyncDispose]() {
    await this.close()
  }

  /** Opened at first use: in the constructor, a subclass has no fields yet, on which `getIndexPath()` may depend. */
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

  /** The objects that this thread keeps of the collection; undefined if it keeps none. */
  get [objects]() {
    const isThere = this.#objects !== undefined && !this.#objects.engine.isReleased
    if (!isThere && this.options.cacheEnabled) this.#objects = this[findObjects]()
    return this.#objects
  }

  [findObjects]() {
    return objectsOf(this[documents], this.options)
  }

  [read](start, signal, operation, storages) {
    if (!channels.read.hasSubscribers) return this.#adopted(start, signal, storages)
    return published(channels.read, this.#about(operation), () => this.#adopted(start, signal, storages))
  }

  [write](start, signal, operation, entities, given, { otherwise, within, storages } = {}) {
    const attempt = attemptOf((start) => this.#adopted(start, signal, storages), { start, given, otherwise }, signal)
    const begin = () => this[writes].begin(attempt, signal, within)
    // A write that has a place has been remembered since its call.
    const remembered = (answer) => (within === undefined ? this[writes].remember(answer) : answer)
    if (!channels.write.hasSubscribers) return remembered(begin())
    const sequence = (event) => Object.assign(event, { sequence: this[documents].knownSequence() ?? undefined })
    return remembered(publishedWrite({ ...this.#about(operation), entities }, given, begin, sequence))
  }

  /** The properties that the events of all calls share. */
  #about(operation) {
    return { operation, basePath: this.basePath, database: directoryOf(this), collection: this[documents].path }
  }

  /** Starts a call on storages; whatever the call is, files of theirs that another program wrote are adopted first. */
  async #adopted(start, signal, storages = [this]) {
    for (;;) {
      try {
        return await call(start, { signal })
      } catch (error) {
        if (error.code !== UNADOPTED) throw error
      }
      for (const storage of storages) await storage.#adopt(signal)
    }
  }

  async #adopt(signal) {
    if (this.#entitySchema === null) return
    const onEnd = (ended) => this.#adoption === ended && (this.#adoption = undefined)
    this.#adoption ??= new Adoption(this[documents], this.#entitySchema, this.options.lockTimeout, onEnd)
    await this.#adoption.wait(signal)
  }

  /** Returns the storage if it is open. */
  [ensureOpen]() {
    // A call that began earlier runs to its end, including the calls that its callback makes.
    if (this.#closing !== undefined && !this[writes].isInside) throw closed()
    return this
  }

  async [finish]() {
    // The storage was never used: there is nothing to bring up to date.
    if (this.#documents === undefined) return
    try {
      // Edits that a person has made to the file are adopted before the file is written.
      if (this.#entitySchema !== null && this.#documents.hasChanges()) await this.#adopted((ticket) => this.#documents.lookAtFile(ticket))
    } finally {
      await call((ticket) => this.#documents.close(ticket))
      releaseClosed()
    }
  }
}

module.exports = { BaseStorage }
