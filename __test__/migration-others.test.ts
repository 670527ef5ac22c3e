// Migrations that fail, and data that other processes create meanwhile.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { caught, runChild } from './support/index.js'
import { holder, noting, withManagers } from './support/migrations.js'
import { Things } from './support/things.js'

const names = async (storage: Things) => (await storage.list().finally(() => storage.close())).map(({ name }) => name)

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
