import assert from 'node:assert/strict'
import { channel } from 'node:diagnostics_channel'
import { join } from 'node:path'
import { test } from 'node:test'
import type { CallOptions } from '../index.js'
import { caught, fileInput, projectInput, runChild, until, withDirectory, withProject } from './support/index.js'
import { Things, thingSchema, withThings } from './support/things.js'
import { ProjectStorageV2 } from '../index.js'

test('a transaction sees its own writes, and others see them only after it commits', withThings(async (things) => {
  const result = await things.transaction(async (tx) => {
    const { id } = await tx.create({ name: 'a' })
    assert.equal((await tx.getById(id))?.name, 'a')
    assert.equal((await tx.update(id, { name: 'b' }))?.name, 'b')
    assert.deepEqual((await tx.query({ where: { name: 'b' } })).map((thing) => thing.id), [id])
    assert.equal((await tx.list()).length, 1)
    assert.equal(await things.getById(id), null)
    assert.deepEqual(await things.list(), [])
    return id
  })
  assert.equal((await things.getById(result))?.name, 'b')
}))

test('an error thrown by the callback rolls back and reaches the caller unchanged', withThings(async (things) => {
  const mine = { odd: true }
  const error = await caught(things.transaction(async (tx) => {
    await tx.create({ name: 'a' })
    throw mine
  }))
  assert.equal(error, mine)
  assert.deepEqual(await things.list(), [])
}))

test('concurrent transactions on one entity are serialised', withThings(async (things) => {
  const { id } = await things.create({ name: 'counter', size: 0 })
  await Promise.all(Array.from({ length: 40 }, () => things.transaction(async (tx) => {
    const { size } = (await tx.getById(id))!
    await tx.update(id, { size: size + 1 })
  })))
  assert.equal((await things.getById(id))!.size, 40)
}))

test('concurrent transactions allow no write skew', withThings(async (things) => {
  // Each may leave only if somebody else stays. If the transactions run one after another, one of the two must stay.
  const people = await Promise.all([things.create({ name: 'one' }), things.create({ name: 'other' })])
  await Promise.all(people.map(({ id }) => things.transaction(async (tx) => {
    if ((await tx.list()).length > 1) await tx.delete(id)
  })))
  assert.equal((await things.list()).length, 1)
}))

test("plain writes and transactions do not lose each other's updates", withThings(async (things) => {
  const { id } = await things.create({ name: 'a', size: 0 })
  const plain = Array.from({ length: 10 }, (_, at) => things.update(id, { name: `name ${at}` }))
  const counted = Array.from({ length: 10 }, () => things.transaction(async (tx) => {
    await tx.update(id, { size: (await tx.getById(id))!.size + 1 })
  }))
  await Promise.all([...plain, ...counted])
  const { name, size } = (await things.getById(id))!
  assert.match(name, /^name \d$/)
  assert.equal(size, 10)
}))

test('several storages of one database commit together', withThings(async (things, base) => {
  const others = new Things({ basePath: base, file: 'data/others.json' })
  const before = await things.sequence()
  await things.transaction(async (tx) => {
    const { id } = await tx.create({ name: 'a' })
    await tx.in(others).create({ name: `other of ${id}` })
  })
  assert.equal(await things.sequence(), before + 1)
  assert.equal((await others.list()).length, 1)
  await caught(things.transaction(async (tx) => {
    await tx.in(others).create({ name: 'never' })
    throw new Error('no')
  }))
  assert.equal((await others.list()).length, 1)
  await others.close()
}))

test('a storage of another database is refused, with what would make it one database', withThings(async (things, base) => {
  const other = new Things({ basePath: base, dataDir: 'other' })
  const error = await caught(things.transaction((tx) => tx.in(other).create({ name: 'a' })))
  assert.deepEqual([error.code, /dataDir/.test(error.message)], ['INVALID_ARGUMENT', true])
  await other.close()
}))

test('a transaction can write projects, files and versions', withProject(async (storage, project) => {
  const files = storage.getFileStorage(project.id)
  const file = await files.create(fileInput('a.ts', 'one'))
  const made = await storage.transaction(async (tx) => {
    const other = await tx.create(projectInput('other'))
    await tx.update(project.id, { description: 'changed' })
    const version = await tx.in(files).createVersion(file.id, 'two', { summary: 'second' })
    await tx.in(storage.getFileStorage(other.id)).create(fileInput('b.ts'))
    return { other, version }
  })
  const { content, summary } = (await files.getLatestVersion(file.id))!
  assert.deepEqual([content, summary], ['two', 'second'])
  assert.equal((await files.getById(file.id))?.nextId, made.version.id)
  assert.equal((await storage.getProjectFiles(made.other.id)).length, 1)
  assert.equal((await storage.getById(project.id))?.description, 'changed')
}))

