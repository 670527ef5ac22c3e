// The sides of the comparison. All have the same methods and keep the same files with the same indexes; `note` says where a
// side does less.
import { bun } from '../lib/environment.mjs'
import { JsonFile } from './json-file.mjs'
import { Ours } from './ours.mjs'

const optional = [
  bun ? ['bun:sqlite', './bun-sqlite.mjs', 'BunSqlite'] : ['better-sqlite3', './better-sqlite3.mjs', 'BetterSqlite'],
  ['lmdb', './lmdb.mjs', 'Lmdb'],
  ['nedb', './nedb.mjs', 'Nedb'],
]

/** Loads the classes: name → class, this package first. A peer that cannot be loaded is left out, and the reason printed. */
export async function loadPeers() {
  const peers = { ours: Ours }
  const missing = []
  for (const [name, module, exported] of optional) {
    try {
      peers[name] = (await import(module))[exported]
    } catch (error) {
      missing.push(`${name} is left out: ${String(error.message).split('\n')[0]}`)
    }
  }
  peers['JSON file'] = JsonFile
  return { peers, missing }
}
