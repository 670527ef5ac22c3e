// `npm run bench`: measures this package, beside better-sqlite3 where that is installed in this folder, and writes a
// table to standard output and to benchmark/results/. `npm run bench -- --quick` takes fewer rounds.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { main, setup } from '../scripts/setup.mjs'
import { table } from './lib/measure.mjs'

const results = fileURLToPath(new URL('results', import.meta.url))

async function openSqlite() {
  try {
    return (await import('./lib/sqlite.mjs')).Sqlite
  } catch (error) {
    if (error.code !== 'ERR_MODULE_NOT_FOUND') throw error
    console.log('better-sqlite3 is not installed: run `npm ci` in benchmark/ to compare with it.')
    return undefined
  }
}

function describeMachine() {
  const [{ model }] = cpus()
  const memory = Math.round(totalmem() / 2 ** 30)
  return `${cpus().length} × ${model.trim()}, ${memory} GB, ${process.platform}, Node ${process.versions.node}`
}

await main(async () => {
  await setup()
  const { measureAll } = await import('./lib/rows.mjs')
  const Sqlite = await openSqlite()
  mkdirSync(results, { recursive: true })
  // Beside the results, so that a temporary directory in memory does not flatter the syncs.
  const directory = join(results, `data-${process.pid}.tmp`)
  mkdirSync(directory)
  try {
    const rounds = process.argv.includes('--quick') ? 3 : 9
    const rows = await measureAll({ directory, Sqlite, rounds })
    const text = `${describeMachine()}; medians of ${rounds} rounds after one to warm up\n\n${table(rows)}\n`
    writeFileSync(join(results, 'create.md'), text)
    console.log(`\n${text}`)
  } finally {
    rmSync(directory, { recursive: true, force: true, maxRetries: 5 })
  }
})