test('a transaction rejects a storage of another database', withThings(async (things, base) => {
  const elsewhere = new Things({ basePath: base, dataDir: 'elsewhere' })
  const error = await caught(things.transaction(async (tx) => {
    await tx.list()
    await tx.in(elsewhere).list()
  }))
  assert.equal(error.code, 'INVALID_ARGUMENT')
  assert.equal((await caught(things.transaction(async (tx) => tx.in({} as never)))).code, 'INVALID_ARGUMENT')
  await elsewhere.close()
}))

test('a callback that never ends fails with LOCK_TIMEOUT and leaves nothing behind', withThings(async (things) => {
  let late: Promise<unknown> | undefined
  const error = await caught(things.transaction(async (tx) => {
    await tx.create({ name: 'a' })
    late = new Promise((resolve) => setTimeout(resolve, 400)).then(() => caught(tx.create({ name: 'late' })))
    await new Promise(() => {})
  }))
  assert.equal(error.code, 'LOCK_TIMEOUT')
  assert.equal(((await late) as { code: string }).code, 'CLOSED')
  assert.deepEqual(await things.list(), [])
}, { lockTimeout: 200 }))

const never = { '~standard': { version: 1, vendor: 'test', validate: () => new Promise(() => {}) } }
test('an unawaited step that never ends fails its transaction with LOCK_TIMEOUT', withThings(async (things) => {
  const alive = setInterval(() => {}, 1000)
  const error = await caught(things.transaction(async (tx) => void tx.create({ name: 'a' })))
  clearInterval(alive)
  assert.equal(error.code, 'LOCK_TIMEOUT')
}, { lockTimeout: 100, schema: never }))

for (const commitsAfter of ['a step', 'its commit']) {
  test(`a transaction whose database is repaired before ${commitsAfter} runs again`, withThings(async (things) => {
    const { id } = await things.create({ name: 'a' })
    let runs = 0
    await things.transaction(async (tx) => {
      runs += 1
      const { size } = (await tx.getById(id))!
      await tx.update(id, { size: size + 1 })
      if (runs === 1) await things.repair()
      if (commitsAfter === 'a step') await tx.update(id, { name: 'b' })
    })
    assert.equal(runs, 2)
    assert.equal((await things.getById(id))?.size, 2)
  }))
}

test('a transaction that has ended rejects further steps with CLOSED', withThings(async (things) => {
  const kept = await things.transaction(async (tx) => tx)
  assert.equal((await caught(kept.create({ name: 'late' }))).code, 'CLOSED')
}))

test('a transaction whose callback threw rejects further steps with CLOSED', withThings(async (things) => {
  let kept: Parameters<Parameters<typeof things.transaction>[0]>[0]
  const error = new Error('mine')
  assert.equal(await caught(things.transaction(async (tx) => {
    kept = tx
    throw error
  })), error)
  assert.equal((await caught(kept!.create({ name: 'late' }))).code, 'CLOSED')
  assert.deepEqual(await things.list(), [])
}))

test('a transaction that changes nothing runs again if what it read has changed', withThings(async (things) => {
  const { id } = await things.create({ name: 'a' })
  let runs = 0
  const size = await things.transaction(async (tx) => {
    const read = await tx.getById(id)
    runs += 1
    if (runs === 1) await things.update(id, { size: 2 })
    return read!.size
  })
  assert.deepEqual([runs, size], [2, 2])
}))

test('a transaction that had to wait leaves no timer behind', withThings(async (things) => {
  // Bun does not count timers.
  const timers = () => process.getActiveResourcesInfo?.().filter((name) => name === 'Timeout').length ?? 0
  const before = timers()
  const { id } = await things.create({ name: 'a' })
  let runs = 0
  await things.transaction(async (tx) => {
    await tx.getById(id)
    runs += 1
    if (runs === 1) await things.update(id, { size: 2 })
    await tx.update(id, { name: 'b' })
  })
  assert.equal(runs, 2)
  assert.equal(timers(), before)
}))

