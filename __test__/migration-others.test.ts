// Migrations that fail, and data that the copy which undoes them lacks: of storages that nobody had used before, and of other
// processes.
import assert from 'node:assert/strict'
import { readFile, rename, rm, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { caught, dataPath, projectInput, projectsPath, runChild } from './support/index.js'
import { holder, lay, noting, withManagers, write } from './support/migrations.js'
import { Things, thing } from './support/things.js'

const names = async (storage: Things) => (await storage.list().finally(() => storage.close())).map(({ name }) => name)

describe('a migration may not be the first to use', () => {
  const old = JSON.stringify({ 1: thing(1, { name: 'old' }) })

  for (const [what, file, dataDir] of [
    ['a file in a directory outside data', 'own/things.json', 'own'],
    ['a file outside its database', 'shared.json', 'data/mine'],
  ] as const) {
    test(`${what}, which it could not put back`, withManagers(async ({ base, manage }) => {
      await write(join(base, file), old)
      const manager = manage()
      const use = async () => {
        const storage = new Things({ basePath: base, dataDir, file })
        await storage.create({ name: 'new' }).finally(() => storage.close())
      }
      manager.register(noting([], '1.0.0', { up: use }))
      const error = await caught(manager.migrate())
      assert.deepEqual([error.code, error.message.includes('before the migration')], ['INVALID_ARGUMENT', true], error.message)
      assert.equal(await readFile(join(base, file), 'utf8'), old)
      // Once its storage was open, the copy has it.
      assert.deepEqual(await names(new Things({ basePath: base, dataDir, file })), ['old'])
      assert.deepEqual((await manager.migrate()).versions, ['1.0.0'])
      assert.deepEqual((await names(new Things({ basePath: base, dataDir, file }))).sort(), ['new', 'old'])
    }))
  }

  test('a database outside data that is not recorded', withManagers(async ({ base, manage }) => {
    const open = () => new Things({ basePath: base, dataDir: 'own', file: 'own/things.json' })
    const storage = open()
    await storage.create({ name: 'old' })
    await storage.close()
    await rm(join(base, 'data', '.databases.json'))
    const manager = manage()
    manager.register(noting([], '1.0.0', { up: () => open().create({ name: 'new' }) as Promise<any> }))
    const error = await caught(manager.migrate())
    assert.deepEqual([error.code, error.message.includes('before the migration')], ['INVALID_ARGUMENT', true], error.message)
    assert.deepEqual(await names(open()), ['old'])
  }))

  test('a directory behind a symlink', withManagers(async ({ base, manage, open }) => {
    await lay(base)
    await rename(dataPath(base), join(base, 'real'))
    await symlink(join(base, 'real'), dataPath(base), 'junction')
    const before = await readFile(projectsPath(base), 'utf8')
    const manager = manage()
    manager.register(noting([], '1.0.0', { up: async () => void (await open().create(projectInput())) }))
    const error = await caught(manager.migrate())
    assert.deepEqual([error.code, error.message.includes('before the migration')], ['INVALID_ARGUMENT', true], error.message)
    assert.equal(await readFile(projectsPath(base), 'utf8'), before)
  }))

  test('but may create files and databases outside data, which are gone once it has failed', withManagers(async ({ base, manage }) => {
    const open = () => new Things({ basePath: base, dataDir: 'own', file: 'own/things.json' })
    const manager = manage()
    const failing = async () => {
      for (const name of ['one', 'two']) {
        const storage = open()
        await storage.create({ name })
        await storage.close()
      }
      throw new Error('it fails')
    }
    manager.register(noting([], '1.0.0', { up: failing }))
    for (let attempt = 0; attempt < 2; attempt += 1) assert.equal((await caught(manager.migrate())).message, 'it fails')
    assert.deepEqual(await names(open()), [])
  }))
})

describe('a database that another process creates during a migration keeps what is in it', () => {
  const places = [
    { dataDir: 'data/new', file: 'data/new/things.json' },
    { dataDir: 'own', file: 'shared.json' },
  ]
  const open = (base: string) => places.map((place) => new Things({ basePath: base, ...place }))

  async function create(base: string, name: string) {
    for (const storage of open(base)) {
      await storage.create({ name })
      await storage.close()
    }
  }

  async function check(base: string, expected: string[]) {
    // Recorded as before: nobody else may have the file, and a backup has everything.
    const thief = new Things({ basePath: base, dataDir: 'data/thief', file: 'shared.json' })
    assert.equal((await caught(thief.list())).code, 'INVALID_ARGUMENT')
    await thief.close()
    for (const storage of open(base)) assert.deepEqual((await names(storage)).sort(), expected)
  }

  test('that fails', withManagers(async ({ base, manage }) => {
    const other = await holder(base, 'fail')
    await create(base, 'a')
    assert.equal((await other.goOn())[0].error, 'it fails')
    const backup = await manage().backup('all')
    assert.ok(await readFile(join(backup, 'shared.json')))
    await check(base, ['a'])
  }))

  test('and may not be used by it', withManagers(async ({ base, manage }) => {
    let attempts = 0
    const manager = manage()
    manager.register(noting([], '1.0.0', {
      async up() {
        attempts += 1
        if (attempts === 1) await runChild('others.mjs', [base, 'a'])
        await create(base, 'b')
      },
    }))
    const error = await caught(manager.migrate())
    assert.deepEqual([error.code, error.message.includes(join('data', 'new'))], ['INVALID_ARGUMENT', true], error.message)
    await check(base, ['a'])
    assert.deepEqual((await manager.migrate()).versions, ['1.0.0'])
    await check(base, ['a', 'b'])
  }))

  test('whose second step fails', withManagers(async ({ base, manage }) => {
    const add = async (name: string) => {
      const { stderr } = await runChild('others.mjs', [base, name])
      assert.equal(stderr, '')
    }
    const manager = manage()
    manager.register(noting([], '1.0.0', { up: () => add('a') }))
    manager.register(noting([], '2.0.0', {
      async up() {
        await add('b')
        throw new Error('it fails')
      },
    }))
    assert.equal((await caught(manager.migrate())).message, 'it fails')
    await check(base, ['a', 'b'])
  }))

  test('whose process is killed', withManagers(async ({ base, open: projects }) => {
    const other = await holder(base, 'wait')
    await create(base, 'a')
    await other.kill()
    assert.deepEqual(await projects().list(), [])
    await check(base, ['a'])
  }))
})
