// The life of a storage beside a model of what its writers were told.
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { MigrationManager, ProjectStorageV2 } from '../../index.mjs'
import { StepError } from '../setup.mjs'

const worker = fileURLToPath(new URL('worker.mjs', import.meta.url))
const WRITERS = 3
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

/** What the writers were told: names of projects, contents of files, what may or may not have happened. */
class Model {
  names = new Map()
  /** Names that an update which nobody answered may have set, by project. */
  trying = new Map()
  files = new Map()
  deleting = new Set()
  acknowledged = 0

  take(said) {
    const { id, name, trying, project, file, content, deleting, deleted } = said
    if (name !== undefined) {
      this.names.set(id, name)
      this.trying.delete(id)
    }
    if (trying !== undefined) this.trying.set(id, trying)
    if (file !== undefined) this.files.set(file, { project, content })
    if (deleting) this.deleting.add(id)
    if (deleted) this.forget(id)
    if (name !== undefined || file !== undefined || deleted) this.acknowledged++
  }

  forget(id) {
    this.names.delete(id)
    this.deleting.delete(id)
    for (const [file, { project }] of this.files) if (project === id) this.files.delete(file)
  }

  /** Compares the model with what a storage says, while no writer lives. */
  async check(storage) {
    const projects = await storage.readProjects()
    for (const [id, name] of this.names) {
      const found = projects[id]
      if (found === undefined && this.deleting.has(id)) this.forget(id)
      else if (found === undefined) throw new StepError(`project ${id} is lost`)
      else if (found.name !== name && found.name !== this.trying.get(id)) throw new StepError(`project ${id} is called ${found.name}, not ${name}`)
      else this.names.set(id, found.name)
    }
    this.trying.clear()
    this.deleting.clear()
    for (const [id, { project, content }] of this.files) {
      const file = await storage.readProjectFile(project, id)
      if (file?.content !== content) throw new StepError(`file ${id} of project ${project} is lost or wrong`)
    }
  }
}

/** The writers that live. */
const alive = new Set()

/** A process that writes until it is killed. With `limit`, no file of its grows beyond so many blocks of 512 bytes. */
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

/** A person renames a project in the JSON file, as an editor does: a new file in the place of the old one. */
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

/** Makes a backup while nobody writes, spoils the data, and restores it. */
async function backUpAndRestore(base, model) {
  const manager = new MigrationManager(base, { logger: null })
  const backup = await manager.backup()
  const storage = new ProjectStorageV2({ basePath: base })
  await storage.deleteAll()
  await storage.close()
  await manager.restore(backup)
  await manager.close()
  const restored = new ProjectStorageV2({ basePath: base })
  await model.check(restored)
  const report = await restored.verify()
  if (!report.ok) throw new StepError(String(report))
  await restored.close()
  rmSync(join(base, 'backups'), { recursive: true, force: true, maxRetries: 5 })
}

/** Makes a backup while others write: it must be made, whole or not at all. */
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
  const totals = { rounds: 0, kills: 0, edits: 0, verified: 0, refused: 0, backups: 0, restores: 0 }
  const memory = []
  let number = 0
  const end = Date.now() + minutes * 60_000
  try {
    while (Date.now() < end) {
      totals.rounds++
      const limit = canLimit && totals.rounds % 4 === 0 ? 400 : undefined
      const writers = Array.from({ length: WRITERS }, () => startWriter(base, ++number, model, limit))
      const watching = new ProjectStorageV2({ basePath: base })
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
      await model.check(watching)
      await watching.close()
      if (totals.rounds % 2 === 0 && (await editByHand(base, model))) {
        totals.edits++
        const storage = new ProjectStorageV2({ basePath: base })
        await model.check(storage)
        const report = await storage.verify()
        if (!report.ok) throw new StepError(String(report))
        await storage.close()
      }
      if (totals.rounds % 5 === 0) {
        await backUpAndRestore(base, model)
        totals.backups++
        totals.restores++
      }
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
  console.log(`${totals.backups} backups, ${totals.restores} restores`)
  console.log(`memory ${megabytes(first.resident)} at first, ${megabytes(last.resident)} at last; open handles ${first.handles} at first, ${last.handles} at last`)
  const told = [...warnings].map(([code, count]) => `${code} ${count}`).join(', ')
  if (told) console.log(`warnings: ${told}`)
  if (last.handles > first.handles + 10) throw new StepError('open handles grow')
  if (last.resident > 2 * first.resident + 50e6) throw new StepError('memory grows')
}
