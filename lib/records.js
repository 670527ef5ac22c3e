'use strict'

// Records on their way into native code. Many of them are made text and cross a slice at a time, between which the event loop
// turns: what is made text later must by then be nothing that a caller can change.

const { NativeRecords } = require('./native.js')
const { throwIfAborted } = require('./abort.js')
const { bytesOf, channels, published } = require('./diagnostics.js')
const { turn } = require('./timers.js')

/** A slice has so many records at most, and none is added to one that has so many characters. */
const MOST_RECORDS = 256
const MOST_CHARACTERS = 2 ** 20

class Records {
  native = new NativeRecords()
  /** The bytes of all that has crossed. */
  bytes = 0
  /** Whether they are for several calls. Who made them lets them go then. */
  isReused = false
  #records
  #partsOf
  /** So many have crossed. */
  #count = 0

  /**
   * Few records cross at once, of many the first ones.
   * @param partsOf gives the JSON of a record and, where its large field crosses apart, that: `[text, large]`
   */
  constructor(records, partsOf) {
    this.#records = records
    this.#partsOf = partsOf
    this.#cross()
  }

  /** Whether all have crossed. */
  get isComplete() {
    return this.#count === this.#records.length
  }

  /** Resolves when all have crossed. */
  async complete(signal) {
    try {
      while (!this.isComplete) {
        await turn()
        throwIfAborted(signal)
        this.#cross()
      }
    } catch (error) {
      this.native.release()
      throw error
    }
  }

  #cross() {
    const [texts, larges] = [[], []]
    let characters = 0
    while (!this.isComplete && texts.length < MOST_RECORDS && characters < MOST_CHARACTERS) {
      const [text, large = null] = this.#partsOf(this.#records[this.#count++])
      characters += text.length + (large?.length ?? 0)
      texts.push(text)
      larges.push(large)
    }
    this.bytes += this.native.append(texts, larges)
  }

  /** The answer of a call that they are for, after which they are let go. */
  async during(answer) {
    try {
      return await answer
    } finally {
      if (!this.isReused) this.native.release()
    }
  }
}

/**
 * An attempt to write, as `Writes` begins it.
 * @param run is given what starts a call of native code
 * @param write `{ start, given, otherwise }`: where `given` are `Records`, they cross before it starts; `otherwise` gives such a
 *   write, too
 */
function attemptOf(run, { start, given, otherwise }, signal) {
  if (!(given instanceof Records)) return { start: () => run(start) }
  return {
    prepare: given.isComplete ? undefined : () => given.complete(signal),
    start: () => given.during(run(start)),
    otherwise: otherwise && (() => attemptOf(run, otherwise(), signal)),
  }
}

/** As `published`, for a write of what is given: how many bytes `Records` have is known once they have crossed. */
function publishedWrite(about, given, begin, sequence) {
  const event = { ...about, bytes: bytesOf(given) }
  const counted = async () => {
    try {
      return await begin()
    } finally {
      if (given instanceof Records) event.bytes = given.bytes
    }
  }
  return published(channels.write, event, counted, sequence)
}

module.exports = { attemptOf, publishedWrite, Records }
