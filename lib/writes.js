'use strict'

// The writes of one instance that have not been answered yet: `close()` waits for them, and they are kept in order.

const { Nesting } = require('./nesting.js')
const { WriteOrder } = require('./write-order.js')

/** The calls whose callbacks the running code is part of. */
const inside = new Nesting()

/** Stands for all entities. */
const ALL = Symbol('all')

const NOTHING = Promise.resolve()

class Writes {
  /** For each promised answer, the object that stands for the call while its callback runs, if it has a callback. */
  #pending = new Map()
  #parent
  #order
  /** The ends of the writes that have places, by what they write. */
  #ends = new Map()

  /**
   * @param patience how long the others wait for a write that cannot begin, in milliseconds
   * @param parent the writes of the instance that this one ends with
   */
  constructor(patience, parent) {
    this.#parent = parent
    this.#order = parent === undefined ? new WriteOrder(patience) : parent.#order
  }

  /**
   * Begins a write once all writes that were called earlier have begun, which usually means at once. A write that already
   * has a place begins `within` it.
   *
   * @param attempt `{ start, prepare, otherwise, abandon }`: with `prepare`, the write begins once that is done; with
   *   `otherwise`, if the answer is null, the attempt that it returns follows in the same place; `abandon` is called if the
   *   turn of the write never comes
   */
  begin(attempt, signal, within) {
    // A write that is refused takes no place.
    if (within !== undefined || signal?.aborted) return attempt.start()
    if (this.#order.isFree && attempt.prepare === undefined && attempt.otherwise === undefined) return attempt.start()
    return this.#inPlace(this.#order.take(), attempt, signal)
  }

  async #inPlace(place, attempt, signal) {
    try {
      try {
        await place.enter(signal)
      } catch (error) {
        attempt.abandon?.()
        throw error
      }
      for (;;) {
        await attempt.prepare?.()
        const answer = attempt.start()
        if (attempt.otherwise === undefined) {
          place.leave()
          return await answer
        }
        if ((await answer) !== null) return await answer
        attempt = attempt.otherwise()
      }
    } finally {
      place.leave()
    }
  }

  /**
   * Runs a write that has something to do before it can begin, in the place of its call, and remembers it. `work` receives
   * the place in which it begins, and a promise to await before it reads what it changes: the end of the earlier writes of
   * the same data. That is the entities under `keys`, or `ALL` entities.
   */
  perform(keys, work) {
    const place = this.#order.take()
    const earlier = this.#earlier(keys)
    const passed = new Promise((resolve) => (place.onPassed = resolve))
    // A write that fails or is aborted before the earlier ones have ended does not end before them.
    const end = earlier.then(() => passed)
    // A write without a key can only be waited for together with all others.
    const names = keys === ALL ? [ALL] : keys.length > 0 ? keys : [place]
    for (const name of names) this.#ends.set(name, end)
    end.then(() => {
      for (const name of names) if (this.#ends.get(name) === end) this.#ends.delete(name)
    })
    const run = async () => {
      try {
        return await work(place, earlier)
      } finally {
        place.leave()
        place.onPassed()
      }
    }
    return this.remember(run())
  }

  #earlier(keys) {
    if (this.#ends.size === 0) return NOTHING
    if (keys === ALL) return Promise.all(this.#ends.values())
    // The same write may have several of these keys.
    return Promise.all(new Set([ALL, ...keys].map((key) => this.#ends.get(key))))
  }

  /** Remembers a write until it is answered, and returns the answer. */
  async remember(answer, callback) {
    for (let writes = this; writes !== undefined; writes = writes.#parent) writes.#pending.set(answer, callback)
    try {
      return await answer
    } finally {
      for (let writes = this; writes !== undefined; writes = writes.#parent) writes.#pending.delete(answer)
    }
  }

  /** Remembers a call that runs a function of the caller. Inside that function, nothing waits for the call. */
  around(work) {
    const callback = {}
    return this.remember(inside.run(callback, work), callback)
  }

  /** Whether the running code is part of a call that is not answered yet. */
  get isInside() {
    const callbacks = new Set(this.#pending.values())
    return [...inside].some((callback) => callbacks.has(callback))
  }

  /** Resolves once all writes have been answered, except those that the running code is part of. */
  async settled() {
    const own = new Set(inside)
    for (;;) {
      const others = [...this.#pending].filter(([, callback]) => !own.has(callback)).map(([answer]) => answer)
      if (others.length === 0) return
      await Promise.allSettled(others)
    }
  }
}

module.exports = { ALL, Writes }
