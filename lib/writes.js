'use strict'

// The writes of one instance that are not answered yet: for `close()`, which waits for them, and for their order, which is
// that of their calls also where one may have to start over.

const { unlessAborted } = require('./abort.js')

/** Starts at once; what it throws is an answer too. */
const begun = async (start) => start()

class Writes {
  #pending = new Set()
  /** Those that were called after one that may have to start over; undefined while no such one is under way. */
  #waiting

  /**
   * Begins a write once its place in the order is certain: at once, as a rule. Where `otherwise` is given and `start` is
   * answered with null, that begins in the same place.
   */
  begin(start, signal, otherwise) {
    // It is refused, so it has no place.
    if (signal?.aborted) return start()
    return this.#inTurn(otherwise === undefined ? start : () => this.#startOver(start, otherwise), signal)
  }

  #inTurn(start, signal) {
    if (this.#waiting === undefined) return start()
    return unlessAborted(signal, new Promise((resolve) => this.#waiting.push(() => resolve(begun(start)))))
  }

  async #startOver(start, otherwise) {
    this.#waiting = []
    try {
      const answer = await start()
      // Not awaited: it has its place as soon as it has begun, and those that wait may follow.
      return answer === null ? otherwise() : answer
    } finally {
      this.#goOn()
    }
  }

  /** Begins those that waited, up to one that others must wait for again. */
  #goOn() {
    const waiting = this.#waiting
    this.#waiting = undefined
    while (this.#waiting === undefined && waiting.length > 0) waiting.shift()()
    this.#waiting?.push(...waiting)
  }

  /** Remembers a write until it is answered. */
  remember(answer) {
    this.#pending.add(answer)
    const forget = () => this.#pending.delete(answer)
    answer.then(forget, forget)
    return answer
  }

  /** Resolves when all of them are answered. */
  async settled() {
    await Promise.allSettled(this.#pending)
  }
}

module.exports = { Writes }
