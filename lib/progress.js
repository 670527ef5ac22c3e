'use strict'

// The progress of a long operation: a bar on a terminal, a line at every quarter elsewhere.

const { cut } = require('./display-text.js')

const BAR = 24
/** How many lines a log receives. */
const STEPS = 4

/** Returns the fraction that is done, from 0 to 1; undefined if the numbers have no quotient. */
function fractionOf(done, total) {
  if (typeof done !== 'number' || typeof total !== 'number') return undefined
  const fraction = total === 0 ? 1 : done / total
  return Number.isFinite(fraction) ? Math.min(1, Math.max(0, fraction)) : undefined
}

/** A progress bar on one line of a terminal, redrawn at every change. `stream` is a `tty.WriteStream` or looks like one. */
class Bar {
  #stream
  #label
  #drawn = ''
  #ended = false

  constructor(stream, label) {
    this.#stream = stream
    this.#label = label
  }

  update(done, total) {
    const fraction = fractionOf(done, total)
    if (fraction === undefined || this.#ended) return
    const filled = Math.round(fraction * BAR)
    const bar = '█'.repeat(filled) + '░'.repeat(BAR - filled)
    const percent = String(Math.floor(fraction * 100)).padStart(3)
    // The last column stays free, because a terminal may break the line there.
    const line = cut(`${bar} ${percent}% ${this.#label}`, (this.#stream.columns || 80) - 1)
    if (line === this.#drawn) return
    this.#drawn = line
    this.#stream.write(`\r\x1b[2K${line}`)
  }

  /** Removes the bar while something else is written. */
  around(write) {
    const drawn = this.#drawn
    this.#erase()
    write()
    if (drawn !== '') {
      this.#drawn = drawn
      this.#stream.write(drawn)
    }
  }

  /** Erases the bar. Later updates draw nothing. */
  end() {
    this.#ended = true
    this.#erase()
  }

  #erase() {
    if (this.#drawn !== '') this.#stream.write('\r\x1b[2K')
    this.#drawn = ''
  }
}

/** Lines for logs: at 25, 50, 75 and 100 %. */
class Steps {
  #log
  #label
  #last = 0

  constructor(log, label) {
    this.#log = log
    this.#label = label
  }

  update(done, total) {
    const fraction = fractionOf(done, total)
    if (fraction === undefined) return
    const step = Math.floor(fraction * STEPS)
    if (step <= this.#last) return
    this.#last = step
    this.#log(`${this.#label}: ${(step * 100) / STEPS} %`)
  }

  around(write) {
    write()
  }

  /** Later updates log nothing. */
  end() {
    this.#last = STEPS
  }
}

/** Returns a bar if `stream` is a terminal, otherwise lines for `log`. */
function progressOf(stream, log, label) {
  return stream?.isTTY ? new Bar(stream, label) : new Steps(log, label)
}

module.exports = { progressOf }
