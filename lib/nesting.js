'use strict'

// What the running code is inside of, across awaits. An operation that waits for a callback must not be awaited inside it.

const { AsyncLocalStorage } = require('node:async_hooks')

class Nesting {
  #frames = new AsyncLocalStorage()

  /** Runs work inside of something. Code that the work leaves behind is no longer inside of it once the work has ended. */
  async run(what, work) {
    const frame = { what, ended: false, outer: this.#innermost() }
    try {
      return await this.#frames.run(frame, work)
    } finally {
      frame.ended = true
    }
  }

  /** What the running code is inside of, innermost first. */
  *[Symbol.iterator]() {
    for (let frame = this.#innermost(); frame !== undefined; frame = frame.outer) yield frame.what
  }

  /** Returns the innermost frame that has not ended. Ended frames are unlinked, so that successors do not form a chain. */
  #innermost() {
    const innermost = running(this.#frames.getStore())
    for (let frame = innermost; frame !== undefined; frame = frame.outer) frame.outer = running(frame.outer)
    return innermost
  }
}

function running(frame) {
  while (frame?.ended) frame = frame.outer
  return frame
}

module.exports = { Nesting }
