import assert from 'node:assert/strict'
import { symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { Worker } from 'node:worker_threads'
import { ProjectStorageV2 } from '../index.js'
import { fileInput, projectInput, runChild, until, withDirectory, withProject } from './support/index.js'

describe('two instances on one directory', () => {
  test("see each other's changes to projects at once", withDirectory(async ({ open }) => {
    const [a, b] = [open(), open()]
    const project = await a.create(projectInput())
    assert.deepEqual(await b.getById(project.id), project)
    const updated = await b.update(project.id, { name: 'b' })
    assert.deepEqual(await a.getById(project.id), updated)
    assert.deepEqual(await a.findByName('b'), [updated])
    await a.delete(project.id)
    assert.equal(await b.getById(project.id), null)
    assert.deepEqual(await b.list(), [])
  }))

  test("see each other's changes to files at once", withProject(async (a, project, { open }) => {
    const b = open()
    const file = await a.addFile(project.id, fileInput('a', 'one'))
    assert.deepEqual(await b.readProjectFile(project.id, file.id), file)
    await b.createFileVersion(project.id, file.id, 'two')
    assert.equal((await a.getFileStorage(project.id).getByPath('a'))?.content, 'two')
  }))

  test('agree when one of them does not cache', withDirectory(async ({ open }) => {
    const [a, b] = [open({ cacheEnabled: false }), open()]
    const project = await b.create(projectInput())
    await b.getById(project.id)
    const updated = await a.update(project.id, { name: 'b' })
    assert.deepEqual(await b.getById(project.id), updated)
  }))

  test('agree when one names the directory through a symlink', withDirectory(async ({ base, open }) => {
    const link = join(base, 'link')
    await symlink('.', link, 'junction')
    const b = new ProjectStorageV2({ basePath: link })
    const project = await open().create(projectInput())
    assert.deepEqual(await b.getById(project.id), project)
    await b.close()
  }))

  test('closing one leaves the other open', withDirectory(async ({ open }) => {
    const [a, b] = [open(), open()]
    const project = await a.create(projectInput())
    await a.close()
    await assert.rejects(a.list(), { code: 'CLOSED' })
    assert.deepEqual(await b.getById(project.id), project)
    assert.ok(await b.update(project.id, { name: 'b' }))
  }))

  test('never give an id twice', withDirectory(async ({ open }) => {
    const [a, b] = [open(), open()]
    const ids = Array.from({ length: 500 }, () => [a.generateId(), b.generateId()]).flat()
    assert.equal(new Set(ids).size, 1000)
  }))

  test('lose nothing when both create at once', withDirectory(async ({ open }) => {
    const storages = [open(), open()]
    const created = await Promise.all(Array.from({ length: 100 }, (_, n) => storages[n % 2]!.create(projectInput(`p${n}`))))
    assert.equal(new Set(created.map(({ id }) => id)).size, 100)
    assert.equal((await storages[0]!.list()).length, 100)
  }))

  test('keep every field when both patch different fields at once', withProject(async (a, { id }, { open }) => {
    const b = open()
    await Promise.all([
      a.update(id, { name: 'new name' }),
      b.update(id, { path: '/new' }),
      a.update(id, { description: 'new description' }),
    ])
    const { name, path, description } = (await b.getById(id))!
    assert.deepEqual({ name, path, description }, { name: 'new name', path: '/new', description: 'new description' })
  }))
})

describe('two directories', () => {
  test('are independent of each other', withDirectory(async ({ base, open }) => {
    const other = new ProjectStorageV2({ basePath: join(base, 'other') })
    await open().create(projectInput())
    assert.deepEqual(await other.list(), [])
    await other.close()
  }))
})

describe('two processes on one directory', () => {
  test('see what the other wrote as soon as it was acknowledged', withDirectory(async ({ base, open }) => {
    const storage = open()
    await storage.list()
    const pending: Promise<void>[] = []
    let files = 0
    let project = 0
    const { code, stderr } = await runChild('writer.mjs', [base, 'files', 'other', '30'], {
      onLine: (line) => {
        const acknowledged = JSON.parse(line)
        project ||= acknowledged.project
        if (!acknowledged.file) return
        pending.push((async () => {
          const file = await storage.readProjectFile(project, acknowledged.file)
          assert.equal(file?.content, acknowledged.content)
          files++
        })())
      },
    })
    assert.equal(code, 0, stderr)
    await Promise.all(pending)
    assert.equal(files, 30)
  }))

  test('lose nothing when both write at once', withDirectory(async ({ base, open }) => {
    const storage = open()
    const children = ['a', 'b'].map((tag) => runChild('writer.mjs', [base, 'projects', tag, '40']))
    const own = await Promise.all(Array.from({ length: 40 }, (_, n) => storage.create(projectInput(`own ${n}`))))
    const results = await Promise.all(children)
    for (const { code, stderr } of results) assert.equal(code, 0, stderr)
    const acknowledged = results.flatMap(({ lines }) => lines.map((line) => JSON.parse(line)))
    const ids = [...own.map(({ id }) => id), ...acknowledged.map(({ project, created }) => project ?? created)]
    assert.equal(new Set(ids).size, 40 + 2 * 41)
    const stored = await storage.readProjects()
    assert.deepEqual(new Set(Object.keys(stored).map(Number)), new Set(ids))
    for (const { created, name } of acknowledged) if (created) assert.equal(stored[created]?.name, name)
  }))

  test('make one unbroken chain when both append versions to a file', withProject(async (storage, { id }, { base }) => {
    const file = await storage.addFile(id, fileInput('a', 'v1'))
    const args = [base, String(id), String(file.id), '25']
    const children = [runChild('versioner.mjs', args), runChild('versioner.mjs', args)]
    for (const { code, stderr } of await Promise.all(children)) assert.equal(code, 0, stderr)
    const versions = await storage.getFileVersions(id, file.id)
    assert.deepEqual(versions.map(({ version }) => version), Array.from({ length: 51 }, (_, n) => n + 1))
    assert.deepEqual(versions.map(({ prevId }) => prevId), [null, ...versions.slice(0, -1).map(({ id }) => id)])
    assert.deepEqual(versions.filter(({ isLatest }) => isLatest).map(({ version }) => version), [51])
  }))

  test('lose no acknowledged write when one is killed', withDirectory(async ({ base, open }) => {
    const storage = open()
    let count = 0
    const { signal, lines } = await runChild('writer.mjs', [base, 'projects', 'other', '0'], {
      onLine: (_line, kill) => {
        if (++count === 10) kill()
      },
    })
    assert.equal(signal, 'SIGKILL')
    const own = await storage.create(projectInput())
    const stored = await storage.readProjects()
    assert.ok(stored[own.id])
    for (const line of lines) {
      const { project, created } = JSON.parse(line)
      assert.ok(stored[project ?? created])
    }
  }))
})

describe('worker threads', () => {
  const workers = (count: number, base: string) =>
    Promise.all(Array.from({ length: count }, (_, n) => new Promise<number[]>((resolve, reject) => {
      const worker = new Worker(join(__dirname, 'support', 'worker.mjs'), { workerData: { base, tag: `w${n}` } })
      worker.on('message', resolve)
      worker.on('error', reject)
    })))

  test('lose nothing when they write beside the main thread', withDirectory(async ({ base, open }) => {
    const storage = open()
    const [own, ...theirs] = await Promise.all([storage.create(projectInput()), workers(3, base)])
    const ids = [own.id, ...theirs.flat(2)]
    assert.equal(new Set(ids).size, 31)
    assert.deepEqual(new Set((await storage.list()).map(({ id }) => id)), new Set(ids))
  }))

  test('lose no acknowledged write when they are terminated', withDirectory(async ({ base, open }) => {
    const storage = open()
    const worker = new Worker(join(__dirname, 'support', 'worker.mjs'), { workerData: { base, tag: 'w', endless: true } })
    const ids: number[] = []
    worker.on('message', (id: number) => ids.push(id))
    await until('ten projects of the worker', () => ids.length >= 10)
    await worker.terminate()
    const own = await storage.create(projectInput())
    const stored = await storage.readProjects()
    for (const id of [...ids, own.id]) assert.ok(stored[id])
  }))
})
