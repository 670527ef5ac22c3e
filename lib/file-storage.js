'use strict'

const path = require('node:path')
const { abortable, signalOption, throwIfAborted } = require('./abort.js')
const { arrayOf, describe, fieldsOf, fieldsText, idOf, mapFields, recordText, textOf, valueText } = require('./arguments.js')
const { directoryOf, documents, ensureOpen, finish, parse, read, write } = require('./base-storage.js')
const { call } = require('./calls.js')
const { EntityStorage, entities, steps } = require('./entity-storage.js')
const { invalid } = require('./errors.js')
const { contentStream, fromStream } = require('./streams.js')

const parent = Symbol('parent')
const construct = Symbol('construct')

/** Where native code takes a version, this stands for the latest one. */
const LATEST = -1

function versionOf(value) {
  if (Number.isSafeInteger(value) && value >= 0) return value
  throw invalid(`a version is an integer that is not negative, got ${describe(value)}`)
}

/** Content need not come back from native code: the string that was stored is the one that was given. */
function withContent(file, content) {
  file.content = content
  return file
}

class ProjectFileStorage extends EntityStorage {
  constructor(key, storage, projectId) {
    if (key !== construct) throw new TypeError('use getFileStorage(projectId) of a ProjectStorageV2')
    super(null, storage.dataDir, storage.options)
    this[parent] = storage
    this[entities] = storage[entities].files(projectId)
    this[documents] = this[entities].documents()
    Object.defineProperty(this, 'projectId', { value: projectId, enumerable: true })
  }

  getIndexPath() {
    return path.join(directoryOf(this), 'project_data', String(this.projectId), 'files.json')
  }

  getEntityPath() {
    return null
  }

  async create(file) {
    this[ensureOpen]()
    const fields = fieldsOf(file, true)
    const input = JSON.stringify(fields) ?? 'null'
    const head = await this[write]((ticket) => this[entities].create(ticket, input))
    return withContent(JSON.parse(head), fields.content)
  }

  async createMany(files) {
    this[ensureOpen]()
    const all = Array.from(arrayOf(files, 'files'), (file) => fieldsOf(file, true))
    const inputs = all.map((fields) => JSON.stringify(fields) ?? 'null')
    const heads = await this[write]((ticket) => this[entities].createMany(ticket, inputs))
    return JSON.parse(heads).map((head, at) => withContent(head, all[at].content))
  }

  async writeAll(files) {
    this[ensureOpen]()
    const map = mapFields(files)
    const heads = JSON.parse(await this[write]((ticket) => this[entities].writeAll(ticket, fieldsText(map))))
    for (const [key, fields] of map) withContent(heads[key], fields.content)
    return heads
  }

  async updateMany(changes) {
    this[ensureOpen]()
    const ids = []
    const patches = []
    for (const change of arrayOf(changes, 'changes')) {
      if (change === null || typeof change !== 'object') throw invalid(`a change is { id, data }, got ${describe(change)}`)
      ids.push(idOf(change.id))
      patches.push(recordText(change.data))
    }
    return parse(await this[write]((ticket) => this[entities].updateMany(ticket, ids, patches)))
  }

  async deleteMany(ids) {
    this[ensureOpen]()
    const keys = Array.from(arrayOf(ids, 'ids'), idOf)
    return parse(await this[write]((ticket) => this[entities].deleteMany(ticket, keys)))
  }

  async list(options = {}) {
    this[ensureOpen]()
    const { includeContent, includeAllVersions } = listOptions(options)
    const signal = signalOption(options)
    throwIfAborted(signal)
    const known = includeAllVersions ? this[documents].peekList(includeContent) : null
    const list = (abort) => call((ticket) => this[entities].list(ticket, includeContent, includeAllVersions, abort))
    return JSON.parse(known ?? (await abortable(signal, list)))
  }

  async getByPath(filePath) {
    this[ensureOpen]()
    const text = textOf(filePath, 'path')
    const known = this[entities].peekByPath(text)
    return parse(known === undefined ? await call((ticket) => this[entities].byPath(ticket, text)) : known)
  }

  async getByExtension(extension) {
    this[ensureOpen]()
    const text = textOf(extension, 'extension')
    return parse(await call((ticket) => this[entities].byExtension(ticket, text)))
  }

  async search(query, options) {
    this[ensureOpen]()
    const text = textOf(query, 'query')
    const search = (abort) => call((ticket) => this[entities].search(ticket, text, abort))
    return parse(await abortable(signalOption(options), search))
  }

  createContentStream(fileId, options) {
    this[ensureOpen]()
    return contentStream(this[entities].content(idOf(fileId)), options, (start) => this[read](start))
  }

  async createFromStream(file, source, options) {
    this[ensureOpen]()
    const { content, ...fields } = fieldsOf(file, true)
    if (content !== undefined) throw invalid('the content comes from the stream: leave the field content out')
    return fromStream(source, this[entities].spool(), JSON.stringify(fields), options, {
      append: (start) => this[read](start),
      create: (start) => this[write](start),
    })
  }

  /** Within a transaction, files have versions too. */
  [steps]() {
    return {
      ...super[steps]('File'),
      createVersion: (fileId, content, extra) => {
        const id = idOf(fileId)
        const input = valueText(content)
        const fields = extra === undefined ? undefined : recordText(extra)
        return async (call, native) => {
          return parse(await call((ticket) => native.createVersion(ticket, this[entities], id, input, fields)))
        }
      },
    }
  }

  async createVersion(fileId, content, extra) {
    this[ensureOpen]()
    const id = idOf(fileId)
    const input = valueText(content)
    const fields = extra === undefined ? undefined : recordText(extra)
    const head = await this[write]((ticket) => this[entities].createVersion(ticket, id, input, fields))
    return withContent(JSON.parse(head), content)
  }

  async getVersions(originalFileId) {
    return this.#versions(originalFileId, undefined)
  }

  async getVersion(originalFileId, version) {
    return (await this.#versions(originalFileId, versionOf(version)))[0] ?? null
  }

  async getLatestVersion(originalFileId) {
    return (await this.#versions(originalFileId, LATEST))[0] ?? null
  }

  async revertToVersion(fileId, version) {
    this[ensureOpen]()
    const id = idOf(fileId)
    const number = versionOf(version)
    return parse(await this[write]((ticket) => this[entities].revert(ticket, id, number)))
  }

  async #versions(originalFileId, version) {
    this[ensureOpen]()
    const id = idOf(originalFileId)
    return parse(await call((ticket) => this[entities].versions(ticket, id, version)))
  }

  [ensureOpen]() {
    super[ensureOpen]()
    this[parent][ensureOpen]()
  }

  /** The database belongs to the parent: only the files are brought up to date. */
  async [finish]() {
    await call((ticket) => this[documents].checkpoint(ticket)).catch((error) => {
      if (error.code !== 'CLOSED') throw error
    })
  }
}

function listOptions(options) {
  if (options === null || typeof options !== 'object') throw invalid(`list options must be an object, got ${describe(options)}`)
  const { includeContent = true, includeAllVersions = true } = options
  for (const [name, value] of Object.entries({ includeContent, includeAllVersions })) {
    if (typeof value !== 'boolean') throw invalid(`option ${name} must be a boolean, got ${describe(value)}`)
  }
  return { includeContent, includeAllVersions }
}

const fileStorage = (storage, projectId) => new ProjectFileStorage(construct, storage, projectId)

module.exports = { ProjectFileStorage, fileStorage }
