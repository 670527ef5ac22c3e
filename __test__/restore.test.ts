import assert from 'node:assert/strict'
import { cp, readFile, rm, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import type { ManagerContext } from './support/migrations.js'
import { caught, projectInput, runChild } from './support/index.js'
import { dataOf, fingerprint, lay, noting, withManagers, write } from './support/migrations.js'
import { Things } from './support/things.js'

const SAMPLE = 1718000000000

/** Provides data, a backup of it, and in `kept` what the data was then. */
const withBackup = (work: (context: ManagerContext & { kept: Record<string, string> }) => Promise<void>) =>
  withManagers(async (context) => {
    await lay(context.base)
    const storage = context.open()
    for (const { id } of await storage.list()) await storage.getProjectFiles(id)
    await storage.close()
    await context.manage().backup('kept')
    await work({ ...context, kept: await dataOf(context.base) })
  })

/** Changes data in all ways, so that nothing of it is as it is in the backup. */
async function change({ base, open }: ManagerContext) {
  const storage = open()
  await storage.delete(SAMPLE)
  await storage.create(projectInput('later'))
  await storage.close()
  await writeFile(join(base, 'data', 'notes.txt'), 'changed')
  await rm(join(base, 'data', 'tree'), { recursive: true })
  await write(join(base, 'data', 'added', 'file'), 'added')
}

describe('a restore', () => {
  test('restores every byte, brings back removed files and removes added ones', withBackup(async (context) => {
    await change(context)
    await context.manage().restore('kept')
    assert.deepEqual(await dataOf(context.base), context.kept)
    const storage = context.open()
    assert.equal((await storage.list()).length, 3)
    assert.equal((await storage.getProjectFiles(SAMPLE)).length, 13)
    assert.ok(await storage.update(SAMPLE, { description: 'afterwards' }))
  }))

  test('by path works like one by name, even from another location', withBackup(async (context) => {
    const { base, manage, kept } = context
    await change(context)
    await manage().restore(join(base, 'backups', 'kept'))
    assert.deepEqual(await dataOf(base), kept)
    await change(context)
    await cp(join(base, 'backups', 'kept'), join(base, 'moved away'), { recursive: true })
    await rm(join(base, 'backups'), { recursive: true })
    await manage().restore(join(base, 'moved away'))
    assert.deepEqual(await dataOf(base), kept)
    await change(context)
    const before = process.cwd()
    process.chdir(join(base, 'moved away'))
    try {
      await manage().restore('.')
    } finally {
      process.chdir(before)
    }
    assert.deepEqual(await dataOf(base), kept)
  }))

  test('onto an empty base path, as on another machine, restores everything', withBackup(async ({ base, manage, open, kept }) => {
    await rm(join(base, 'data'), { recursive: true })
    await manage().restore('kept')
    assert.deepEqual(await dataOf(base), kept)
    assert.equal((await open().list()).length, 3)
  }))

  test('is visible in open storages of this process despite their caches', withBackup(async ({ manage, open }) => {
    const storage = open()
    const files = storage.getFileStorage(SAMPLE)
    await storage.update(SAMPLE, { name: 'changed' })
    const [first] = await files.list()
    await files.update(first!.id, { summary: 'changed' })
    await storage.create(projectInput('later'))
    assert.equal((await storage.getById(SAMPLE))?.name, 'changed')
    await manage().restore('kept')
    assert.equal((await storage.getById(SAMPLE))?.name, 'Sample App')
    assert.equal((await storage.list()).length, 3)
    assert.deepEqual(await storage.findByName('later'), [])
    assert.equal((await files.getById(first!.id))?.summary, first!.summary)
    await storage.update(SAMPLE, { name: 'afterwards' })
    await storage.close()
    assert.equal((await open().getById(SAMPLE))?.name, 'afterwards')
  }))

  test('leaves open storages their claimed files, and their databases to later backups', withManagers(async ({ base, manage }) => {
    const manager = manage()
    const kept = new Things({ basePath: base })
    await kept.create({ name: 'kept' })
    const backup = await manager.backup()
    const storage = new Things({ basePath: base, dataDir: 'own', file: 'shared.json' })
    await storage.create({ name: 'gone' })
    await manager.restore(backup)
    await storage.create({ name: 'new' })
    const other = new Things({ basePath: base, dataDir: 'data/other', file: 'shared.json' })
    assert.equal((await caught(other.list())).code, 'INVALID_ARGUMENT')
    const { databases } = JSON.parse(await readFile(join(base, 'data', '.databases.json'), 'utf8'))
    assert.deepEqual(databases, ['own'])
    assert.deepEqual((await storage.list()).map(({ name }) => name), ['new'])
    await Promise.all([kept, storage, other].map((opened) => opened.close()))
  }))

  test('restores the record of migrations with the data', withManagers(async ({ manage }) => {
    const manager = manage()
    const notes: string[] = []
    for (const version of ['1.0.0', '1.1.0']) manager.register(noting(notes, version))
    await manager.migrate('1.0.0')
    await manager.backup('at-1')
    await manager.migrate()
    await manager.restore('at-1')
    assert.equal((await manager.getState()).currentVersion, '1.0.0')
    assert.deepEqual((await manager.migrate()).versions, ['1.1.0'])
    assert.deepEqual(notes, ['up 1.0.0', 'up 1.1.0', 'up 1.1.0'])
  }))

  test('can be repeated without an id being given twice', withBackup(async ({ base, manage, open, kept }) => {
    const ids = new Set<number>()
    for (let n = 0; n < 5; n++) {
      const storage = open()
      ids.add((await storage.create(projectInput(`${n}`))).id)
      await storage.close()
      await manage().restore('kept')
      assert.deepEqual(await dataOf(base), kept)
    }
    assert.equal(ids.size, 5)
  }))

  test('reports progress, and changes nothing if its callback throws or its signal aborts', withBackup(async (context) => {
    const { base, manage } = context
    // With less data, the restore might end before it is stopped.
    await write(join(base, 'data', 'big.bin'), Buffer.alloc(64 << 20, 7))
    await manage().backup('big')
    await change(context)
    const before = await dataOf(base)
    const error = new Error('mine')
    assert.equal(await caught(manage().restore('big', { onProgress() { throw error } })), error)
    assert.equal((await caught(manage().restore('big', { signal: AbortSignal.abort() }))).code, 'ABORTED')
    const abort = new AbortController()
    const stopped = await caught(manage().restore('big', { signal: abort.signal, onProgress: () => abort.abort() }))
    assert.equal(stopped.code, 'ABORTED')
    assert.deepEqual(await dataOf(base), before)
    const seen: number[] = []
    await manage().restore('big', { onProgress: (done, total) => void seen.push(done / total) })
    assert.equal(seen.at(-1), 1)
  }))
})

describe('a restore changes nothing and refuses', () => {
  const DAMAGES: [string, string, (backup: string) => Promise<unknown>][] = [
    ['without a manifest', 'CORRUPT_DATA', (backup) => unlink(join(backup, 'manifest.json'))],
    ['with a manifest that is not JSON', 'CORRUPT_DATA', (backup) => writeFile(join(backup, 'manifest.json'), '{')],
    ['with an empty manifest', 'CORRUPT_DATA', (backup) => writeFile(join(backup, 'manifest.json'), '')],
    ['with one byte of the manifest changed', 'CORRUPT_DATA', async (backup) => {
      const text = await readFile(join(backup, 'manifest.json'), 'utf8')
      await writeFile(join(backup, 'manifest.json'), text.replace('notes.txt', 'motes.txt'))
    }],
    ['with one byte of a file changed', 'CORRUPT_DATA', async (backup) => {
      const path = await fileIn(backup, 'notes.txt')
      await writeFile(path, (await readFile(path, 'utf8')).replace('notes', 'motes'))
    }],
    ['with a file cut short', 'CORRUPT_DATA', async (backup) => {
      const path = await fileIn(backup, 'projects.json')
      await writeFile(path, (await readFile(path)).subarray(0, -2))
    }],
    ['with a file missing', 'CORRUPT_DATA', async (backup) => unlink(await fileIn(backup, 'remove-me.bin'))],
  ]
  for (const [what, code, damage] of DAMAGES) {
    test(`a backup ${what}`, withBackup(async (context) => {
      const { base, manage } = context
      await change(context)
      await damage(join(base, 'backups', 'kept'))
      const before = await fingerprint(base)
      const error = await caught(manage().restore('kept'))
      assert.equal(error.code, code, error.message)
      assert.ok(error.path?.startsWith(join(base, 'backups', 'kept')), error.path)
      assert.deepEqual(await fingerprint(base), before)
      const storage = context.open()
      assert.equal((await storage.list()).length, 3)
      assert.ok(await storage.create(projectInput('goes on')))
    }))
  }

  for (const backup of ['absent', '..', '../data', '/', './nowhere/x', '.hidden']) {
    test(`a path that is not a backup: ${backup}`, withBackup(async ({ base, manage, kept }) => {
      const error = await caught(manage().restore(backup))
      assert.ok(['NOT_FOUND', 'INVALID_ARGUMENT', 'CORRUPT_DATA'].includes(error.code), error.code)
      assert.deepEqual(await dataOf(base), kept)
    }))
  }

  for (const backup of [undefined, null, '', 1, {}, 'a\0b']) {
    test(`a value that is not a name: ${JSON.stringify(backup)}`, withBackup(async ({ manage }) => {
      assert.equal((await caught(manage().restore(backup as any))).code, 'INVALID_ARGUMENT')
    }))
  }

  test('to run while another process has the data open, and names the process', withBackup(async (context) => {
    const { base, manage } = context
    await change(context)
    const before = await dataOf(base)
    let refused: Promise<any> | undefined
    let pid = ''
    const child = await runChild('keeper.mjs', [base], {
      onLine: (line, kill) => {
        pid = line
        refused = caught(manage({ lockTimeout: 100 }).restore('kept')).finally(kill)
      },
    })
    assert.equal(child.signal, 'SIGKILL')
    const error = await refused
    assert.equal(error.code, 'LOCK_TIMEOUT')
    if (process.platform === 'linux') {
      assert.ok(error.message.includes(`process ${pid} has it open`), error.message)
      assert.deepEqual(error.holders, [Number(pid)])
    }
    assert.deepEqual(await dataOf(base), before)
    await manage().restore('kept')
    assert.deepEqual(await dataOf(base), context.kept)
  }))
})

/** Returns the path of the file with this name in a backup. */
async function fileIn(backup: string, name: string): Promise<string> {
  const found = Object.keys(await fingerprint(backup)).find((path) => path.endsWith(`/${name}`))
  assert.ok(found, name)
  return join(backup, found)
}

describe('a process killed while it restores', () => {
  test('leaves the data as before or as in the backup, nothing in between', withBackup(async (context) => {
    const { base, manage, open, kept } = context
    let [before, after] = [0, 0]
    for (const count of [1, 2, 3, 4, 5, 6, 8, 10, 12, 15]) {
      await change(context)
      const changed = await dataOf(base)
      let seen = 0
      const { signal, stderr } = await runChild('migrator.mjs', [base, 'restore'], {
        onLine: (_line, kill) => { if (++seen === count) kill() },
      })
      assert.equal(signal, 'SIGKILL', stderr)
      const storage = open()
      const names = (await storage.list()).map(({ name }) => name)
      await storage.close()
      const left = await dataOf(base)
      if (names.includes('later')) {
        assert.deepEqual(left, changed)
        before++
      } else {
        assert.deepEqual(left, kept)
        after++
      }
      await manage().restore('kept')
    }
    assert.ok(before + after === 10 && after > 0, `${before} before, ${after} after`)
  }))
})
