import assert from 'node:assert/strict'
import { open, readdir, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { MigrationManager, type ProjectFileStorage } from '../index.js'
import { caught, dataPath, runChild, until, withProject } from './support/index.js'

const withFiles = (work: (files: ProjectFileStorage, base: string) => Promise<void>) =>
  withProject((storage, project, { base }) => work(storage.getFileStorage(project.id), base))

const meta = { name: 'big.txt', path: 'docs/big.txt' }

/** About 6 MB, which is enough for a file of its own. */
const large = 'plain "quoted" \\ back\n\t\u0001é€😀'.repeat(170_000)

const blocks = (text = large) => {
  const bytes = new TextEncoder().encode(text)
  return Array.from({ length: Math.ceil(bytes.length / 70_001) }, (_, at) => bytes.slice(at * 70_001, (at + 1) * 70_001))
}

const reserved = (base: string) => join(dataPath(base), '.storage')

/** Lists the files of documents and of contents that are being received. */
const ownFiles = async (base: string) =>
  (await readdir(reserved(base))).filter((name) => name.startsWith('document-') || name.startsWith('spool-'))

const nothingLeft = (base: string) => until('the files to go', async () => (await ownFiles(base)).length === 0)

async function textOf(files: ProjectFileStorage, id: number): Promise<string> {
  const chunks: Uint8Array[] = []
  for await (const chunk of files.createContentStream(id) as unknown as AsyncIterable<Uint8Array>) chunks.push(chunk)
  return Buffer.concat(chunks).toString('utf8')
}

test('a large content takes a bounded amount of memory', withProject(async (storage, project, { base }) => {
  const { lines, stderr } = await runChild('large-content.mjs', [join(base, 'other'), 'measure'])
  assert.equal(lines.length, 1, stderr)
  const { size, length, rise } = JSON.parse(lines[0]!)
  assert.deepEqual([size, length], [128 << 20, 128 << 20])
  // On systems that count in another unit, the number says nothing.
  if (process.platform === 'linux') assert.ok(rise < 96, `the peak rose by ${rise} MiB for a content of 128 MiB`)
}))

test('a large content from a Web or Node stream is stored exactly as sent', withProject(async (storage, project, { open: reopen }) => {
  const files = storage.getFileStorage(project.id)
  const sources = { web: new Blob(blocks()).stream() as never, node: Readable.from(blocks()) as never }
  const ids: number[] = []
  for (const [kind, source] of Object.entries(sources)) {
    const { id, size } = await files.createFromStream({ ...meta, summary: kind }, source)
    assert.equal(size, Buffer.byteLength(large), kind)
    assert.ok((await textOf(files, id)) === large, kind)
    assert.ok((await files.getById(id))!.content === large, kind)
    ids.push(id)
  }
  await storage.close()
  const again = reopen().getFileStorage(project.id)
  for (const id of ids) assert.ok((await textOf(again, id)) === large)
  assert.deepEqual((await again.list({ includeContent: false })).map((file) => file.summary), ['web', 'node'])
}))

test('a large content can be found, updated, versioned and deleted like any other', withFiles(async (files, base) => {
  const { id } = await files.createFromStream(meta, blocks())
  assert.equal((await files.getByPath('docs/big.txt'))!.id, id)
  const next = await files.createVersion(id, 'short')
  assert.deepEqual((await files.getVersions(id)).map((file) => file.content.length), [large.length, 5])
  assert.equal((await files.update(id, { summary: 'new' }))!.content.length, large.length)
  assert.ok((await textOf(files, id)) === large)
  assert.deepEqual([await files.delete(id), await files.getById(id)], [true, null])
  assert.deepEqual((await files.list({ includeContent: false })).map((file) => [file.id, file.prevId]), [[next.id, null]])
}))

test('listeners are notified of a large content', withProject(async (storage, project) => {
  const files = storage.getFileStorage(project.id)
  const told: unknown[] = []
  const listen = (change: unknown) => void told.push(change)
  files.on('change', listen)
  const { id } = await files.createFromStream(meta, blocks())
  await until('the change', () => told.length > 0)
  files.off('change', listen)
  assert.deepEqual((told[0] as { created: number[] }).created, [id])
}))

test('a large content written by a killed process is read from its document file', withProject(async (storage, project, { base, open: reopen }) => {
  await storage.close()
  const { lines, signal } = await runChild('large-content.mjs', [base, 'keep'], { onLine: (_, kill) => kill() })
  assert.equal(signal, 'SIGKILL')
  const [projectId, id] = lines[0]!.split(' ').map(Number)
  const again = reopen()
  assert.equal((await ownFiles(base)).length, 1)
  const block = 'some text\n'.repeat(6_554).slice(0, 64 * 1024)
  assert.ok((await textOf(again.getFileStorage(projectId!), id!)) === block.repeat(96))
}))

test('a backup includes and restores a large content that is not yet in a JSON file', withProject(async (storage, project, { base }) => {
  const files = storage.getFileStorage(project.id)
  const { id } = await files.createFromStream(meta, blocks())
  const manager = new MigrationManager(base, { logger: null })
  await manager.backup('kept')
  await files.delete(id)
  await files.createFromStream(meta, blocks())
  await manager.restore('kept')
  assert.deepEqual(await ownFiles(base), [])
  assert.ok((await textOf(files, id)) === large)
  assert.equal((await files.list({ includeContent: false })).length, 1)
  await manager.close()
}))

test('a failing source, a destroyed stream and an aborted call leave nothing behind', withFiles(async (files, base) => {
  const mine = new Error('mine')
  const half = blocks()
  const web = () => {
    let at = 0
    return new ReadableStream({
      pull: (controller) => (at < half.length ? controller.enqueue(half[at++]!) : controller.error(mine)),
    })
  }
  assert.equal(await caught(files.createFromStream(meta, web() as never)), mine)
  let sent = 0
  const node = new Readable({
    read() {
      if (sent < half.length) this.push(half[sent++])
      else this.destroy(mine)
    },
  })
  assert.equal(await caught(files.createFromStream(meta, node as never)), mine)
  const controller = new AbortController()
  async function* aborting() {
    yield* half
    controller.abort(mine)
    yield 'more'
  }
  const error = await caught(files.createFromStream(meta, aborting(), { signal: controller.signal }))
  assert.deepEqual([error.code, error.cause], ['ABORTED', mine])
  await nothingLeft(base)
  assert.deepEqual(await files.list(), [])
}))

test('a large content for a missing project is rejected and leaves nothing behind', withProject(async (storage, _, { base }) => {
  const error = await caught(storage.getFileStorage(5).createFromStream(meta, blocks()))
  assert.equal(error.code, 'NOT_FOUND')
  await nothingLeft(base)
}))

test('damage to a document file is reported and costs only that document', withProject(async (storage, project, { base, open: reopen }) => {
  await storage.close()
  await runChild('large-content.mjs', [base, 'keep'], { onLine: (_, kill) => kill() })
  const [name] = await ownFiles(base)
  const path = join(reserved(base), name!)
  const file = await open(path, 'r+')
  await file.write('y', 5_000_000)
  await file.close()
  const again = reopen()
  const { id: other } = (await again.list()).find((found) => found.id !== project.id)!
  const [found] = await again.getFileStorage(other).list({ includeContent: false })
  const error = await caught(textOf(again.getFileStorage(other), found!.id))
  assert.deepEqual([error.code, error.path], ['CORRUPT_DATA', path])
  const report = await again.verify()
  assert.deepEqual([report.ok, report.problems[0]!.code, report.problems[0]!.id], [false, 'DOCUMENT_DAMAGED', String(found!.id)])
  await unlink(path)
  assert.equal((await again.verify()).problems[0]!.code, 'DOCUMENT_DAMAGED')
  assert.equal((await again.repair()).ok, true)
  assert.deepEqual(await again.getFileStorage(other).list(), [])
  assert.equal((await again.list()).length, 2)
}))
