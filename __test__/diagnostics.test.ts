// Diagnostic events: `diagnostics_channel`.
import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { channel } from 'node:diagnostics_channel'
import { mkdir, rm, rmdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { IndexManager, MigrationManager } from '../index.js'
import { caught, dataPath, fileInput, projectInput, projectsPath, runChild, until, warningOf, withDirectory, withProject, withStorage } from './support/index.js'
import { Things, thing } from './support/things.js'

const { NativeCollection } = require('../binding.js')

type Event = Record<string, any>

/** Collects the events of a channel while `work` runs. */
async function eventsOf(kind: string, work: (events: Event[]) => Promise<unknown>): Promise<Event[]> {
  const events: Event[] = []
  const listen = (event: unknown) => void events.push(event as Event)
  const watched = channel(`octoprompt-storage:${kind}`)
  watched.subscribe(listen)
  try {
    await work(events)
  } finally {
    watched.unsubscribe(listen)
  }
  return events
}

const operations = (events: Event[]) => events.map(({ operation }) => operation)

describe('octoprompt-storage:write', () => {
  test('reports the operation, place, size, duration and sequence number of a write', withProject(async (storage, project, { base }) => {
    const files = storage.getFileStorage(project.id)
    const before = Date.now()
    const [event, ...others] = await eventsOf('write', () => files.createMany(['a', 'b'].map((path) => fileInput(path, 'ünï'))))
    assert.deepEqual(others, [])
    const { operation, basePath, database, collection, entities, bytes, time, duration, sequence, error } = event!
    assert.deepEqual([operation, basePath, database], ['createMany', base, dataPath(base)])
    assert.equal(collection, `project_data/${project.id}/files.json`)
    assert.equal(entities, 2)
    assert.ok(bytes > 2 * Buffer.byteLength('ünï'))
    assert.ok(time >= before - 1 && time <= Date.now() + 1)
    assert.ok(duration > 0)
    assert.ok(sequence > 0 && sequence <= (await storage.sequence()))
    assert.equal(error, undefined)
  }))

  test('counts the entities and all bytes that were given', withProject(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    const long = (letter: string) => letter.repeat(1000)
    const events = await eventsOf('write', async () => {
      const { id } = await files.create(fileInput('a', long('ü')))
      await files.update(id, { content: long('é') })
      await files.createVersion(id, long('ö'), { summary: 's' })
      const [b, c] = await files.createMany([fileInput('b', long('ü')), fileInput('c', long('ü'))])
      await files.updateMany([{ id: b!.id, data: { content: long('é') } }, { id: c!.id, data: { content: long('é') } }])
      await files.writeAll(Object.fromEntries((await files.list()).map((file) => [file.id, { ...file, content: long('à') }])))
      await files.deleteMany([b!.id, c!.id])
      await storage.writeAll({ [project.id]: project, 7: { ...project, id: 7 } })
      await storage.deleteProjectData(project.id)
    })
    const expected = [['create', 1], ['update', 1], ['createVersion', 1], ['createMany', 2], ['updateMany', 2], ['writeAll', 4], ['deleteMany', 2], ['writeAll', 2], ['deleteProjectData', 1]]
    assert.deepEqual(events.map(({ operation, entities }) => [operation, entities]), expected)
    for (const { operation, entities, bytes } of events.slice(0, 6)) assert.ok(bytes > 2000 * entities, `${operation}: ${bytes}`)
  }))

  test('names every write of a BaseStorage subclass', withDirectory(async ({ base }) => {
    const storage = new Things({ basePath: base })
    const events = await eventsOf('write', async () => {
      const { id } = await storage.create({ name: 'a' })
      await storage.update(id, { size: 2 })
      await storage.delete(id)
      await storage.writeAll({ 1: thing(1), 2: thing(2) })
      await storage.deleteAll()
    })
    assert.deepEqual(operations(events), ['create', 'update', 'delete', 'writeAll', 'deleteAll'])
    assert.deepEqual(events.map(({ entities }) => entities), [1, 1, 1, 2, 0])
    await storage.close()
  }))

  test('carries the error of a failed write, the same one that the caller gets', withProject(async (storage, project) => {
    let error: unknown
    const events = await eventsOf('write', async () => {
      error = await caught(storage.update(project.id, { name: '' }))
    })
    assert.equal(events.length, 1)
    assert.equal(events[0]!.error, error)
    assert.equal(events[0]!.sequence, undefined)
  }))

  test('has no sequence number for a repair, after which the database opens anew', withProject(async (storage) => {
    const events = await eventsOf('write', () => storage.repair())
    assert.deepEqual(events.map(({ operation, sequence }) => [operation, sequence]), [['repair', undefined]])
  }))

  test('is published in the async context of the caller, so that spans find their parents', withStorage(async (storage) => {
    const context = new AsyncLocalStorage<string>()
    const seen: unknown[] = []
    const listen = () => void seen.push(context.getStore())
    const watched = channel('octoprompt-storage:write')
    watched.subscribe(listen)
    await Promise.all(['a', 'b'].map((name) => context.run(name, () => storage.create(projectInput(name)))))
    watched.unsubscribe(listen)
    assert.deepEqual(seen.sort(), ['a', 'b'])
  }))

  test('names the index of an IndexManager call', withDirectory(async ({ base }) => {
    const indexes = new IndexManager(base, 'data/things')
    const events = await eventsOf('write', async () => {
      await indexes.createIndex({ name: 'by_name', type: 'hash', fields: ['name'] })
      await indexes.addToIndex('by_name', 1, { name: 'a' })
      await indexes.rebuildIndex('by_name', [{ id: 1, name: 'a' }, { id: 2, name: 'b' }])
      await indexes.removeFromIndex('by_name', 1)
      await indexes.dropIndex('by_name')
    })
    assert.deepEqual(events.map(({ operation, index, entities }) => [operation, index, entities]), [
      ['createIndex', 'by_name', undefined], ['addToIndex', 'by_name', 1], ['rebuildIndex', 'by_name', 2],
      ['removeFromIndex', 'by_name', 1], ['dropIndex', 'by_name', undefined],
    ])
    assert.ok(events[1]!.bytes > 0 && events[2]!.bytes > events[1]!.bytes)
    await indexes.close()
  }))
})

