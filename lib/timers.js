'use strict'

// The timers and the clock of the runtime, as its modules have them when the package is loaded. Tests replace those that are
// global, some before anything is loaded, by ones that stand still: what waits for native code, or for a lock, would do so for
// ever. What only looks at the time, as the
// timestamps of entities and `cacheTTL` do, goes by the clock that is there at the moment.

const { performance } = require('node:perf_hooks')
const { clearTimeout, setImmediate, setTimeout } = require('node:timers')

const measure = performance.now

/** Milliseconds of a clock that nobody sets. */
const now = () => measure.call(performance)

/** The longest time that a timer can wait, in milliseconds. */
const LONGEST = 2 ** 31 - 1

/** Resolves when the event loop has turned. */
const turn = () => new Promise((resolve) => setImmediate(resolve))

module.exports = { clearTimeout, LONGEST, now, setImmediate, setTimeout, turn }
