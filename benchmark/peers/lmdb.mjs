// lmdb: one record in MessagePack for each version of a file, and a database for each index. A write counts once it is
// flushed. Its own cache is off, because it would return the same object to all callers.
import { open } from 'lmdb'
import { completed, newFile, newRecord, withoutContent } from './entity.mjs'

export class Lmdb {
  static durable = true
  static synchronous = false
  /** Reads need no waiting. */
  static synchronousReads = true

  static async open(path) {
    return new Lmdb(open({ path: `${path}.lmdb`, maxDbs: 8 }))
  }

  constructor(root) {
    this.root = root
    this.filesDb = root.openDB({ name: 'files', keyEncoding: 'ordered-binary' })
    this.byPathDb = root.openDB({ name: 'by_path' })
    this.byExtensionDb = root.openDB({ name: 'by_extension', dupSort: true, encoding: 'ordered-binary' })
    this.byVersionDb = root.openDB({ name: 'by_version' })
    this.recordsDb = root.openDB({ name: 'projects' })
  }

  #put(file) {
    this.filesDb.put(file.id, file)
    this.byPathDb.put(file.path, file.id)
    this.byExtensionDb.put(file.extension, file.id)
    this.byVersionDb.put([file.originalFileId ?? file.id, file.version], file.id)
  }

  async create(file) {
    const created = newFile(file)
    await this.root.batch(() => this.#put(created))
    await this.root.flushed
    return created
  }

  async createAtOnce(files) {
    await Promise.all(files.map((file) => this.create(file)))
  }

  async createMany(files) {
    const created = files.map(newFile)
    await this.root.transaction(() => created.forEach((file) => this.#put(file)))
    await this.root.flushed
    return created.map(({ id }) => id)
  }

  async update(id, patch) {
    const changed = await this.root.transaction(() => {
      const file = { ...this.filesDb.get(id), ...completed(patch) }
      this.filesDb.put(id, file)
      return file
    })
    await this.root.flushed
    return changed
  }

  byId(id) {
    return this.filesDb.get(id)
  }

  byPath(path) {
    return this.filesDb.get(this.byPathDb.get(path))
  }

  all() {
    return Array.from(this.filesDb.getRange(), ({ value }) => value)
  }

  heads() {
    return Array.from(this.filesDb.getRange(), ({ value }) => withoutContent(value))
  }

  async createRecord(record) {
    const created = newRecord(record)
    await this.recordsDb.put(created.id, created)
    await this.root.flushed
    return created.id
  }

  recordById(id) {
    return this.recordsDb.get(id)
  }

  readMap() {
    return Object.fromEntries(this.all().map((file) => [file.id, file]))
  }

  async writeMap(map, { put, gone }) {
    await this.root.transaction(() => {
      for (const file of put) this.#put(file)
      for (const id of gone) this.filesDb.remove(id)
    })
    await this.root.flushed
    return map
  }

  close() {
    return this.root.close()
  }
}