describe('octoprompt-storage:read', () => {
  test('reports reads that leave the thread, but not those answered from memory', withDirectory(async ({ open }) => {
    const first = open()
    const { id } = await first.create(projectInput())
    await first.close()
    const storage = open()
    const events = await eventsOf('read', async () => {
      await storage.getById(id)
      await storage.getById(id)
    })
    assert.deepEqual(operations(events), ['getById'])
  }))

  test('reports queries and searches', withProject(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    await files.create(fileInput('a.ts'))
    const events = await eventsOf('read', async () => {
      await storage.query({ where: { name: 'Sample' } })
      await files.search('content')
    })
    assert.deepEqual(operations(events), ['query', 'search'])
  }))

  test('names the index of an IndexManager call', withDirectory(async ({ base }) => {
    const indexes = new IndexManager(base, 'data/things')
    const events = await eventsOf('read', async () => {
      await indexes.query('by_name', 'a')
      await indexes.listIndexes()
    })
    assert.deepEqual(events.map(({ operation, database, index }) => [operation, database, index]), [
      ['query', join(base, 'data', 'things'), 'by_name'], ['listIndexes', join(base, 'data', 'things'), undefined],
    ])
    await indexes.close()
  }))
})

describe('octoprompt-storage:transaction and :conflict', () => {
  test('report how often a transaction ran', withProject(async (storage, project) => {
    let conflicts: Event[] = []
    const events = await eventsOf('transaction', async () => {
      let runs = 0
      conflicts = await eventsOf('conflict', () => storage.transaction(async (tx) => {
        const found = await tx.getById(project.id)
        if (runs++ === 0) await storage.update(project.id, { description: 'of somebody else' })
        await tx.update(project.id, { name: `${found!.name}!` })
      }))
    })
    assert.deepEqual(events.map(({ operation, attempts, error }) => [operation, attempts, error]), [['transaction', 2, undefined]])
    assert.deepEqual(conflicts.map(({ operation, attempt }) => [operation, attempt]), [['transaction', 1]])
  }))

  test('report an update that conflicts with another commit', withDirectory(async ({ base }) => {
    const storages = [1, 2, 3].map(() => new Things({ basePath: base }))
    const { id } = await storages[0]!.create({ name: 'a' })
    await Promise.all(storages.map((storage) => storage.getById(id)))
    const events = await eventsOf('conflict', () => Promise.all(storages.map((storage, size) => storage.update(id, { size }))))
    assert.ok(events.length > 0)
    assert.deepEqual([events[0]!.operation, events[0]!.id], ['update', id])
    await Promise.all(storages.map((storage) => storage.close()))
  }))

  test('report a writeAll that conflicts with another commit', withDirectory(async ({ base }) => {
    const [storage, other] = [new Things({ basePath: base }), new Things({ basePath: base })]
    const { writeAll } = NativeCollection.prototype
    NativeCollection.prototype.writeAll = function (...args: unknown[]) {
      NativeCollection.prototype.writeAll = writeAll
      void other.create({ name: 'a' }).then(() => writeAll.apply(this, args))
    }
    const before = Date.now()
    const events = await eventsOf('conflict', () => storage.writeAll({ 1: thing(1) }))
    assert.ok(events[0]!.time >= before && events[0]!.time <= Date.now())
    assert.deepEqual(events.map(({ operation, collection }) => [operation, collection]), [['writeAll', 'things.json']])
    assert.equal((await storage.stats()).writes.conflicts, 1)
    await Promise.all([storage.close(), other.close()])
  }))
})

