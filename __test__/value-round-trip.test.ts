// Values drawn at random: a storage returns what it accepts, both at once and after it was closed.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { z } from 'zod'
import { join } from 'node:path'
import { BaseStorage, type StorageOptions } from '../index.js'
import { withDirectory } from './support/index.js'

const thing = z.object({ id: z.number(), created: z.number(), updated: z.number(), value: z.any() })

class Things extends BaseStorage<any> {
  constructor(options: StorageOptions) {
    super(z.record(z.string(), thing) as any, thing as any, 'things', options)
  }
  getIndexPath() {
    return join(this.basePath, this.dataDir, 'things.json')
  }
  getEntityPath() {
    return null
  }
}

/** Draws numbers from 0 to below 1 (mulberry32). */
function drawn(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0
    let word = Math.imul(seed ^ (seed >>> 15), 1 | seed)
    word = (word + Math.imul(word ^ (word >>> 7), 61 | word)) ^ word
    return ((word ^ (word >>> 14)) >>> 0) / 2 ** 32
  }
}

const numbers = [0, -0, 1, -1, 0.1, 1e21, 1e-7, 5e-324, Number.MAX_VALUE, 2 ** 53, 2 ** 53 + 2, -(2 ** 31), 123456789.123456789]
const texts = ['', 'a', '"', '\\', '/', '\n\r\t\b\f', '\0\u001f', '\u2028\u2029', '\ud83d\ude00', '\ud800', '\udc00x', 'é', '\x7f', '__proto__', 'toJSON', 'x'.repeat(5000)]

function value(random: () => number, depth = 0): unknown {
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!
  const kind = random() * (depth < 5 ? 9 : 6)
  if (kind < 1) return pick(numbers)
  if (kind < 2) return (random() - 0.5) * 10 ** Math.floor(random() * 40 - 20)
  if (kind < 3) return pick(texts)
  if (kind < 4) return String.fromCharCode(...Array.from({ length: random() * 12 }, () => random() * 0x10000))
  if (kind < 5) return pick([true, false, null, undefined])
  if (kind < 6) return new Date(Math.floor(random() * 4e12))
  if (kind < 7) return Array.from({ length: random() * 5 }, () => value(random, depth + 1) ?? null)
  const names = Array.from({ length: random() * 5 }, () => (random() < 0.7 ? pick(texts).slice(0, 20) : String(Math.floor(random() * 100))))
  return Object.fromEntries(names.map((name) => [name, value(random, depth + 1)]))
}

/** Returns the value as JSON has it, with the members in the order in which a reader of that text finds them. */
const asJson = (given: unknown) => JSON.parse(JSON.stringify(given ?? null))

const SEEDS = 4
const VALUES = 60

describe('values of every kind are read back as JSON represents them', () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    test(`drawn from the seed ${seed}`, withDirectory(async ({ base }) => {
      const random = drawn(seed)
      const given = Array.from({ length: VALUES }, () => value(random) ?? null)
      const storage = new Things({ basePath: base, durability: 'os' })
      const created = await Promise.all(given.map((value) => storage.create({ value })))
      const check = async (from: Things, when: string) => {
        for (const [at, { id }] of created.entries()) {
          const found = await from.getById(id)
          assert.deepEqual(found.value, asJson(given[at]), `value ${at} ${when}`)
          assert.equal(JSON.stringify(found.value), JSON.stringify(asJson(given[at])), `value ${at} ${when}`)
        }
      }
      await check(storage, 'while it is open')
      const all = await storage.readAll()
      assert.deepEqual(await storage.writeAll(all), all)
      await storage.close()
      const again = new Things({ basePath: base })
      await check(again, 'once it is opened again')
      for (const { id } of created) await again.update(id, { value: (await again.getById(id)).value })
      await check(again, 'after an update with what was read')
      assert.equal((await again.verify()).ok, true)
      await again.close()
    }))
  }
})
