// Where a caller's storage keeps its file, to which storage a file belongs, and what belongs to an entity.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, lstatSync, mkdirSync, readFileSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, test } from 'node:test'
import { IndexManager, ProjectStorageV2 } from '../index.js'
import { caught, projectInput, readJson, withDirectory } from './support/index.js'
import { Things, thing, type Thing, type ThingOptions } from './support/things.js'

const { NativeRecords } = require('../binding.js')

const refused = async (promise: Promise<unknown>, ...parts: string[]) => {
  const error = await caught(promise)
  assert.equal(error.code, 'INVALID_ARGUMENT', error.message)
  for (const part of parts) assert.ok(error.message.includes(part), error.message)
}

function put(path: string, content = 'x') {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, content)
}

describe('getIndexPath', () => {
  for (const file of ['data/deep/down/things.json', 'elsewhere/things.json', 'things.json', 'data/things.txt']) {
    test(`may name ${file}`, withDirectory(async ({ base }) => {
      const storage = new Things({ basePath: base, file, dataDir: 'data/mine' })
      const { id } = await storage.create({ name: 'a' })
      await storage.close()
      assert.deepEqual(Object.keys(await readJson(join(base, file))), [String(id)])
      const again = new Things({ basePath: base, file, dataDir: 'data/mine' })
      assert.equal((await again.getById(id))?.name, 'a')
      await again.update(id, { name: 'b' })
      await again.close()
      assert.equal((await readJson(join(base, file)))[id]!.name, 'b')
    }))
  }

  test('is called once, at the first use, when the fields of the subclass exist', withDirectory(async ({ base }) => {
    let asked = 0
    class Late extends Things {
      folder = 'late'
      protected override getIndexPath() {
        asked++
        return join(this.basePath, this.dataDir, this.folder, 'index.json')
      }
    }
    const storage = new Late({ basePath: base })
    assert.equal(asked, 0)
    await storage.create({ name: 'a' })
    await storage.list()
    assert.equal(asked, 1)
    await storage.close()
    assert.ok(existsSync(join(base, 'data', 'late', 'index.json')))
  }))

  test('may return a path relative to the database', withDirectory(async ({ base }) => {
    class Relative extends Things {
      protected override getIndexPath() {
        return 'relative.json'
      }
    }
    const storage = new Relative({ basePath: base })
    await storage.create({ name: 'a' })
    await storage.close()
    assert.ok(existsSync(join(base, 'data', 'relative.json')))
  }))

  for (const [what, file] of Object.entries({
    'a file outside the base path': '../things.json',
    'the base path': '.',
    'the directory of the database': 'data',
    'a file of the engine': 'data/.storage/things.json',
    'a file of the engine of another database': 'other/.storage/things.json',
    'the record of databases': 'data/.databases.json',
    'the list of indexes': 'data/indexes.json',
    'an index': 'data/indexes/by_name.json',
    'a backup': 'backups/one/things.json',
    'the state of migrations, in different case': 'data/.Migration-State.json',
    'a backup, in different case': 'Backups/one/things.json',
    'the intent of a migration': 'data/.migration/intent.json',
    'a file of a restore': 'data/.restore/things.json',
  })) {
    test(`may not name ${what}`, withDirectory(async ({ base }) => {
      await refused(new Things({ basePath: base, file }).list())
    }))
  }

  for (const file of ['data/con.json', 'data/NUL', 'aux/things.json', 'data/com1.tar.json']) {
    test(`may not name ${file} where Windows has a device`, withDirectory(async ({ base }) => {
      await refused(new Things({ basePath: base, file }).list(), process.platform === 'win32' ? '' : 'is a device; use another file')
    }))
  }

  test('may name an existing file, even where Windows has a device', withDirectory(async ({ base }) => {
    if (process.platform === 'win32') return
    put(join(base, 'data/con.json'), JSON.stringify({ 1: thing(1, { name: 'a' }) }))
    const storage = new Things({ basePath: base, file: 'data/con.json' })
    assert.deepEqual((await storage.list()).map(({ name }) => name), ['a'])
    await storage.close()
  }))

  for (const wrong of [undefined, null, 7, {}, '\0', Symbol('s')]) {
    test(`may not return ${String(wrong)}`, withDirectory(async ({ base }) => {
      class Odd extends Things {
        protected override getIndexPath() {
          return wrong as string
        }
      }
      await refused(new Odd({ basePath: base }).list())
    }))
  }

  test('may not lead through a symlink out of its directory', withDirectory(async ({ base }) => {
    mkdirSync(join(base, 'target'))
    symlinkSync(join(base, 'target'), join(base, 'link'), 'junction')
    await refused(new Things({ basePath: base, file: 'link/things.json' }).list(), 'symlink')
  }))

  test('works where the base path itself is a symlink', withDirectory(async ({ base }) => {
    mkdirSync(join(base, 'real'))
    symlinkSync(join(base, 'real'), join(base, 'link'), 'junction')
    const storage = new Things({ basePath: join(base, 'link'), file: 'out/things.json' })
    const { id } = await storage.create({ name: 'a' })
    const direct = new Things({ basePath: join(base, 'real'), file: 'out/things.json' })
    assert.equal((await direct.getById(id))?.name, 'a')
    await Promise.all([storage.close(), direct.close()])
    assert.ok(existsSync(join(base, 'real', 'out', 'things.json')))
  }))
})

