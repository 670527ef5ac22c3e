// The demo from beginning to end.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { ProjectStorageV2 } from '../../index.mjs'
import { StepError } from '../setup.mjs'
import { showDisk } from './disk.mjs'
import { killWriter } from './kill.mjs'
import { Progress } from './progress.mjs'
import { query } from './queries.mjs'
import { Report, duration, megabytes, number } from './report.mjs'
import { crateDirectories } from './sources.mjs'
import { describeSkipped, fileInput, walk } from './walk.mjs'

const batchFiles = 500
const batchBytes = 8 << 20
const killAfter = 500

export async function demonstrate({ directory, limit, keep }) {
  const start = performance.now()
  const basePath = mkdtempSync(join(tmpdir(), 'octoprompt-demo-'))
  const remove = () => rmSync(basePath, { recursive: true, force: true, maxRetries: 5 })
  process.once('SIGINT', () => {
    if (!keep) remove()
    process.exit(130)
  })
  const report = new Report()
  try {
    await tell(report, basePath, directory, limit)
    if (!report.summary()) process.exitCode = 1
    console.log(`${duration(performance.now() - start)} in all${keep ? `; the data lies in ${basePath}` : ''}`)
  } finally {
    if (!keep) remove()
  }
}

async function tell(report, basePath, directory, limit) {
  const { files, name } = await find(report, directory, limit)
  let storage = new ProjectStorageV2({ basePath })
  const project = await storage.create({ name, path: directory ?? '/registry', description: 'stored by the demo' })
  const stored = await store(report, storage, project, files)
  await version(report, storage, project, stored)
  await query(report, storage, project, stored)
  await survive(report, storage, basePath)
  storage = await reopen(report, storage, basePath, project)
  await compare(report, storage, project, stored)
  await report.time('close', 1, () => storage.close())
  showDisk(report, basePath, project)
}

async function find(report, directory, limit) {
  report.heading('Files')
  const directories = directory ? [directory] : await crateDirectories()
  const { files, skipped } = await report.time('find and read the source files', ({ files }) => files.length, () =>
    walk(directories, limit),
  )
  const where = directory ?? `the sources of ${directories.length} crates that cargo downloaded`
  report.note(`${number(files.length)} text files in ${where}`)
  if (describeSkipped(skipped)) report.note(`left out: ${describeSkipped(skipped)}`)
  if (skipped.beyond > 0) report.note(`the demo stores ${number(limit)} files and 256 MiB at most; --limit changes the former`)
  if (files.length === 0) throw new StepError(`There is no text file in ${where}.`)
  return { files, name: directory ? basename(directory) : 'Rust crate sources' }
}

/** Stores the files in batches. Returns them with their ids and sizes. */
async function store(report, storage, project, files) {
  report.heading('Storing')
  const target = storage.getFileStorage(project.id)
  const stored = []
  let bytes = 0
  let batches = 0
  const progress = new Progress('storing', files.length)
  const flush = async (batch) => {
    const created = await target.createMany(batch.map(({ input }) => input))
    created.forEach(({ id, size, extension }, at) => {
      const { file, input } = batch[at]
      stored.push({ ...file, id, extension, length: input.content.length })
      bytes += size
    })
    batches += 1
    progress.show(stored.length)
  }
  let batch = []
  let waiting = 0
  for (const file of files) {
    const input = fileInput(file)
    batch.push({ file, input })
    waiting += input.content.length
    if (batch.length === batchFiles || waiting >= batchBytes) {
      await flush(batch)
      batch = []
      waiting = 0
    }
  }
  if (batch.length > 0) await flush(batch)
  const ms = progress.end()
  report.row(`store in ${batches} batches, each synced`, stored.length, ms, 'files')
  report.note(`${megabytes(bytes)} in ${batches} batches, ${megabytes((bytes / ms) * 1000)} a second`)
  report.check(new Set(stored.map(({ id }) => id)).size === files.length, `${number(files.length)} files have ${number(files.length)} different ids`)
  return stored
}

