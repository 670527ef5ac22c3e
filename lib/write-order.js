'use strict'

// The order in which the writes of one database begin: the order of their calls, even if a write has something to do before
// it can begin, or may have to start over.

const { unlessAborted } = require('./abort.js')
const { clearTimeout, LONGEST, setTimeout } = require('./timers.js')

/** The place of one write in the order. The places behind it wait until it is left. */
class Place {
  #order
  /** The place behind this one. */
  next
  left = false
  /** Whether the turn of this place has come. */
  entered = false
  /** Called when the turn of this place comes. */
  go
  /** Called when the places behind were let past this one. */
  onPassed

  constructor(order) {
    this.#order = order
  }

  /** Waits until all earlier writes have begun; returns undefined if they have. A signal ends only the waiting. */
  enter(signal) {
    if (this.#order.admits(this)) return undefined
    return unlessAborted(signal, new Promise((resolve) => (this.go = resolve)))
  }

  /** Begins a write in its turn, and then lets those behind it follow. */
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

  /**
   * @param patience how long, in milliseconds, others wait for a write that cannot begin yet: its schema may never answer
   */
  constructor(patience) {
    this.#patience = Math.min(patience, LONGEST)
  }

  /** Whether a write may begin at once. */
  get isFree() {
    return this.#first === undefined
  }

  /** Takes the place behind all others. The caller must leave it. */
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
   * Makes sure that the places behind the first one do not wait for it forever. One timer serves all places: one that it
   * finds to be first at both ends of its run has been first for that long.
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