describe('dataDir', () => {
  for (const [what, dataDir] of Object.entries({
    'the folder of the engine': 'data/.storage',
    'the folder of the engine, in different case': 'data/.Storage',
    'a folder below the folder of the engine': 'data/.storage/deep',
    'a backup': 'backups/one',
    'the record of databases': 'data/.databases.json',
    'the state of migrations': 'data/.migration-state.json',
    'the directory above the base path': '..',
    'a directory beside the base path': '../beside',
    'a directory that leads out of the base path': 'data/../../beside',
  })) {
    test(`may not name ${what}`, withDirectory(async ({ base: outer }) => {
      const base = join(outer, 'base')
      const opened = () => [new ProjectStorageV2({ basePath: base }), new Things({ basePath: base, dataDir: 'data' })] as const
      const first = opened()
      await Promise.all([first[0].create(projectInput()), first[1].create({ name: 'a' })])
      await Promise.all(first.map((storage) => storage.close()))
      // Bring everything up to date, so that no checkpoint runs in the background later.
      const [projects, mine] = opened()
      await Promise.all([projects.list(), mine.list()])
      const before = readdirSync(outer, { recursive: true }).sort()
      for (const file of ['tip', 'write.lock', 'journal-000000000001.jsonl', 'things.json']) {
        const storage = new Things({ basePath: base, dataDir, file: join(dataDir, file) })
        const error = await caught(storage.create({ name: 'b' }))
        assert.deepEqual([error.code, error.outcome], ['INVALID_ARGUMENT', 'none'], error.message)
        await refused(storage.list(), 'dataDir')
        await refused(storage.repair(), 'dataDir')
        await refused(storage.protectedCalls().withLock('key', () => assert.fail('it runs')))
        await storage.close()
      }
      const indexes = new IndexManager(base, dataDir)
      await refused(indexes.createIndex({ name: 'a', type: 'hash', fields: ['name'] }), 'dataDir')
      await indexes.close()
      assert.deepEqual(readdirSync(outer, { recursive: true }).sort(), before)
      await projects.create(projectInput('Other'))
      await mine.create({ name: 'c' })
      await Promise.all([projects.close(), mine.close()])
    }))
  }

  for (const dataDir of ['deep/down', 'data/..beside', 'data/a/../b', '/data/rooted', '.']) {
    test(`may be ${dataDir}`, withDirectory(async ({ base }) => {
      const storage = new Things({ basePath: base, dataDir })
      await storage.create({ name: 'a' })
      assert.equal((await storage.list()).length, 1)
      await storage.close()
      assert.ok(existsSync(join(base, dataDir, 'things.json')))
    }))
  }
})

