// The same work with better-sqlite3: one row for each version of a file, a column for each field, WAL, a sync for each
// transaction.
import Database from 'better-sqlite3'
import { createHash } from 'node:crypto'
import { extname } from 'node:path'

const columns = [
  'id', 'projectId', 'name', 'path', 'extension', 'size', 'summary', 'summaryLastUpdated', 'meta', 'checksum', 'created',
  'updated', 'version', 'prevId', 'nextId', 'isLatest', 'originalFileId', 'lastSyncedAt', 'syncVersion', 'content',
]

export class Sqlite {
  #next = 1

  constructor(path) {
    this.db = new Database(path)
    this.db.pragma('journal_mode = WAL')
    this.db.pragma('synchronous = FULL')
    this.db.exec(`
      CREATE TABLE IF NOT EXISTS files (${columns.map((name) => (name === 'id' ? 'id INTEGER PRIMARY KEY' : name)).join()});
      CREATE INDEX IF NOT EXISTS by_path ON files (path) WHERE isLatest;
      CREATE INDEX IF NOT EXISTS by_extension ON files (extension) WHERE isLatest;
      CREATE INDEX IF NOT EXISTS by_version ON files (originalFileId, version);
    `)
    const head = columns.filter((name) => name !== 'content')
    this.insert = this.db.prepare(`INSERT INTO files VALUES (${columns.map((name) => `@${name}`).join()})`)
    this.byId = this.db.prepare('SELECT * FROM files WHERE id = ?')
    this.byPath = this.db.prepare('SELECT * FROM files WHERE path = ? AND isLatest')
    this.all = this.db.prepare('SELECT * FROM files ORDER BY id')
    this.heads = this.db.prepare(`SELECT ${head.join()} FROM files ORDER BY id`)
    this.change = this.db.prepare('UPDATE files SET content = ?, size = ?, checksum = ?, updated = ? WHERE id = ?')
    this.createMany = this.db.transaction((list) => list.map((file) => this.create(file)))
    this.update = this.db.transaction((id, content) => {
      const checksum = createHash('sha256').update(content).digest('hex')
      this.change.run(content, Buffer.byteLength(content), checksum, Date.now(), id)
      return this.byId.get(id)
    })
  }

  create({ name, path, content }) {
    const now = Date.now()
    const row = {
      id: this.#next++, projectId: 1, name, path, extension: extname(path), size: Buffer.byteLength(content), summary: null,
      summaryLastUpdated: null, meta: '{}', checksum: null, created: now, updated: now, version: 1, prevId: null,
      nextId: null, isLatest: 1, originalFileId: null, lastSyncedAt: null, syncVersion: 0, content,
    }
    this.insert.run(row)
    return row
  }

  close() {
    this.db.close()
  }
}
