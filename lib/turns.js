'use strict'

// Calls of this thread that take turns, in the order of their calls.

const { throwIfAborted, unlessAborted } = require('./abort.js')
const { retraced } = require('./errors.js')
const { clearTimeout, LONGEST, setTimeout } = require('./timers.js')

class Turns {
  /** The end of the turn that was asked for last, by key. */
  #ends = new Map()

  /**
   * Waits until all earlier turns of a key have ended, and returns the function that ends this one. After `timeout`
   * milliseconds, rejects with the error that `late` returns; the signal, too, ends the waiting.
   */
  async take(key, timeout, signal, late) {
    throwIfAborted(signal)
    const before = this.#ends.get(key)
    let leave
    const left = new Promise((resolve) => (leave = resolve))
    const end = before === undefined ? left : before.then(() => left)
    this.#ends.set(key, end)
    // A turn that is left before it has come ends only when the earlier ones have ended.
    end.then(() => {
      if (this.#ends.get(key) === end) this.#ends.delete(key)
    })
    if (before === undefined) return leave
    let timer
    const overdue = new Promise((_, reject) => {
      timer = setTimeout(() => reject(late()), Math.min(Math.max(timeout, 0), LONGEST))
    })
    try {
      await unlessAborted(signal, Promise.race([before, overdue]))
      return leave
    } catch (error) {
      leave()
      throw retraced(error, this.take)
    } finally {
      clearTimeout(timer)
    }
  }
}

module.exports = { Turns }