describe('a file belongs to one database', () => {
  const open = (base: string, options: ThingOptions) => new Things({ basePath: base, ...options })

  test('two subclasses with one dataDir and two files are two collections of a database', withDirectory(async ({ base }) => {
    const [one, other] = [open(base, { file: 'data/one.json' }), open(base, { file: 'data/other.json' })]
    const { id } = await one.create({ name: 'a' })
    assert.deepEqual(await other.list(), [])
    await Promise.all([one.close(), other.close()])
    assert.deepEqual(Object.keys(await readJson(join(base, 'data/one.json'))), [String(id)])
  }))

  test('two subclasses with one file see the same entities', withDirectory(async ({ base }) => {
    const [one, other] = [open(base, { file: 'x/shared.json' }), open(base, { file: 'x/shared.json' })]
    const created = await one.create({ name: 'a' })
    assert.deepEqual(await other.getById(created.id), created)
    assert.equal((await other.update(created.id, { name: 'b' }))?.name, 'b')
    assert.equal((await one.getById(created.id))?.name, 'b')
    await Promise.all([one.close(), other.close()])
  }))

  test('a file outside two databases is refused to the second one that asks for it', withDirectory(async ({ base }) => {
    const one = open(base, { dataDir: 'one', file: 'shared.json' })
    await one.create({ name: 'a' })
    const other = open(base, { dataDir: 'other', file: 'shared.json' })
    await refused(other.list(), join(base, 'shared.json'), 'one')
    await one.close()
    await refused(open(base, { dataDir: 'other', file: 'shared.json' }).create({ name: 'b' }))
    assert.equal((await open(base, { dataDir: 'one', file: 'shared.json' }).list()).length, 1)
  }))

  test('one of several databases that ask for a file at once gets it', withDirectory(async ({ base }) => {
    const storages = ['one', 'two', 'three'].map((dataDir) => open(base, { dataDir, file: 'shared.json' }))
    const results = await Promise.allSettled(storages.map((storage) => storage.list()))
    assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 1)
    await Promise.all(storages.map((storage) => storage.close().catch(() => {})))
  }))

  test('a file that another database uses is refused', withDirectory(async ({ base }) => {
    const projects = new ProjectStorageV2({ basePath: base })
    await projects.create(projectInput())
    await projects.close()
    await refused(open(base, { dataDir: 'mine', file: 'data/project_storage/projects.json' }).list(), 'project_storage')
    await refused(open(base, { dataDir: 'data', file: 'data/project_storage/projects.json' }).list(), 'project_storage')
  }))

  test('an unused file in the directory of another database can be claimed', withDirectory(async ({ base }) => {
    const projects = new ProjectStorageV2({ basePath: base })
    await projects.create(projectInput())
    const mine = open(base, { dataDir: 'mine', file: 'data/project_storage/notes.json' })
    await mine.create({ name: 'a' })
    await refused(open(base, { dataDir: 'data/project_storage', file: 'data/project_storage/notes.json' }).list(), 'mine')
    await Promise.all([mine.close(), projects.close()])
  }))

  test('a database created inside another one does not take over its files', withDirectory(async ({ base }) => {
    const outer = open(base, { dataDir: 'data', file: 'data/notes/index.json' })
    await outer.create({ name: 'a' })
    await refused(open(base, { dataDir: 'data/notes', file: 'data/notes/index.json' }).list(), 'data')
    await outer.close()
  }))
})

/** Lets another process do something, and blocks until it has ended. */
const things = (base: string, ...work: string[]) => execFileSync(process.execPath, [join(__dirname, 'support', 'things.mjs'), base, ...work])

