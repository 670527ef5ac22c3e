// The package twice in one process. Two copies of its files, as in two `node_modules`, treat each other like two processes.
// One copy that is evaluated again, as by hot reloading, shares the engine with the earlier evaluation.
import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { cp, mkdtemp, readdir } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import * as own from '../index.js'
import { collectGarbage } from './support/garbage.js'
import { caught, fileInput, named, projectInput, removeDirectory, until, withDirectory } from './support/index.js'

type Package = typeof own

const root = join(__dirname, '..')
let directory: string
let copy: Package

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'octoprompt-storage-copy-'))
  const names = (await readdir(root)).filter((name) => /^(lib|index\.js|binding\.js|package\.json|octoprompt-storage\..*\.node)$/.test(name))
  for (const name of names) await cp(join(root, name), join(directory, name), { recursive: true })
  copy = createRequire(join(directory, 'index.js'))('./index.js')
})

after(() => removeDirectory(directory))

/** Evaluates the package once more. */
function evaluatedAnew(): Package {
  const require = createRequire(join(directory, 'index.js'))
  for (const path of Object.keys(require.cache)) if (path.startsWith(directory) && path.endsWith('.js')) delete require.cache[path]
  return require('./index.js')
}

const kinds: [string, () => Package][] = [['two copies', () => copy], ['a copy and a second evaluation of it', evaluatedAnew]]

for (const [what, other] of kinds) {
  const first = () => (what === 'two copies' ? own : copy)

  describe(what, () => {
    test('one sees at once what the other wrote', withDirectory(async ({ base }) => {
      const [one, two] = [new (first().ProjectStorageV2)({ basePath: base }), new (other().ProjectStorageV2)({ basePath: base })]
      const { id } = await one.create(projectInput())
      for (let n = 0; n < 50; n++) {
        const [writer, reader] = n % 2 === 0 ? [one, two] : [two, one]
        await writer.update(id, { name: `n${n}` })
        assert.equal((await reader.getById(id))?.name, `n${n}`)
      }
      await one.close()
      assert.equal((await two.update(id, { name: 'alone' }))?.name, 'alone')
      await two.close()
    }))

    test('both write at once without giving an id twice', withDirectory(async ({ base }) => {
      const [one, two] = [new (first().ProjectStorageV2)({ basePath: base }), new (other().ProjectStorageV2)({ basePath: base })]
      const made = await Promise.all(Array.from({ length: 200 }, (_, n) => [one, two][n % 2]!.create(projectInput(`p${n}`))))
      assert.equal(new Set(made.map(({ id }) => id)).size, 200)
      assert.deepEqual([(await one.list()).length, (await two.list()).length], [200, 200])
      await two.close()
      await one.close()
    }))

    test('both receive streams at once', withDirectory(async ({ base }) => {
      const [one, two] = [new (first().ProjectStorageV2)({ basePath: base }), new (other().ProjectStorageV2)({ basePath: base })]
      const { id } = await one.create(projectInput())
      const files = [one.getFileStorage(id), two.getFileStorage(id)]
      const { content: _, ...input } = fileInput('a')
      await Promise.all(Array.from({ length: 60 }, (_, n) => files[n % 2]!.createFromStream({ ...input, path: `${n}` }, ['a', 'b'])))
      assert.equal((await files[0]!.list()).length, 60)
      await one.close()
      await two.close()
    }))

    test('a transaction of one rejects a storage of the other', withDirectory(async ({ base }) => {
      const [one, two] = [new (first().ProjectStorageV2)({ basePath: base }), new (other().ProjectStorageV2)({ basePath: base })]
      const error = await caught(one.transaction(async (tx) => void tx.in(two)))
      assert.equal(error.code, 'INVALID_ARGUMENT')
      assert.match(error.message, /of the copy of this package that began the transaction, got a ProjectStorageV2$/)
      await one.close()
      await two.close()
    }))

    test('repair names this process as the holder while the other has the data open', withDirectory(async ({ base }) => {
      const [one, two] = [new (first().ProjectStorageV2)({ basePath: base, lockTimeout: 50 }), new (other().ProjectStorageV2)({ basePath: base })]
      await one.create(projectInput())
      await two.list()
      const error = await caught(one.repair())
      assert.equal(error.code, 'LOCK_TIMEOUT')
      if (process.platform === 'linux') assert.deepEqual(error.holders, [process.pid])
      assert.match(error.message, new RegExp(`${named(process.pid)} has it open`))
      await two.close()
      assert.equal((await one.repair()).ok, true)
      await one.close()
    }))
  })
}

describe('an evaluation that is not used any more', () => {
  test('is garbage-collected, whether or not its storages were closed', withDirectory(async ({ base }) => {
    let freed = 0
    const registry = new FinalizationRegistry(() => freed++)
    for (let n = 0; n < 10; n++) {
      const evaluated = evaluatedAnew()
      // Of all exports, what wakes the package up for an answer leads to the errors.
      registry.register(evaluated.StorageError, n)
      const storage = new evaluated.ProjectStorageV2({ basePath: base })
      await storage.create(projectInput())
      if (n % 2 === 0) await storage.close()
    }
    // The last evaluation is in the cache of modules, and a runtime may keep traces of one more.
    await until('the others to be freed', () => {
      collectGarbage()
      return freed >= 8
    })
  }))

  test('is garbage-collected although the context of AsyncLocalStorage in which it was used leads to it', withDirectory(async ({ base }) => {
    let freed = 0
    const registry = new FinalizationRegistry(() => freed++)
    const contexts = new AsyncLocalStorage<{ evaluated?: Package }>()
    for (let n = 0; n < 10; n++) {
      const context: { evaluated?: Package } = {}
      await contexts.run(context, async () => {
        context.evaluated = evaluatedAnew()
        registry.register(context.evaluated, n)
        const storage = new context.evaluated.ProjectStorageV2({ basePath: base })
        await storage.create(projectInput())
        await storage.close()
      })
    }
    await until('the others to be freed', () => {
      collectGarbage()
      return freed >= 8
    })
  }))

  test('stays while a listener waits for changes', withDirectory(async ({ base }) => {
    let heard = 0
    const listen = async () => {
      const storage = new (evaluatedAnew().ProjectStorageV2)({ basePath: base }).on('change', () => heard++)
      await storage.list()
    }
    await listen()
    const other = new own.ProjectStorageV2({ basePath: base })
    evaluatedAnew()
    for (let n = 1; n <= 5; n++) {
      collectGarbage()
      await other.create(projectInput())
      await until('the listener to hear', () => heard >= n)
    }
    await other.close()
  }))

  test('stays until its calls have been answered', withDirectory(async ({ base }) => {
    const answers: string[] = []
    const begin = (n: number) => {
      const storage = new (evaluatedAnew().ProjectStorageV2)({ basePath: base })
      void storage.create(projectInput(`p${n}`)).then(({ name }) => answers.push(name))
    }
    for (let n = 0; n < 10; n++) {
      begin(n)
      collectGarbage()
    }
    await until('all answers', () => answers.length === 10)
  }))
})
