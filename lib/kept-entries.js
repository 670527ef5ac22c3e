'use strict'

// The documents that are kept as objects, in the order in which they are evicted. Each engine keeps a limited number of
// entries, and the entries of all engines of this thread together are limited in size.

/** The entries of each engine, weakly referenced: those of an engine that is no longer used are collected. */
const all = new Set()

/** At most the size of all entries: those collected with their engine are still counted until room seems to run out. */
let held = 0

/** Numbers the entries in the order in which they are added or passed over. */
let turns = 0

let most
/** The limit on the size of all entries: a small part of what the heap of this thread can grow to. */
const mostHeld = () => (most ??= Math.min(heapLimit() / 8, 2 ** 29))

/** Loads modules only at first use, which takes a millisecond. Bun's heap has no limit of its own. */
function heapLimit() {
  if (process.versions.bun === undefined) return require('node:v8').getHeapStatistics().heap_size_limit
  const [total, allowed] = [require('node:os').totalmem(), process.constrainedMemory?.() || Infinity]
  return Math.min(total, allowed)
}

/** Whether something of this size is kept. Anything larger would leave little room for the rest. */
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

  /** Raises the number of entries that the engine keeps to at least `most`. */
  raise(most) {
    this.#most = Math.max(this.#most, most)
  }

  /** Adds an entry, for which other entries, or even itself, may be evicted. */
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

  /** The turn in which the oldest entry was added. */
  get oldest() {
    const [entry] = this.#order
    return entry === undefined ? Infinity : entry.turn
  }

  /** Evicts the oldest entry. One that was read since it was added gets another round, unless it is the newest of all. */
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

/** Evicts entries until the rest fits, those not read for longest first, whatever engine they belong to. */
function makeRoom(newest) {
  const engines = Array.from(all, (reference) => reference.deref()).filter((engine) => engine !== undefined)
  held = engines.reduce((sum, engine) => sum + engine.held, 0)
  while (held > mostHeld()) {
    engines.reduce((one, other) => (other.oldest < one.oldest ? other : one)).passOrDrop(newest)
  }
}

module.exports = { isKept, KeptEntries }
