// What others may change beside a transaction without making it run again, and what not.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ProjectFileStorage } from '../index.js'
import { fileInput, withProject } from './support/index.js'
import { withThings } from './support/things.js'
import type { Things } from './support/things.js'

type Tx = Parameters<Parameters<Things['transaction']>[0]>[0]
type FileTx = Parameters<Parameters<ProjectFileStorage['transaction']>[0]>[0]

/** Returns how often a transaction runs that reads, is overtaken by others once, and writes. */
async function runsOf<T>(transaction: (work: (tx: T) => Promise<void>) => Promise<void>, read: (tx: T) => Promise<unknown>, others: () => Promise<unknown>, write: (tx: T) => Promise<unknown>) {
  let runs = 0
  await transaction(async (tx) => {
    runs += 1
    await read(tx)
    if (runs === 1) await others()
    await write(tx)
  })
  return runs
}

const withThreeThings = (work: (things: Things) => Promise<void>, options = {}) =>
  withThings(async (things) => {
    await things.createMany([1, 2, 3].map((size) => ({ name: `thing ${size}`, size })))
    await work(things)
  }, { durability: 'os', ...options })

for (const [indexed, options] of [['with an index', { indexes: [{ name: 'by_size', type: 'btree', fields: ['size'] }] }], ['without one', {}]] as const) {
  for (const [what, others, runs] of [
    ['creates one that the condition excludes', (things) => things.create({ name: 'new', size: 1 }), 1],
    ['creates one that comes behind', (things) => things.create({ name: 'new', size: 3 }), 1],
    ['changes one that comes behind', async (things) => things.update((await things.list())[2]!.id, { name: 'new' }), 1],
    ['deletes one that the condition excludes', async (things) => things.delete((await things.list())[0]!.id), 1],
    ['creates one that comes first', (things) => things.create({ name: 'new', size: 1.8 }), 2],
    ['changes the one that was found', async (things) => things.update((await things.list())[1]!.id, { name: 'new' }), 2],
    ['deletes the one that was found', async (things) => things.delete((await things.list())[1]!.id), 2],
  ] satisfies [string, (things: Things) => Promise<unknown>, number][]) {
    test(`a transaction that queries for the first entity, ${indexed}, runs ${runs === 1 ? 'once' : 'again'} if another writer ${what}`, withThreeThings(async (things) => {
      const first = (tx: Tx) => tx.query({ where: { size: { $gt: 1.5 } }, orderBy: 'size', limit: 1 })
      const counted = await runsOf<Tx>((work) => things.transaction(work), first, () => others(things), (tx) => tx.create({ name: 'mine' }))
      assert.equal(counted, runs)
      assert.ok((await things.list()).some(({ name }) => name === 'mine'))
    }, options))
  }
}

test('a transaction that counts runs again only if the number changes', withThreeThings(async (things) => {
  const [, second] = await things.list()
  const count = (tx: Tx) => tx.count({ where: { size: { $gte: 2 } } })
  const mine = (tx: Tx) => tx.create({ name: 'mine', size: 0 })
  const run = (others: () => Promise<unknown>) => runsOf<Tx>((work) => things.transaction(work), count, others, mine)
  assert.equal(await run(() => things.update(second!.id, { size: 4 })), 1)
  assert.equal(await run(() => things.create({ name: 'small', size: 1 })), 1)
  assert.equal(await run(() => things.update(second!.id, { size: 1 })), 2)
}))

test('transactions that create an entity unless they find it create it once, however many run at once', withThreeThings(async (things) => {
  const count = () => things.transaction(async (tx) => {
    const [known] = await tx.query({ where: { name: 'counter' }, limit: 1 })
    return known ? tx.update(known.id, { size: known.size + 1 }) : tx.create({ name: 'counter', size: 1 })
  })
  const sizes = (await Promise.all(Array.from({ length: 20 }, count))).map((counter) => counter!.size)
  assert.deepEqual(sizes.sort((a, b) => a - b), Array.from({ length: 20 }, (_, at) => at + 1))
  assert.equal(await things.count({ where: { name: 'counter' } }), 1)
}))

test('transactions that take from a queue empty it although others keep filling it', withThreeThings(async (things) => {
  await things.deleteAll()
  await things.createMany(Array.from({ length: 60 }, (_, n) => ({ name: 'queued', size: n })))
  let filling = true
  const fill = async () => {
    while (filling) await things.create({ name: 'later' })
  }
  const taken: number[] = []
  const take = async () => {
    for (let done = false; !done; ) {
      await things.transaction(async (tx) => {
        const [job] = await tx.query({ where: { name: 'queued' }, limit: 1 })
        done = job === undefined
        if (job) await tx.update(job.id, { name: 'taken' })
        return job
      }).then((job) => job && taken.push(job.size))
    }
  }
  await Promise.all([fill(), Promise.all([take(), take(), take()]).finally(() => (filling = false))])
  assert.deepEqual(taken.sort((a, b) => a - b), Array.from({ length: 60 }, (_, n) => n))
}))

test('a transaction on a file runs once if another writer changes other files, and again if it changes this one', withProject(async (storage, project) => {
  const files = storage.getFileStorage(project.id)
  const [one, other] = await files.createMany([fileInput('a.ts'), fileInput('b.ts')])
  const version = (tx: FileTx) => tx.createVersion(one!.id, 'mine')
  const run = (others: () => Promise<unknown>) =>
    runsOf<FileTx>((work) => files.transaction(work), version, others, (tx) => tx.update(one!.id, { summary: 'short' }))
  assert.equal(await run(async () => {
    await files.createVersion(other!.id, 'theirs')
    await files.create(fileInput('c.ts'))
  }), 1)
  assert.equal(await run(() => files.createVersion(one!.id, 'theirs')), 2)
  assert.deepEqual((await files.getVersions(one!.id)).map(({ content }) => content), ['content of a.ts', 'mine', 'theirs', 'mine'])
}))

test('a transaction that searched contents runs again only if another writer changes what it would find', withProject(async (storage, project) => {
  const files = storage.getFileStorage(project.id)
  const [, other] = await files.createMany([fileInput('a.ts', 'needle'), fileInput('b.ts', 'hay')])
  const find = (tx: FileTx) => tx.query({ where: { content: /needle/ } })
  const run = (content: string) =>
    runsOf<FileTx>((work) => files.transaction(work), find, () => files.update(other!.id, { content }), (tx) => tx.create(fileInput(`${content}.ts`, '')))
  assert.equal(await run('more hay'), 1)
  assert.equal(await run('a needle'), 2)
}))
