// Adds entities to the index `test` and prints a line for each call as soon as it is acknowledged. Arguments: base path,
// kind of work, a tag that distinguishes this process's entities, how many (0: until killed).
import { writeSync } from 'node:fs'
import { IndexManager } from '../../index.mjs'

const [base, kind, tag, count] = process.argv.slice(2)
const limit = Number(count) || Infinity
const indexes = new IndexManager(base, 'data/things')
const acknowledge = (value) => writeSync(1, `${JSON.stringify(value)}\n`)

const kinds = {
  async add(n) {
    await indexes.addToIndex('test', `${tag}${n}`, { key: [`${tag} ${n}`, n % 5], other: 'x' })
    acknowledge({ id: `${tag}${n}`, key: `${tag} ${n}` })
  },
  async replace(n) {
    await indexes.addToIndex('test', tag, { key: [`${tag} ${n}`, `again ${tag} ${n}`] })
    acknowledge({ id: tag, n })
  },
  async remove(n) {
    await indexes.addToIndex('test', `${tag}${n}`, { key: `${tag} ${n}` })
    await indexes.removeFromIndex('test', `${tag}${n}`)
    acknowledge({ removed: `${tag} ${n}` })
  },
  async rebuild(n) {
    await indexes.rebuildIndex('test', Array.from({ length: 20 }, (_, id) => ({ id, key: [`round ${n}`, id] })))
    acknowledge({ round: n })
  },
  async concurrent(n) {
    await Promise.all([0, 1, 2, 3].map(async (k) => {
      const id = `${tag}${n * 4 + k}`
      await indexes.addToIndex('test', id, { key: [`key of ${id}`, 'shared'] })
      acknowledge({ id, key: `key of ${id}` })
    }))
  },
  /** Tries to be the process that gets the key. */
  async unique(n) {
    try {
      await indexes.addToIndex('test', `${tag}${n}`, { key: n })
      acknowledge({ key: n, id: `${tag}${n}` })
    } catch (error) {
      if (error.code !== 'UNIQUE_VIOLATION') throw error
    }
  },
  /** Creates, fills, queries and drops an index with which other processes do the same. */
  async churn(n) {
    const field = n % 2 ? 'a' : 'b'
    await indexes.createIndex({ name: 'churned', type: n % 3 ? 'hash' : 'btree', fields: [field] }).catch(tolerate('ALREADY_EXISTS'))
    // Another process may have dropped the index, or have created it anew on the other field.
    await indexes.addToIndex('churned', tag, { a: 1, b: 2 }).catch(tolerate('NOT_FOUND', 'CONFLICT'))
    await indexes.query('churned', n % 2 ? 1 : 2)
    await indexes.getIndexStats('churned')
    if (n % 4 === 0) await indexes.dropIndex('churned')
    acknowledge({ n })
  },
}

const tolerate = (...codes) => (error) => {
  if (!codes.includes(error.code)) throw error
}

for (let n = 1; n <= limit; n++) await kinds[kind](n)
await indexes.close()
