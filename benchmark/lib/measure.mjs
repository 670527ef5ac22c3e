// Rounds in which the sides take turns, and what is made of their figures.
import { settled } from './disk.mjs'

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

/** The value below which a part of all values lies. */
export function quantile(values, part) {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))]
}

/** Microseconds that one of `count` operations takes when `work` does them all. */
export async function perItem(count, work) {
  const start = performance.now()
  await work()
  return ((performance.now() - start) * 1000) / count
}

/**
 * Microseconds of one call with each item in turn. The calls of a synchronous peer are not awaited, so that no side pays
 * for what only another one needs.
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
 * Runs the sides in turn, one round to warm up and then `rounds`, each time in another order, in which each of them follows
 * another one than before: what a side leaves to the disk or the caches is not always found by the same. A side is a function
 * that gives the figure of one round. Gives the figures of all counted rounds by the names of the sides.
 */
export async function interleave(rounds, sides) {
  const names = Object.keys(sides)
  const figures = Object.fromEntries(names.map((name) => [name, []]))
  for (let round = 0; round <= rounds; round++) {
    for (const name of shuffled(names, round)) {
      collectGarbage()
      // What one side wrote without waiting for it does not keep the disk from the next.
      await settled()
      const figure = await sides[name](round)
      if (round > 0) figures[name].push(figure)
    }
  }
  return figures
}

/** An order that is drawn anew for each round, and the same in each run. */
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

/** What one side left behind is not paid for by the next. */
export function collectGarbage() {
  if (globalThis.Bun) Bun.gc(true)
  else globalThis.gc?.()
}

/** A fast wrong answer is none. */
export function expect(found, field = 'content') {
  if (!found?.[field]) throw new Error(`a read gave ${found === null ? 'null' : typeof found} instead of an entity with ${field}`)
  return found
}
