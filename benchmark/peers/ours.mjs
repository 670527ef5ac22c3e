// This package: the files of one project.
import { ProjectStorageV2 } from '../../index.mjs'

export class Ours {
  static durable = true
  static synchronous = false

  static async open(path, options) {
    const storage = new ProjectStorageV2({ basePath: path, ...options })
    const [project] = await storage.findByPath('/bench')
    const { id } = project ?? (await storage.create({ name: 'bench', path: '/bench' }))
    return new Ours(storage, id)
  }

  constructor(storage, projectId) {
    this.storage = storage
    this.projectId = projectId
    this.files = storage.getFileStorage(projectId)
  }

  create(file) {
    return this.files.create(file)
  }

  async createAtOnce(files) {
    await Promise.all(files.map((file) => this.files.create(file)))
  }

  async createMany(files) {
    return (await this.files.createMany(files)).map(({ id }) => id)
  }

  update(id, patch) {
    return this.storage.updateProjectFile(this.projectId, id, patch)
  }

  byId(id) {
    return this.files.getById(id)
  }

  byPath(path) {
    return this.files.getByPath(path)
  }

  all() {
    return this.files.list()
  }

  heads() {
    return this.files.list({ includeContent: false })
  }

  async createRecord(record) {
    return (await this.storage.create(record)).id
  }

  recordById(id) {
    return this.storage.getById(id)
  }

  readMap() {
    return this.storage.readProjectFiles(this.projectId)
  }

  /** Stores the map. The package finds out by itself which files differ. */
  writeMap(map) {
    return this.storage.writeProjectFiles(this.projectId, map)
  }

  /** Writes the JSON files now, as a checkpoint otherwise does after some seconds of writing. */
  checkpoint() {
    return this.storage.getFileStorage(this.projectId).close()
  }

  close() {
    return this.storage.close()
  }
}