test('steps called together run in the order of their calls', withThings(async (things) => {
  await things.transaction(async (tx) => {
    const { id } = await tx.create({ name: 'a' })
    await Promise.all([tx.update(id, { name: 'b' }), tx.update(id, { size: 7 }), tx.update(id, { name: 'c' })])
    assert.deepEqual([(await tx.getById(id))!.name, (await tx.getById(id))!.size], ['c', 7])
  })
}))

test('a step takes its arguments as they are at the moment of the call', withProject(async (storage, project, { base }) => {
  const things = new Things({ basePath: base })
  const [entity, patch, change] = [{ name: 'given' }, { name: 'given' }, { description: 'given' }]
  await things.transaction(async (tx) => {
    const created = tx.create(entity)
    entity.name = 'changed'
    const updated = tx.update((await created).id, patch)
    patch.name = 'changed'
    assert.deepEqual([(await created).name, (await updated)?.name], ['given', 'given'])
  })
  await things.close()
  await storage.transaction(async (tx) => {
    const updated = tx.update(project.id, change)
    change.description = 'changed'
    assert.equal((await updated)?.description, 'given')
  })
}))

test('a signal of a query ends that query, and not its transaction', withThings(async (things) => {
  await things.transaction(async (tx) => {
    assert.equal((await caught(tx.query({ signal: AbortSignal.abort() }))).code, 'ABORTED')
    await tx.create({ name: 'a' })
  })
  assert.equal((await things.list()).length, 1)
}))

test('an update of an entity that does not exist gives null within a transaction', withThings(async (things) => {
  assert.equal(await things.transaction((tx) => tx.update(4711, { name: 'a' })), null)
}))

test('an unawaited step belongs to its transaction', withThings(async (things) => {
  await things.transaction((tx) => void tx.create({ name: 'a' }))
  assert.equal((await things.list()).length, 1)
}))

test('schemas run within a transaction', withThings(async (things) => {
  const error = await caught(things.transaction(async (tx) => tx.create({ name: '  ' })))
  assert.equal(error.name, 'ZodError')
  const [thing] = await things.transaction(async (tx) => [await tx.create({ name: ' a ' })])
  assert.deepEqual([thing!.name, thing!.size], ['a', 1])
}, { schema: thingSchema }))

test('a failed step can be caught and leaves no trace', withThings(async (things) => {
  await things.transaction(async (tx) => {
    await caught(tx.create({ name: '' }))
    await tx.create({ name: 'a' })
  })
  assert.deepEqual((await things.list()).map(({ name }) => name), ['a'])
}))

test('a transaction respects a unique index', withThings(async (things) => {
  await things.create({ name: 'a' })
  const error = await caught(things.transaction(async (tx) => tx.create({ name: 'a' })))
  assert.equal(error.code, 'UNIQUE_VIOLATION')
  assert.equal((await things.list()).length, 1)
  await things.transaction(async (tx) => {
    const [first] = await tx.list()
    await tx.update(first!.id, { name: 'b' })
    await tx.create({ name: 'a' })
  })
  assert.deepEqual((await things.list()).map(({ name }) => name), ['b', 'a'])
}, { indexes: [{ name: 'by_name', type: 'hash', fields: ['name'], unique: true }] }))

test('a transaction that caught the refusal of a unique key runs again if the key becomes free', withThings(async (things) => {
  const { id } = await things.create({ name: 'a', email: 'e' } as any)
  const outcomes: unknown[] = []
  await things.transaction(async (tx) => {
    outcomes.push(await tx.create({ name: 'b', email: 'e' } as any).then(() => 'stored', (error) => error.code))
    if (outcomes.length === 1) await things.delete(id)
    await tx.create({ name: 'c' })
  })
  assert.deepEqual(outcomes, ['UNIQUE_VIOLATION', 'stored'])
  assert.deepEqual((await things.list()).map(({ name }) => name), ['b', 'c'])
}, { indexes: [{ name: 'by_email', type: 'hash', fields: ['email'], unique: true, sparse: true }] }))

test('a transaction that found a unique key free runs again if others take it', withThings(async (things) => {
  let other: number | undefined
  const outcome = await things.transaction(async (tx) => {
    const created = await tx.create({ name: 'a' }).then(() => 'stored', (error) => error.code)
    other ??= (await things.create({ name: 'a' })).id
    return [created, await tx.deleteMany([other])]
  })
  assert.deepEqual(outcome, ['UNIQUE_VIOLATION', 1])
  assert.deepEqual(await things.list(), [])
}, { indexes: [{ name: 'by_name', type: 'hash', fields: ['name'], unique: true }] }))

