// SQLite: one row for each version of a file, a column for each field, WAL, one sync for each transaction. Its calls are
// synchronous, so they hold up the event loop while the disk works.
import { columns, completed, newFile, newRecord } from './entity.mjs'

const flag = (file) => ({ ...file, isLatest: file.isLatest ? 1 : 0 })

function entity(row) {
  if (row) row.isLatest = row.isLatest === 1
  return row ?? null
}

const entities = (rows) => {
  for (const row of rows) entity(row)
  return rows
}

export class Sqlite {
  static durable = true
  static synchronous = true

  /** `db` is a database of better-sqlite3 or bun:sqlite: the parts that are used here are the same in both. */
  constructor(db) {
    this.db = db
    db.exec(`
      PRAGMA journal_mode = WAL;
      PRAGMA synchronous = FULL;
      CREATE TABLE IF NOT EXISTS files (${columns.map((name) => (name === 'id' ? 'id INTEGER PRIMARY KEY' : name)).join()});
      CREATE INDEX IF NOT EXISTS by_path ON files (path) WHERE isLatest;
      CREATE INDEX IF NOT EXISTS by_extension ON files (extension) WHERE isLatest;
      CREATE INDEX IF NOT EXISTS by_version ON files (originalFileId, version);
      CREATE TABLE IF NOT EXISTS projects (id INTEGER PRIMARY KEY, name, description, path, created, updated);
    `)
    const head = columns.filter((name) => name !== 'content')
    const values = columns.map((name) => `@${name}`).join()
    this.insert = db.prepare(`INSERT INTO files VALUES (${values})`)
    this.upsert = db.prepare(`INSERT OR REPLACE INTO files VALUES (${values})`)
    this.selectById = db.prepare('SELECT * FROM files WHERE id = ?')
    this.selectByPath = db.prepare('SELECT * FROM files WHERE path = ? AND isLatest')
    this.selectAll = db.prepare('SELECT * FROM files ORDER BY id')
    this.selectHeads = db.prepare(`SELECT ${head.join()} FROM files ORDER BY id`)
    this.remove = db.prepare('DELETE FROM files WHERE id = ?')
    this.insertRecord = db.prepare('INSERT INTO projects VALUES (@id, @name, @description, @path, @created, @updated)')
    this.selectRecord = db.prepare('SELECT * FROM projects WHERE id = ?')
    this.createMany = db.transaction((files) => files.map((file) => this.create(file).id))
    this.changes = new Map()
    this.changeOne = db.transaction((id, changed) => {
      this.#change(Object.keys(changed)).run({ ...changed, id })
      return this.selectById.get(id)
    })
    this.replace = db.transaction((put, gone) => {
      for (const file of put) this.upsert.run(flag(file))
      for (const id of gone) this.remove.run(id)
    })
  }

  /** Returns the statement that changes some columns. */
  #change(names) {
    const key = names.join()
    let statement = this.changes.get(key)
    if (statement === undefined) {
      const assignments = names.map((name) => `${name} = @${name}`).join()
      this.changes.set(key, (statement = this.db.prepare(`UPDATE files SET ${assignments} WHERE id = @id`)))
    }
    return statement
  }

  create(file) {
    const created = newFile(file)
    this.insert.run(flag(created))
    return created
  }

  /** Creates the files one after another, because calls of SQLite cannot wait for one another. */
  createAtOnce(files) {
    for (const file of files) this.create(file)
  }

  update(id, patch) {
    return entity(this.changeOne(id, completed(patch)))
  }

  byId(id) {
    return entity(this.selectById.get(id))
  }

  byPath(path) {
    return entity(this.selectByPath.get(path))
  }

  all() {
    return entities(this.selectAll.all())
  }

  heads() {
    return entities(this.selectHeads.all())
  }

  createRecord(record) {
    const created = newRecord(record)
    this.insertRecord.run(created)
    return created.id
  }

  recordById(id) {
    return this.selectRecord.get(id)
  }

  readMap() {
    return Object.fromEntries(this.all().map((file) => [file.id, file]))
  }

  /** The second argument says what differs, which a program with a table of its own knows. */
  writeMap(map, { put, gone }) {
    this.replace(put, gone)
    return map
  }

  close() {
    this.db.close()
  }
}
