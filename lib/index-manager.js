'use strict'

const path = require('node:path')
const { types } = require('node:util')
const { NativeIndexes } = require('./native.js')
const { signalOption, throwIfAborted } = require('./abort.js')
const { describe, textOf } = require('./arguments.js')
const { asyncDispose } = require('./async-dispose.js')
const { call, port } = require('./calls.js')
const { channels, published } = require('./diagnostics.js')
const { closed, invalid, wrongType } = require('./errors.js')
const { entityKey, entityText, entityTextLater } = require('./index-entities.js')
const { BY_KEY, BY_RANGE, BY_WORDS, indexConfig, indexName, keyText, rangeTexts } = require('./index-keys.js')
const { releaseClosed } = require('./objects.js')
const { checkDataDir, checkOptions, nativeOptions, resolveOptions } = require('./options.js')
const { attemptOf, publishedWrite, Records } = require('./records.js')
const { reportFrom } = require('./reports.js')
const { isMap } = require('./shapes.js')
const { statistics } = require('./statistics.js')
const { Writes } = require('./writes.js')

/** Indexes need no cache, but its time to live says how long memory is trusted before the files are looked at. */
const CACHE = { cacheEnabled: false, maxCacheSize: 0, cacheTTL: 1000 }

class IndexManager {
  #indexes
  /** The writes that have not been answered yet. */
  #writes
  #basePath
  #directory
  #closing
  /** Calls in progress that create or drop an index: meanwhile, what memory knows of an index is not what later calls find. */
  #defining = 0

  constructor(basePath, dataDir, options = {}) {
    if (typeof basePath !== 'string') throw wrongType('basePath must be a string')
    checkDataDir(dataDir)
    checkOptions(options)
    const { lockTimeout, durability } = options
    const resolved = resolveOptions({ basePath, lockTimeout, durability, ...CACHE })
    this.#basePath = resolved.basePath
    this.#directory = path.join(resolved.basePath, dataDir)
    this.#writes = new Writes(resolved.lockTimeout)
    this.#indexes = new NativeIndexes(port(), this.#basePath, this.#directory, nativeOptions(resolved))
  }

  async createIndex(config, options) {
    this.#ensureOpen()
    const signal = signalOption(options)
    const checked = indexConfig(config)
    const text = JSON.stringify(checked)
    await this.#define((ticket) => this.#indexes.create(ticket, text), signal, 'createIndex', checked.name)
  }

  async dropIndex(name, options) {
    this.#ensureOpen()
    const signal = signalOption(options)
    const index = indexName(name)
    await this.#define((ticket) => this.#indexes.drop(ticket, index), signal, 'dropIndex', index)
  }