async function version(report, storage, project, stored) {
  report.heading('Versions')
  const target = storage.getFileStorage(project.id)
  const long = stored.filter(({ length }) => length > 1000)
  const eligible = long.length > 0 ? long : stored
  const chosen = eligible.filter((_, at) => at % Math.ceil(eligible.length / 20) === 0)
  const each = 5
  await report.time('create versions, all at once', chosen.length * each, () =>
    Promise.all(
      chosen.flatMap(({ id }) =>
        Array.from({ length: each }, (_, n) => target.createVersion(id, `written by the demo, call ${n}\n`)),
      ),
    ),
    'versions',
  )
  const chains = await Promise.all(chosen.map(({ id }) => target.getVersions(id)))
  const unbroken = chains.every(
    (chain) =>
      chain.length === each + 1 &&
      chain.every(
        (file, at) =>
          file.version === at + 1 &&
          file.prevId === (chain[at - 1]?.id ?? null) &&
          file.nextId === (chain[at + 1]?.id ?? null) &&
          file.isLatest === (at === chain.length - 1),
      ),
  )
  report.check(unbroken, `${chosen.length} files × ${each} concurrent versions give ${chosen.length} unbroken chains 1 to ${each + 1}`)
  const [first] = chosen
  if (!first) return
  const reverted = await report.time('revert to version 1', 1, () => target.revertToVersion(first.id, 1))
  report.check(
    reverted.version === each + 2 && reverted.content === readFileSync(first.source, 'utf8'),
    `${first.path}: version ${reverted.version} has the content of version 1`,
  )
  for (const file of chosen) file.versioned = true
  first.reverted = true
}

async function survive(report, storage, basePath) {
  report.heading('A killed process')
  const project = await storage.create({ name: 'Killed', path: '/killed' })
  const start = performance.now()
  const acknowledged = await killWriter(basePath, project.id, killAfter)
  report.row('another process writes until SIGKILL', acknowledged.length, performance.now() - start, 'files')
  const map = await storage.readProjectFiles(project.id)
  const there = acknowledged.filter(({ id, content }) => map[id]?.content === content)
  report.check(
    there.length === acknowledged.length,
    `${number(there.length)} of ${number(acknowledged.length)} acknowledged writes are there, byte for byte`,
  )
  const more = Object.keys(map).length - there.length
  if (more > 0) report.note(`${more} more were committed but not yet acknowledged when it was killed; they are whole`)
  await storage.create({ name: 'Written after the kill', path: '/after' })
  report.check(true, 'this process writes on')
}

async function reopen(report, storage, basePath, project) {
  report.heading('Closing and reopening')
  await report.time('close: write the JSON files', 1, () => storage.close())
  const again = new ProjectStorageV2({ basePath })
  const found = await report.time('open and get a project by id', 1, () => again.getById(project.id))
  report.check(found?.name === project.name, 'the first read of the new instance finds the project')
  const projects = await report.time('list the projects', (list) => list.length, () => again.list())
  report.check(projects.some(({ name }) => name === 'Written after the kill'), 'the last write before the close is there')
  return again
}

async function compare(report, storage, project, stored) {
  const target = storage.getFileStorage(project.id)
  const infos = await report.time(
    'list all files without content, newly opened',
    (list) => list.length,
    () => target.list({ includeContent: false, includeAllVersions: false }),
    'files',
  )
  report.check(infos.length === stored.length, `${number(infos.length)} files are listed`)
  const progress = new Progress('comparing', stored.length)
  const different = []
  let bytes = 0
  for (const [at, { id, source, path }] of stored.entries()) {
    const file = await target.getById(id)
    const expected = readFileSync(source)
    bytes += expected.length
    if (!file || file.size !== expected.length || !Buffer.from(file.content, 'utf8').equals(expected)) different.push(path)
    progress.show(at + 1)
  }
  report.row('read each file and compare it with its source', stored.length, progress.end(), 'files')
  report.check(
    different.length === 0,
    different.length === 0
      ? `all ${number(bytes)} bytes of ${number(stored.length)} files equal their sources`
      : `${different.length} files differ from their sources: ${different.slice(0, 3).join(', ')} …`,
  )
}
