// What calls cost at growing sizes: the same calls on a thousand and on a hundred thousand files.
import { content, sample, tinyFile } from '../lib/data.mjs'
import { interleave, perItem } from '../lib/measure.mjs'
import { eachRead, eachWrite, pathOf } from '../lib/sides.mjs'
import { Ours } from '../peers/ours.mjs'

export async function growing(bench) {
  const sizes = bench.quick ? [1000, 10_000] : [1000, 10_000, 100_000]
  const opened = {}
  const ids = {}
  const uncached = {}
  for (const size of sizes) {
    const path = pathOf(bench.directory, `grown-${size}`, 'ours')
    const filling = await Ours.open(path)
    ids[size] = []
    for (let at = 0; at < size; at += 10_000) {
      const batch = Array.from({ length: Math.min(10_000, size - at) }, (_, n) => tinyFile(at + n))
      ids[size].push(...(await filling.createMany(batch)))
    }
    // The JSON file must not be written while calls are measured.
    await filling.close()
    opened[size] = await Ours.open(path)
    uncached[size] = await Ours.open(path, { cacheEnabled: false })
  }
  const count = 100
  const next = Object.fromEntries(sizes.map((size) => [size, size]))
  const calls = [
    ['create', 'create', (size) => eachWrite(opened[size], range(next, size, count), (n) => opened[size].create(tinyFile(n)))],
    ['get', 'getById, not cached', (size) => eachRead(uncached[size], sample(ids[size], 1000), (id) => uncached[size].byId(id))],
    ['by-path', 'find by path, not cached', (size) => {
      const paths = sample(ids[size].map((_, n) => tinyFile(n).path), 1000)
      return eachRead(uncached[size], paths, (path) => uncached[size].byPath(path))
    }],
    ['update', 'update', (size) => {
      const changes = sample(ids[size], count).map((id) => ({ id, patch: { content: content(id) } }))
      return eachWrite(opened[size], changes, ({ id, patch }) => opened[size].update(id, patch))
    }],
    ['heads', 'list without content, for each file', (size) => perItem(size, () => uncached[size].heads())],
  ]
  const lines = []
  for (const [id, work, call] of calls) {
    const sides = Object.fromEntries(sizes.map((size) => [size, () => call(size)]))
    lines.push({ id, work, figures: await interleave(id === 'heads' ? bench.fewRounds : bench.rounds, sides) })
  }
  bench.grow({ unit: 'µs', sizes, lines })
  for (const size of sizes) {
    await uncached[size].close()
    await opened[size].close()
    bench.remove(`grown-${size}`)
  }
}

/** Returns numbers that no file of this size has yet. */
function range(next, size, count) {
  const first = next[size]
  next[size] += count
  return Array.from({ length: count }, (_, n) => first + n)
}
