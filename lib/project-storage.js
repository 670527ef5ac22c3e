'use strict'

const path = require('node:path')
const { NativeProjects } = require('./native.js')
const { abortable, signalOption } = require('./abort.js')
const { valueOf } = require('./answers.js')
const { describe, idOf, textOf } = require('./arguments.js')
const { documents, ensureOpen, write } = require('./base-storage.js')
const { call, port } = require('./calls.js')
const { EntityStorage, entities, steps } = require('./entity-storage.js')
const { invalid, NotFoundError } = require('./errors.js')
const { fileStorage } = require('./file-storage.js')
const { nativeOptions } = require('./options.js')
const { ProjectsStorageSchema } = require('./schemas.js')
const { directoryOf } = require('./storage-paths.js')

const BY_NAME = 0
const BY_PATH = 1
const BY_CREATED = 2
const BY_WORDS = 3
const MOST_RECENT = 4

function timeOf(value, what) {
  const time = value instanceof Date ? value.getTime() : value
  if (typeof time === 'number' && !Number.isNaN(time)) return time
  throw invalid(`${what} must be a Date or a number of milliseconds, got ${describe(value)}`)
}

class ProjectStorageV2 extends EntityStorage {
  constructor(options) {
    super(ProjectsStorageSchema, path.join('data', 'project_storage'), options)
    this[entities] = new NativeProjects(port(), this.basePath, directoryOf(this), nativeOptions(this.options))
    this[documents] = this[entities].documents()
  }

  getIndexPath() {
    return path.join(directoryOf(this), 'projects.json')
  }

  getEntityPath(id) {
    return path.join(directoryOf(this), 'project_data', String(id))
  }

  [steps]() {
    return super[steps]('Project')
  }

  async findByName(name) {
    return this.#query(BY_NAME, textOf(name, 'name'))
  }

  async findByPath(projectPath) {
    return this.#query(BY_PATH, textOf(projectPath, 'path'))
  }

  async getByPath(projectPath) {
    return (await this.#query(BY_PATH, textOf(projectPath, 'path')))[0] ?? null
  }

  async listByDateRange(start, end) {
    return this.#query(BY_CREATED, '""', timeOf(start, 'start'), timeOf(end, 'end'))
  }

  async search(query, options) {
    const text = textOf(query, 'query')
    return abortable(signalOption(options), () => this.#query(BY_WORDS, text))
  }

  async getRecent(limit = 10) {
    if (!Number.isInteger(limit) || limit < 0) {
      throw invalid(`limit must be an integer that is not negative, got ${describe(limit)}`)
    }
    return this.#query(MOST_RECENT, '""', 0, limit)
  }

  /** Files have indexes too. */
  async rebuildIndexes() {
    this[ensureOpen]()
    await call((ticket) => this[entities].rebuildIndexes(ticket))
  }

  async #query(kind, text, start = 0, end = 0) {
    this[ensureOpen]()
    const known = this[entities].peekQuery(kind, text, start, end)
    return valueOf(known ?? (await call((ticket) => this[entities].query(ticket, kind, text, start, end))))
  }

  getFileStorage(projectId) {
    const id = idOf(projectId)
    this[ensureOpen]()
    return fileStorage(this, id)
  }

  async addFile(projectId, file) {
    return this.#files(projectId).create(file)
  }

  async getProjectFiles(projectId, options) {
    return this.#files(projectId).list(options)
  }

  async searchFiles(projectId, query, options) {
    return this.#files(projectId).search(query, options)
  }

  async readProjects() {
    return this.readAll()
  }

  async writeProjects(projects) {
    return this.writeAll(projects)
  }

  async readProjectFiles(projectId) {
    return this.#files(projectId).readAll()
  }

  async writeProjectFiles(projectId, files) {
    return this.#files(projectId).writeAll(files)
  }

  async readProjectFile(projectId, fileId) {
    return (await this.#files(projectId).getById(fileId)) ?? undefined
  }

  async updateProjectFile(projectId, fileId, patch) {
    const updated = await this.#files(projectId).update(fileId, patch)
    if (updated === null) throw new NotFoundError(`file ${fileId} does not exist in project ${projectId}`)
    return updated
  }

  async createFileVersion(projectId, fileId, content, extra) {
    return this.#files(projectId).createVersion(fileId, content, extra)
  }

  async getFileVersions(projectId, originalFileId) {
    return this.#files(projectId).getVersions(originalFileId)
  }

  async getFileVersion(projectId, originalFileId, version) {
    return this.#files(projectId).getVersion(originalFileId, version)
  }

  async getLatestFileVersion(projectId, originalFileId) {
    return this.#files(projectId).getLatestVersion(originalFileId)
  }

  async revertToVersion(projectId, fileId, version) {
    return this.#files(projectId).revertToVersion(fileId, version)
  }

  async deleteProjectData(projectId) {
    this[ensureOpen]()
    const id = idOf(projectId)
    await this[write]((ticket) => this[entities].deleteData(ticket, id))
  }

  async getProjectFileArray(projectId) {
    return this.#files(projectId).list()
  }

  // One object a project would do, but a project's files are not asked for often enough to keep them.
  #files(projectId) {
    return this.getFileStorage(projectId)
  }
}

module.exports = { ProjectStorageV2 }
