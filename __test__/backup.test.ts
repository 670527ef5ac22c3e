import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { mkdirSync, rmSync } from 'node:fs'
import { appendFile, mkdir, readFile, readdir, rm, symlink, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import type { ManagerContext } from './support/migrations.js'
import { caught, dataPath, fileInput, projectInput, readJson, runChild, warningOf } from './support/index.js'
import { dataOf, fingerprint, lay, withManagers, write } from './support/migrations.js'
import { watchedSignal } from './support/signals.js'

const withData = (work: (context: ManagerContext) => Promise<void>) =>
  withManagers(async (context) => {
    await lay(context.base)
    await work(context)
  })

const manifestOf = async (backup: string) => (await readFile(join(backup, 'manifest.json'), 'utf8'))

describe('a backup', () => {
  test('is stored in backups/ under its name and holds every file of data/ byte for byte', withData(async ({ base, manage, open }) => {
    const storage = open()
    await storage.list()
    await storage.close()
    const backup = await manage().backup('first')
    assert.equal(backup, join(base, 'backups', 'first'))
    const kept = await fingerprint(backup)
    for (const [name, hash] of Object.entries(await dataOf(base))) {
      if (hash !== 'directory') assert.ok(Object.values(kept).includes(hash), name)
    }
    const manifest = await manifestOf(backup)
    for (const name of ['projects.json', 'notes.txt', 'sha256']) assert.ok(manifest.includes(name), name)
  }))

  test('is named after the current time by default, so that names sort by age', withData(async ({ manage }) => {
    const manager = manage()
    const paths: string[] = []
    for (let n = 0; n < 5; n++) paths.push(await manager.backup())
    assert.deepEqual([...new Set(paths)].sort(), paths)
    assert.deepEqual((await manager.listBackups()).map(({ path }) => path), paths)
    assert.match(paths[0]!, new RegExp(`${new Date().getUTCFullYear()}`))
  }))

  test('may be made of data that was never opened, or of no data', withManagers(async ({ base, manage }) => {
    const manager = manage()
    await manager.backup('empty')
    await lay(base)
    await manager.backup('unopened')
    assert.deepEqual((await manager.listBackups()).map(({ name, complete }) => [name, complete]), [['empty', true], ['unopened', true]])
  }))

  test('contains what is only in the journal, as plain JSON', withData(async ({ manage, open }) => {
    const storage = open()
    const project = await storage.create(projectInput('in the journal'))
    const backup = await manage().backup('journal')
    const found = Object.keys(await fingerprint(backup)).find((name) => name.endsWith('project_storage/projects.json'))
    assert.ok(found)
    assert.equal((await readJson(join(backup, found)))[project.id]?.name, 'in the journal')
  }))

  for (const name of [
    '../x', '..', '.', '', 'a/b', 'a\\b', '/abs', '.hidden', 'a\0b', 'CON', 'nul.txt', 'a b', 'ü', 'x'.repeat(101), '..\\x',
    'C:x',
  ]) {
    test(`refuses the name ${JSON.stringify(name).slice(0, 20)}`, withData(async ({ base, manage }) => {
      const before = await fingerprint(base)
      assert.equal((await caught(manage().backup(name))).code, 'INVALID_ARGUMENT')
      assert.deepEqual(await fingerprint(base), before)
    }))
  }

  for (const [what, args] of [
    ['a name that is a number', [1]], ['a name that is null', [null]], ['a callback that is a text', ['a', { onProgress: 'x' }]],
    ['a signal that is an object', ['a', { signal: {} }]], ['options that are a text', ['a', 'x']], ['options that are a list', ['a', []]],
  ] as const) {
    test(`refuses ${what}`, withData(async ({ manage }) => {
      assert.equal((await caught((manage().backup as any)(...args))).code, 'INVALID_ARGUMENT')
      assert.deepEqual(await manage().listBackups(), [])
    }))
  }

  test('refuses a name that is taken, and leaves that backup as it is', withData(async ({ base, manage }) => {
    const manager = manage()
    await manager.backup('a')
    const before = await fingerprint(join(base, 'backups'))
    assert.equal((await caught(manager.backup('a'))).code, 'ALREADY_EXISTS')
    assert.deepEqual(await fingerprint(join(base, 'backups')), before)
  }))

  test('saves and restores the paths in `include`, and refuses paths outside the base path', withData(async ({ base, manage }) => {
    await write(join(base, 'config', 'settings.json'), '{"a": 1}')
    await write(join(base, 'single.txt'), 'single')
    const manager = manage({ include: ['config', 'single.txt'] })
    const backup = await manager.backup('more')
    const names = Object.keys(await fingerprint(backup))
    assert.ok(names.some((name) => name.endsWith('config/settings.json')) && names.some((name) => name.endsWith('single.txt')))
    await rm(join(base, 'config'), { recursive: true })
    await writeFile(join(base, 'single.txt'), 'changed')
    await manager.restore('more')
    assert.equal(await readFile(join(base, 'config', 'settings.json'), 'utf8'), '{"a": 1}')
    assert.equal(await readFile(join(base, 'single.txt'), 'utf8'), 'single')
    for (const include of [['../x'], ['/etc/passwd'], ['a/../../x'], ['']]) {
      assert.equal((await caught(manage({ include }).backup())).code, 'INVALID_ARGUMENT', include[0])
    }
  }))

  test('reports its progress in the context of AsyncLocalStorage of the call', withData(async ({ manage }) => {
    const contexts = new AsyncLocalStorage<string>()
    const seen = new Set<unknown>()
    const onProgress = () => void seen.add(contexts.getStore())
    await contexts.run('of the call', () => manage().backup('told', { onProgress }))
    assert.deepEqual([...seen], ['of the call'])
  }))

  test('reports its progress, and stops with the error that the callback throws', withData(async ({ base, manage }) => {
    const manager = manage()
    const seen: [number, number][] = []
    await manager.backup('told', { onProgress: (done, total) => void seen.push([done, total]) })
    assert.ok(seen.length > 0)
    const [done, total] = seen.at(-1)!
    assert.ok(done === total && total > 0)
    assert.ok(seen.every(([done, total], at) => done <= total && done >= (seen[at - 1]?.[0] ?? 0)))
    const error = new Error('mine')
    await write(join(base, 'data', 'big.bin'), Buffer.alloc(64 << 20, 7))
    assert.equal(await caught(manager.backup('stopped', { onProgress() { throw error } })), error)
    assert.deepEqual((await manager.listBackups()).map(({ name }) => name), ['told'])
    assert.deepEqual((await readdir(join(base, 'backups'))).filter((name) => name !== '.lock'), ['told'])
  }))

  test('stops with the error with which the callback rejects', withData(async ({ base, manage }) => {
    const error = new Error('mine')
    await write(join(base, 'data', 'big.bin'), Buffer.alloc(64 << 20, 7))
    assert.equal(await caught(manage().backup('stopped', { async onProgress() { throw error } })), error)
    assert.deepEqual(await manage().listBackups(), [])
  }))

  test('is complete or absent if its callback throws or aborts when all is copied', withManagers(async ({ base, manage }) => {
    await write(join(base, 'data', 'notes.txt'), 'notes')
    const manager = manage()
    const error = new Error('mine')
    const last = (act: () => void) => (done: number, total: number) => {
      if (done === total) act()
    }
    const aborted: string[] = []
    for (let round = 0; round < 10; round++) {
      assert.equal(await caught(manager.backup(`thrown-${round}`, { onProgress: last(() => { throw error }) })), error)
      const abort = new AbortController()
      await manager.backup(`aborted-${round}`, { signal: abort.signal, onProgress: last(() => abort.abort()) }).catch(({ code }) => {
        assert.equal(code, 'ABORTED')
        aborted.push(`aborted-${round}`)
      })
    }
    const backups = await manager.listBackups()
    assert.ok(backups.every(({ complete }) => complete))
    assert.deepEqual(backups.filter(({ name }) => aborted.includes(name)), [])
    assert.ok(backups.filter(({ name }) => name.startsWith('aborted-')).length + aborted.length === 10)
  }))

  test('is logged, as are a restore and the removal of older ones', withData(async ({ manage }) => {
    const lines: string[] = []
    const manager = manage({ logger: (line, level) => { if (!line.endsWith('%')) lines.push(`${level}: ${line}`) } })
    const made = [await manager.backup('a'), await manager.backup('b', { keep: 1 })]
    await manager.restore('b')
    assert.deepEqual(lines, [
      `info: backed up to ${made[0]}`, `info: backed up to ${made[1]}`, 'info: removed the backup a', 'info: restored b',
    ])
  }))

  test('passes on the warnings of the databases', withManagers(async ({ base, manage, open }) => {
    const storage = open()
    await storage.create(projectInput())
    await storage.close()
    const folder = join(dataPath(base), '.storage')
    const journal = (await readdir(folder)).filter((name) => name.startsWith('journal-')).sort().at(-1)!
    await appendFile(join(folder, journal), '["half a line')
    await warningOf('TAIL_CUT', () => manage().backup('one'))
  }))

  test('is not made if it is aborted while it waits for another', withData(async ({ manage }) => {
    const manager = manage()
    const abort = new AbortController()
    const first = manager.backup('first')
    const second = caught(manager.backup('second', { signal: abort.signal }))
    abort.abort()
    assert.equal((await second).code, 'ABORTED')
    await first
    assert.deepEqual((await manager.listBackups()).map(({ name }) => name), ['first'])
  }))

  test('rejects with ABORTED and leaves nothing behind when it is aborted', withData(async ({ base, manage }) => {
    const manager = manage()
    const reason = new Error('enough')
    const error = await caught(manager.backup('never', { signal: AbortSignal.abort(reason) }))
    assert.deepEqual([error.code, error.outcome, error.cause], ['ABORTED', 'none', reason])
    await write(join(base, 'data', 'big.bin'), Buffer.alloc(64 << 20, 7))
    const abort = new AbortController()
    const stopped = await caught(manager.backup('big', { signal: abort.signal, onProgress: () => abort.abort(reason) }))
    assert.deepEqual([stopped.code, stopped.outcome, stopped.cause, stopped.reason], ['ABORTED', 'none', reason, reason])
    assert.deepEqual((await readdir(join(base, 'backups'))).filter((name) => !name.startsWith('.lock')), [])
    assert.deepEqual(await manager.listBackups(), [])
  }))

  test('holds only whole batches while writers run, and every earlier batch', withData(async ({ manage, open }) => {
    const storage = open()
    const project = await storage.create(projectInput())
    const files = storage.getFileStorage(project.id)
    const manager = manage()
    let running = true
    let written = 0
    const writer = (async () => {
      for (let n = 0; running; n++) {
        await files.createMany([0, 1, 2, 3, 4].map((k) => fileInput(`${n}/${k}.ts`, `${n} ${'x'.repeat(2_000)}`)))
        written = n + 1
      }
    })()
    for (let n = 0; n < 5; n++) {
      const before = written
      const backup = await manager.backup(`b${n}`)
      const name = Object.keys(await fingerprint(backup)).find((name) => name.endsWith(`project_data/${project.id}/files.json`))
      const count = name ? Object.keys(await readJson(join(backup, name))).length : 0
      assert.equal(count % 5, 0)
      assert.ok(count >= before * 5, `${count} files after ${before} batches`)
    }
    running = false
    await writer
    await storage.close()
    await manager.restore('b2')
    const restored = await open().getProjectFiles(project.id)
    assert.equal(restored.length % 5, 0)
  }))

  test('is verified by reading all of it, beside writers and a running backup', withData(async ({ base, manage, open }) => {
    const manager = manage()
    const path = await manager.backup('one')
    const [one] = await manager.listBackups()
    const told: [number, number][] = []
    const running = manager.backup('two')
    const { complete, problem, ...info } = one!
    assert.deepEqual(await manager.verifyBackup(path, { onProgress: (...step) => void told.push(step) }), { ok: true, ...info, problems: [] })
    assert.deepEqual(told.at(-1), [info.size, info.size])
    await running
    const file = join(path, 'data', 'project_storage', 'projects.json')
    const content = await readFile(file)
    content[1]! ^= 1
    await writeFile(file, content)
    assert.equal((await manager.listBackups())[0]!.complete, true)
    const report = await manager.verifyBackup('one')
    assert.deepEqual([report.ok, report.problems.map(({ path }) => path)], [false, ['data/project_storage/projects.json']])
    assert.equal((await caught(manager.restore('one'))).code, 'CORRUPT_DATA')
    assert.equal((await caught(manager.verifyBackup('none'))).code, 'NOT_FOUND')
    assert.equal((await caught(manager.verifyBackup(''))).code, 'INVALID_ARGUMENT')
  }))
})

describe('the list of backups', () => {
  test('is sorted oldest first, and gives the problem of each one that cannot be restored', withData(async ({ base, manage }) => {
    const manager = manage()
    assert.deepEqual(await manager.listBackups(), [])
    for (const name of ['b', 'a', 'c', 'd']) await manager.backup(name)
    await mkdir(join(base, 'backups', 'foreign'))
    await unlink(join(base, 'backups', 'c', 'manifest.json'))
    await writeFile(join(base, 'backups', 'd', 'manifest.json'), '{')
    const list = await manager.listBackups()
    assert.deepEqual(list.filter(({ complete }) => complete).map(({ name }) => name), ['b', 'a'])
    assert.deepEqual(list.filter(({ problem }) => problem).map(({ name }) => name).sort(), ['c', 'd', 'foreign'])
    for (const one of list) assert.equal(one.path, join(base, 'backups', one.name))
    const { size, files, created } = list.find(({ name }) => name === 'a')!
    assert.ok(size > 1_000 && files > 5 && Math.abs(created! - Date.now()) < 600_000)
  }))

  test('is pruned to `keep`: the oldest first, and only complete ones', withData(async ({ base, manage }) => {
    const manager = manage({ keep: 2 })
    await manager.backup('damaged')
    await unlink(join(base, 'backups', 'damaged', 'manifest.json'))
    await mkdir(join(base, 'backups', 'foreign'))
    for (const name of ['a', 'b', 'c', 'd']) await manager.backup(name)
    const names = async () => (await manager.listBackups()).map(({ name }) => name).sort()
    assert.deepEqual(await names(), ['c', 'd', 'damaged', 'foreign'])
    await manager.backup('e', { keep: 1 })
    assert.deepEqual(await names(), ['damaged', 'e', 'foreign'])
    for (const keep of [0, -1, 1.5, NaN, '1' as any]) {
      await assert.rejects(manager.backup('f', { keep }), { name: 'StorageError', code: 'INVALID_ARGUMENT', outcome: 'none' })
    }
  }))

  test('stays complete if pruning fails, which is logged and does not fail the backup', withData(async ({ base, manage }) => {
    const lock = join(base, 'backups', '.lock')
    const warnings: string[] = []
    const manager = manage({
      keep: 1,
      logger: (line, level) => {
        if (level === 'warn') warnings.push(line)
        if (!line.startsWith('backed up')) return
        rmSync(lock, { force: true })
        mkdirSync(lock)
      },
    })
    await manager.backup('one', { keep: 2 })
    await rm(lock, { recursive: true })
    assert.equal(await manager.backup('two'), join(base, 'backups', 'two'))
    assert.match(warnings.at(-1)!, /^old backups could not be removed: ./)
    assert.deepEqual((await manager.listBackups()).map(({ name }) => name), ['one', 'two'])
  }))

  test('does not include symlinks, whose names are refused as taken', withData(async ({ base, manage }) => {
    if (process.platform === 'win32') return
    await mkdir(join(base, 'backups'))
    await symlink(base, join(base, 'backups', 'link'))
    assert.deepEqual(await manage().listBackups(), [])
    assert.equal((await caught(manage().backup('link'))).code, 'ALREADY_EXISTS')
  }))
})

describe('a process killed while it backs up', () => {
  test('leaves the data unchanged and only whole backups; the next one removes partial ones', withData(async ({ base, manage, open }) => {
    const storage = open()
    await storage.list()
    await storage.close()
    await write(join(base, 'data', 'big.bin'), Buffer.alloc(24 << 20, 7))
    const before = await dataOf(base)
    for (const count of [1, 2, 3, 5, 8, 13]) {
      let seen = 0
      const { signal, stderr } = await runChild('migrator.mjs', [base, 'backup'], {
        onLine: (_line, kill) => { if (++seen === count) kill() },
      })
      assert.equal(signal, 'SIGKILL', stderr)
      assert.deepEqual(await dataOf(base), before)
      for (const { complete, problem } of await manage().listBackups()) assert.ok(complete, problem!)
    }
    await manage().backup('after')
    assert.deepEqual((await readdir(join(base, 'backups'))).filter((name) => name.startsWith('.partial')), [])
    await manage().restore('after')
    assert.deepEqual(await dataOf(base), before)
  }))
})

test('a backup that has ended listens to its signal no longer', withManagers(async ({ manage }) => {
  const { signal, heard } = watchedSignal()
  await manage().backup('one', { signal })
  assert.ok(heard.length > 0)
  assert.equal(heard.at(-1), 'off')
  assert.equal(heard.filter((one) => one === 'on').length, heard.length / 2)
}))
