// nedb keeps everything in memory and appends each change to a file that it does not sync: an acknowledged write is lost in
// a power failure. There is no way to make it wait.
import Datastore from '@seald-io/nedb'
import { completed, newFile, newRecord, withoutContent } from './entity.mjs'

const stored = ({ id, ...rest }) => ({ _id: id, ...rest })

function entity(found) {
  if (found === null) return null
  const { _id, ...rest } = found
  return { id: _id, ...rest }
}

async function load(filename, fields) {
  const db = new Datastore({ filename, autoload: false })
  await db.loadDatabaseAsync()
  for (const fieldName of fields) await db.ensureIndexAsync({ fieldName })
  return db
}

export class Nedb {
  static durable = false
  static synchronous = false

  static async open(path) {
    const files = await load(`${path}.files.nedb`, ['path', 'extension', 'originalFileId'])
    return new Nedb(files, await load(`${path}.projects.nedb`, []))
  }

  constructor(filesDb, recordsDb) {
    this.filesDb = filesDb
    this.recordsDb = recordsDb
  }

  async create(file) {
    const created = newFile(file)
    await this.filesDb.insertAsync(stored(created))
    return created
  }

  async createAtOnce(files) {
    await Promise.all(files.map((file) => this.create(file)))
  }

  async createMany(files) {
    const created = files.map(newFile)
    await this.filesDb.insertAsync(created.map(stored))
    return created.map(({ id }) => id)
  }

  async update(id, patch) {
    const { affectedDocuments } = await this.filesDb.updateAsync({ _id: id }, { $set: completed(patch) }, { returnUpdatedDocs: true })
    return entity(affectedDocuments)
  }

  async byId(id) {
    return entity(await this.filesDb.findOneAsync({ _id: id }))
  }

  async byPath(path) {
    return entity(await this.filesDb.findOneAsync({ path, isLatest: true }))
  }

  async all() {
    return (await this.filesDb.findAsync({}).sort({ _id: 1 })).map(entity)
  }

  async heads() {
    return (await this.filesDb.findAsync({}).sort({ _id: 1 })).map((found) => withoutContent(entity(found)))
  }

  async createRecord(record) {
    const created = newRecord(record)
    await this.recordsDb.insertAsync(stored(created))
    return created.id
  }

  async recordById(id) {
    return entity(await this.recordsDb.findOneAsync({ _id: id }))
  }

  async readMap() {
    return Object.fromEntries((await this.all()).map((file) => [file.id, file]))
  }

  async writeMap(map, { put, gone }) {
    for (const id of [...put.map((file) => file.id), ...gone]) await this.filesDb.removeAsync({ _id: id })
    await this.filesDb.insertAsync(put.map(stored))
    return map
  }

  async close() {}
}
