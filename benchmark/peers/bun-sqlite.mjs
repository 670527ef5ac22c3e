import { Database } from 'bun:sqlite'
import { Sqlite } from './sqlite.mjs'

export class BunSqlite extends Sqlite {
  static async open(path) {
    // Strict: names of parameters are given without their sign, as in better-sqlite3.
    return new BunSqlite(new Database(`${path}.sqlite`, { strict: true, create: true }))
  }
}