test('a transaction that keeps losing to others fails with CONFLICT', withThings(async (things) => {
  const { id } = await things.create({ name: 'a', size: 0 })
  let runs = 0
  const error = await caught(things.transaction(async (tx) => {
    runs += 1
    await tx.getById(id)
    await things.update(id, { size: runs })
    await tx.update(id, { name: 'never' })
  }))
  assert.deepEqual([error.code, runs], ['CONFLICT', 16])
  assert.match(error.message, /not made on tx/)
  assert.equal((await things.getById(id))!.name, 'a')
}))

for (const losses of [1, 2]) {
  test(`a transaction that is aborted when it has lost ${losses === 1 ? 'once' : 'twice'} does not run again`, withThings(async (things) => {
    const { id } = await things.create({ name: 'a', size: 0 })
    const controller = new AbortController()
    let [runs, lost] = [0, 0]
    const note = () => {
      lost += 1
      if (lost === losses) controller.abort()
    }
    channel('octoprompt-storage:conflict').subscribe(note)
    const error = await caught(things.transaction(async (tx) => {
      runs += 1
      await tx.getById(id)
      await things.update(id, { size: runs })
      await tx.update(id, { name: 'never' })
    }, { signal: controller.signal }))
    channel('octoprompt-storage:conflict').unsubscribe(note)
    assert.deepEqual([error.code, runs], ['ABORTED', losses])
  }))
}

/** Runs a transaction that loses its first attempt and then waits for its turn. */
function losing(things: Things, id: number, again: () => unknown, options?: CallOptions) {
  let runs = 0
  return things.transaction(async (tx) => {
    await tx.getById(id)
    runs += 1
    if (runs === 1) await things.update(id, { size: 2 })
    else await again()
    await tx.update(id, { name: 'done' })
  }, options)
}

test('a retry that is aborted or times out does not block those queued behind it', withThings(async (things, base) => {
  const ids = (await Promise.all(['first', 'aborted', 'late', 'last'].map((name) => things.create({ name })))).map(({ id }) => id)
  let lost = 0
  const note = () => void (lost += 1)
  channel('octoprompt-storage:conflict').subscribe(note)
  let end: (() => void) | undefined
  const first = losing(things, ids[0]!, () => new Promise<void>((resolve) => (end = resolve)))
  await until('the first to have its turn', () => end)
  const controller = new AbortController()
  const hasty = new Things({ basePath: base, lockTimeout: 1000 })
  const aborted = caught(losing(things, ids[1]!, () => {}, { signal: controller.signal }))
  const late = caught(losing(hasty, ids[2]!, () => {}))
  const last = losing(things, ids[3]!, () => {})
  await until('all to have lost', () => lost === 4)
  channel('octoprompt-storage:conflict').unsubscribe(note)
  controller.abort()
  assert.deepEqual([(await aborted).code, (await late).code], ['ABORTED', 'LOCK_TIMEOUT'])
  end!()
  await Promise.all([first, last])
  assert.deepEqual((await things.list()).map(({ name }) => name), ['done', 'aborted', 'late', 'done'])
  await hasty.close()
}))

test('a retry waits for the one under way even after another that waited was aborted', withThings(async (things) => {
  const ids = (await Promise.all(['first', 'aborted', 'last'].map((name) => things.create({ name })))).map(({ id }) => id)
  let lost = 0
  const note = () => void (lost += 1)
  channel('octoprompt-storage:conflict').subscribe(note)
  const ended: string[] = []
  let end: (() => void) | undefined
  const first = losing(things, ids[0]!, () => new Promise<void>((resolve) => (end = resolve))).then(() => ended.push('first'))
  await until('the first to have its turn', () => end)
  const controller = new AbortController()
  const aborted = caught(losing(things, ids[1]!, () => {}, { signal: controller.signal }))
  await until('the second to have lost', () => lost === 2)
  controller.abort()
  assert.equal((await aborted).code, 'ABORTED')
  const last = losing(things, ids[2]!, () => ended.push('last'))
  await until('the last to have lost', () => lost === 3)
  channel('octoprompt-storage:conflict').unsubscribe(note)
  // Time enough for a retry that does not wait.
  for (let read = 0; read < 10; read++) await things.sequence()
  end!()
  await Promise.all([first, last])
  assert.deepEqual(ended, ['first', 'last'])
}))

