import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { z } from 'zod'
import { caught, fileInput, until, withDirectory, withProject } from './support/index.js'
import { Things, thing, thingSchema, withThings } from './support/things.js'

const { NativeCollection } = require('../binding.js')

const withUnsyncedThings: typeof withThings = (work, options) => withThings(work, { durability: 'os', ...options })

/** A schema that holds some values until its gate is opened; every other value passes at once. */
function gated(isHeld: (value: { name?: string }) => boolean, schema = thingSchema) {
  let open = () => {}
  const gate = new Promise<void>((resolve) => (open = resolve))
  const validate = async (value: unknown) => {
    if (isHeld(value as { name?: string })) await gate
    return schema['~standard'].validate(value)
  }
  return { open, schema: { '~standard': { version: 1, vendor: 'test', validate } } }
}

/** For things whose ids are strings. */
const named: typeof thingSchema = z.looseObject({ id: z.string(), name: z.string().min(1) }) as never

/** Waits for turns of the event loop, in which anything that needs no trigger would continue. */
async function turns(count: number) {
  for (let turn = 0; turn < count; turn += 1) await new Promise((resolve) => setImmediate(resolve))
}

describe('unawaited writes take effect in the order of their calls', () => {
  for (const [what, remove] of [
    ['a deletion', (things: Things, id: number) => things.delete(id)],
    ['a deletion of many', (things: Things, id: number) => things.deleteMany([4711, id])],
    ['the deletion of all', (things: Things) => things.deleteAll()],
    ['a whole map', (things: Things) => things.writeAll({})],
  ] as const) test(`${what} after an update that is retried`, withDirectory(async ({ base }) => {
    const other = new Things({ basePath: base })
    const { id } = await other.create({ name: 'first' })
    let calls = 0
    const validate = async (value: unknown) => {
      calls += 1
      if (calls === 1) await other.update(id, { size: 7 })
      return thingSchema['~standard'].validate(value)
    }
    const things = new Things({ basePath: base, schema: { '~standard': { version: 1, vendor: 'test', validate } } })
    const [updated] = await Promise.all([things.update(id, { name: 'second' }), remove(things, id)])
    assert.deepEqual([calls, updated?.name, updated?.size], [2, 'second', 7])
    assert.deepEqual(await things.list(), [])
    await Promise.all([things.close(), other.close()])
  }))

  test('a deletion after an update that is retried and itself follows another', withDirectory(async ({ base }) => {
    const other = new Things({ basePath: base })
    const { id } = await other.create({ name: 'first' })
    const gate = gated(({ name }) => name === 'third')
    const things = new Things({ basePath: base, schema: gate.schema })
    const earlier = things.update(id, { name: 'second' })
    const updated = things.update(id, { name: 'third' })
    await earlier
    await turns(3)
    const deleted = things.delete(id)
    await other.update(id, { size: 7 })
    gate.open()
    assert.deepEqual([(await updated)?.size, await deleted], [7, true])
    await Promise.all([things.close(), other.close()])
  }))

  for (const [what, create] of [
    ['a creation', (things: Things, entity: object) => things.create(entity as never)],
    ['a creation of many', (things: Things, entity: object) => things.createMany([entity] as never)],
  ] as const) test(`${what} after an update that is retried`, withDirectory(async ({ base }) => {
    const other = new Things({ basePath: base, schema: named })
    const validate = async (value: { id: string; name: string }) => {
      if (value.name === 'first') await other.delete(value.id as never)
      return named['~standard'].validate(value)
    }
    const things = new Things({ basePath: base, schema: { '~standard': { version: 1, vendor: 'test', validate } } })
    for (let round = 0; round < 20; round += 1) {
      const id = `${round}` as never
      await other.create({ id, name: 'first' } as never)
      const [updated] = await Promise.all([things.update(id, { size: 7 }), create(things, { id, name: 'second' })])
      assert.deepEqual([updated, (await things.getById(id))?.size], [null, undefined])
    }
    await Promise.all([things.close(), other.close()])
  }))

  test('an update of many entities is validated once, after an earlier update of one of them', withDirectory(async ({ base }) => {
    let calls = 0
    const validate = async (value: unknown) => {
      calls += 1
      await turns(3)
      return thingSchema['~standard'].validate(value)
    }
    const things = new Things({ basePath: base, schema: { '~standard': { version: 1, vendor: 'test', validate } } })
    const created = await things.createMany([{ name: 'a' }, { name: 'b' }])
    calls = 0
    const changes = created.map(({ id }) => ({ id, data: { size: 3 } }))
    const [, updated] = await Promise.all([things.update(created[1]!.id, { name: 'c' }), things.updateMany(changes)])
    assert.deepEqual([calls, updated.map(({ name, size }) => [name, size])], [3, [['a', 3], ['c', 3]]])
    await things.close()
  }))

  test('an update after the whole map that adds its entity', withDirectory(async ({ base }) => {
    const schema = { '~standard': { version: 1, vendor: 'test', validate: async (value: unknown) => (await turns(3), thingSchema['~standard'].validate(value)) } }
    const things = new Things({ basePath: base, schema })
    const [, updated] = await Promise.all([things.writeAll({ 7: thing(7) }), things.update(7, { name: 'second' })])
    assert.equal(updated?.name, 'second')
    assert.equal((await things.getById(7))?.name, 'second')
    await things.close()
  }))

  for (const [what, end] of [
    ['fails', (things: Things) => things.create({ id: 'a', name: '' } as never)],
    ['is aborted', (things: Things, signal: AbortSignal) => things.update('a' as never, {}, { signal })],
  ] as const) {
    const creating = gated(({ name }) => name === 'first', named)
    test(`an update after the creation of its entity, with a write in between that ${what}`, withUnsyncedThings(async (things) => {
      await things.list()
      const controller = new AbortController()
      const created = things.create({ id: 'a', name: 'first' } as never)
      const ended = caught(end(things, controller.signal))
      const updated = things.update('a' as never, { name: 'last' })
      controller.abort()
      await ended
      await turns(20)
      creating.open()
      await created
      assert.equal((await updated)?.name, 'last')
    }, { schema: creating.schema }))
  }

  for (const cacheEnabled of [true, false]) {
    test(`updates of one entity, cache ${cacheEnabled ? 'on' : 'off'}`, withUnsyncedThings(async (things) => {
      const { id } = await things.create({ name: 'x'.repeat(100_000) })
      for (let round = 0; round < 20; round += 1) {
        things.clearCache()
        const sizes = [1, 2, 3].map((n) => round * 10 + n)
        await Promise.all(sizes.map((size) => things.update(id, { size })))
        assert.equal((await things.getById(id))?.size, round * 10 + 3)
      }
    }, { cacheEnabled }))

    test(`whole maps and the writes after them, cache ${cacheEnabled ? 'on' : 'off'}`, withUnsyncedThings(async (things) => {
      for (let round = 0; round < 20; round += 1) {
        things.clearCache()
        await Promise.all([1, 2, 3].map((size) => things.writeAll({ 1: thing(1, { size }) })))
        assert.equal((await things.getById(1))?.size, 3)
        const [, , created] = await Promise.all([
          things.writeAll({ 1: thing(1, { size: 5 }) }),
          things.update(1, { size: 6 }),
          things.create({ name: 'after the map' }),
        ])
        assert.deepEqual((await things.list()).map(({ id, size }) => [id, size]), [[1, 6], [created.id, 1]])
      }
    }, { cacheEnabled }))
  }

  test('an entity created after deleteAll remains', withUnsyncedThings(async (things) => {
    for (let round = 0; round < 20; round += 1) {
      for (let n = 0; n < 3; n += 1) await things.create({ name: `thing ${n}` })
      const [, created] = await Promise.all([things.deleteAll(), things.create({ name: 'new' })])
      assert.deepEqual((await things.list()).map(({ id }) => id), [created.id])
    }
  }))

  test('an entity created before deleteAll is deleted', withUnsyncedThings(async (things) => {
    await things.create({ name: 'old' })
    await Promise.all([things.create({ name: 'new' }), things.deleteAll()])
    assert.deepEqual(await things.list(), [])
  }))

  test('an update and the deletion after it', withUnsyncedThings(async (things) => {
    const { id } = await things.create({ name: 'x' })
    const [updated, deleted, late] = await Promise.all([things.update(id, { size: 7 }), things.delete(id), things.update(id, { size: 8 })])
    assert.deepEqual([updated?.size, deleted, late], [7, true, null])
    assert.equal(await things.getById(id), null)
  }))

  const slow = gated(({ name }) => name === 'slow')
  test('a write waits for an earlier one whose schema has not answered yet', withUnsyncedThings(async (things) => {
    let done = 0
    const count = () => (done += 1)
    const first = things.create({ name: 'slow' }).finally(count)
    const second = things.create({ name: 'quick' }).finally(count)
    const third = things.deleteAll().finally(count)
    await turns(20)
    assert.deepEqual([done, (await things.list()).length], [0, 0])
    slow.open()
    await Promise.all([first, second, third])
    assert.deepEqual(await things.list(), [])
  }, { schema: slow.schema }))

  test('a failed write does not block those behind it', withUnsyncedThings(async (things) => {
    const failing = caught(things.create({ name: '' }))
    const { id } = await things.create({ name: 'b' })
    assert.equal((await failing).name, 'ZodError')
    assert.deepEqual((await things.list()).map((found) => found.id), [id])
  }))
})

