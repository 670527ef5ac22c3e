// Starts one call of every kind (writes, a transaction, an iteration, a feed, streams both ways, questions to an index) and
// says so. It is ended from outside or, as a process with `exit`, by itself. Arguments: base path, how.
import { writeSync } from 'node:fs'
import { isMainThread, parentPort, workerData } from 'node:worker_threads'
import { IndexManager, ProjectStorageV2 } from '../../index.mjs'

const [base, how] = isMainThread ? process.argv.slice(2) : [workerData.base, workerData.how]
const never = new Promise((resolve) => setTimeout(resolve, 600_000))

const storage = new ProjectStorageV2({ basePath: base, lockTimeout: 60_000 })
const indexes = new IndexManager(base, 'data/project_storage')
const { id } = await storage.create({ name: 'busy', path: '/busy' })
const files = storage.getFileStorage(id)
const big = await files.create({ name: 'big', path: 'big', content: 'x'.repeat(500_000) })

const begun = []
const begin = (work) => begun.push(new Promise((resolve) => work(resolve)))

begin(async (ready) => {
  const changes = storage.changes({ scope: 'database' })
  const first = changes.next()
  ready()
  await first
  for (;;) await changes.next()
})
begin(async (ready) => {
  for await (const _ of files.iterate({ batchSize: 1 })) {
    ready()
    await never
  }
})
begin(async (ready) => {
  const reader = files.createContentStream(big.id).getReader()
  await reader.read()
  ready()
  for (;;) if ((await reader.read()).done) return
})
begin((ready) => files.createFromStream({ name: 'half', path: 'half' }, (async function* () {
  yield 'a'.repeat(200_000)
  ready()
  await never
})()))
begin((ready) => storage.transaction(async (tx) => {
  await tx.create({ name: 'in a transaction', path: '/tx' })
  ready()
  await never
}))
begin(async (ready) => {
  const name = `by_a_${id}`
  await indexes.createIndex({ name, type: 'btree', fields: ['a'] })
  for (let n = 0; ; n++) {
    await indexes.addToIndex(name, n, { a: n })
    await indexes.query(name, n)
    ready()
  }
})
begin(async (ready) => {
  for (let n = 0; ; n++) {
    await storage.create({ name: `n${n}`, path: '/n' })
    ready()
  }
})

await Promise.all(begun)
if (!isMainThread) parentPort.postMessage('busy')
else writeSync(1, 'busy\n')
if (how === 'exit') process.exit(7)
if (how === 'throw') throw new Error('on purpose')
