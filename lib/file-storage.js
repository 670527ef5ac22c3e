'use strict'

const path = require('node:path')
const { signalOf, signalOption, throwIfAborted } = require('./abort.js')
const { checkText, describe, idOf, recordText, valueText } = require('./arguments.js')
const { valueOf } = require('./answers.js')
const { optionsOf } = require('./call-options.js')
const { call } = require('./calls.js')
const { Feeds } = require('./changes.js')
const { checkMap, copyOf } = require('./entries.js')
const { EntityStorage, created, entities, kind, steps, taken, updated } = require('./entity-storage.js')
const { invalid, wrongType } = require('./errors.js')
const { fileMembers, writeFiles } = require('./file-maps.js')
const { isPlain, recordParts, withContent } = require('./file-records.js')
const { documents, ensureOpen, feeds, findObjects, finish, objects, read, readList, write, writes } = require('./storage-members.js')
const { directoryOf } = require('./storage-paths.js')
const { contentStream, fromStream } = require('./streams.js')
const { Writes } = require('./writes.js')

const parent = Symbol('parent')
const construct = Symbol('construct')

/** In native calls, this version stands for the latest one. */
const LATEST = -1

function versionOf(value) {
  if (Number.isSafeInteger(value) && value >= 0) return value
  throw invalid(`a version is an integer that is not negative, got ${describe(value)}`)
}

class ProjectFileStorage extends EntityStorage {
  constructor(key, storage, projectId) {
    if (key !== construct) throw wrongType('use getFileStorage(projectId) of a ProjectStorageV2')
    super(null, storage.dataDir, storage.options)
    this[parent] = storage
    this[entities] = storage[entities].files(projectId)
    this[documents] = this[entities].documents()
    this[writes] = new Writes(this.options.lockTimeout, storage[writes])
    this[feeds] = new Feeds(storage[feeds])
    Object.defineProperty(this, 'projectId', { value: projectId, enumerable: true })
  }

  getIndexPath() {
    return path.join(directoryOf(this), 'project_data', String(this.projectId), 'files.json')
  }

  get [kind]() {
    return 'File'
  }

  [taken](file) {
    return recordParts(file)
  }

  [created](head, { content }) {
    return withContent(head, content)
  }

  [updated](file, { plain }) {
    return plain === undefined ? file : withContent(file, plain)
  }

  async writeAll(files, options) {
    this[ensureOpen]()
    const signal = signalOption(options)
    checkMap(files)
    const map = fileMembers(files)
    const stored = { native: this[entities], documents: this[documents], objects: () => this[objects] }
    return await writeFiles(map, stored, ({ start, given }, otherwise) => {
      return this[write](start, signal, 'writeAll', map.length, given, { otherwise })
    })
  }

  async list(options) {
    this[ensureOpen]()
    const { includeContent, includeAllVersions, signal } = listOptions(options)
    if (includeAllVersions) return await this[readList](includeContent, signal)
    return valueOf(await this[read]((ticket) => this[entities].listLatest(ticket, includeContent), signal, 'list'))
  }

  async getByPath(filePath, options) {
    this[ensureOpen]()
    const signal = signalOption(options)
    throwIfAborted(signal)
    checkText(filePath, 'path')
    const kept = this[objects]
    const known = kept?.getFound(filePath)
    if (known !== undefined) return known
    const peeked = this[entities].peekByPath(filePath)
    if (peeked === undefined) {
      return valueOf(await this[read]((ticket) => this[entities].byPath(ticket, filePath), signal, 'getByPath'))
    }
    const file = valueOf(peeked)
    const freshFor = file === null || kept === undefined ? 0 : this[entities].freshFor()
    return freshFor > 0 ? kept.putFound(filePath, file.id, file, freshFor) : file
  }

  async getByExtension(extension, options) {
    this[ensureOpen]()
    const signal = signalOption(options)
    checkText(extension, 'extension')
    return valueOf(await this[read]((ticket) => this[entities].byExtension(ticket, extension), signal, 'getByExtension'))
  }