test('a write begins before the earlier ones are answered', withUnsyncedThings(async (things) => {
  await things.list()
  const { insert } = NativeCollection.prototype
  const seen: string[] = []
  NativeCollection.prototype.insert = function (...args: unknown[]) {
    seen.push('begun')
    return insert.apply(this, args)
  }
  try {
    await Promise.all(['a', 'b', 'c'].map((name) => things.create({ name }).then(() => seen.push('answered'))))
  } finally {
    NativeCollection.prototype.insert = insert
  }
  assert.deepEqual(seen, ['begun', 'begun', 'begun', 'answered', 'answered', 'answered'])
}))

test('a write waits for an earlier one even if lockTimeout is huge', withUnsyncedThings(async (things) => {
  const first = things.create({ name: 'first' })
  await Promise.all([things.deleteAll(), first])
  assert.deepEqual(await things.list(), [])
}, {
  lockTimeout: 2 ** 40,
  schema: {
    '~standard': {
      version: 1,
      vendor: 'test',
      validate: async (value: unknown) => {
        await new Promise((resolve) => setTimeout(resolve, 25))
        return thingSchema['~standard'].validate(value)
      },
    },
  },
}))

const never = gated(({ name }) => name === 'never')
test('a schema that never answers blocks the writes behind it for at most lockTimeout', withUnsyncedThings(async (things) => {
  const hanging = things.create({ name: 'never' })
  const { id } = await things.create({ name: 'b' })
  assert.equal((await things.update(id, { size: 2 }))?.size, 2)
  never.open()
  await hanging
}, { lockTimeout: 50, schema: never.schema }))