describe('octoprompt-storage:open', () => {
  test('reports how the database was opened', withDirectory(async ({ base, open }) => {
    const events = await eventsOf('open', async (events) => {
      await open().list()
      await until('the event', () => events.length > 0)
    })
    const { database, alone, readOnly, cut, pendingBatches, sequence, duration } = events[0]!
    assert.deepEqual([database, alone, readOnly, cut, pendingBatches, sequence], [dataPath(base), true, false, false, 0, 0])
    assert.ok(duration > 0)
  }))

  test('reports the batches that a killed process left in the journal', withDirectory(async ({ base, open }) => {
    await runChild('writer.mjs', [base, 'projects', 'killed', '0'], { onLine: (_, kill) => kill() })
    const events = await eventsOf('open', async (events) => {
      await open().list()
      await until('the event', () => events.length > 0)
    })
    assert.ok(events[0]!.pendingBatches > 0)
  }))
})

describe('octoprompt-storage:checkpoint', () => {
  test('reports automatic checkpoints', withStorage(async (storage, { base }) => {
    const [event] = await eventsOf('checkpoint', async (events) => {
      await storage.create(projectInput())
      await until('the event', () => events.length > 0)
    })
    const { database, collections, bytes, sequence, duration, error } = event!
    assert.deepEqual([database, collections, error], [dataPath(base), 1, undefined])
    assert.ok(bytes > 0 && sequence > 0 && duration > 0)
  }))

  test('a subscriber does not keep the process alive', withDirectory(async ({ base }) => {
    const { code, lines, stderr } = await runChild('watcher.mjs', [base])
    assert.deepEqual([code, lines, stderr], [0, ['created'], ''])
  }))

  test('reports why an automatic checkpoint failed, and so does a warning', withStorage(async (storage, { base }) => {
    await storage.create(projectInput())
    let events: Event[] = []
    await warningOf('CHECKPOINT_FAILED', async () => {
      // A directory in the place of the file cannot be replaced.
      events = await eventsOf('checkpoint', async (events) => {
        await mkdir(projectsPath(base))
        await storage.create(projectInput('Another'))
        await until('the event', () => events.some(({ error }) => error))
      })
    })
    assert.equal(events.find(({ error }) => error)!.error.code, 'IO_ERROR')
    await rmdir(projectsPath(base))
  }))

  test('fails with a warning that promises nothing of the journal if the directory is removed', withStorage(async (storage, { base }) => {
    // Windows does not remove a file that is mapped.
    if (process.platform === 'win32') return
    await storage.create(projectInput())
    const { message } = await warningOf('CHECKPOINT_FAILED', () => rm(dataPath(base), { recursive: true }))
    assert.deepEqual([/were removed/.test(message), /journal/.test(message)], [true, false], message)
    const { code, errno, path } = await caught(storage.close())
    assert.deepEqual([code, errno, path], ['IO_ERROR', 'ESTALE', dataPath(base)])
  }))
})

