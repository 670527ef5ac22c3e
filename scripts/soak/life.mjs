// The life of a storage, compared with a model of what its writers were told.
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { IndexManager, MigrationManager, ProjectStorageV2 } from '../../index.mjs'
import { StepError } from '../setup.mjs'
import { INDEX, Model } from './model.mjs'
import { Replica } from './replica.mjs'

const script = (name) => fileURLToPath(new URL(name, import.meta.url))
const worker = script('worker.mjs')
const WRITERS = 3
/** How many projects and how many entries of the index are kept from one round to the next. */
const KEPT = 500
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

/** The writers that are alive. */
const alive = new Set()

/** Starts a process that writes until it is killed. With `limit`, its files cannot exceed that many blocks of 512 bytes. */
function startWriter(base, number, model, limit) {
  const command = limit ? `trap '' XFSZ; ulimit -f ${limit}; exec "$0" "$@"` : 'exec "$0" "$@"'
  const child = spawn('/bin/sh', ['-c', command, process.execPath, worker, base, String(number)], { stdio: ['ignore', 'pipe', 'inherit'] })
  const writer = { child, refused: 0, ended: undefined }
  alive.add(child)
  let rest = ''
  child.stdout.setEncoding('utf8').on('data', (chunk) => {
    const lines = (rest + chunk).split('\n')
    rest = lines.pop()
    for (const line of lines) {
      const said = JSON.parse(line)
      if (said.refused) writer.refused++
      model.take(said)
    }
  })
  writer.ended = new Promise((resolve) => child.on('close', (code, signal) => {
    alive.delete(child)
    resolve({ code, signal })
  }))
  return writer
}

const handles = () => (process.platform === 'linux' ? readdirSync('/proc/self/fd').length : 0)

/** Renames a project in the JSON file, as a person's editor does: a new file replaces the old one. */
async function editByHand(base, model) {
  const path = join(base, 'data/project_storage/projects.json')
  const projects = JSON.parse(readFileSync(path, 'utf8'))
  const id = Object.keys(projects)[0]
  if (id === undefined) return false
  projects[id].name = `edited ${Date.now()}`
  writeFileSync(`${path}.fresh`, JSON.stringify(projects, null, 2))
  renameSync(`${path}.fresh`, path)
  model.names.set(Number(id), projects[id].name)
  return true
}

/** Opens a storage and the indexes beside it, and closes both after `work`. */
async function withStorage(base, work) {
  const storage = new ProjectStorageV2({ basePath: base })
  const indexes = new IndexManager(base, 'data/soak')
  await work(storage, indexes)
  await storage.close()
  await indexes.close()
}

/** Checks that everything is as the model says, and sound. */
async function checkAll(base, model) {
  await withStorage(base, async (storage, indexes) => {
    await model.check(storage, indexes)
    for (const part of [storage, indexes]) {
      const report = await part.verify()
      if (!report.ok) throw new StepError(String(report))
    }
  })
}

/** Migrates in a process that is killed at some moment. Afterwards, either all projects have the version or none has. */
async function migrate(base, model, round) {
  const version = `1.0.${round}`
  const child = spawn(process.execPath, [script('migrator.mjs'), base, version], { stdio: ['ignore', 'pipe', 'inherit'] })
  alive.add(child)
  const ended = new Promise((resolve) => child.on('close', (code, signal) => resolve({ code, signal })))
  await Promise.race([new Promise((resolve) => child.stdout.once('data', resolve)), ended])
  setTimeout(() => child.kill('SIGKILL'), Math.random() * 400)
  const { code, signal } = await ended
  alive.delete(child)
  if (code !== 0 && signal !== 'SIGKILL') throw new StepError(`the migration ended with ${code}`)
  await withStorage(base, async (storage) => {
    const projects = await storage.list()
    const migrated = projects.filter(({ description }) => description === version).length
    if (migrated !== 0 && migrated !== projects.length) throw new StepError(`${migrated} of ${projects.length} projects are migrated`)
    if (code === 0 && migrated !== projects.length) throw new StepError('a finished migration is lost')
  })
  await checkAll(base, model)
}

/** Brings the data back to a fixed size, so that memory which still grows has leaked. */
async function shrink(base, model) {
  await withStorage(base, async (storage, indexes) => {
    const projects = (await storage.list()).map(({ id }) => id)
    await Promise.all(projects.slice(0, -KEPT).map(async (id) => {
      await storage.delete(id)
      model.forget(id)
    }))
    await Promise.all([...model.indexed.keys()].slice(0, -KEPT).map(async (entity) => {
      await indexes.removeFromIndex(INDEX, entity)
      model.indexed.delete(entity)
    }))
  })
}

