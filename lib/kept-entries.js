'use strict'

// What is kept as objects, in the order in which it has to go: an engine keeps so many entries, and those of all engines of
// this thread together hold so much.

/** The entries of each engine. Those of an engine that nobody uses any more are gone. */
const all = new Set()

/** What all entries hold, at most: what went with its engine counts until there seems to be no room. */
let held = 0

/** Numbers the entries as they come and as they are passed over. */
let turns = 0

let most
/** So much may all entries hold: few beside what the heap of this thread can grow to. */
const mostHeld = () => (most ??= Math.min(heapLimit() / 8, 2 ** 29))

/** Loaded at first use, which takes a millisecond. Bun's heap has no limit of its own. */
function heapLimit() {
  if (process.versions.bun === undefined) return require('node:v8').getHeapStatistics().heap_size_limit
  const [total, allowed] = [require('node:os').totalmem(), process.constrainedMemory?.() || Infinity]
  return Math.min(total, allowed)
}

/** Whether something of this size is kept: what is larger would leave little room for all else. */
const isKept = (size) => size <= mostHeld() / 2

/** The entries of one engine. */
class KeptEntries {
  /** Oldest first. */
  #order = new Set()
  #held = 0
  #most = 0

  constructor() {
    for (const reference of all) if (reference.deref() === undefined) all.delete(reference)
    all.add(new WeakRef(this))
  }

  get size() {
    return this.#order.size
  }

  get held() {
    return this.#held
  }

  /** Lets the engine keep so many entries, or more if somebody asked for more. */
  raise(most) {
    this.#most = Math.max(this.#most, most)
  }

  /** Adds an entry, for which others may have to go; or it itself. */
  add(entry) {
    this.#put(entry)
    this.#held += entry.size
    held += entry.size
    while (this.#order.size > this.#most) this.passOrDrop(entry)
    if (held > mostHeld()) makeRoom(entry)
  }

  #put(entry) {
    entry.turn = turns += 1
    this.#order.add(entry)
  }

  /** When the oldest entry came. */
  get oldest() {
    const [entry] = this.#order
    return entry === undefined ? Infinity : entry.turn
  }

  /** Lets the oldest entry go. One that was read since it came gets another round, unless it is the newest of all. */
  passOrDrop(newest) {
    const [entry] = this.#order
    if (entry.used && entry !== newest) {
      entry.used = false
      this.#order.delete(entry)
      this.#put(entry)
    } else {
      this.remove(entry)
      entry.collection.drop(entry)
    }
  }

  remove(entry) {
    if (!this.#order.delete(entry)) return
    this.#held -= entry.size
    held -= entry.size
  }
}

/** Lets entries go, those that were not read for longest first, whatever engine they are of. */
function makeRoom(newest) {
  const engines = Array.from(all, (reference) => reference.deref()).filter((engine) => engine !== undefined)
  held = engines.reduce((sum, engine) => sum + engine.held, 0)
  while (held > mostHeld()) {
    engines.reduce((one, other) => (other.oldest < one.oldest ? other : one)).passOrDrop(newest)
  }
}

module.exports = { isKept, KeptEntries }
