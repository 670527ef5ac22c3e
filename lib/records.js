'use strict'

// Records on their way into native code. A large number of them is turned into text and passed a slice at a time, and the
// event loop turns in between. A record that is turned into text later must be something that the caller cannot change by
// then.

const { NativeRecords } = require('./native.js')
const { throwIfAborted } = require('./abort.js')
const { bytesOf, channels, published } = require('./diagnostics.js')
const { turn } = require('./timers.js')

/** A slice has at most this many records, and gets no more of them once it has this many characters. */
const MOST_RECORDS = 256
const MOST_CHARACTERS = 2 ** 20

class Records {
  native = new NativeRecords()
  /** The bytes of all records passed so far. */
  bytes = 0
  /** Whether several calls use the records. Whoever created them then releases them. */
  isReused = false
  #records
  #partsOf
  /** How many records have been passed. */
  #count = 0

  /**
   * Passes a few records at once, or the first slice of many.
   * @param partsOf returns the JSON of a record and, if its large field is passed apart, that field: `[text, large]`
   */
  constructor(records, partsOf) {
    this.#records = records
    this.#partsOf = partsOf
    this.#cross()
  }

  /** Whether all records have been passed. */
  get isComplete() {
    return this.#count === this.#records.length
  }

  /** Resolves once all records have been passed. */
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

  /** Passes the rest of the records, starts a call that uses all of them, and releases them once it is answered. */
  async passedTo(start, signal) {
    await this.complete(signal)
    return await this.during(start(this.native))
  }

  /** Returns the answer of a call that uses the records, and then releases them. */
  async during(answer) {
    try {
      return await answer
    } finally {
      this.abandon()
    }
  }

  /** Releases the records, unless other calls use them. */
  abandon() {
    if (!this.isReused) this.native.release()
  }
}

/**
 * Returns an attempt to write, in the form that `Writes` begins.
 * @param run runs a function that starts a native call
 * @param write `{ start, given, otherwise }`: if `given` is `Records`, they are passed before the write starts; `otherwise`
 *   returns another such write
 */
function attemptOf(run, { start, given, otherwise }, signal) {
  if (!(given instanceof Records)) return { start: () => run(start) }
  return {
    prepare: given.isComplete ? undefined : () => given.complete(signal),
    start: () => given.during(run(start)),
    otherwise: otherwise && (() => attemptOf(run, otherwise(), signal)),
    abandon: () => given.abandon(),
  }
}

/** Like `published`, for a write of `given`: the size of `Records` is known only once they have been passed. */
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
