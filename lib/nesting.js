'use strict'

// What the running code is inside of, across awaits: a callback that waits for something must not be waited for by it.

const { AsyncLocalStorage } = require('node:async_hooks')

class Nesting {
  #frames = new AsyncLocalStorage()

  /** Runs work inside of something. What the work leaves behind is inside of it no longer when it has ended. */
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

  /** The frames that have not ended. Others are forgotten, so that work which begins its successor holds no chain of them. */
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