const stuck = gated(({ name }) => name === 'stuck')
test('schemas that never answer block the writes behind them each time', withUnsyncedThings(async (things) => {
  const { id } = await things.create({ name: 'a' })
  const passing = () => Promise.all([things.create({ name: 'b' }), things.create({ name: 'c' })])
  await passing()
  const hanging = [things.update(id, { name: 'stuck' }), things.create({ name: 'stuck' })]
  assert.equal((await things.update(id, { size: 2 }))?.size, 2)
  const behind = passing()
  hanging.push(things.create({ name: 'stuck' }))
  await Promise.all([behind, things.create({ name: 'd' })])
  stuck.open()
  await Promise.all(hanging)
}, { lockTimeout: 50, schema: stuck.schema }))

describe('a signal', () => {
  for (const [when, passed] of [['at once', 0], ['when it only waits for its turn', 5]] as const) {
    const held = gated(({ name }) => name === 'held')
    test(`aborts a write that waits for its turn, ${when}, without blocking those behind it`, withUnsyncedThings(async (things) => {
      const controller = new AbortController()
      const first = things.create({ name: 'held' })
      const second = caught(things.create({ name: 'given up' }, { signal: controller.signal }))
      const third = things.create({ name: 'third' })
      await turns(passed)
      controller.abort()
      const { code, outcome } = (await second) as { code: string; outcome: string }
      assert.deepEqual([code, outcome], ['ABORTED', 'none'])
      held.open()
      await Promise.all([first, third])
      assert.deepEqual((await things.list()).map(({ name }) => name).sort(), ['held', 'third'])
    }, { schema: held.schema }))
  }

  for (const [what, write] of Object.entries<(things: Things, id: number, options: { signal: AbortSignal }) => Promise<unknown>>({
    'an update': (things, id, options) => things.update(id, {}, options),
    'a deletion': (things, id, options) => things.delete(id, options),
    'the deletion of all': (things, _, options) => things.deleteAll(options),
    'a whole map': (things, _, options) => things.writeAll({}, options),
  })) {
    const delaying = gated(({ name }) => name === 'held')
    test(`aborts ${what} that waits for an earlier write of the same entity`, withUnsyncedThings(async (things) => {
      const { id } = await things.create({ name: 'a' })
      const first = things.update(id, { name: 'held' })
      const controller = new AbortController()
      const waiting = caught(write(things, id, controller))
      await turns(5)
      controller.abort()
      assert.equal((await waiting).code, 'ABORTED')
      delaying.open()
      await first
      assert.deepEqual((await things.list()).map(({ name }) => name), ['held'])
    }, { schema: delaying.schema }))
  }

  test('leaves nothing of a write that it aborts behind a whole map', withProject(async (storage, project) => {
    const files = storage.getFileStorage(project.id)
    await files.create(fileInput('a'))
    for (let round = 0; round < 40; round += 1) {
      await files.readAll()
      await files.readAll()
      const map = await files.readAll()
      Object.values(map)[0]!.content = `round ${round}`
      const controller = new AbortController()
      const whole = files.writeAll(map)
      const path = `b${round}`
      const created = files.create(fileInput(path, 'y'.repeat(300_000)), { signal: controller.signal }).then(() => true, (error) => {
        assert.deepEqual([error.code, error.outcome], ['ABORTED', 'none'])
        return false
      })
      await whole
      await turns(round % 4)
      controller.abort()
      const exists = await created
      // Whatever was begun comes before this write.
      await files.update(Object.values(map)[0]!.id, { summary: 'done' })
      assert.equal((await files.getByPath(path)) !== null, exists, `round ${round}`)
    }
  }))
})

test('the order of writes holds while another instance writes', withDirectory(async ({ base }) => {
  const [one, other] = [new Things({ basePath: base, durability: 'os' }), new Things({ basePath: base, durability: 'os' })]
  try {
    const { id } = await one.create({ name: 'x', size: 0 })
    let busy = true
    const meddling = (async () => {
      for (let n = 0; busy; n += 1) await other.update(id, { name: `m${n}` })
    })()
    for (let round = 0; round < 20; round += 1) {
      await Promise.all([1, 2, 3].map((n) => one.update(id, { size: round * 10 + n })))
      assert.equal((await one.getById(id))?.size, round * 10 + 3)
    }
    busy = false
    await meddling
    await until('both to agree', async () => (await other.getById(id))?.name === (await one.getById(id))?.name)
  } finally {
    await Promise.all([one.close(), other.close()])
  }
}))
