// Writing all files of a project as a map. The map is compared with what was read before, so that only the difference is
// sent, which must not be noticeable except in the cost.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { channel } from 'node:diagnostics_channel'
import { readFileSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { describe, test } from 'node:test'
import { Worker } from 'node:worker_threads'
import type { ProjectFile, ProjectStorageV2, StorageOptions } from '../index.js'
import { collectGarbage } from './support/garbage.js'
import { caught, dataPath, fileRecord, filesPath, readJson, runChild, until, withDirectory, withStorage } from './support/index.js'

type FileMap = Record<string, ProjectFile>

const PROJECT = 77
/** Larger than the numbers that JavaScript orders among the keys of an object. */
const FIRST = 1_700_000_000_000

function mapOf(count: number, fields: Partial<ProjectFile> = {}): FileMap {
  return Object.fromEntries(Array.from({ length: count }, (_, n) => [FIRST + n, fileRecord(FIRST + n, PROJECT, fields)]))
}

/** Returns what is sent by the writes that `work` starts. */
async function sentBy(work: () => Promise<unknown>): Promise<{ entities: number; bytes: number }[]> {
  const events: any[] = []
  const listen = (event: any) => void events.push(event)
  channel('octoprompt-storage:write').subscribe(listen)
  await work().finally(() => channel('octoprompt-storage:write').unsubscribe(listen))
  return events.map(({ entities, bytes }) => ({ entities, bytes }))
}

/** Makes the body of a test with a storage and a map that it has read. */
const withMap = (work: (storage: ProjectStorageV2, map: FileMap, context: { base: string; open(options?: StorageOptions): ProjectStorageV2 }) => Promise<void>) =>
  withStorage(async (storage, context) => {
    await storage.writeProjectFiles(PROJECT, mapOf(20))
    await work(storage, await storage.readProjectFiles(PROJECT), context)
  })

describe('a map that was read and is written back', () => {
  test('sends only the records that differ', withMap(async (storage, map) => {
    map[FIRST + 3] = { ...map[FIRST + 3]!, content: 'x'.repeat(1000) }
    const [sent] = await sentBy(() => storage.writeProjectFiles(PROJECT, map))
    assert.equal(sent!.entities, 20)
    assert.ok(sent!.bytes > 1000 && sent!.bytes < 1500, `${sent!.bytes} bytes`)
    assert.deepEqual(await storage.readProjectFiles(PROJECT), map)
  }))

  test('sends and writes nothing if nothing differs', withMap(async (storage, map) => {
    const before = await storage.sequence()
    const [sent] = await sentBy(() => storage.writeProjectFiles(PROJECT, map))
    assert.equal(sent!.bytes, 0)
    assert.equal(await storage.sequence(), before)
  }))

  test('is compared with the result of an earlier write, without another read', withMap(async (storage, map) => {
    for (let n = 0; n < 5; n++) {
      map = await storage.writeProjectFiles(PROJECT, { ...map, [FIRST + n]: { ...map[FIRST + n]!, content: `changed ${n}` } })
      const [sent] = await sentBy(() => storage.writeProjectFiles(PROJECT, map))
      assert.equal(sent!.bytes, 0)
    }
  }))

  test('takes contents that become text in JSON, and caches only what is stored', withMap(async (storage, map, { open }) => {
    let calls = 0
    const contents = [Object('boxed'), new Date(0), { toJSON: () => `call ${(calls += 1)}` }]
    for (const [n, content] of contents.entries()) map = { ...map, [FIRST + n]: { ...map[FIRST + n]!, content } }
    const written = await storage.writeProjectFiles(PROJECT, map)
    assert.deepEqual([written[FIRST]!.content, written[FIRST + 1]!.content], ['boxed', new Date(0).toJSON()])
    const stored = await open({ cacheEnabled: false }).readProjectFiles(PROJECT)
    for (let n = 0; n < 3; n++) assert.deepEqual(await storage.readProjectFiles(PROJECT), stored)
  }))

  test('shares no object with later reads even if it is not cached', withMap(async (storage, map) => {
    const dated = { ...map, [FIRST]: { ...map[FIRST]!, content: new Date(0) as never } }
    const written = await storage.writeProjectFiles(PROJECT, dated)
    written[FIRST + 1]!.content = 'changed by the caller'
    for (let n = 0; n < 3; n++) assert.deepEqual((await storage.readProjectFiles(PROJECT))[FIRST + 1], map[FIRST + 1])
  }))

  test('shares no object with later reads if it is cached', withMap(async (storage, map) => {
    const written = await storage.writeProjectFiles(PROJECT, { ...map, [FIRST]: { ...map[FIRST]!, content: 'changed' } })
    const expected = structuredClone(written)
    for (const file of Object.values(written)) file.name = 'changed by the caller'
    assert.deepEqual(await storage.readProjectFiles(PROJECT), expected)
  }))

  test('is not cached if the cache is cleared while it is written', withMap(async (storage, map) => {
    const writing = storage.writeProjectFiles(PROJECT, { ...map, [FIRST]: { ...map[FIRST]!, content: 'changed' } })
    storage.clearCache()
    await writing
    const { misses } = storage.getCacheStats()
    await storage.readProjectFiles(PROJECT)
    assert.equal(storage.getCacheStats().misses, misses + 1)
  }))

  test('returns the stored map in ascending order of id', withMap(async (storage, map) => {
    const added = { ...map, [FIRST - 5]: fileRecord(FIRST - 5, PROJECT), 12: fileRecord(12, PROJECT), [FIRST + 50]: fileRecord(FIRST + 50, PROJECT) }
    const turned = Object.fromEntries(Object.entries(added).reverse())
    const written = await storage.writeProjectFiles(PROJECT, turned)
    assert.deepEqual(written, added)
    assert.deepEqual(Object.keys(written), Object.keys(added).sort((a, b) => Number(a) - Number(b)))
    storage.clearCache()
    assert.deepEqual(await storage.readProjectFiles(PROJECT), added)
  }))

  test('deletes the files that it lacks', withMap(async (storage, map) => {
    delete map[FIRST]
    delete map[FIRST + 19]
    assert.deepEqual(await storage.writeProjectFiles(PROJECT, map), map)
    storage.clearCache()
    assert.deepEqual(await storage.readProjectFiles(PROJECT), map)
  }))

  test('resets the fields that a record lacks to their defaults', withMap(async (storage, map) => {
    const [one, other] = Object.values(map)
    const project = one!.projectId
    for (const { id } of [one!, other!]) await storage.updateProjectFile(project, id, { summary: 'mine' })
    const stored = await storage.readProjectFiles(project)
    await storage.readProjectFiles(project)
    for (const [{ id }, added] of [[one!, {}], [other!, { other: undefined }]] as const) {
      const { summary, ...rest } = stored[id]!
      stored[id] = { ...rest, ...added } as any
    }
    const written = await storage.writeProjectFiles(project, stored)
    assert.deepEqual([one!, other!].map(({ id }) => written[id]!.summary), [null, null])
  }))

  test('gives a record with new content that lacks a checksum that of the content', withMap(async (storage, map) => {
    const [changed, same] = Object.keys(map)
    for (const id of [changed!, same!]) delete (map[id] as Partial<ProjectFile>).checksum
    map[changed!]!.content = 'changed'
    const written = await storage.writeProjectFiles(PROJECT, map)
    assert.equal(written[changed!]!.checksum, createHash('sha256').update('changed').digest('hex'))
    assert.equal(written[same!]!.checksum, null)
    assert.deepEqual(await storage.readProjectFiles(PROJECT), written)
  }))

  test('shares nothing with what is read or written later', withMap(async (storage, map) => {
    const expected = structuredClone(map)
    for (const file of Object.values(map)) file.content = 'spoilt'
    const read = await storage.readProjectFiles(PROJECT)
    assert.deepEqual(read, expected)
    for (const result of [await storage.writeProjectFiles(PROJECT, read), await storage.writeProjectFiles(PROJECT, read)]) {
      assert.deepEqual(result, expected)
      for (const file of Object.values(result)) file.path = 'spoilt'
    }
    assert.deepEqual(await storage.readProjectFiles(PROJECT), expected)
  }))

  test('stores its records as they were at the call', withMap(async (storage, map) => {
    const expected = { ...structuredClone(map), [FIRST]: { ...map[FIRST]!, content: 'new' } }
    // An earlier write that is not answered yet: what was read may be out of date.
    const before = storage.getFileStorage(PROJECT).delete(FIRST + 7)
    map[FIRST]!.content = 'new'
    const writing = storage.writeProjectFiles(PROJECT, map)
    for (const file of Object.values(map)) file.content = 'too late'
    for (const id of Object.keys(map)) delete map[id]
    assert.deepEqual(await writing, expected)
    assert.equal(await before, true)
    storage.clearCache()
    assert.deepEqual(await storage.readProjectFiles(PROJECT), expected)
  }))

  test('reads every field once', withMap(async (storage, map) => {
    let reads = 0
    const { content: _, ...head } = map[FIRST]!
    const odd = { ...head, get content() { return `read ${++reads}` } }
    const written = await storage.writeProjectFiles(PROJECT, { ...map, [FIRST]: odd })
    assert.equal(written[FIRST]!.content, 'read 1')
    assert.equal(reads, 1)
  }))

  test('is rejected with the issues of all its bad records and changes nothing', withMap(async (storage, map) => {
    const bad = { ...map, [FIRST + 1]: { ...map[FIRST + 1], path: 5 }, [FIRST + 2]: { ...map[FIRST + 2], id: 9 }, [FIRST + 3]: null, x: map[FIRST] }
    const error = await caught(storage.writeProjectFiles(PROJECT, { ...bad, [FIRST + 4]: { ...map[FIRST + 4]!, content: 'good' } } as never))
    assert.equal(error.code, 'VALIDATION_ERROR')
    const paths = error.issues.map(({ path }: { path: unknown[] }) => path.join('.'))
    assert.deepEqual(paths, [`${FIRST + 1}.path`, `${FIRST + 2}.id`, String(FIRST + 3), 'x.id'])
    assert.deepEqual(await storage.readProjectFiles(PROJECT), map)
  }))
})

describe('a map overwrites what has changed since it was read', () => {
  const changed = (map: FileMap) => ({ ...map, [FIRST]: { ...map[FIRST]!, content: 'mine' } })

  async function overwrites(storage: ProjectStorageV2, map: FileMap) {
    const mine = changed(map)
    assert.deepEqual(await storage.writeProjectFiles(PROJECT, mine), mine)
    storage.clearCache()
    assert.deepEqual(await storage.readProjectFiles(PROJECT), mine)
  }

  test('by the same thread', withMap(async (storage, map, { open }) => {
    const other = open().getFileStorage(PROJECT)
    await other.update(FIRST + 1, { content: 'theirs' })
    await other.delete(FIRST + 2)
    await other.createVersion(FIRST + 3, 'theirs')
    await overwrites(storage, map)
  }))

  test('by another thread', withMap(async (storage, map, { base }) => {
    const code = `
      const { workerData, parentPort } = require('node:worker_threads')
      const { ProjectStorageV2 } = require(workerData.index)
      const storage = new ProjectStorageV2({ basePath: workerData.base })
      const files = storage.getFileStorage(${PROJECT})
      files.update(${FIRST + 1}, { content: 'theirs' }).then(() => storage.close()).then(() => parentPort.postMessage('done'))`
    const worker = new Worker(code, { eval: true, workerData: { base, index: join(__dirname, '../index.js') } })
    await new Promise((resolve, reject) => worker.on('message', resolve).on('error', reject))
    assert.equal((await storage.readProjectFile(PROJECT, FIRST + 1))!.content, 'theirs')
    await overwrites(storage, map)
    await worker.terminate()
  }))

  test('by another process', withMap(async (storage, map, { base }) => {
    const args = [base, String(PROJECT), String(FIRST + 1), String(FIRST + 2), '3']
    const { code, stderr } = await runChild('counter.mjs', args)
    assert.equal(code, 0, stderr)
    await overwrites(storage, map)
  }))

  test('by a process that keeps writing', withMap(async (storage, map, { base }) => {
    const mine: Promise<unknown>[] = []
    const args = [base, String(PROJECT), String(FIRST + 1), String(FIRST + 2), '200']
    const onLine = () => {
      map = { ...map, [FIRST]: { ...map[FIRST]!, content: `mine ${mine.length}` } }
      mine.push(storage.writeProjectFiles(PROJECT, map).then((written) => assert.equal(Object.keys(written).length, 20)))
    }
    const { code, stderr } = await runChild('counter.mjs', args, { onLine })
    assert.equal(code, 0, stderr)
    await Promise.all(mine)
    const last = await storage.writeProjectFiles(PROJECT, map)
    assert.deepEqual(last, map)
    storage.clearCache()
    assert.deepEqual(await storage.readProjectFiles(PROJECT), map)
  }))

  test('by a person who edited the file', withMap(async (storage, map, { base, open }) => {
    await storage.close()
    const again = open()
    map = await again.readProjectFiles(PROJECT)
    const path = filesPath(base, PROJECT)
    const edited = await readJson(path)
    edited[FIRST + 1]!.content = 'edited by hand'
    await writeFile(path, JSON.stringify(edited))
    await until('the edit to be seen', async () => {
      again.clearCache()
      return (await again.readProjectFile(PROJECT, FIRST + 1))!.content === 'edited by hand'
    })
    await overwrites(again, map)
  }))
})

describe('unawaited writes', () => {
  test('keep their order around a map that was compared with stale data', withMap(async (storage, map) => {
    const files = storage.getFileStorage(PROJECT)
    const answers = await Promise.all([
      files.delete(FIRST + 1),
      storage.writeProjectFiles(PROJECT, map),
      files.delete(FIRST + 2),
      storage.updateProjectFile(PROJECT, FIRST + 3, { content: 'later' }),
      storage.writeProjectFiles(PROJECT, { ...map, [FIRST + 4]: { ...map[FIRST + 4]!, content: 'last' } }),
      files.delete(FIRST + 5),
    ])
    assert.deepEqual([answers[0], answers[2], answers[5]], [true, true, true])
    assert.deepEqual(answers[1], map)
    const { [FIRST + 5]: _, ...rest } = map
    const expected = { ...rest, [FIRST + 4]: { ...map[FIRST + 4]!, content: 'last' } }
    assert.deepEqual(await storage.readProjectFiles(PROJECT), expected)
    storage.clearCache()
    assert.deepEqual(await storage.readProjectFiles(PROJECT), expected)
  }))

  test('are completed by close, including those that had to start over', withMap(async (storage, map, { open }) => {
    void storage.getFileStorage(PROJECT).delete(FIRST + 1)
    const writing = storage.writeProjectFiles(PROJECT, { ...map, [FIRST]: { ...map[FIRST]!, content: 'mine' } })
    const deleting = storage.getFileStorage(PROJECT).delete(FIRST + 2)
    await storage.close()
    assert.equal((await writing)[FIRST + 1]!.content, 'text')
    assert.equal(await deleting, true)
    const read = await open().readProjectFiles(PROJECT)
    assert.deepEqual(Object.keys(read), Object.keys(map).filter((id) => Number(id) !== FIRST + 2))
  }))

  test('can be aborted while they wait for a map', withMap(async (storage, map) => {
    const controller = new AbortController()
    const writing = storage.writeProjectFiles(PROJECT, { ...map, [FIRST]: { ...map[FIRST]!, content: 'mine' } })
    const given = storage.getFileStorage(PROJECT).delete(FIRST + 1, { signal: controller.signal })
    const after = storage.getFileStorage(PROJECT).delete(FIRST + 2)
    controller.abort()
    assert.equal((await caught(given)).code, 'ABORTED')
    assert.equal((await writing)[FIRST]!.content, 'mine')
    assert.equal(await after, true)
    assert.ok(await storage.readProjectFile(PROJECT, FIRST + 1))
  }))

  test('succeed after the failed write of a map', withMap(async (storage, map) => {
    const failing = caught(storage.writeProjectFiles(PROJECT, { ...map, [FIRST]: { ...map[FIRST]!, path: 5 as never } }))
    const after = storage.getFileStorage(PROJECT).delete(FIRST + 2)
    assert.equal((await failing).code, 'VALIDATION_ERROR')
    assert.equal(await after, true)
  }))
})

describe('reading the map back', () => {
  test('causes no cache miss after a read or a write', withMap(async (storage) => {
    const { misses } = storage.getCacheStats()
    const map = await storage.readProjectFiles(PROJECT)
    await storage.writeProjectFiles(PROJECT, { ...map, [FIRST]: { ...map[FIRST]!, content: 'new' } })
    await storage.readProjectFiles(PROJECT)
    assert.equal(storage.getCacheStats().misses, misses)
  }))

  test('causes no cache miss after a garbage collection', withMap(async (storage) => {
    const { misses } = storage.getCacheStats()
    for (let n = 0; n < 3; n++) {
      await new Promise(setImmediate)
      collectGarbage()
    }
    await storage.readProjectFiles(PROJECT)
    assert.equal(storage.getCacheStats().misses, misses)
  }))

  test('reads from disk again after cacheTTL, however often the map is written', withDirectory(async ({ open }) => {
    const storage = open({ cacheTTL: 200, durability: 'os' })
    await storage.writeProjectFiles(PROJECT, mapOf(3))
    const map = await storage.readProjectFiles(PROJECT)
    const { misses } = storage.getCacheStats()
    await until('an expiry', async () => {
      await storage.writeProjectFiles(PROJECT, { ...map, [FIRST]: { ...map[FIRST]!, content: String(Math.random()) } })
      await storage.readProjectFiles(PROJECT)
      return storage.getCacheStats().misses > misses
    })
  }))

  test('caches nothing if clearCache is called meanwhile', withMap(async (storage) => {
    storage.clearCache()
    const reading = storage.readProjectFiles(PROJECT)
    storage.clearCache()
    await reading
    assert.equal(storage.getCacheStats().size, 0)
  }))

  test('shows a write that was made during an earlier read', withMap(async (storage, map, { base }) => {
    const tip = () => readFileSync(join(dataPath(base), '.storage/tip')).readDoubleLE(16 * 8)
    for (let n = 0; n < 30; n++) {
      storage.clearCache()
      const before = tip()
      const reading = storage.readProjectFiles(PROJECT)
      const updating = storage.updateProjectFile(PROJECT, FIRST, { content: `text ${n}` })
      // Wait for the update, so that what was read before it arrives after it.
      for (const end = Date.now() + 30_000; tip() === before && Date.now() < end; );
      await reading
      assert.deepEqual(await storage.readProjectFiles(PROJECT), { ...map, [FIRST]: await updating })
    }
  }))
})

describe('a map behaves the same with and without a cache', () => {
  const settings: StorageOptions[] = [{}, { maxCacheSize: 1 }, { maxCacheSize: 0 }, { cacheTTL: 0 }, { cacheTTL: 1 }, { cacheEnabled: false }]
  /** A record with an object in it is kept later than other records, and is never treated as unchanged. */
  const stored = (odd: unknown) => JSON.stringify({
    [FIRST]: { ...fileRecord(FIRST, PROJECT), odd, other: 'text' },
    [FIRST + 1]: { ...fileRecord(FIRST + 1, PROJECT), created: 1_700_000_000, more: 1.5 },
    [FIRST + 2]: { ...fileRecord(FIRST + 2, PROJECT), content: 'half \ud83d of one', 7: 'seven' },
    [FIRST + 3]: JSON.parse(`{"__proto__":${JSON.stringify(odd)},${JSON.stringify(fileRecord(FIRST + 3, PROJECT)).slice(1)}`),
    ...Object.fromEntries(Array.from({ length: 6 }, (_, n) => [FIRST + 4 + n, fileRecord(FIRST + 4 + n, PROJECT)])),
  })

  /** What callers do to a record between reading and writing it, both valid and invalid. */
  const changes: ((file: any, random: (n: number) => number) => unknown)[] = [
    (file) => ({ ...file }),
    (file, random) => ({ ...file, content: `content ${random(9)}` }),
    (file) => ({ ...file, content: `${file.content}\udc00` }),
    (file) => ({ content: file.content, ...file }),
    (file) => Object.fromEntries(Object.entries(file).reverse()),
    (file) => ({ ...file, updated: 1_700_000_000 }),
    (file) => ({ ...file, updated: new Date(1_700_000_000_000) }),
    (file) => ({ ...file, summary: undefined }),
    (file) => ({ ...file, unknown: 1 }),
    ({ meta: _, ...file }) => file,
    ({ odd: _, ...file }) => file,
    (file) => ({ ...file, odd: { deep: [] } }),
    (file) => ({ ...file, size: -0 }),
    (file) => ({ ...file, id: String(file.id) }),
    (file) => Object.defineProperty({ ...file }, 'content', { get: () => 'from a getter', enumerable: true }),
    (file) => Object.defineProperty({ ...file }, '__proto__', { value: 'own', enumerable: true }),
    (file) => Object.assign(Object.create({ inherited: 1 }), file),
    (file, random) => (random(5) > 0 ? file : { ...file, size: NaN }),
    (file, random) => (random(5) > 0 ? file : { ...file, version: 10n }),
    (file, random) => (random(5) > 0 ? file : [file]),
    (file, random) => (random(5) > 0 ? file : null),
  ]

  function generator(seed: number) {
    return (n: number) => {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
      return Math.floor((seed / 2 ** 32) * n)
    }
  }

  function edited(map: any, random: (n: number) => number): any {
    const copy = { ...map }
    for (let left = random(4); left > 0; left--) {
      const ids = Object.keys(copy)
      const id = ids[random(ids.length)]
      const change = random(changes.length + 3)
      if (id === undefined || change === changes.length) copy[FIRST + random(30)] = fileRecord(FIRST + random(30), PROJECT)
      else if (change === changes.length + 1) delete copy[id]
      else if (change === changes.length + 2) copy[random(40)] = { ...copy[id], id: undefined }
      else if (copy[id] !== null) copy[id] = changes[change]!(copy[id], random)
    }
    return copy
  }

  /** Returns everything that callers can see in the life of one storage. */
  async function life(base: string, seed: number, options: StorageOptions, open: (options: StorageOptions) => ProjectStorageV2) {
    const path = filesPath(base, PROJECT)
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, stored(seed % 4 === 0 ? { list: [1, { a: 'b' }], none: null } : 'flat'))
    const random = generator(seed)
    const [storage, other] = [open({ basePath: base, ...options }), open({ basePath: base, ...options })]
    const shown: string[] = []
    const show = async (answer: Promise<unknown>) => {
      const result = await answer.catch(({ code, issues }) => ({ code, issues }))
      return JSON.stringify(result)
    }
    let map = await storage.readProjectFiles(PROJECT)
    for (let step = 0; step < 12; step++) {
      const calls: Promise<string>[] = []
      for (let left = 1 + random(3); left > 0; left--) {
        const by = random(4) === 0 ? other : storage
        // Writes of different instances are not ordered among one another.
        if (by === other) shown.push(...(await Promise.all(calls.splice(0))))
        const kind = random(6)
        if (kind === 0) calls.push(show(by.getFileStorage(PROJECT).delete(FIRST + random(10))))
        else if (kind === 1) by.clearCache()
        else calls.push(show(by.writeProjectFiles(PROJECT, edited(map, random))))
        if (by === other) shown.push(...(await Promise.all(calls.splice(0))))
      }
      shown.push(...(await Promise.all(calls)))
      if (random(3) > 0) map = await storage.readProjectFiles(PROJECT)
      shown.push(await show(storage.readProjectFiles(PROJECT)))
    }
    await Promise.all([storage.close(), other.close()])
    return [...shown, await readFile(path, 'utf8')]
  }

  for (const options of settings) {
    test(JSON.stringify(options), withDirectory(async ({ base, open }) => {
      for (let seed = 1; seed <= 12; seed++) {
        const [plain, kept] = await Promise.all([
          life(join(base, `plain${seed}`), seed, { cacheEnabled: false, durability: 'os' }, open),
          life(join(base, `kept${seed}`), seed, { durability: 'os', ...options }, open),
        ])
        kept.forEach((shown, at) => assert.equal(shown, plain[at], `seed ${seed}, answer ${at}`))
        assert.equal(kept.length, plain.length)
      }
    }))
  }
})
