// What people write themselves: everything is in memory, and each change writes the whole file anew, syncs it and renames
// it.
// Changes that wait at the same time share one rewrite. Readers get a copy of the object.
import { open, readFile, rename } from 'node:fs/promises'
import { dirname } from 'node:path'
import { completed, newFile, newRecord, withoutContent } from './entity.mjs'

class Collection {
  #path
  #writing = Promise.resolve()
  #next

  static async load(path) {
    const text = await readFile(path, 'utf8').catch((error) => {
      if (error.code === 'ENOENT') return '{}'
      throw error
    })
    return new Collection(path, new Map(Object.values(JSON.parse(text)).map((entity) => [entity.id, entity])))
  }

  constructor(path, entities) {
    this.#path = path
    this.entities = entities
  }

  /** Resolves once the current state of memory is on disk. */
  save() {
    this.#next ??= this.#writing.then(() => {
      this.#next = undefined
      return (this.#writing = this.#rewrite())
    })
    return this.#next
  }

  async #rewrite() {
    const text = JSON.stringify(Object.fromEntries(this.entities))
    const temporary = `${this.#path}.tmp`
    const file = await open(temporary, 'w')
    try {
      await file.writeFile(text)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(temporary, this.#path)
    const directory = await open(dirname(this.#path))
    try {
      await directory.sync()
    } finally {
      await directory.close()
    }
  }
}

export class JsonFile {
  static durable = true
  static synchronous = false
  /** A rewrite takes so long that fewer of them are measured, which tells as much. */
  static slowWrites = true

  static async open(path) {
    return new JsonFile(await Collection.load(`${path}.files.json`), await Collection.load(`${path}.projects.json`))
  }

  constructor(files, records) {
    this.files = files
    this.records = records
    this.paths = new Map()
    for (const file of files.entities.values()) this.paths.set(file.path, file)
  }

  #put(file) {
    this.files.entities.set(file.id, file)
    this.paths.set(file.path, file)
  }

  async create(file) {
    const created = newFile(file)
    this.#put(created)
    await this.files.save()
    return { ...created }
  }

  async createAtOnce(files) {
    await Promise.all(files.map((file) => this.create(file)))
  }

  async createMany(files) {
    const created = files.map(newFile)
    for (const file of created) this.#put(file)
    await this.files.save()
    return created.map(({ id }) => id)
  }

  async update(id, patch) {
    const changed = { ...this.files.entities.get(id), ...completed(patch) }
    this.#put(changed)
    await this.files.save()
    return { ...changed }
  }

  async byId(id) {
    return { ...this.files.entities.get(id) }
  }

  async byPath(path) {
    return { ...this.paths.get(path) }
  }

  async all() {
    return Array.from(this.files.entities.values(), (file) => ({ ...file }))
  }

  async heads() {
    return Array.from(this.files.entities.values(), withoutContent)
  }

  async createRecord(record) {
    const created = newRecord(record)
    this.records.entities.set(created.id, created)
    await this.records.save()
    return created.id
  }

  async recordById(id) {
    return { ...this.records.entities.get(id) }
  }

  async readMap() {
    return Object.fromEntries((await this.all()).map((file) => [file.id, file]))
  }

  async writeMap(map, { put, gone }) {
    for (const file of put) this.#put(file)
    for (const id of gone) this.files.entities.delete(id)
    await this.files.save()
    return map
  }

  async close() {
    await this.files.save()
  }
}