describe('the path from getEntityPath', () => {
  const at = (base: string) => (id: number) => join(base, 'attachments', String(id))

  test('is removed with its entity, whether it is a file or a directory', withDirectory(async ({ base }) => {
    const storage = new Things({ basePath: base, entityPath: at(base) })
    const [one, two, three, kept] = [await storage.create({ name: 'a' }), await storage.create({ name: 'b' }), await storage.create({ name: 'c' }), await storage.create({ name: 'd' })]
    put(at(base)(one.id))
    put(join(at(base)(two.id), 'deep', 'file'))
    put(at(base)(three.id))
    put(at(base)(kept.id))
    assert.equal(await storage.delete(one.id), true)
    assert.equal(existsSync(at(base)(one.id)), false)
    await storage.transaction((tx) => tx.delete(three.id))
    assert.equal(existsSync(at(base)(three.id)), false)
    await storage.writeAll({ [kept.id]: kept })
    assert.deepEqual([two, kept].map(({ id }) => existsSync(at(base)(id))), [false, true])
    await storage.deleteAll()
    assert.equal(existsSync(at(base)(kept.id)), false)
    assert.equal(existsSync(join(base, 'attachments')), true)
    await storage.close()
  }))

  test('is removed with an entity whose id is __proto__', withDirectory(async ({ base }) => {
    const path = join(base, 'attachments', 'odd')
    const any = { '~standard': { version: 1, vendor: 'test', validate: (value: unknown) => ({ value }) } }
    const storage = new Things({ basePath: base, entityPath: () => path, schema: any, lockTimeout: 1000 })
    await storage.writeAll(JSON.parse('{"__proto__":{"id":"__proto__","name":"odd"}}'))
    put(path)
    await storage.writeAll({})
    assert.equal(existsSync(path), false)
    await storage.close()
  }))

  test('is asked for no more once the call is aborted', withDirectory(async ({ base }) => {
    const controller = new AbortController()
    let asked = 0
    const entityPath = () => {
      asked += 1
      controller.abort()
      return null
    }
    const storage = new Things({ basePath: base, entityPath })
    assert.equal((await caught(storage.writeAll({ 1: thing(1), 2: thing(2) }, { signal: controller.signal }))).code, 'ABORTED')
    assert.equal(asked, 1)
    await storage.close()
  }))

  test('is not removed if there is no entity to delete', withDirectory(async ({ base }) => {
    const storage = new Things({ basePath: base, entityPath: at(base) })
    put(at(base)(7))
    assert.equal(await storage.delete(7), false)
    assert.equal(await storage.transaction((tx) => tx.delete(7)), false)
    assert.ok(existsSync(at(base)(7)))
    await storage.close()
  }))

  test('is not removed again after its id is reused', withDirectory(async ({ base }) => {
    const storage = new Things({ basePath: base, entityPath: at(base) })
    await storage.writeAll({ 1: thing(1) })
    await storage.delete(1)
    await storage.writeAll({ 1: thing(1) })
    put(at(base)(1), 'new')
    await storage.close()
    assert.equal(readFileSync(at(base)(1), 'utf8'), 'new')
    const again = new Things({ basePath: base, entityPath: at(base) })
    assert.deepEqual(await again.list(), [thing(1)])
    await again.close()
    assert.equal(readFileSync(at(base)(1), 'utf8'), 'new')
  }))

  test('is removed without being followed if it is a symlink', withDirectory(async ({ base }) => {
    const storage = new Things({ basePath: base, entityPath: at(base) })
    const { id } = await storage.create({ name: 'a' })
    put(join(base, 'precious', 'file'))
    mkdirSync(join(base, 'attachments'))
    symlinkSync(join(base, 'precious'), at(base)(id), 'junction')
    await storage.delete(id)
    assert.equal(lstatSync(at(base)(id), { throwIfNoEntry: false }), undefined)
    assert.ok(existsSync(join(base, 'precious', 'file')))
    await storage.close()
  }))

  test('is refused if it leads through a symlink, and the entity stays', withDirectory(async ({ base }) => {
    mkdirSync(join(base, 'precious'))
    symlinkSync(join(base, 'precious'), join(base, 'attachments'), 'junction')
    const storage = new Things({ basePath: base, entityPath: at(base) })
    const { id } = await storage.create({ name: 'a' })
    put(join(base, 'precious', String(id)))
    await refused(storage.delete(id), 'symlink')
    assert.ok(await storage.getById(id))
    assert.ok(existsSync(join(base, 'precious', String(id))))
    await storage.close()
  }))

  for (const [what, path] of Object.entries({
    'outside the base path': '../elsewhere',
    'that is the base path': '.',
    'that is the database': 'data/mine',
    'above the database': 'data',
    'that contains the file of the storage': 'data/mine/folder',
    'that is the file of the storage': 'data/mine/folder/things.json',
    'that contains another database': 'other',
    'that is the folder of the engine': 'data/mine/.storage',
    'in the folder of the engine': 'data/mine/.storage/tip',
    'that contains a claimed file': 'claimed',
    'that is the record of databases': 'data/.databases.json',
    'that is the directory of backups': 'backups',
    'that is the folder of migrations': 'data/.migration',
    'in the folder of restores': 'data/.restore/files',
  })) {
    test(`${what} is refused, and nothing is written`, withDirectory(async ({ base }) => {
      const other = new Things({ basePath: base, dataDir: 'other/below', file: 'claimed/by.json' })
      await other.create({ name: 'x' })
      await other.close()
      const storage = new Things({ basePath: base, dataDir: 'data/mine', file: 'data/mine/folder/things.json', entityPath: () => join(base, path) })
      const entity = await storage.create({ name: 'a' })
      await refused(storage.delete(entity.id))
      await refused(storage.deleteAll())
      assert.deepEqual(await storage.list(), [entity])
      await storage.close()
      assert.ok(existsSync(join(base, 'claimed', 'by.json')))
      assert.ok(existsSync(join(base, 'other', 'below', '.storage')))
    }))
  }

  test('that is data itself is refused to a database in the base path', withDirectory(async ({ base }) => {
    const storage = new Things({ basePath: base, dataDir: '.', entityPath: () => join(base, 'data') })
    const entity = await storage.create({ name: 'a' })
    put(join(base, 'data', '.migration-state.json'), '{"currentVersion":"0.0.0","migrations":[]}')
    await refused(storage.delete(entity.id))
    assert.deepEqual(await storage.list(), [entity])
    await storage.close()
    assert.ok(existsSync(join(base, 'data', '.migration-state.json')))
  }))

  test('is asked for the entities that writeAll adds and for those that it removes', withDirectory(async ({ base }) => {
    const asked: number[] = []
    const entityPath = (id: number) => {
      asked.push(id)
      return null
    }
    const storage = new Things({ basePath: base, entityPath })
    await storage.writeAll({ 1: thing(1), 2: thing(2) })
    assert.deepEqual(asked.splice(0), [1, 2])
    await storage.writeAll({ 2: thing(2, { size: 5 }), 3: thing(3) })
    assert.deepEqual(asked.splice(0).sort(), [1, 3])
    await storage.writeAll({ 2: thing(2), 3: thing(3) })
    assert.deepEqual(asked, [])
    await storage.deleteAll()
    assert.deepEqual(asked, [2, 3])
    await storage.close()
  }))

  test('is asked for with the id of the entity, even if that is a string of digits', withDirectory(async ({ base }) => {
    const asked: unknown[] = []
    const entityPath = (id: unknown) => {
      asked.push(id)
      return null
    }
    const any = { '~standard': { version: 1, vendor: 'test', validate: (value: unknown) => ({ value }) } }
    const storage = new Things({ basePath: base, entityPath, schema: any })
    const named = (id: unknown) => thing(id as number)
    await storage.writeAll({ 7: named('7'), 8: named(8), a: named('a'), '-1.5': named(-1.5), 'é"': named('é"') })
    await storage.writeAll({})
    assert.deepEqual(asked, ['7', 8, 'a', -1.5, 'é"', '7', 8, -1.5, 'a', 'é"'])
    await storage.close()
  }))

  describe('while another process changes entities during writeAll', () => {
    /** Writes a map, and lets another process do something the first time that a path is asked for. */
    async function writing(base: string, stored: Record<number, Thing>, given: Record<number, Thing>, meanwhile: string[], after = () => {}) {
      let started = false
      const entityPath = (id: number) => {
        if (!started && ready) {
          started = true
          things(base, ...meanwhile)
          after()
        }
        return at(base)(id)
      }
      let ready = false
      const storage = new Things({ basePath: base, entityPath })
      await storage.writeAll(stored)
      ready = true
      assert.deepEqual(await storage.writeAll(given), given)
      assert.ok(started)
      assert.deepEqual(await storage.readAll(), given)
      await storage.close()
    }

    test('is removed with an entity that the other process created', withDirectory(async ({ base }) => {
      const all = { 1: thing(1), 2: thing(2), 5: thing(5) }
      await writing(base, { 1: thing(1), 2: thing(2) }, { 1: thing(1) }, ['write', JSON.stringify(all)], () => put(at(base)(5)))
      assert.equal(existsSync(at(base)(5)), false)
    }))

    test('is asked for a new entity alone, and the map is not passed to native code again', withDirectory(async ({ base }) => {
      const asked: number[] = []
      const storage = new Things({
        basePath: base,
        entityPath: (id) => {
          if (asked.push(id) === 1) things(base, 'write', JSON.stringify({ 5: thing(5) }))
          return null
        },
      })
      const { append } = NativeRecords.prototype
      let slices = 0
      NativeRecords.prototype.append = function (...slice: unknown[]) {
        slices += 1
        return append.apply(this, slice)
      }
      try {
        assert.deepEqual(await storage.writeAll({ 1: thing(1), 2: thing(2) }), { 1: thing(1), 2: thing(2) })
      } finally {
        NativeRecords.prototype.append = append
      }
      assert.deepEqual(asked, [1, 2, 5])
      assert.equal(slices, 1)
      await storage.close()
    }))

    test('fails writeAll with CONFLICT if new entities keep coming; other writes succeed', withDirectory(async ({ base }) => {
      const entityPath = (id: number) => {
        if (id < 10) things(base, 'write', JSON.stringify({ [id]: thing(id), [id + 1]: thing(id + 1) }))
        return null
      }
      const storage = new Things({ basePath: base, entityPath, lockTimeout: 0 })
      const writing = storage.writeAll({ 1: thing(1) })
      const creating = storage.create({ name: 'next' })
      assert.equal((await caught(writing)).code, 'CONFLICT')
      assert.ok(await storage.getById((await creating).id))
      await storage.close()
    }))

    test('is not removed with an entity that the other process deleted', withDirectory(async ({ base }) => {
      const all = { 1: thing(1), 2: thing(2) }
      await writing(base, all, { ...all, 3: thing(3) }, ['delete', '2'], () => put(at(base)(2), 'new'))
      await new Things({ basePath: base }).close()
      assert.equal(readFileSync(at(base)(2), 'utf8'), 'new')
    }))
  })

  test('is removed if another instance deletes the entity', withDirectory(async ({ base }) => {
    const storage = new Things({ basePath: base, entityPath: at(base) })
    const { id } = await storage.create({ name: 'a' })
    put(at(base)(id))
    const other = new Things({ basePath: base, entityPath: at(base) })
    await other.delete(id)
    assert.equal(existsSync(at(base)(id)), false)
    await Promise.all([storage.close(), other.close()])
  }))
})
