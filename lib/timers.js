'use strict'

// The timers and the clock of the runtime, taken from its modules when the package is loaded. Tests replace the global ones,
// some before anything is loaded, with ones that stand still, and whatever waits for native code or for a lock would then
// wait forever. Code that only looks at the time, such as for the timestamps of entities and `cacheTTL`, uses the clock that
// is global at the moment.

const { performance } = require('node:perf_hooks')
const { clearTimeout, setImmediate, setTimeout } = require('node:timers')

const measure = performance.now

/** Returns the milliseconds of a clock that cannot be set. */
const now = () => measure.call(performance)

/** The longest time that a timer can wait, in milliseconds. */
const LONGEST = 2 ** 31 - 1

/** Resolves when the event loop has turned. */
const turn = () => new Promise((resolve) => setImmediate(resolve))

module.exports = { clearTimeout, LONGEST, now, setImmediate, setTimeout, turn }
