import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { ProjectStorageV2 } from '../index.js'
import { projectInput, runChild, withDirectory, withStorage } from './support/index.js'

interface Acknowledged {
  project?: number
  created?: number
  name?: string
  file?: number
  content?: string
  batch?: number[]
  first?: number
  version?: number
  deleted?: number
}

/** Lets a child write until it has acknowledged `count` writes, kills it there, and returns what it acknowledged. */
async function killAfter(base: string, kind: string, tag: string, count: number): Promise<Acknowledged[]> {
  let seen = 0
  const { lines, signal, stderr } = await runChild('writer.mjs', [base, kind, tag, '0'], {
    onLine: (_line, kill) => {
      if (++seen === count) kill()
    },
  })
  assert.equal(signal, 'SIGKILL', stderr)
  assert.ok(lines.length >= count)
  return lines.map((line) => JSON.parse(line))
}

/** Checks that everything acknowledged is there, as it was acknowledged. */
async function assertKept(storage: ProjectStorageV2, acknowledged: Acknowledged[]) {
  const project = acknowledged[0]!.project!
  assert.ok(await storage.getById(project))
  const map = await storage.readProjectFiles(project)
  const versions = acknowledged.findLast(({ first }) => first)
  if (versions) {
    const chain = await storage.getFileVersions(project, versions.first!)
    assert.ok(chain.length >= versions.version!)
    chain.forEach((file, at) => {
      assert.equal(file.version, at + 1)
      assert.equal(file.prevId, chain[at - 1]?.id ?? null)
      assert.equal(file.nextId, chain[at + 1]?.id ?? null)
      assert.equal(file.isLatest, at === chain.length - 1)
    })
    for (const { version, content } of acknowledged) if (version) assert.equal(chain[version - 1]?.content, content)
  }
  for (const { created, name, file, content, batch, deleted } of acknowledged) {
    if (created) assert.equal((await storage.getById(created))?.name, name)
    if (file) assert.equal(map[file]?.content, content)
    if (batch) for (const id of batch) assert.ok(map[id], `file ${id} of a batch`)
    if (deleted) assert.equal(map[deleted], undefined)
  }
  if (acknowledged.some(({ batch }) => batch)) assert.equal(Object.keys(map).length % 5, 0, 'half a batch is there')
}

// 6 kinds × 9 kills: 54 in all.
describe('a process killed while it writes loses no acknowledged write', () => {
  for (const kind of ['projects', 'files', 'batches', 'versions', 'concurrent', 'deletes']) {
    test(`${kind}, nine times on one directory`, withDirectory(async ({ base, open }) => {
      const all: Acknowledged[][] = []
      for (const [round, count] of [1, 2, 3, 5, 8, 13, 21, 34, 55].entries()) {
        all.push(await killAfter(base, kind, `r${round}`, count))
        const storage = open()
        for (const acknowledged of all) await assertKept(storage, acknowledged)
        // The recovered storage can be written to.
        const { id } = await storage.create(projectInput())
        assert.equal(await storage.delete(id), true)
        await storage.close()
      }
      assert.equal(all.length, 9)
    }))
  }
})

describe('a process that ends by itself loses no acknowledged write', () => {
  for (const how of ['exit', 'throw', 'drop']) {
    test(`by ${how}`, withDirectory(async ({ base, open }) => {
      const { lines, code, stderr } = await runChild('leaver.mjs', [base, how])
      assert.equal(code, how === 'exit' ? 7 : how === 'throw' ? 1 : 0, stderr)
      const storage = open()
      const ids = lines.map(Number)
      assert.equal(ids.length, 5)
      for (const id of ids) assert.ok(await storage.getById(id))
    }))
  }

  test('with a write under way when it calls process.exit', withDirectory(async ({ base, open }) => {
    const { lines, code, stderr } = await runChild('leaver.mjs', [base, 'exit-in-the-middle'])
    assert.equal(code, 7, stderr)
    const storage = open()
    for (const line of lines) assert.ok(await storage.getById(Number(line)))
    assert.ok(lines.length > 0)
    await storage.create(projectInput())
  }))
})

describe('reopening', () => {
  test('without a close finds everything', withStorage(async (storage, { open }) => {
    const project = await storage.create(projectInput())
    const again = open()
    assert.deepEqual(await again.getById(project.id), project)
  }))

  test('many times changes nothing', withStorage(async (storage, { open }) => {
    const project = await storage.create(projectInput())
    await storage.close()
    for (let n = 0; n < 5; n++) {
      const again = open()
      assert.deepEqual(await again.readProjects(), { [project.id]: project })
      await again.close()
    }
  }))

  test("with durability 'os' finds everything after a close", withDirectory(async ({ open }) => {
    const storage = open({ durability: 'os' })
    const project = await storage.create(projectInput())
    await storage.close()
    assert.deepEqual(await open().getById(project.id), project)
  }))
})