/** Makes a backup while nothing writes, damages the data, and restores the backup. */
async function backUpAndRestore(base, model) {
  const manager = new MigrationManager(base, { logger: null })
  const backup = await manager.backup()
  const storage = new ProjectStorageV2({ basePath: base })
  await storage.deleteAll()
  await storage.close()
  await manager.restore(backup)
  await manager.close()
  await checkAll(base, model)
  rmSync(join(base, 'backups'), { recursive: true, force: true, maxRetries: 5 })
}

/** Makes a backup while others write. It must be made, completely or not at all. */
async function backUpBesideWriters(base) {
  const manager = new MigrationManager(base, { logger: null })
  await manager.backup()
  await manager.close()
}

export async function soak({ minutes, keep, canLimit }) {
  const base = mkdtempSync(join(tmpdir(), 'octoprompt-soak-'))
  const model = new Model()
  const warnings = new Map()
  process.on('warning', ({ code }) => code && warnings.set(code, (warnings.get(code) ?? 0) + 1))
  const totals = { rounds: 0, kills: 0, edits: 0, verified: 0, refused: 0, backups: 0, restores: 0, migrations: 0, changes: 0 }
  const memory = []
  let number = 0
  const end = Date.now() + minutes * 60_000
  try {
    await withStorage(base, (_, indexes) => indexes.createIndex({ name: INDEX, type: 'btree', fields: ['round'] }))
    while (Date.now() < end) {
      totals.rounds++
      const limit = canLimit && totals.rounds % 4 === 0 ? 400 : undefined
      const writers = Array.from({ length: WRITERS }, () => startWriter(base, ++number, model, limit))
      const watching = new ProjectStorageV2({ basePath: base })
      const replica = await Replica.of(watching)
      const until = Date.now() + 3000
      while (Date.now() < until) {
        await sleep(200 + Math.random() * 400)
        const at = Math.floor(Math.random() * WRITERS)
        writers[at].child.kill('SIGKILL')
        totals.kills++
        await writers[at].ended
        totals.refused += writers[at].refused
        writers[at] = startWriter(base, ++number, model, limit)
        const report = await watching.verify()
        totals.verified++
        if (!report.ok) throw new StepError(String(report))
      }
      if (totals.rounds % 3 === 0) {
        await backUpBesideWriters(base)
        totals.backups++
      }
      for (const { child } of writers) child.kill('SIGKILL')
      for (const writer of writers) {
        await writer.ended
        totals.refused += writer.refused
      }
      totals.kills += WRITERS
      await replica.check()
      totals.changes += replica.heard
      await watching.close()
      await checkAll(base, model)
      if (totals.rounds % 2 === 0 && (await editByHand(base, model))) {
        totals.edits++
        await checkAll(base, model)
      }
      if (totals.rounds % 5 === 0) {
        await backUpAndRestore(base, model)
        totals.backups++
        totals.restores++
      }
      if (totals.rounds % 3 === 1) {
        await migrate(base, model, totals.rounds)
        totals.migrations++
      }
      await shrink(base, model)
      globalThis.gc?.()
      memory.push({ resident: process.memoryUsage().rss, handles: handles() })
    }
  } catch (error) {
    for (const child of alive) child.kill('SIGKILL')
    console.log(`The data lies in ${base}.`)
    throw error
  }
  if (keep) console.log(`The data lies in ${base}.`)
  else rmSync(base, { recursive: true, force: true, maxRetries: 5 })
  print(totals, model, memory, warnings)
}

function print(totals, model, memory, warnings) {
  const megabytes = (bytes) => `${(bytes / 1e6).toFixed(0)} MB`
  const first = memory[Math.min(2, memory.length - 1)]
  const last = memory.at(-1)
  console.log(`${totals.rounds} rounds of ${WRITERS} writers: ${model.acknowledged} writes acknowledged, none lost`)
  console.log(`${totals.kills} kills, ${totals.edits} edits by hand, ${totals.verified} verifications, ${totals.refused} writes refused by a full disk`)
  console.log(`${totals.backups} backups, ${totals.restores} restores, ${totals.migrations} migrations that may have been killed, ${totals.changes} changes heard of`)
  console.log(`memory ${megabytes(first.resident)} at first, ${megabytes(last.resident)} at last; open handles ${first.handles} at first, ${last.handles} at last`)
  const told = [...warnings].map(([code, count]) => `${code} ${count}`).join(', ')
  if (told) console.log(`warnings: ${told}`)
  if (last.handles > first.handles + 10) throw new StepError('open handles grow')
  if (last.resident > 2 * first.resident + 50e6) throw new StepError('memory grows')
}
