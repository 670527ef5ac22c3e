import Database from 'better-sqlite3'
import { Sqlite } from './sqlite.mjs'

export class BetterSqlite extends Sqlite {
  static async open(path) {
    return new BetterSqlite(new Database(`${path}.sqlite`))
  }
}