describe('octoprompt-storage:backup and :migration', () => {
  test('report each operation and each step', withDirectory(async ({ base, open }) => {
    await open().create(projectInput())
    const manager = new MigrationManager(base, { logger: null })
    manager.register({ version: '1.0.0', description: 'one', up() {}, down() {} })
    const backups = await eventsOf('backup', async () => manager.restore(await manager.backup('first')))
    assert.deepEqual(operations(backups), ['backup', 'restore'])
    assert.equal(backups[0]!.backup, join(base, 'backups', 'first'))
    const steps = await eventsOf('migration', async () => {
      await manager.migrate()
      await manager.rollback('0.0.0')
    })
    assert.deepEqual(operations(steps), ['up', 'migrate', 'down', 'rollback'])
    assert.deepEqual(steps.map(({ version, versions }) => version ?? versions), ['1.0.0', ['1.0.0'], '1.0.0', ['1.0.0']])
    await manager.close()
  }))

  test('carry the error that a step threw', withDirectory(async ({ base }) => {
    const manager = new MigrationManager(base, { logger: null })
    const thrown = new Error('no')
    manager.register({ version: '1.0.0', description: 'one', up() { throw thrown } })
    const steps = await eventsOf('migration', () => caught(manager.migrate()))
    assert.deepEqual(steps.map(({ operation, error }) => [operation, error]), [['up', thrown], ['migrate', thrown]])
    await manager.close()
  }))
})

describe('octoprompt-storage:warning', () => {
  test('carries the warnings that the process gets', withDirectory(async ({ base, open }) => {
    const first = open()
    const { id } = await first.create(projectInput())
    await first.close()
    await writeFile(projectsPath(base), '{}')
    const events = await eventsOf('warning', () => warningOf('SNAPSHOT_CHANGED', () => open().getById(id)))
    assert.deepEqual(events.map(({ code }) => code), ['SNAPSHOT_CHANGED'])
    assert.match(events[0]!.message, /projects\.json/)
  }))

  test('is also a process warning named StorageWarning', withDirectory(async ({ base, open }) => {
    const first = open()
    const { id } = await first.create(projectInput())
    await first.close()
    await writeFile(projectsPath(base), '{}')
    const { name } = await warningOf('SNAPSHOT_CHANGED', () => open().getById(id))
    assert.equal(name, 'StorageWarning')
  }))
})

test('a subscriber that throws does not fail the call', withDirectory(async ({ base }) => {
  const { code, lines, stderr } = await runChild('throwing-subscriber.mjs', [base])
  assert.deepEqual([code, lines], [0, ['created', 'read', 'thrown 2']], stderr)
}))

test('a replaced emitWarning that throws keeps no call from its answer', withDirectory(async ({ base }) => {
  const { code, lines, stderr } = await runChild('refused-warnings.mjs', [base])
  assert.deepEqual([code, lines.sort()], [0, ['edited', 'refused']], stderr)
}))

test('the time of an event follows a clock that is set while the process runs', withStorage(async (storage) => {
  const { now } = Date
  Date.now = () => now() + 3_600_000
  try {
    const before = Date.now()
    const [event] = await eventsOf('write', () => storage.create(projectInput()))
    assert.ok(event!.time >= before && event!.time <= Date.now(), `${event!.time - before} ms off`)
  } finally {
    Date.now = now
  }
}))
