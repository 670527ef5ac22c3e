// A caller's storage in a process of its own. Arguments: base path, what to do, and what that needs.
import { join } from 'node:path'
import { writeSync } from 'node:fs'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { BaseStorage } from '../../index.mjs'

const [base, work, ...rest] = process.argv.slice(2)
const say = (value) => writeSync(1, `${JSON.stringify(value)}\n`)

function collectGarbage() {
  if ('Bun' in globalThis) return globalThis.Bun.gc(true)
  setFlagsFromString('--expose-gc')
  runInNewContext('gc')()
}

const schema = (check) => ({ '~standard': { version: 1, vendor: 'test', validate: (value) => check(value) } })

class Things extends BaseStorage {
  static indexes = [{ name: 'by_email', type: 'hash', fields: ['email'], unique: true, sparse: true }]
  constructor(options) {
    super(schema((value) => ({ value })), schema(async (value) => ({ value: { ...value, name: String(value.name).trim() } })), 'data', { basePath: base, ...options })
  }
  getIndexPath() {
    return join(this.basePath, this.dataDir, 'things.json')
  }
  locked(key, run) {
    return this.withLock(key, run)
  }
}

const storage = new Things()
const works = {
  async list() {
    say(await storage.list())
  },
  async write(map) {
    await storage.writeAll(JSON.parse(map))
  },
  async delete(id) {
    await storage.delete(Number(id))
  },
  /** Patches fields of one thing, a different one each of `count` times. */
  async patch(id, tag, count) {
    await Promise.all(Array.from({ length: Number(count) }, (_, n) => storage.update(Number(id), { [`${tag}${n}`]: n })))
    say('patched')
  },
  async create(count) {
    const created = await Promise.all(Array.from({ length: Number(count) }, (_, n) => storage.create({ name: `${process.pid} ${n}` })))
    say(created.map(({ id }) => id))
  },
  /** Tries to claim each of some addresses. */
  async claim(count) {
    const taken = []
    for (let n = 0; n < Number(count); n++) {
      try {
        taken.push((await storage.create({ name: 'x', email: `${n}@example.org` })).email)
      } catch (error) {
        if (error.code !== 'UNIQUE_VIOLATION') throw error
      }
    }
    say(taken)
  },
  /** Increments a shared number `count` times, under a lock. */
  async count(id, count) {
    for (let n = 0; n < Number(count); n++) {
      await storage.locked('counter', async () => {
        const { value } = await storage.getById(Number(id))
        await new Promise((resolve) => setImmediate(resolve))
        await storage.update(Number(id), { value: value + 1 })
      })
    }
    say('counted')
  },
  /** Holds a lock until the process is killed. */
  async hold(key) {
    await storage.locked(key, () => {
      say(process.pid)
      return new Promise((resolve) => setTimeout(resolve, 600_000))
    })
  },
  /** Writes, and drops every reference to the storage without closing it. */
  async drop(count) {
    let dropped = new Things()
    for (let n = 0; n < Number(count); n++) await dropped.create({ name: `${n}` })
    dropped = undefined
    collectGarbage()
    say((await storage.list()).map(({ id }) => id))
    process.exit(0)
  },
}

await works[work](...rest)
await storage.close()