  async #define(start, signal, operation, index) {
    this.#defining++
    try {
      await this.#write(start, signal, operation, index)
    } finally {
      this.#defining--
    }
  }

  async listIndexes(options) {
    this.#ensureOpen()
    const signal = signalOption(options)
    return JSON.parse(await this.#read((ticket) => this.#indexes.list(ticket), signal, 'listIndexes')).map(ordered)
  }

  async addToIndex(name, entityId, entity, options) {
    this.#ensureOpen()
    const signal = signalOption(options)
    const index = indexName(name)
    const key = entityKey(entityId)
    const members = this.#members(index)
    const text = entityText(entity, members?.names)
    const add = (ticket) => this.#indexes.add(ticket, index, key, text, members?.text)
    await this.#write(add, signal, 'addToIndex', index, 1, text)
  }

  /** Returns the members of an entity that an index looks at, if they are known in memory: only these need to be copied. */
  #members(index) {
    const text = this.#defining > 0 ? null : this.#indexes.peekMembers(index)
    return text === null ? undefined : { text, names: JSON.parse(text) }
  }

  async removeFromIndex(name, entityId, options) {
    this.#ensureOpen()
    const signal = signalOption(options)
    const index = indexName(name)
    const key = entityKey(entityId)
    await this.#write((ticket) => this.#indexes.remove(ticket, index, key), signal, 'removeFromIndex', index, 1)
  }

  async query(name, key, options) {
    this.#ensureOpen()
    return await this.#ids('query', options, BY_KEY, indexName(name), keyText(key, 'the key'))
  }

  async queryRange(name, start, end, inclusive = true, options) {
    this.#ensureOpen()
    return await this.#ids('queryRange', options, BY_RANGE, indexName(name), ...rangeTexts(start, end, inclusive))
  }

  async searchText(name, query, options) {
    this.#ensureOpen()
    return await this.#ids('searchText', options, BY_WORDS, indexName(name), textOf(query, 'the query'))
  }

  async #ids(operation, options, kind, name, start, end = 'null', inclusive = true) {
    const signal = signalOption(options)
    throwIfAborted(signal)
    const known = this.#indexes.peekIds(kind, name, start, end, inclusive)
    const ask = (ticket) => this.#indexes.ids(ticket, kind, name, start, end, inclusive)
    return JSON.parse(known ?? (await this.#read(ask, signal, operation, name)))
  }

  async rebuildIndex(name, entities, options) {
    this.#ensureOpen()
    const signal = signalOption(options)
    const index = indexName(name)
    const members = this.#members(index)
    const pairs = Array.from(entriesOf(entities), ([id, entity]) => [entityKey(id), entityTextLater(entity, members?.names)])
    const given = new Records(pairs, ([key, text]) => [`[${JSON.stringify(key)},${text()}]`])
    const rebuild = (ticket) => this.#indexes.rebuild(ticket, index, given.native, members?.text)
    await this.#write(rebuild, signal, 'rebuildIndex', index, pairs.length, given)
  }

  async getIndexStats(name, options) {
    this.#ensureOpen()
    const signal = signalOption(options)
    const index = indexName(name)
    const found = JSON.parse(await this.#read((ticket) => this.#indexes.stats(ticket, index), signal, 'getIndexStats', index))
    if (found === null) return null
    const { config, uniqueKeys, totalEntries, created, updated } = found
    const avgEntriesPerKey = uniqueKeys === 0 ? 0 : totalEntries / uniqueKeys
    const times = { created: new Date(created), updated: new Date(updated) }
    return { config: ordered(config), stats: { uniqueKeys, totalEntries, avgEntriesPerKey, ...times } }
  }

  async stats() {
    this.#ensureOpen()
    return await statistics((ticket) => this.#indexes.statistics(ticket), CACHE.cacheEnabled)
  }

  async verify(options) {
    this.#ensureOpen()
    const signal = signalOption(options)
    return reportFrom(await call((ticket) => this.#indexes.verify(ticket), { signal }))
  }

  async repair(options) {
    this.#ensureOpen()
    const signal = signalOption(options)
    return reportFrom(await this.#write((ticket) => this.#indexes.repair(ticket), signal, 'repair'))
  }

  async close() {
    this.#closing ??= (async () => {
      await this.#writes.settled()
      await call((ticket) => this.#indexes.close(ticket))
      releaseClosed()
    })()
    await this.#closing
  }

  async [asyncDispose]() {
    await this.close()
  }

  #read(start, signal, operation, index) {
    if (!channels.read.hasSubscribers) return call(start, { signal })
    return published(channels.read, this.#about(operation, index), () => call(start, { signal }))
  }

  /** Starts a write as a storage does: see `BaseStorage`. */
  #write(start, signal, operation, index, entities, given) {
    const attempt = attemptOf((start) => call(start, { signal }), { start, given }, signal)
    const begin = () => this.#writes.begin(attempt, signal)
    if (!channels.write.hasSubscribers) return this.#writes.remember(begin())
    return this.#writes.remember(publishedWrite({ ...this.#about(operation, index), entities }, given, begin))
  }

  /** The properties that the events of all calls share. */
  #about(operation, index) {
    return { operation, basePath: this.#basePath, database: this.#directory, index }
  }

  #ensureOpen() {
    if (this.#closing) throw closed('manager')
  }
}

/** Returns a configuration with its members in the documented order. */
function ordered({ name, type, fields, unique, sparse, collection }) {
  const config = { name, type, fields, unique, sparse }
  return collection === undefined ? config : { ...config, collection }
}

/** Yields ids and entities. Ids are the entities' own in an array, the keys in a `Map`, and either in an object. */
function* entriesOf(entities) {
  if (Array.isArray(entities)) {
    for (const entity of entities) yield [idOf(entity), entity]
  } else if (types.isMap(entities)) {
    yield* entities
  } else if (isMap(entities)) {
    for (const key of Object.keys(entities)) {
      const entity = entities[key]
      yield [entity?.id ?? key, entity]
    }
  } else {
    throw invalid(`entities must be an array, a Map or an object, got ${describe(entities)}`)
  }
}

function idOf(entity) {
  if (entity !== null && typeof entity === 'object') return entity.id
  throw invalid(`an entity is an object, got ${describe(entity)}`)
}

module.exports = { IndexManager }
