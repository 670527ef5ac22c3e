// Processes that are killed in the middle of transactions, of listening to changes and of iterating, while others work.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Change } from '../index.js'
import { runChild, withDirectory } from './support/index.js'
import { Things, anything, thing } from './support/things.js'

interface Account {
  balance: number
  count?: number
}

const accounts = (base: string, name: string) => new Things({ basePath: base, file: `data/${name}.json`, schema: anything })

/** Runs a script until it has printed this many lines, then kills it; returns the whole lines that it printed. */
async function killedAfter<T>(lines: number, args: string[]): Promise<T[]> {
  let count = 0
  const child = await runChild('accounts.mjs', args, {
    onLine: (_, kill) => {
      count += 1
      if (count === lines) kill()
    },
  })
  assert.equal(child.signal, 'SIGKILL', child.stderr)
  return child.lines.map((line) => JSON.parse(line))
}

test('transactions of killed processes are stored completely or not at all', withDirectory(async ({ base }) => {
  const [first, second] = [accounts(base, 'first'), accounts(base, 'second')]
  const account = (id: number) => thing(id, { balance: 100, count: 0 } as never)
  for (const storage of [first, second]) await storage.writeAll({ 1: account(1), 2: account(2), 3: account(3) })
  let acknowledged = 0
  let kills = 0
  for (const lines of [1, 4, 9, 15]) {
    const killed = await Promise.all([lines, lines + 3].map((lines) => killedAfter<number>(lines, [base, 'transfer'])))
    kills += killed.length
    for (const committed of killed) acknowledged += committed.length
    const all = [...(await first.list()), ...(await second.list())] as unknown as Account[]
    assert.equal(all.reduce((sum, { balance }) => sum + balance, 0), 600)
  }
  const { count } = (await second.getById(1)) as unknown as { count: number }
  assert.ok(count >= acknowledged && count <= acknowledged + kills, `${count} of ${acknowledged} with ${kills} kills`)
  assert.equal((await first.verify()).ok, true)
  await Promise.all([first.close(), second.close()])
}))

test('a killed listener that resumes after its last sequence number hears every change once', withDirectory(async ({ base }) => {
  const storage = accounts(base, 'first')
  await storage.list()
  const heard: Change<number>[] = []
  const acknowledged: object[] = []
  const last = () => heard.at(-1)?.sequence ?? 0
  for (const lines of [10, 25, 40]) {
    // Two processes write and one listens, and each is killed at some point.
    const [one, other, listened] = await Promise.all([
      killedAfter<object>(lines, [base, 'write']),
      killedAfter<object>(lines + 5, [base, 'write']),
      killedAfter<Change<number> | 'listening'>(lines, [base, 'listen', String(last())]),
    ])
    acknowledged.push(...one, ...other)
    heard.push(...listened.filter((line) => line !== 'listening'))
  }
  const timer = setInterval(() => {}, 1000)
  const changes = storage.changes({ from: last() })
  while (last() < (await storage.sequence())) heard.push((await changes.next()).value!)
  clearInterval(timer)
  assert.deepEqual(heard.map(({ kind, sequence }) => [kind, sequence]), heard.map((_, at) => ['change', at + 1]))
  const told = new Set(heard.map(({ created, updated, deleted }: any) => JSON.stringify([created, updated, deleted])))
  for (const { created = [], updated = [], deleted = [] } of acknowledged as Partial<Record<string, number[]>>[]) {
    const text = JSON.stringify([created, updated, deleted])
    assert.ok(told.has(text), `${text} was acknowledged and not heard of`)
  }
  await storage.close()
}))

test('an iteration keeps its snapshot while another process deletes everything and checkpoints', withDirectory(async ({ base }) => {
  const storage = accounts(base, 'first')
  const ids = Array.from({ length: 300 }, (_, at) => at + 1)
  await storage.writeAll(Object.fromEntries(ids.map((id) => [id, thing(id)])))
  await accounts(base, 'first').close()
  let deleted: Promise<void> | undefined
  const { lines, code, stderr } = await runChild('accounts.mjs', [base, 'iterate'], {
    onLine: () => {
      deleted ??= storage.deleteAll().then(() => storage.close())
    },
  })
  assert.deepEqual([lines.map(Number), code, stderr], [ids, 0, ''])
  await deleted
}))

test('a process killed during an iteration leaves nothing behind and does not block others', withDirectory(async ({ base }) => {
  const storage = accounts(base, 'first')
  await storage.writeAll(Object.fromEntries(Array.from({ length: 300 }, (_, at) => [at + 1, thing(at + 1)])))
  const seen = await killedAfter<number>(7, [base, 'iterate'])
  assert.deepEqual(seen.slice(0, 7), [1, 2, 3, 4, 5, 6, 7])
  await storage.delete(1)
  const report = await storage.verify()
  assert.deepEqual([report.ok, report.problems, report.documents], [true, [], 299])
  await storage.close()
}))