  async search(query, options) {
    this[ensureOpen]()
    checkText(query, 'query')
    const signal = signalOption(options)
    return valueOf(await this[read]((ticket) => this[entities].search(ticket, query), signal, 'search'))
  }

  createContentStream(fileId, options) {
    this[ensureOpen]()
    return contentStream(this[entities].content(idOf(fileId)), options, (start, signal) => this[read](start, signal, 'readContent'))
  }

  async createFromStream(file, source, options) {
    this[ensureOpen]()
    const { content, ...fields } = copyOf(file, 'a file')
    if (content !== undefined) throw invalid('the content comes from the stream: leave the field content out')
    const calls = {
      spool: (start, signal) => this[read](start, signal, 'appendContent'),
      create: (start, signal) => this[write](start, signal, 'createFromStream', 1),
    }
    const spool = this[entities].spool(recordText(fields))
    return await this[writes].around(() => fromStream(source, spool, options, calls))
  }

  /** Adds versions, which only files have. */
  [steps]() {
    return {
      ...super[steps](),
      createVersion: (fileId, content, extra) => {
        const id = idOf(fileId)
        const input = valueText(content)
        const fields = extra === undefined ? undefined : recordText(extra)
        return async (call, native) => {
          return valueOf(await call((ticket) => native.createVersion(ticket, this[entities], id, input, fields)))
        }
      },
    }
  }

  async createVersion(fileId, content, extra, options) {
    this[ensureOpen]()
    const signal = signalOption(options)
    const id = idOf(fileId)
    const plain = isPlain(content)
    const input = plain ? content : valueText(content)
    const fields = extra === undefined ? undefined : recordText(extra)
    const start = (ticket) => this[entities].createVersion(ticket, id, input, plain, fields)
    const head = await this[write](start, signal, 'createVersion', 1, [input, fields])
    return withContent(JSON.parse(head), content)
  }

  async getVersions(originalFileId, options) {
    this[ensureOpen]()
    return await this.#versions(originalFileId, undefined, options)
  }

  async getVersion(originalFileId, version, options) {
    this[ensureOpen]()
    return (await this.#versions(originalFileId, versionOf(version), options))[0] ?? null
  }

  async getLatestVersion(originalFileId, options) {
    this[ensureOpen]()
    return (await this.#versions(originalFileId, LATEST, options))[0] ?? null
  }

  async revertToVersion(fileId, version, options) {
    this[ensureOpen]()
    const signal = signalOption(options)
    const id = idOf(fileId)
    const number = versionOf(version)
    return valueOf(await this[write]((ticket) => this[entities].revert(ticket, id, number), signal, 'revertToVersion', 1))
  }

  async #versions(originalFileId, version, options) {
    const signal = signalOption(options)
    const id = idOf(originalFileId)
    return valueOf(await this[read]((ticket) => this[entities].versions(ticket, id, version), signal, 'versions'))
  }

  /** Kept objects belong to an engine, which most file storages do not outlive: the parent holds the engine's objects. */
  [findObjects]() {
    return this[parent][objects] && super[findObjects]()
  }

  [ensureOpen]() {
    this[parent][ensureOpen]()
    return super[ensureOpen]()
  }

  /** Brings only the files up to date, since the database belongs to the parent. */
  async [finish]() {
    // Nothing is open that might have changed them.
    if (this[documents].engine() === null) return
    await call((ticket) => this[documents].checkpoint(ticket)).catch((error) => {
      if (error.code !== 'CLOSED') throw error
    })
  }
}

function listOptions(options) {
  const { includeContent = true, includeAllVersions = true, signal } = optionsOf(options)
  for (const [name, value] of Object.entries({ includeContent, includeAllVersions })) {
    if (typeof value !== 'boolean') throw invalid(`option ${name} must be a boolean, got ${describe(value)}`)
  }
  return { includeContent, includeAllVersions, signal: signalOf(signal) }
}

const fileStorage = (storage, projectId) => new ProjectFileStorage(construct, storage, projectId)

module.exports = { ProjectFileStorage, fileStorage }