test('transactions take their time if lockTimeout is huge', withThings(async (things) => {
  const ids = [(await things.create({ name: 'a' })).id, (await things.create({ name: 'b' })).id]
  // Each loses its first attempt, and then one waits for the other.
  await Promise.all(ids.map((id) => {
    let runs = 0
    return things.transaction(async (tx) => {
      await tx.getById(id)
      runs += 1
      if (runs === 1) await things.update(id, { size: 2 })
      else await new Promise((resolve) => setTimeout(resolve, 25))
      await tx.update(id, { name: 'done' })
    })
  }))
  assert.deepEqual((await things.list()).map(({ name }) => name), ['done', 'done'])
}, { lockTimeout: 2 ** 40 }))

test("a transaction inside the callback of another does not wait for that one's turn", withThings(async (things) => {
  const [one, two] = [await things.create({ name: 'one' }), await things.create({ name: 'two' })]
  let runs = 0
  let within = 0
  await things.transaction(async (tx) => {
    runs += 1
    await tx.getById(one.id)
    // Having lost once, it is the first in the queue of transactions that have lost.
    if (runs === 1) await things.update(one.id, { size: 2 })
    else {
      await things.transaction(async (own) => {
        within += 1
        await own.getById(two.id)
        if (within === 1) await things.update(two.id, { size: 2 })
        await own.update(two.id, { name: 'within' })
      })
    }
    await tx.update(one.id, { name: 'outer' })
  })
  assert.deepEqual([runs, within, (await things.list()).map(({ name, size }) => [name, size])], [2, 2, [['outer', 2], ['within', 2]]])
}))

test('invalid arguments are rejected', withThings(async (things) => {
  for (const args of [[], [1], [async () => {}, 1], [async () => {}, { signal: {} }]] as never[][]) {
    assert.equal((await caught((things.transaction as (...args: never[]) => Promise<unknown>).apply(things, args))).code, 'INVALID_ARGUMENT')
  }
}))

test('closing the instance within its transaction fails the transaction with CLOSED', withThings(async (things) => {
  const error = await caught(things.transaction(async (tx) => {
    await tx.create({ name: 'a' })
    await things.close()
    await tx.create({ name: 'b' })
  }))
  assert.equal(error.code, 'CLOSED')
}))

for (const [whose, dataDir] of [['the same', 'data'], ['another', 'other']] as const) {
  test(`a path that belongs to a deleted entity is kept if ${whose} database has put a file there by the commit`, withDirectory(async ({ base }) => {
    const folder = (id: number) => join(base, 'data', 'attachments', String(id))
    const things = new Things({ basePath: base, entityPath: folder })
    const { id } = await things.create({ name: 'a' })
    const others = new Things({ basePath: base, dataDir, file: join('data', 'attachments', String(id), 'others.json') })
    const refused = await caught(things.transaction(async (tx) => {
      await tx.delete(id)
      await others.create({ name: 'b' })
      await others.close()
    }))
    assert.equal(refused.code, 'INVALID_ARGUMENT')
    assert.deepEqual((await things.list()).map(({ name }) => name), ['a'])
    await things.close()
    const again = new Things({ basePath: base, dataDir, file: others.given.file })
    assert.deepEqual((await again.list()).map(({ name }) => name), ['b'])
    await again.close()
  }))
}

test('transactions of several processes are serialised', withThings(async (things, base) => {
  const { id } = await things.create({ name: 'counter', size: 0 })
  const children = await Promise.all(Array.from({ length: 3 }, () => runChild('transactor.mjs', [base, String(id), '15'])))
  assert.deepEqual(children.map(({ code, stderr }) => [code, stderr]), [[0, ''], [0, ''], [0, '']])
  assert.equal((await things.getById(id))!.size, 45)
}))

test('a process killed within a transaction leaves nothing of it behind', withThings(async (things, base) => {
  const { id } = await things.create({ name: 'counter', size: 0 })
  const { signal } = await runChild('transactor.mjs', [base, String(id), 'wait'], { onLine: (_, kill) => kill() })
  assert.equal(signal, 'SIGKILL')
  assert.equal((await things.getById(id))!.size, 0)
  await things.transaction(async (tx) => tx.update(id, { size: 1 }))
  assert.equal((await things.getById(id))!.size, 1)
}))

test('a project storage created by the caller has transactions', withDirectory(async ({ base }) => {
  const storage = new ProjectStorageV2({ basePath: base })
  const { id } = await storage.transaction(async (tx) => tx.create(projectInput()))
  assert.ok(await storage.getById(id))
  await storage.close()
}))
