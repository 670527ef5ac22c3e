'use strict'

const path = require('node:path')
const { isDate } = require('node:util/types')
const { NativeProjects } = require('./native.js')
const { signalOption, throwIfAborted } = require('./abort.js')
const { valueOf } = require('./answers.js')
const { describe, idOf, textOf } = require('./arguments.js')
const { call, port } = require('./calls.js')
const { EntityStorage, entities, kind } = require('./entity-storage.js')
const { invalid, NotFoundError } = require('./errors.js')
const { fileStorage } = require('./file-storage.js')
const { nativeOptions } = require('./options.js')
const { ProjectsStorageSchema } = require('./schemas.js')
const { documents, ensureOpen, read, write } = require('./storage-members.js')
const { directoryOf } = require('./storage-paths.js')

const BY_NAME = 0
const BY_PATH = 1
const BY_CREATED = 2
const BY_WORDS = 3
const MOST_RECENT = 4

/** How many file storages are kept. A server works on few projects at a time. */
const MOST_FILE_STORAGES = 16

function timeOf(value, what) {
  const time = isDate(value) ? value.getTime() : value
  if (typeof time === 'number' && !Number.isNaN(time)) return time
  throw invalid(`${what} must be a Date or a number of milliseconds, got ${describe(value)}`)
}

class ProjectStorageV2 extends EntityStorage {
  /** The file storages created last, by project: creating one takes longer than a read that is answered from memory. */
  #lastFiles = new Map()

  constructor(options) {
    super(ProjectsStorageSchema, path.join('data', 'project_storage'), options)
    this[entities] = new NativeProjects(port(), this.basePath, directoryOf(this), nativeOptions(this.options))
    this[documents] = this[entities].documents()
  }

  get [kind]() {
    return 'Project'
  }

  getIndexPath() {
    return path.join(directoryOf(this), 'projects.json')
  }

  getEntityPath(id) {
    return path.join(directoryOf(this), 'project_data', String(id))
  }

  async findByName(name, options) {
    this[ensureOpen]()
    return await this.#query(options, BY_NAME, textOf(name, 'name'))
  }

  async findByPath(projectPath, options) {
    this[ensureOpen]()
    return await this.#query(options, BY_PATH, textOf(projectPath, 'path'))
  }

  async getByPath(projectPath, options) {
    this[ensureOpen]()
    return (await this.#query(options, BY_PATH, textOf(projectPath, 'path')))[0] ?? null
  }

  async listByDateRange(start, end, options) {
    this[ensureOpen]()
    return await this.#query(options, BY_CREATED, '""', timeOf(start, 'start'), timeOf(end, 'end'))
  }

  async search(query, options) {
    this[ensureOpen]()
    return await this.#query(options, BY_WORDS, textOf(query, 'query'))
  }

  async getRecent(limit = 10, options) {
    this[ensureOpen]()
    if (!Number.isInteger(limit) || limit < 0) {
      throw invalid(`limit must be an integer that is not negative, got ${describe(limit)}`)
    }
    return await this.#query(options, MOST_RECENT, '""', 0, limit)
  }

  /** Files have indexes too. */
  async rebuildIndexes(options) {
    this[ensureOpen]()
    const signal = signalOption(options)
    await this[read]((ticket) => this[entities].rebuildIndexes(ticket), signal, 'rebuildIndexes')
  }

  async #query(options, kind, text, start = 0, end = 0) {
    const signal = signalOption(options)
    throwIfAborted(signal)
    const known = this[entities].peekQuery(kind, text, start, end)
    const query = (ticket) => this[entities].query(ticket, kind, text, start, end)
    return valueOf(known ?? (await this[read](query, signal, 'find')))
  }

  getFileStorage(projectId) {
    this[ensureOpen]()
    const id = idOf(projectId)
    return fileStorage(this, id)
  }

  async addFile(projectId, file, options) {
    return await this.#files(projectId).create(file, options)
  }

  async getProjectFiles(projectId, options) {
    return await this.#files(projectId).list(options)
  }

  async searchFiles(projectId, query, options) {
    return await this.#files(projectId).search(query, options)
  }

  async readProjects(options) {
    return await super.readAll(options)
  }

  async writeProjects(projects, options) {
    return await super.writeAll(projects, options)
  }

  async readProjectFiles(projectId, options) {
    return await this.#files(projectId).readAll(options)
  }

  async writeProjectFiles(projectId, files, options) {
    return await this.#files(projectId).writeAll(files, options)
  }

  async readProjectFile(projectId, fileId, options) {
    return (await this.#files(projectId).getById(fileId, options)) ?? undefined
  }

  async updateProjectFile(projectId, fileId, patch, options) {
    const updated = await this.#files(projectId).update(fileId, patch, options)
    if (updated === null) throw new NotFoundError(`file ${fileId} does not exist in project ${projectId}`)
    return updated
  }

  async createFileVersion(projectId, fileId, content, extra, options) {
    return await this.#files(projectId).createVersion(fileId, content, extra, options)
  }

  async getFileVersions(projectId, originalFileId, options) {
    return await this.#files(projectId).getVersions(originalFileId, options)
  }

  async getFileVersion(projectId, originalFileId, version, options) {
    return await this.#files(projectId).getVersion(originalFileId, version, options)
  }

  async getLatestFileVersion(projectId, originalFileId, options) {
    return await this.#files(projectId).getLatestVersion(originalFileId, options)
  }

  async revertToVersion(projectId, fileId, version, options) {
    return await this.#files(projectId).revertToVersion(fileId, version, options)
  }

  async deleteProjectData(projectId, options) {
    this[ensureOpen]()
    const id = idOf(projectId)
    await this[write]((ticket) => this[entities].deleteData(ticket, id), signalOption(options), 'deleteProjectData', 1)
  }

  async getProjectFileArray(projectId, options) {
    return await this.#files(projectId).list({ signal: signalOption(options) })
  }

  async repair(options) {
    try {
      return await super.repair(options)
    } finally {
      // They keep objects of the previous engine.
      this.#lastFiles.clear()
    }
  }

  /** Returns the files of a project for the calls of this class. These objects are not handed out, so nobody closes them. */
  #files(projectId) {
    this[ensureOpen]()
    const id = idOf(projectId)
    let files = this.#lastFiles.get(id)
    if (files === undefined) {
      files = fileStorage(this, id)
      if (this.#lastFiles.size === MOST_FILE_STORAGES) this.#lastFiles.delete(this.#lastFiles.keys().next().value)
      this.#lastFiles.set(id, files)
    }
    return files
  }
}

module.exports = { ProjectStorageV2 }
