// Rounds in which the sides take turns, and the statistics of their figures.
import { settled } from './disk.mjs'

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

/** Returns the value below which the given part of all values is. */
export function quantile(values, part) {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))]
}

/** Returns the microseconds that each of `count` operations takes when `work` does them all. */
export async function perItem(count, work) {
  const start = performance.now()
  await work()
  return ((performance.now() - start) * 1000) / count
}

/**
 * Returns the microseconds of one call, calling with each item in turn. The calls of a synchronous peer are not awaited, so
 * that no side pays for what only another side needs.
 */
export function each(items, call, synchronous) {
  if (synchronous) {
    return perItem(items.length, () => {
      for (const item of items) call(item)
    })
  }
  return perItem(items.length, async () => {
    for (const item of items) await call(item)
  })
}

/**
 * Runs the sides in turn, one round to warm up and then `rounds`. Each round has another order, so that what one side leaves
 * to the disk or the caches is not always found by the same other side. A side is a function that returns the figure of one
 * round. Returns the figures of all counted rounds by the names of the sides.
 */
export async function interleave(rounds, sides) {
  const names = Object.keys(sides)
  const figures = Object.fromEntries(names.map((name) => [name, []]))
  for (let round = 0; round <= rounds; round++) {
    for (const name of shuffled(names, round)) {
      collectGarbage()
      // Data that one side wrote without waiting for the disk must not occupy the disk during the next side's turn.
      await settled()
      const figure = await sides[name](round)
      if (round > 0) figures[name].push(figure)
    }
  }
  return figures
}

/** Returns an order that differs in each round but is the same in each run. */
function shuffled(names, round) {
  const order = [...names]
  let state = round + 1
  for (let last = order.length - 1; last > 0; last--) {
    state = (state * 48271) % 2147483647
    const other = state % (last + 1)
    ;[order[last], order[other]] = [order[other], order[last]]
  }
  return order
}

/** Collects garbage, so that no side pays for what the side before it left behind. */
export function collectGarbage() {
  if (globalThis.Bun) Bun.gc(true)
  else globalThis.gc?.()
}

/** Checks an answer: a fast answer that is wrong does not count. */
export function expect(found, field = 'content') {
  if (!found?.[field]) throw new Error(`a read gave ${found === null ? 'null' : typeof found} instead of an entity with ${field}`)
  return found
}
