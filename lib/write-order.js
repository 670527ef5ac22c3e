'use strict'

// The order in which the writes of one database begin: that of their calls, also where one has something to do before it can
// begin, or may have to start over.

const { unlessAborted } = require('./abort.js')
const { clearTimeout, LONGEST, setTimeout } = require('./timers.js')

/** The place of one write. Those after it wait until it is left. */
class Place {
  #order
  /** The one after it. */
  next
  left = false
  /** Its turn has come. */
  entered = false
  /** Tells that its turn has come. */
  go
  /** Told when the others went past it. */
  onPassed

  constructor(order) {
    this.#order = order
  }

  /** Waits until everything before it has begun; nothing if that is so. A signal ends the waiting, and nothing else. */
  enter(signal) {
    if (this.#order.admits(this)) return undefined
    return unlessAborted(signal, new Promise((resolve) => (this.go = resolve)))
  }

  /** Begins a write in its turn, and lets those behind it follow. */
  async begin(signal, start) {
    const turn = this.enter(signal)
    if (turn !== undefined) await turn
    const answer = start()
    this.leave()
    return await answer
  }

  leave() {
    this.#order.leave(this)
  }
}

class WriteOrder {
  #first
  #last
  #patience
  #timer

  /** @param patience how long the others wait for a write that cannot begin yet, in milliseconds: its schema may never answer */
  constructor(patience) {
    this.#patience = Math.min(patience, LONGEST)
  }

  /** Whether a write may begin at once. */
  get isFree() {
    return this.#first === undefined
  }

  /** Takes the place after all others. Whoever takes it must leave it. */
  take() {
    const place = new Place(this)
    if (this.#last === undefined) this.#first = place
    else this.#last.next = place
    this.#last = place
    this.#watch()
    return place
  }

  admits(place) {
    if (place !== this.#first && !place.left) return false
    place.entered = true
    return true
  }

  leave(place) {
    if (place.left) return
    place.left = true
    const before = this.#first
    while (this.#first?.left) this.#first = this.#first.next
    if (this.#first === undefined) this.#last = undefined
    else if (this.#first !== before && this.#first.go !== undefined) {
      this.#first.entered = true
      this.#first.go()
    }
    this.#watch()
  }

  /**
   * Sees to it that those behind the first place do not wait for it for ever. One timer sees to them all: whom it finds in
   * the first place twice has been there for that long.
   */
  #watch() {
    if (this.#first?.next === undefined) {
      clearTimeout(this.#timer)
      this.#timer = undefined
    } else if (this.#timer === undefined) {
      const seen = this.#first
      this.#timer = setTimeout(() => {
        this.#timer = undefined
        if (seen === this.#first && !seen.entered) this.#pass(seen)
        this.#watch()
      }, this.#patience)
    }
  }

  #pass(place) {
    this.leave(place)
    place.onPassed?.()
  }
}

module.exports = { WriteOrder }
